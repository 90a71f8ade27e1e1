import {
  decodeGeneralDedCiphering,
  decodeGeneralGloCiphering,
  encodeGeneralDedCiphering,
  encodeGeneralGloCiphering,
  type GeneralDedCiphering,
  type GeneralGloCiphering,
  generalDedCipheringTag,
  generalGloCipheringTag,
} from './ciphering.ts'
import {
  decodeGeneralCiphering,
  encodeGeneralCiphering,
  type GeneralCiphering,
  generalCipheringTag,
} from './general-ciphering.ts'
import {
  decodeGeneralSigning,
  encodeGeneralSigning,
  type GeneralSigning,
  generalSigningTag,
} from './general-signing.ts'
import type { OctetReader } from './octets.ts'
import {
  decodeServiceCiphering,
  encodeServiceCiphering,
  type ServiceCiphering,
  serviceCipheringNames,
} from './service-ciphering.ts'

/** Every APDU that AES-GCM protects. */
export type Ciphered = GeneralGloCiphering | GeneralDedCiphering | GeneralCiphering | ServiceCiphering

/** Every APDU that holds another and vouches for it. */
export type Protected = Ciphered | GeneralSigning

/** Names by tag, those of `service-ciphering.ts` among them. */
export const protectedNames: ReadonlyMap<number, Protected['apdu']> = new Map<number, Protected['apdu']>([
  ...serviceCipheringNames,
  [generalGloCipheringTag, 'general-glo-ciphering'],
  [generalDedCipheringTag, 'general-ded-ciphering'],
  [generalCipheringTag, 'general-ciphering'],
  [generalSigningTag, 'general-signing'],
])

const cipheredNames: ReadonlySet<string> = new Set(
  [...protectedNames.values()].filter((name) => name !== 'general-signing'),
)

/** Whether AES-GCM protects an APDU. */
export function isCiphered<T extends { apdu: string }>(apdu: T): apdu is T & Ciphered {
  return cipheredNames.has(apdu.apdu)
}

/**
 * The APDU behind its tag.
 * @returns `undefined` where the tag is of another kind of APDU
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `SYSTEM_TITLE`, `APDU_CHOICE`
 */
export function decodeProtected(tag: number, reader: OctetReader): Protected | undefined {
  const name = protectedNames.get(tag)
  switch (name) {
    case undefined:
      return undefined
    case 'general-glo-ciphering':
      return decodeGeneralGloCiphering(reader)
    case 'general-ded-ciphering':
      return decodeGeneralDedCiphering(reader)
    case 'general-ciphering':
      return decodeGeneralCiphering(reader)
    case 'general-signing':
      return decodeGeneralSigning(reader)
    default:
      return decodeServiceCiphering(name, reader)
  }
}

/** With its tag. */
export function encodeProtected(apdu: Protected): Uint8Array {
  switch (apdu.apdu) {
    case 'general-glo-ciphering':
      return encodeGeneralGloCiphering(apdu)
    case 'general-ded-ciphering':
      return encodeGeneralDedCiphering(apdu)
    case 'general-ciphering':
      return encodeGeneralCiphering(apdu)
    case 'general-signing':
      return encodeGeneralSigning(apdu)
    default:
      return encodeServiceCiphering(apdu)
  }
}
