import { PeerError } from '../errors.ts'
import { type Data, decodeData, writeData } from './axdr.ts'
import { decodeOctets, decodeOptional, writeOctets, writeOptional } from './constructs.ts'
import { dateTimeOctets } from './datetime.ts'
import { type AttributeDescriptor, decodeAttribute, writeAttribute } from './descriptor.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/** An attribute that a meter sends unasked. @see IEC 62056-5-3, EventNotification-Request */
export interface EventNotification {
  apdu: 'event-notification'
  /** the twelve octets of a date-time; `datetime.ts` reads them */
  time: Uint8Array | undefined
  attribute: AttributeDescriptor
  data: Data
}

/** That a data-notification came. @see IEC 62056-5-3, Data-Notification-Confirm */
export interface DataNotificationConfirm {
  apdu: 'data-notification-confirm'
  /** long-invoke-id-and-priority, 0 to 2^32 - 1 */
  longInvokeId: number
  /** the twelve octets of a date-time */
  dateTime: Uint8Array | undefined
}

export const eventNotificationTag = 0xc2
export const dataNotificationConfirmTag = 0x10

/** The APDU behind its tag C2. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeEventNotification(reader: OctetReader): EventNotification {
  return {
    apdu: 'event-notification',
    time: decodeOptional(reader, decodeTime),
    attribute: decodeAttribute(reader),
    data: decodeData(reader),
  }
}

/** With its tag C2. */
export function encodeEventNotification(apdu: EventNotification): Uint8Array {
  const writer = new OctetWriter().uint(1, eventNotificationTag)
  writeOptional(writer, apdu.time, writeOctets)
  writeAttribute(writer, apdu.attribute)
  writeData(writer, apdu.data)
  return writer.finish()
}

/** The APDU behind its tag 10. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeDataNotificationConfirm(reader: OctetReader): DataNotificationConfirm {
  return { apdu: 'data-notification-confirm', longInvokeId: reader.uint(4), dateTime: decodeDateTimeOrNone(reader) }
}

/** With its tag 10. */
export function encodeDataNotificationConfirm(apdu: DataNotificationConfirm): Uint8Array {
  const writer = new OctetWriter().uint(1, dataNotificationConfirmTag).uint(4, apdu.longInvokeId)
  writeDateTimeOrNone(writer, apdu.dateTime)
  return writer.finish()
}

/** A date-time that is there or an octet string without octets. @throws PeerError `APDU_LENGTH`, `APDU_TRUNCATED` */
export function decodeDateTimeOrNone(reader: OctetReader): Uint8Array | undefined {
  if (reader.peek() !== 0) return decodeTime(reader)
  reader.uint(1)
  return undefined
}

/** @see decodeDateTimeOrNone */
export function writeDateTimeOrNone(writer: OctetWriter, dateTime: Uint8Array | undefined): void {
  writeOctets(writer, dateTime ?? new Uint8Array())
}

function decodeTime(reader: OctetReader): Uint8Array {
  const offset = reader.offset
  const octets = decodeOctets(reader)
  if (octets.length === dateTimeOctets) return octets
  throw new PeerError('APDU_LENGTH', `a date-time of ${octets.length} octets`, { offset })
}
