import { PeerError } from '../errors.ts'
import { decodeLength, encodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** What every ciphered APDU carries. @see Green Book, structure of ciphered APDUs */
export interface CipheredService {
  /** bits of `securityControl` and the suite */
  securityControl: number
  /** 0 to 2^32 - 1; each key takes each number once */
  invocationCounter: number
  /** what was ciphered, and behind it the tag where the security control says authenticated */
  content: Uint8Array
}

/** An APDU of any kind with its sender's name. @see IEC 62056-5-3, general-glo-ciphering, general-ded-ciphering */
export interface TitledCiphering extends CipheredService {
  /** eight octets, or none where the association has told it */
  systemTitle: Uint8Array
}

/** Under a global key, as it travels. */
export interface GeneralGloCiphering extends TitledCiphering {
  apdu: 'general-glo-ciphering'
}

/** Under the dedicated key of one association, as it travels. */
export interface GeneralDedCiphering extends TitledCiphering {
  apdu: 'general-ded-ciphering'
}

/** @see Green Book, security control byte */
export const securityControl = {
  suite: 0x0f,
  authenticated: 0x10,
  encrypted: 0x20,
  broadcastKey: 0x40,
  compressed: 0x80,
} as const

export const generalGloCipheringTag = 0xdb
export const generalDedCipheringTag = 0xdc

/** Octets of the authentication tag of suites 0 to 2. */
export const tagOctets = 12

export const systemTitleOctets = 8
const counterOctets = 4
/** Octets of the nonce: system title and invocation counter. */
export const nonceOctets: number = systemTitleOctets + counterOctets
/** security control and invocation counter */
const headerOctets = 1 + counterOctets

/**
 * The APDU behind its tag DB.
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE`
 */
export function decodeGeneralGloCiphering(reader: OctetReader): GeneralGloCiphering {
  const systemTitle = decodeTitle(reader)
  const { securityControl, invocationCounter, content } = decodeCipheredService(reader)
  return { apdu: 'general-glo-ciphering', systemTitle, securityControl, invocationCounter, content }
}

/**
 * The APDU behind its tag DC.
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE`
 */
export function decodeGeneralDedCiphering(reader: OctetReader): GeneralDedCiphering {
  const systemTitle = decodeTitle(reader)
  const { securityControl, invocationCounter, content } = decodeCipheredService(reader)
  return { apdu: 'general-ded-ciphering', systemTitle, securityControl, invocationCounter, content }
}

/** A system title as an octet-string of 8 octets or of none. @throws PeerError `APDU_TRUNCATED`, `SYSTEM_TITLE` */
export function decodeTitle(reader: OctetReader): Uint8Array {
  const offset = reader.offset
  const length = decodeLength(reader, octetsMax)
  if (length !== 0 && length !== systemTitleOctets) {
    throw new PeerError('SYSTEM_TITLE', `${length} octets, a system title has ${systemTitleOctets}`, { offset })
  }
  return reader.octets(length)
}

/** Length, security header and content. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeCipheredService(reader: OctetReader): CipheredService {
  const offset = reader.offset
  const length = decodeLength(reader, octetsMax)
  if (length < headerOctets) throw new PeerError('APDU_LENGTH', 'no room for the security header', { offset })
  const inner = reader.inner(length)
  return { securityControl: inner.uint(1), invocationCounter: inner.uint(4), content: inner.rest() }
}

/** Length, security header and content. */
export function writeCipheredService(writer: OctetWriter, service: CipheredService): OctetWriter {
  encodeLength(writer, headerOctets + service.content.length)
  return writer.uint(1, service.securityControl).uint(4, service.invocationCounter).octets(service.content)
}

/** With its tag DB. */
export function encodeGeneralGloCiphering(apdu: GeneralGloCiphering): Uint8Array {
  return encodeTitled(generalGloCipheringTag, apdu)
}

/** With its tag DC. */
export function encodeGeneralDedCiphering(apdu: GeneralDedCiphering): Uint8Array {
  return encodeTitled(generalDedCipheringTag, apdu)
}

function encodeTitled(tag: number, apdu: TitledCiphering): Uint8Array {
  const writer = new OctetWriter().uint(1, tag)
  encodeLength(writer, apdu.systemTitle.length)
  return writeCipheredService(writer.octets(apdu.systemTitle), apdu).finish()
}

/** Twelve octets: system title and invocation counter. @see Green Book, initialization vector */
export function nonce(systemTitle: Uint8Array, invocationCounter: number): Uint8Array {
  const octets = Buffer.allocUnsafe(systemTitle.length + counterOctets) // of the pool: OpenSSL takes it as it lies
  octets.set(systemTitle)
  octets.writeUInt32BE(invocationCounter, systemTitle.length)
  return octets
}

/**
 * What the tag covers besides the ciphered octets.
 * @param ak the authentication key
 * @param more what stands behind the key: the header of a general-ciphering, and then the APDU in clear where it is
 *   authenticated but not encrypted
 * @see Green Book, additional authenticated data
 */
export function additionalData(control: number, ak: Uint8Array, ...more: readonly Uint8Array[]): Uint8Array {
  let length = 1 + ak.length
  for (const octets of more) length += octets.length
  const data = Buffer.allocUnsafe(length)
  data[0] = control
  data.set(ak, 1)
  let at = 1 + ak.length
  for (const octets of more) {
    data.set(octets, at)
    at += octets.length
  }
  return data
}
