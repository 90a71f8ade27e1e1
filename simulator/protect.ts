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
export function protect(plain: Uint8Array, { systemTitle, ek, ak, invocationCounter }: Protection): Uint8Array {
  const control = securityControl.authenticated | securityControl.encrypted
  const title = Buffer.from(systemTitle, 'hex')
  const gcm = createCipheriv('aes-128-gcm', ek, nonce(title, invocationCounter), { authTagLength: tagOctets })
  gcm.setAAD(additionalData(control, ak))
  const content = Buffer.concat([gcm.update(plain), gcm.final(), gcm.getAuthTag()])
  return encodeGeneralGloCiphering({
    apdu: 'general-glo-ciphering',
    systemTitle: title,
    securityControl: control,
    invocationCounter,
    content,
  })
}
