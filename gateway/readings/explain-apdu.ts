import { type Apdu, decodeApdu } from '../codec/apdu.ts'
import { type Data, isData } from '../codec/axdr.ts'
import { decodeBareData } from '../codec/bare-data.ts'
import { dateTimeOctets } from '../codec/datetime.ts'
import type { OpenReader } from '../codec/octets.ts'
import { PeerError } from '../errors.ts'
import { elementsOf, type PushedValue } from './push.ts'

/** A list of data where no APDU reads. */
export function bareData(octets: Uint8Array, open?: OpenReader): Data | undefined {
  const data = decodeBareData(octets, open)
  return data === undefined || isApdu(octets) ? undefined : data
}

function isApdu(octets: Uint8Array): boolean {
  try {
    decodeApdu(octets)
    return true
  } catch (fault) {
    if (fault instanceof PeerError) return false
    throw fault
  }
}

/** An APDU that holds another in clear: signed, or for a device behind a gateway. */
export function isCarrier(apdu: Apdu): apdu is Extract<Apdu, { apdu: (typeof carriers)[number] }> {
  return carriers.some((name) => name === apdu.apdu)
}

const carriers = ['general-signing', 'gateway-request', 'gateway-response'] as const

/** The time that an APDU states of itself. */
export function statedTime(apdu: Apdu): Uint8Array | undefined {
  const time = 'time' in apdu ? apdu.time : 'dateTime' in apdu ? apdu.dateTime : undefined
  return time?.length === dateTimeOctets ? time : undefined
}

/** Data beside the one attribute that it is of: an event, or what is to be set. */
export function attributedValue(apdu: Apdu): PushedValue | undefined {
  if (!('attribute' in apdu) || !('data' in apdu) || !isData(apdu.data)) return undefined
  if (elementsOf(apdu.data).length > 0) return undefined // a list is listed
  const { classId, obis, attribute } = apdu.attribute
  return { classId, obis, attribute, data: apdu.data, scalerUnit: undefined }
}

/** Every `Data` value in a decoded APDU, in the order of its fields. */
export function dataIn(value: unknown): Data[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return []
  return isData(value) ? [value] : Object.values(value).flatMap(dataIn)
}
