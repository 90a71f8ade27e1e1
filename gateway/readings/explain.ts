import { decodeApdu } from '../codec/apdu.ts'
import { type Data, encodeData, isData } from '../codec/axdr.ts'
import { type GeneralBlockTransfer, reassemble } from '../codec/block.ts'
import { decodeDateTime, utcSeconds } from '../codec/datetime.ts'
import type { DataNotification, Dialect } from '../codec/notification.ts'
import { dottedObis } from '../codec/obis.ts'
import type { Payload } from '../codec/payload.ts'
import type { Ciphered } from '../codec/protection.ts'
import { PeerError } from '../errors.ts'
import { knownUnit, type MeterProfile, namedList } from './meter-profile.ts'
import { type Profile, pushedProfiles } from './profile.ts'
import {
  classOf,
  elementsOf,
  listedValues,
  type PushedValue,
  type PushObject,
  pushedScalers,
  pushObjects,
} from './push.ts'
import { isScaled, objectValues } from './registers.ts'
import { isTelegram, readTelegram, type TelegramValue } from './telegram.ts'
import { unitSymbol } from './units.ts'

/** One value as it was sent. */
export interface ExplainedValue {
  /** all six groups, `1.0.1.8.0.255`; `null` where the meter sent no name and only the place tells */
  obis: string | null
  /**
   * A number as it is, beyond 2^53 its digits as text; visible text as text; octet-strings and dates as hex;
   * anything compound as the hex of its A-XDR; `null` for null-data.
   */
  value: number | string | boolean | null
  /** power of ten, `null` where none was sent */
  scaler: number | null
  unit: string | null
}

/** What frames say, layer by layer. */
export interface Explanation {
  /** names, outermost first; blocks are transport and are not named */
  apdus: string[]
  /** the first notification's time: in UTC with `Z`, local without where it states no deviation, `null` where it tells none */
  time: string | null
  values: ExplainedValue[]
  /** values without a name beside others with one: list versions, a clock in front */
  unnamed: ExplainedValue[]
  /** departures from the standard that were read through; `positional`: no value has a name */
  dialects: (Dialect | 'positional')[]
}

/** Deciphers an APDU, or throws a `PeerError` that says why not. */
export type Opener = (apdu: Ciphered) => Uint8Array

/** A ciphered APDU in a ciphered APDU, and blocks in either: no meter goes deeper. */
export const layersMax = 4

/**
 * All that the payloads of one stream say, in wire order; units and places of a meter's profile where it is given. Offsets of faults count in the octets that were being
 * read: the stream's, or those deciphered or put together from blocks.
 * @throws PeerError `APDU_*`, `DATA_*`, `PUSH_FORM`, `FRAME_SEQUENCE`, `FRAME_TRUNCATED`, and what `open` throws
 */
export function explain(payloads: readonly Payload[], open: Opener, profile?: MeterProfile): Explanation {
  const explanation: Explanation = { apdus: [], time: null, values: [], unnamed: [], dialects: [] }
  try {
    explainLayer(explanation, payloads, { open, profile, layer: 0 })
  } catch (fault) {
    if (!(fault instanceof PeerError) || fault.offset !== undefined) throw fault
    throw new PeerError(fault.code, fault.message, { offset: payloads[0]?.offset ?? 0, cause: fault })
  }
  return explanation
}

interface Reading {
  open: Opener
  profile: MeterProfile | undefined
  /** APDUs around these */
  layer: number
}

function explainLayer(explanation: Explanation, payloads: readonly Payload[], reading: Reading): void {
  const inner = { ...reading, layer: reading.layer + 1 }
  if (reading.layer > layersMax) throw new PeerError('APDU_UNSUPPORTED', `more than ${layersMax} APDUs in each other`)
  const blocks: GeneralBlockTransfer[] = []
  for (const { octets, offset } of payloads) {
    if (isTelegram(octets)) {
      explainTelegram(explanation, octets)
      continue
    }
    const apdu = decodeApdu(octets, offset)
    if (apdu.apdu === 'general-block-transfer') {
      blocks.push(apdu)
      continue
    }
    explanation.apdus.push(apdu.apdu)
    if (apdu.apdu === 'data-notification') explainNotification(explanation, apdu, reading.profile)
    else if (apdu.apdu === 'general-signing') {
      explainLayer(explanation, [{ octets: apdu.content, offset: 0 }], inner)
    } else if ('securityControl' in apdu) {
      explainLayer(explanation, [{ octets: reading.open(apdu), offset: 0 }], inner)
    } else explainData(explanation, apdu)
  }
  const whole = reassemble(blocks).map((octets) => ({ octets, offset: 0 }))
  if (whole.length > 0) explainLayer(explanation, whole, inner)
}

/** The data of any other APDU: read answers, events, parameters. */
function explainData(explanation: Explanation, apdu: object): void {
  for (const data of dataIn(apdu)) {
    for (const value of listedValues(data)) {
      explanation[value.obis === undefined ? 'unnamed' : 'values'].push(explainedValue(value))
    }
  }
}

/** Every `Data` value in a decoded APDU, in the order of its fields. */
function dataIn(value: unknown): Data[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return []
  return isData(value) ? [value] : Object.values(value).flatMap(dataIn)
}

function explainTelegram(explanation: Explanation, octets: Uint8Array): void {
  explanation.apdus.push('p1-ascii')
  for (const value of readTelegram(octets)) explanation.values.push(telegramValue(value))
}

function telegramValue({ obis, ...rest }: TelegramValue): ExplainedValue {
  return { obis: dottedObis(obis), ...rest }
}

function explainNotification(
  explanation: Explanation,
  notification: DataNotification,
  profile: MeterProfile | undefined,
): void {
  explanation.time ??= timeText(notification.dateTime)
  explanation.dialects.push(...notification.dialects)
  const all = pushedValues(notification.body, profile)
  const isPositional = all.length > 0 && all.every(({ obis }) => obis === undefined)
  if (isPositional) explanation.dialects.push('positional')
  for (const value of all) {
    const list = value.obis !== undefined || isPositional ? explanation.values : explanation.unnamed
    list.push(explainedValue(value))
  }
}

/**
 * Every value of a body in wire order; a profile's row by row. With a meter's profile those without a name or a unit have
 * the ones that it knows.
 * @throws PeerError `PUSH_FORM`
 */
export function pushedValues(body: Data, profile?: MeterProfile): PushedValue[] {
  const values = namedList(profile, body) ?? bodyValues(body, profile)
  if (profile === undefined) return values
  return values.map((value) => {
    const isValue = value.classId === undefined || isScaled(value)
    return isValue ? { ...value, scalerUnit: value.scalerUnit ?? knownUnit(profile, value.obis) } : value
  })
}

function bodyValues(body: Data, meterProfile: MeterProfile | undefined): PushedValue[] {
  const objects = pushObjects(body)
  if (objects === undefined) return listedValues(body)
  const isReadable = objects.some(({ classId, attribute }) => classId === classOf.profile && attribute === 3)
  const profiles = isReadable || meterProfile !== undefined ? pushedProfiles(objects, meterProfile) : []
  if (profiles.length === 0) return objectValues(objects)
  const others = objects.filter(({ classId }) => classId !== classOf.profile)
  return [...objectValues(others), ...profiles.flatMap((profile) => cellValues(profile, objects))]
}

function cellValues({ rows, columns }: Profile, objects: readonly PushObject[]): PushedValue[] {
  const scalers = pushedScalers(objects)
  return rows.flatMap((row) =>
    elementsOf(row).map((data, i): PushedValue => {
      const column = columns[i]
      if (column === undefined) throw new PeerError('PUSH_FORM', `a row is not ${columns.length} columns`)
      const { classId, obis, attribute, kind } = column
      return { classId, obis, attribute, data, scalerUnit: kind === 'value' ? scalers.get(obis) : undefined }
    }),
  )
}

function explainedValue({ obis, data, scalerUnit }: PushedValue): ExplainedValue {
  return {
    obis: obis === undefined ? null : dottedObis(obis),
    value: plainValue(data),
    scaler: scalerUnit?.scaler ?? null,
    unit: scalerUnit === undefined ? null : unitSymbol(scalerUnit.unit),
  }
}

function plainValue(data: Data): ExplainedValue['value'] {
  switch (data.type) {
    case 'null-data':
    case 'dont-care':
      return null
    case 'visible-string':
    case 'utf8-string':
      return new TextDecoder().decode(data.octets)
    case 'octet-string':
    case 'date-time':
    case 'date':
    case 'time':
    case 'bit-string':
      return hex(data.octets)
    case 'array':
    case 'structure':
    case 'compact-array':
      return hex(encodeData(data))
    case 'long64':
    case 'long64-unsigned':
      return Number.isSafeInteger(Number(data.value)) ? Number(data.value) : data.value.toString()
    default:
      return data.value
  }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
}

/**
 * `2023-04-01T19:32:35Z`, with a fraction where hundredths were sent and are not zero; `2023-04-01T21:32:35`, by the
 * meter's own clock, where it does not say how that lies to UTC.
 */
function timeText(octets: Uint8Array | undefined): string | null {
  if (octets === undefined) return null
  const time = decodeDateTime(octets)
  const isLocal = time.deviationMinutes === undefined
  const seconds = utcSeconds(isLocal ? { ...time, deviationMinutes: 0 } : time)
  if (seconds === undefined) return null
  const text = new Date(seconds * 1000 + (time.hundredths ?? 0) * 10).toISOString().replace('.000Z', 'Z')
  return isLocal ? text.slice(0, -1) : text
}
