import { PeerError } from '../errors.ts'
import { type Data, decodeData, writeData } from './axdr.ts'
import { dateTimeOctets } from './datetime.ts'
import { logicalNameOctets } from './obis.ts'
import { decodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'
import { unswapped } from './swapped-names.ts'

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
 * `tagged-date-time`: the date-time carries a tag, `09 0C` for `0C` (Kaifa in Norway, old Kamstrup) or `19` for `0C`.
 * `untagged-descriptors`: an array of pairs whose attribute descriptors have no data tags (Sagemcom and others in
 * Czechia); they are given as `{ long-unsigned class, octet-string logical name, integer attribute }`.
 * `swapped-name-tags`: names in a list behind `06 09` for `09 06` (Landis+Gyr in Norway).
 */
export type Dialect = 'tagged-date-time' | 'untagged-descriptors' | 'swapped-name-tags'

export const dataNotificationTag = 0x0f

const octetStringTag = 0x09
const dateTimeTag = 0x19

/**
 * The APDU behind its tag 0F, to the end of the octets.
 * @param reopen the same octets again, from the same place
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `APDU_TRAILING`, `DATA_*`
 */
export function decodeDataNotification(reader: OctetReader, reopen: Reopen): DataNotification {
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
    if (body !== undefined) return { ...head, body, dialects: [...head.dialects, 'untagged-descriptors'] }
    const swapped = decodeSwapped(reopen)
    if (swapped === undefined) throw fault
    return { ...head, body: swapped, dialects: [...head.dialects, 'swapped-name-tags'] }
  }
}

/** The octets behind the tag again, or others that are as many. */
type Reopen = (changed?: Uint8Array) => OctetReader

/** @returns `undefined` where no tag is swapped, or not only tags are wrong */
function decodeSwapped(reopen: Reopen): Data | undefined {
  const changed = unswapped(reopen().rest())
  if (changed === undefined) return undefined
  const reader = reopen(changed)
  decodeHead(reader)
  try {
    const body = decodeData(reader)
    reader.end()
    return body
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

function decodeHead(reader: OctetReader): Omit<DataNotification, 'body'> {
  const longInvokeId = reader.uint(4)
  const tag = reader.peek()
  const tagged = tag === octetStringTag || tag === dateTimeTag // never a length: a date-time has 0 or 12 octets
  if (tagged) reader.uint(1)
  const offset = reader.offset
  const length = tag === dateTimeTag ? dateTimeOctets : decodeLength(reader, octetsMax)
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
