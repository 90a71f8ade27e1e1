import { PeerError } from '../errors.ts'
import { decodeLength, encodeLength, OctetReader, OctetWriter, octetsMax } from './octets.ts'

/**
 * An APDU under a global key, as it travels.
 * @see IEC 62056-5-3, general-glo-ciphering; Green Book, 9.2.7
 */
export interface GeneralGloCiphering {
  apdu: 'general-glo-ciphering'
  /** eight octets, or none where the association has told it */
  systemTitle: Uint8Array
  /** bits of `securityControl` and the suite */
  securityControl: number
  /** 0 to 2^32 - 1; each key takes each number once */
  invocationCounter: number
  /** what was ciphered, and behind it the tag where the security control says authenticated */
  content: Uint8Array
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

/** Octets of the authentication tag of suites 0 to 2. */
export const tagOctets = 12

const systemTitleOctets = 8
/** security control and invocation counter */
const headerOctets = 5

/**
 * The APDU behind its tag DB.
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE`
 */
export function decodeGeneralGloCiphering(reader: OctetReader): GeneralGloCiphering {
  const offset = reader.offset
  const titleLength = decodeLength(reader, octetsMax)
  if (titleLength !== 0 && titleLength !== systemTitleOctets) {
    throw new PeerError('SYSTEM_TITLE', `${titleLength} octets, a system title has ${systemTitleOctets}`, { offset })
  }
  const systemTitle = reader.octets(titleLength)
  const at = reader.offset
  const length = decodeLength(reader, octetsMax)
  if (length < headerOctets) throw new PeerError('APDU_LENGTH', 'no room for the security header', { offset: at })
  const base = reader.offset
  const inner = new OctetReader(reader.octets(length), base)
  const control = inner.uint(1)
  const invocationCounter = inner.uint(4)
  return {
    apdu: 'general-glo-ciphering',
    systemTitle,
    securityControl: control,
    invocationCounter,
    content: inner.rest(),
  }
}

/** With its tag DB. */
export function encodeGeneralGloCiphering(apdu: GeneralGloCiphering): Uint8Array {
  const writer = new OctetWriter().uint(1, generalGloCipheringTag)
  encodeLength(writer, apdu.systemTitle.length)
  writer.octets(apdu.systemTitle)
  encodeLength(writer, headerOctets + apdu.content.length)
  return writer.uint(1, apdu.securityControl).uint(4, apdu.invocationCounter).octets(apdu.content).finish()
}

/** Twelve octets: system title and invocation counter. @see Green Book, initialization vector */
export function nonce(systemTitle: Uint8Array, invocationCounter: number): Uint8Array {
  return new OctetWriter().octets(systemTitle).uint(4, invocationCounter).finish()
}

/**
 * What the tag covers besides the ciphered octets.
 * @param ak the authentication key
 * @param plain the APDU in clear where it is authenticated but not encrypted, else empty
 * @see Green Book, additional authenticated data
 */
export function additionalData(control: number, ak: Uint8Array, plain: Uint8Array = new Uint8Array()): Uint8Array {
  return new OctetWriter().uint(1, control).octets(ak).octets(plain).finish()
}
