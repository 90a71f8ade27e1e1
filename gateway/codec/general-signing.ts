import { PeerError } from '../errors.ts'
import {
  decodeOctets,
  decodeProtectionHeader,
  encodeProtectionHeader,
  type ProtectionHeader,
  writeOctets,
} from './general-ciphering.ts'
import { type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** An APDU that its originator has signed. @see IEC 62056-5-3, general-signing */
export interface GeneralSigning extends ProtectionHeader {
  apdu: 'general-signing'
  /** the APDU inside, in clear or ciphered */
  content: Uint8Array
  /** r and s, 32 octets each in suite 1 and 48 in suite 2; none where a tag outside vouches instead (GB meters) */
  signature: Uint8Array
}

export const generalSigningTag = 0xdf

const signatureOctets: readonly number[] = [0, 64, 96]

/** The APDU behind its tag DF. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE` */
export function decodeGeneralSigning(reader: OctetReader): GeneralSigning {
  const header = decodeProtectionHeader(reader)
  const content = decodeOctets(reader, octetsMax)
  const offset = reader.offset
  const signature = decodeOctets(reader, octetsMax)
  if (!signatureOctets.includes(signature.length)) {
    throw new PeerError('APDU_LENGTH', `a signature of ${signature.length} octets, not 0, 64 or 96`, { offset })
  }
  return { apdu: 'general-signing', ...header, content, signature }
}

/** With its tag DF. */
export function encodeGeneralSigning(apdu: GeneralSigning): Uint8Array {
  const writer = new OctetWriter().uint(1, generalSigningTag).octets(signedOctets(apdu))
  return writeOctets(writer, apdu.signature).finish()
}

/**
 * What the signature covers: everything from the transaction identifier to the content, lengths included, the tag not.
 * @see Green Book, general-signing; checked on signatures of GB meters
 */
export function signedOctets(apdu: ProtectionHeader & Pick<GeneralSigning, 'content'>): Uint8Array {
  return writeOctets(new OctetWriter().octets(encodeProtectionHeader(apdu)), apdu.content).finish()
}
