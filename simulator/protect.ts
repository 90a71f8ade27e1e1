import { createCipheriv, type KeyObject } from 'node:crypto'
import {
  additionalData,
  encodeGeneralGloCiphering,
  nonce,
  securityControl,
  tagOctets,
} from '#gateway/codec/ciphering.ts'
import type { SystemTitle } from '#gateway/model.ts'

export interface Protection {
  systemTitle: SystemTitle
  /** encryption key, 16 octets */
  ek: Uint8Array | KeyObject
  /** authentication key, 16 octets */
  ak: Uint8Array
  /** 0 to 2^32 - 1, never the same twice under one key */
  invocationCounter: number
}

/**
 * Seals an APDU as a meter does: general-glo-ciphering, suite 0, authenticated and encrypted.
 * @see Green Book, 9.2.7.2
 */
export function protect(plain: Uint8Array, protection: Protection): Uint8Array {
  const systemTitle = Buffer.from(protection.systemTitle, 'hex')
  const service = ciphered(plain, { ...protection, title: systemTitle, suite: 0 })
  return encodeGeneralGloCiphering({ apdu: 'general-glo-ciphering', systemTitle, ...service })
}

/** What AES-GCM takes. */
export interface Ciphering extends Omit<Protection, 'systemTitle'> {
  suite: number
  /** of the sender, eight octets */
  title: Uint8Array
  /** of a general-ciphering, as it travels; else nothing */
  header?: Uint8Array
}

/** The part that all forms have: authenticated and encrypted, under a key of the suite's length. */
export function ciphered(
  plain: Uint8Array,
  { suite, title, ek, ak, invocationCounter, header }: Ciphering,
): { securityControl: number; invocationCounter: number; content: Uint8Array } {
  const control = suite | securityControl.authenticated | securityControl.encrypted
  const cipher = suite === 2 ? 'aes-256-gcm' : 'aes-128-gcm'
  const gcm = createCipheriv(cipher, ek, nonce(title, invocationCounter), { authTagLength: tagOctets })
  gcm.setAAD(header === undefined ? additionalData(control, ak) : additionalData(control, ak, header))
  const content = Buffer.concat([gcm.update(plain), gcm.final(), gcm.getAuthTag()])
  return { securityControl: control, invocationCounter, content }
}
