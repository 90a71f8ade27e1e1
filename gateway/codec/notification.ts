import { PeerError } from '../errors.ts'
import { type Data, decodeData, writeData } from './axdr.ts'
import { dateTimeOctets } from './datetime.ts'
import { logicalNameOctets } from './obis.ts'
import { decodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** What a meter sends unasked. @see IEC 62056-5-3, data-notification */
export interface DataNotification {
  apdu: 'data-notification'
  /** long-invoke-id-and-priority, 0 to 2^32 - 1 */
  longInvokeId: number
  /** the twelve octets of a date-time; `datetime.ts` reads them */
  dateTime: Uint8Array | undefined
  body: Data
  /** departures from the standard that were read through; the encoder writes none */
  dialects: readonly Dialect[]
}

/**
 * `tagged-date-time`: the date-time carries an octet-string tag, `09 0C` for `0C` (Kaifa in Norway, old Kamstrup).
 * `untagged-descriptors`: an array of pairs whose attribute descriptors have no data tags (Sagemcom and others in
 * Czechia); they are given as `{ long-unsigned class, octet-string logical name, integer attribute }`.
 */
export type Dialect = 'tagged-date-time' | 'untagged-descriptors'

export const dataNotificationTag = 0x0f

const octetStringTag = 0x09

/**
 * The APDU behind its tag 0F, to the end of the octets.
 * @param reopen the same octets again, from the same place
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `APDU_TRAILING`, `DATA_*`
 */
export function decodeDataNotification(reader: OctetReader, reopen: () => OctetReader): DataNotification {
  const head = decodeHead(reader)
  try {
    const body = decodeData(reader)
    reader.end()
    const { apdu, longInvokeId, dateTime, dialects } = head
    return { apdu, longInvokeId, dateTime, body, dialects }
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    const again = reopen()
    decodeHead(again)
    const body = decodeUntaggedDescriptors(again)
    if (body === undefined) throw fault
    return { ...head, body, dialects: [...head.dialects, 'untagged-descriptors'] }
  }
}

function decodeHead(reader: OctetReader): Omit<DataNotification, 'body'> {
  const longInvokeId = reader.uint(4)
  const tagged = reader.peek() === octetStringTag // never a length: a date-time has 0 or 12 octets
  if (tagged) reader.uint(1)
  const offset = reader.offset
  const length = decodeLength(reader, octetsMax)
  if (length !== 0 && length !== dateTimeOctets) {
    throw new PeerError('APDU_LENGTH', `a date-time of ${length} octets`, { offset })
  }
  const dateTime = length === 0 ? undefined : reader.octets(length)
  return { apdu: 'data-notification', longInvokeId, dateTime, dialects: tagged ? ['tagged-date-time'] : [] }
}

/**
 * `structure { enum, array of structure { descriptor without tags, data } }`.
 * @returns `undefined` when it is something else
 * @throws PeerError as `decodeData`
 */
function decodeUntaggedDescriptors(reader: OctetReader): Data | undefined {
  if (reader.remaining < 6 || reader.uint(2) !== 0x0202 || reader.uint(1) !== 0x16) return undefined
  const kind = reader.uint(1)
  if (reader.uint(1) !== 0x01) return undefined
  const count = decodeLength(reader, octetsMax)
  const pairs: Data[] = []
  for (let i = 0; i < count; i++) {
    if (reader.uint(2) !== 0x0202) return undefined
    pairs.push({ type: 'structure', elements: [decodeDescriptor(reader), decodeData(reader)] })
  }
  reader.end()
  return {
    type: 'structure',
    elements: [
      { type: 'enum', value: kind },
      { type: 'array', elements: pairs },
    ],
  }
}

/** @see IEC 62056-5-3, cosem-attribute-descriptor */
function decodeDescriptor(reader: OctetReader): Data {
  return {
    type: 'structure',
    elements: [
      { type: 'long-unsigned', value: reader.uint(2) },
      { type: 'octet-string', octets: reader.octets(logicalNameOctets) },
      { type: 'integer', value: reader.int(1) },
    ],
  }
}

/** With its tag 0F, in the standard's form whatever dialect it came in. */
export function encodeDataNotification(apdu: DataNotification): Uint8Array {
  const writer = new OctetWriter().uint(1, dataNotificationTag).uint(4, apdu.longInvokeId)
  if (apdu.dateTime === undefined) writer.uint(1, 0)
  else writer.uint(1, dateTimeOctets).octets(apdu.dateTime)
  writeData(writer, apdu.body)
  return writer.finish()
}
