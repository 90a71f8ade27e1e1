import { PeerError } from '../errors.ts'
import {
  decodeGeneralBlockTransfer,
  encodeGeneralBlockTransfer,
  type GeneralBlockTransfer,
  generalBlockTransferTag,
} from './block.ts'
import {
  type DataNotification,
  dataNotificationTag,
  decodeDataNotification,
  encodeDataNotification,
} from './notification.ts'
import { type OctetReader, type OpenReader, openReader } from './octets.ts'
import { decodeProtected, encodeProtected, type Protected, protectedNames } from './protection.ts'
import { decodeService, encodeService, isService, type ServiceApdu, serviceNames } from './services.ts'

/** Every APDU of xDLMS and ACSE. */
export type Apdu = DataNotification | GeneralBlockTransfer | Protected | ServiceApdu

/** Every APDU that has a tag, by it. @see IEC 62056-5-3, xDLMS-APDU */
const names: ReadonlyMap<number, Apdu['apdu']> = new Map<number, Apdu['apdu']>([
  [dataNotificationTag, 'data-notification'],
  [generalBlockTransferTag, 'general-block-transfer'],
  ...protectedNames,
  ...serviceNames,
])

/** The name of the APDU that a first octet announces, `undefined` where none has that tag. */
export function apduName(tag: number): Apdu['apdu'] | undefined {
  return names.get(tag)
}

/**
 * One APDU and nothing behind it.
 * @param base where these octets begin in what offsets of faults count
 * @param open makes the reader: one of `trace.ts` where spans are wanted
 * @throws PeerError `APDU_UNKNOWN`, `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `APDU_TRAILING`, `SYSTEM_TITLE`,
 *   `DATA_*`
 * @see IEC 62056-5-3, xDLMS-APDU
 */
export function decodeApdu(octets: Uint8Array, base = 0, open: OpenReader = openReader): Apdu {
  const reader = open(octets, base)
  const tag = reader.uint(1)
  if (tag === dataNotificationTag) {
    return decodeDataNotification(reader, (behind = octets.subarray(1)) => open(behind, base + 1))
  }
  const apdu = decodeGeneral(tag, reader)
  reader.end()
  return apdu
}

function decodeGeneral(tag: number, reader: OctetReader): Apdu {
  if (tag === generalBlockTransferTag) return decodeGeneralBlockTransfer(reader)
  const offset = reader.offset - 1
  const apdu = decodeProtected(tag, reader) ?? decodeService(tag, reader)
  if (apdu === undefined) throw new PeerError('APDU_UNKNOWN', `no APDU has tag ${tag}`, { offset })
  return apdu
}

/** With its tag. */
export function encodeApdu(apdu: Apdu): Uint8Array {
  switch (apdu.apdu) {
    case 'data-notification':
      return encodeDataNotification(apdu)
    case 'general-block-transfer':
      return encodeGeneralBlockTransfer(apdu)
    default:
      return isService(apdu) ? encodeService(apdu) : encodeProtected(apdu)
  }
}
