import { PeerError } from '../errors.ts'
import { type CipheredService, decodeCipheredService, decodeTitle, writeCipheredService } from './ciphering.ts'
import { dateTimeOctets } from './datetime.ts'
import { decodeLength, encodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** What general-ciphering and general-signing state of a message, and vouch for. @see IEC 62056-5-3 */
export interface ProtectionHeader {
  /** 0 to `transactionIdOctetsMax` octets; the parties' own numbering */
  transactionId: Uint8Array
  /** eight octets, or none where it is told elsewhere */
  originator: Uint8Array
  /** eight octets, or none: told elsewhere, or everybody */
  recipient: Uint8Array
  /** the twelve octets of a date-time, or none */
  dateTime: Uint8Array
  otherInformation: Uint8Array
}

/** Which key was used, where the parties have not settled it before. @see IEC 62056-5-3, Key-Info */
export type KeyInfo =
  | { kind: 'identified'; key: 'unicast' | 'broadcast' }
  /** a key of this message, wrapped under the master key */
  | { kind: 'wrapped'; wrapped: Uint8Array }
  /** `data`: ephemeral public key and its signature for C(1e, 1s), nothing for C(0e, 2s) */
  | { kind: 'agreed'; parameters: Uint8Array; data: Uint8Array }

/** An APDU with header and key of its own. @see IEC 62056-5-3, general-ciphering */
export interface GeneralCiphering extends ProtectionHeader, CipheredService {
  apdu: 'general-ciphering'
  keyInfo: KeyInfo | undefined
}

export const generalCipheringTag = 0xdd

/** A number that fits is told apart and in order; GB meters use nine octets. */
export const transactionIdOctetsMax = 32

/** `key-parameters` of an agreed key. @see Green Book, key information */
export const agreementScheme = { onePass: 1, staticUnified: 2 } as const

const identifiedKeys = ['unicast', 'broadcast'] as const
const masterKeyId = 0
const choice = { identified: 0, wrapped: 1, agreed: 2 } as const

/**
 * The APDU behind its tag DD.
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE`, `APDU_CHOICE` for an option, choice or key identifier
 *   that there is not
 */
export function decodeGeneralCiphering(reader: OctetReader): GeneralCiphering {
  const header = decodeProtectionHeader(reader)
  const keyInfo = decodeChoice(reader, 'option', 1) === 0 ? undefined : decodeKeyInfo(reader)
  return { apdu: 'general-ciphering', ...header, keyInfo, ...decodeCipheredService(reader) }
}

/** With its tag DD. */
export function encodeGeneralCiphering(apdu: GeneralCiphering): Uint8Array {
  const writer = new OctetWriter().uint(1, generalCipheringTag)
  writer.octets(encodeProtectionHeader(apdu))
  if (apdu.keyInfo === undefined) writer.uint(1, 0)
  else writeKeyInfo(writer.uint(1, 1), apdu.keyInfo)
  return writeCipheredService(writer, apdu).finish()
}

/** Five octet-strings. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE` */
export function decodeProtectionHeader(reader: OctetReader): ProtectionHeader {
  const transactionId = decodeOctets(reader, transactionIdOctetsMax)
  const originator = decodeTitle(reader)
  const recipient = decodeTitle(reader)
  const offset = reader.offset
  const dateTime = decodeOctets(reader, octetsMax)
  if (dateTime.length !== 0 && dateTime.length !== dateTimeOctets) {
    throw new PeerError('APDU_LENGTH', `a date-time of ${dateTime.length} octets`, { offset })
  }
  return { transactionId, originator, recipient, dateTime, otherInformation: decodeOctets(reader, octetsMax) }
}

/** Five octet-strings with their lengths: as they travel, are authenticated and are signed. */
export function encodeProtectionHeader(header: ProtectionHeader): Uint8Array {
  const writer = new OctetWriter()
  writeOctets(writer, header.transactionId)
  writeOctets(writer, header.originator)
  writeOctets(writer, header.recipient)
  writeOctets(writer, header.dateTime)
  return writeOctets(writer, header.otherInformation).finish()
}

function decodeKeyInfo(reader: OctetReader): KeyInfo {
  const kind = decodeChoice(reader, 'key information', choice.agreed)
  if (kind === choice.identified) {
    return { kind: 'identified', key: identifiedKeys[decodeChoice(reader, 'key identifier', 1)]! }
  }
  if (kind === choice.agreed) {
    return { kind: 'agreed', parameters: decodeOctets(reader, octetsMax), data: decodeOctets(reader, octetsMax) }
  }
  decodeChoice(reader, 'key-encrypting key', masterKeyId)
  return { kind: 'wrapped', wrapped: decodeOctets(reader, octetsMax) }
}

function writeKeyInfo(writer: OctetWriter, info: KeyInfo): void {
  writer.uint(1, choice[info.kind])
  if (info.kind === 'identified') writer.uint(1, identifiedKeys.indexOf(info.key))
  else if (info.kind === 'wrapped') writeOctets(writer.uint(1, masterKeyId), info.wrapped)
  else writeOctets(writeOctets(writer, info.parameters), info.data)
}

function decodeChoice(reader: OctetReader, name: string, max: number): number {
  const offset = reader.offset
  const value = reader.uint(1)
  if (value > max) throw new PeerError('APDU_CHOICE', `${name} ${value}, known to ${max}`, { offset })
  return value
}

/** Octets behind their length. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeOctets(reader: OctetReader, limit: number): Uint8Array {
  return reader.octets(decodeLength(reader, limit))
}

/** Octets behind their length. */
export function writeOctets(writer: OctetWriter, octets: Uint8Array): OctetWriter {
  encodeLength(writer, octets.length)
  return writer.octets(octets)
}
