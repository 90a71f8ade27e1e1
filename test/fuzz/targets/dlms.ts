import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { decodeData, encodeData } from '#gateway/codec/axdr.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { PeerError } from '#gateway/errors.ts'
import { type Series, seriesLengthMax } from '#gateway/model.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import type { Mutator } from '../mutate.ts'
import { apdus, encodedValues, meter, notifications, services } from '../seeds.ts'
import { changeData } from '../structure.ts'
import { Broken, type Target } from '../target.ts'

export const isPeerFault = (thrown: unknown): boolean => thrown instanceof PeerError

/** What is encoded from a decoded value decodes again, and to what encodes alike. */
export function stable<T>(octets: Uint8Array, decode: (octets: Uint8Array) => T, encode: (value: T) => Uint8Array): T {
  const value = decode(octets)
  const once = encode(value)
  let twice: Uint8Array
  try {
    twice = encode(decode(once))
  } catch (cause) {
    throw new Broken('what was encoded is refused', { cause })
  }
  if (!Buffer.from(once).equals(twice)) throw new Broken('encoded twice it is not the same')
  return value
}

function wholeData(octets: Uint8Array) {
  const reader = new OctetReader(octets)
  const data = decodeData(reader)
  reader.end()
  return data
}

export const dataTarget: Target = {
  name: 'data',
  octetsMax: 4_096,
  seeds: () => encodedValues,
  run: (octets) => stable(octets, wholeData, encodeData).type,
  isFault: isPeerFault,
  structured: changeData,
}

export const apduTarget: Target = {
  name: 'apdu',
  octetsMax: 4_096,
  seeds: () => [...apdus, ...services],
  run: (octets) => stable(octets, decodeApdu, encodeApdu).apdu,
  isFault: isPeerFault,
  structured: changeNotification,
}

/** Octets in front of the body of a notification with a date-time, and of one without. */
const headOctets = [5 + 13, 5 + 1]

/** A data-notification with its body changed as a value. */
export function changeNotification(octets: Uint8Array, mutator: Mutator): Uint8Array {
  const head = octets[5] === 0 ? headOctets[1]! : headOctets[0]!
  return Buffer.concat([octets.subarray(0, head), changeData(octets.subarray(head), mutator)])
}

export const interpretTarget: Target = {
  name: 'interpret',
  octetsMax: 4_096,
  seeds: () => notifications,
  run: (octets) => {
    const apdu = decodeApdu(octets)
    if (apdu.apdu !== 'data-notification') return apdu.apdu
    const series = interpret(apdu, meter)
    for (const one of series) checkSeries(one)
    return `${Math.min(series.length, 4)} series`
  },
  isFault: isPeerFault,
  structured: changeNotification,
}

function checkSeries({ ends, values, qualities, scaler, unit }: Series): void {
  const { length } = ends
  if (length < 1 || length > seriesLengthMax) throw new Broken(`a series of ${length}`)
  if (values.length !== length || qualities.length !== length) throw new Broken('lists of unequal length')
  if (!ends.every((end, i) => Number.isSafeInteger(end) && (i === 0 || end > ends[i - 1]!))) throw new Broken('ends')
  if (!values.every((value) => typeof value === 'bigint' || Number.isSafeInteger(value))) throw new Broken('values')
  if (scaler < -128 || scaler > 127 || unit < 0 || unit > 255) throw new Broken('scaler or unit')
}
