import { PeerError } from '../errors.ts'
import {
  decodeGeneralBlockTransfer,
  encodeGeneralBlockTransfer,
  type GeneralBlockTransfer,
  generalBlockTransferTag,
} from './block.ts'
import {
  decodeGeneralGloCiphering,
  encodeGeneralGloCiphering,
  type GeneralGloCiphering,
  generalGloCipheringTag,
} from './ciphering.ts'
import {
  type DataNotification,
  dataNotificationTag,
  decodeDataNotification,
  encodeDataNotification,
} from './notification.ts'
import { OctetReader } from './octets.ts'

/** The xDLMS APDUs that are taken. */
export type Apdu = DataNotification | GeneralGloCiphering | GeneralBlockTransfer

/** Every APDU that has a tag, by it. @see IEC 62056-5-3, xDLMS-APDU */
const names: ReadonlyMap<number, string> = new Map([
  [0x01, 'initiate-request'],
  [0x08, 'initiate-response'],
  [0x0e, 'confirmed-service-error'],
  [dataNotificationTag, 'data-notification'],
  [0x10, 'data-notification-confirm'],
  [0x21, 'glo-initiate-request'],
  [0x28, 'glo-initiate-response'],
  [0x60, 'aarq'],
  [0x61, 'aare'],
  [0x62, 'rlrq'],
  [0x63, 'rlre'],
  [0xc0, 'get-request'],
  [0xc1, 'set-request'],
  [0xc2, 'event-notification'],
  [0xc3, 'action-request'],
  [0xc4, 'get-response'],
  [0xc5, 'set-response'],
  [0xc7, 'action-response'],
  [0xc8, 'glo-get-request'],
  [0xc9, 'glo-set-request'],
  [0xca, 'glo-event-notification'],
  [0xcb, 'glo-action-request'],
  [0xcc, 'glo-get-response'],
  [0xcd, 'glo-set-response'],
  [0xcf, 'glo-action-response'],
  [0xd0, 'ded-get-request'],
  [0xd1, 'ded-set-request'],
  [0xd2, 'ded-event-notification'],
  [0xd3, 'ded-action-request'],
  [0xd4, 'ded-get-response'],
  [0xd5, 'ded-set-response'],
  [0xd7, 'ded-action-response'],
  [0xd8, 'exception-response'],
  [0xd9, 'access-request'],
  [0xda, 'access-response'],
  [generalGloCipheringTag, 'general-glo-ciphering'],
  [0xdc, 'general-ded-ciphering'],
  [0xdd, 'general-ciphering'],
  [0xdf, 'general-signing'],
  [generalBlockTransferTag, 'general-block-transfer'],
])

/** The name of the APDU that a first octet announces, `undefined` where none has that tag. */
export function apduName(tag: number): string | undefined {
  return names.get(tag)
}

/**
 * One APDU and nothing behind it.
 * @param base where these octets begin in what offsets of faults count
 * @throws PeerError `APDU_UNKNOWN`, `APDU_UNSUPPORTED` naming what it is, `APDU_TRUNCATED`, `APDU_LENGTH`,
 *   `APDU_TRAILING`, `SYSTEM_TITLE`, `DATA_*`
 * @see IEC 62056-5-3, xDLMS-APDU
 */
export function decodeApdu(octets: Uint8Array, base = 0): Apdu {
  const reader = new OctetReader(octets, base)
  const tag = reader.uint(1)
  if (tag === dataNotificationTag) return decodeDataNotification(() => new OctetReader(octets.subarray(1), base + 1))
  const apdu = decodeGeneral(tag, reader)
  reader.end()
  return apdu
}

function decodeGeneral(tag: number, reader: OctetReader): Apdu {
  if (tag === generalGloCipheringTag) return decodeGeneralGloCiphering(reader)
  if (tag === generalBlockTransferTag) return decodeGeneralBlockTransfer(reader)
  const options = { offset: reader.offset - 1 }
  const name = names.get(tag)
  if (name === undefined) throw new PeerError('APDU_UNKNOWN', `no APDU has tag ${tag}`, options)
  throw new PeerError('APDU_UNSUPPORTED', `${name} is not taken`, options)
}

/** With its tag. */
export function encodeApdu(apdu: Apdu): Uint8Array {
  switch (apdu.apdu) {
    case 'data-notification':
      return encodeDataNotification(apdu)
    case 'general-glo-ciphering':
      return encodeGeneralGloCiphering(apdu)
    case 'general-block-transfer':
      return encodeGeneralBlockTransfer(apdu)
  }
}
