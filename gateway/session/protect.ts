import type { KeyObject } from 'node:crypto'
import { type CipheredService, securityControl as control } from '../codec/ciphering.ts'
import { encodeProtectionHeader, type KeyInfo, type ProtectionHeader } from '../codec/general-ciphering.ts'
import type { Ciphered } from '../codec/protection.ts'
import { serviceCipheringOf } from '../codec/service-ciphering.ts'
import type { SystemTitle } from '../model.ts'
import { noOctets, seal } from './gcm.ts'
import { type Protection, protectionBits } from './policy.ts'

/**
 * Which APDU is to hold another, and the key that it says it is under.
 * `glo` and `ded` are the service's own ciphering; in `general-ciphering` no `keyInfo` means the key settled before.
 */
export type Form =
  | { apdu: 'glo' | 'general-glo-ciphering'; key: 'unicast' | 'broadcast' }
  | { apdu: 'ded' | 'general-ded-ciphering' }
  | { apdu: 'general-ciphering'; header: Omit<ProtectionHeader, 'originator'>; keyInfo: KeyInfo | undefined }

/** With what an APDU is sealed. */
export interface Sealing {
  /** 0 to 2 */
  suite: number
  protection: Protection
  /** who sends */
  systemTitle: SystemTitle
  /** the key of the form's key set: encryption, 16 octets in suites 0 and 1, 32 in suite 2 */
  ek: KeyObject
  /** authentication key, as long as `ek` */
  ak: Uint8Array
  /** 0 to 2^32 - 1, never the same twice under one key: the caller stores it before the APDU leaves */
  invocationCounter: number
}

/**
 * Seals an APDU; `encodeApdu` makes octets of it, `unprotect` opens it.
 * @throws RangeError for a service that has no ciphering of its own, PeerError `SECURITY_SUITE`, `KEY_MISSING` for a key
 *   that does not fit the suite
 * @see Green Book, 9.2.7.2
 */
export function protect(plain: Uint8Array, form: Form, sealing: Sealing): Ciphered {
  const systemTitle = Buffer.from(sealing.systemTitle, 'hex')
  switch (form.apdu) {
    case 'glo':
    case 'ded':
      return { apdu: serviceCipheringOf(form.apdu, plain[0]), ...sealed(plain, form, sealing) }
    case 'general-glo-ciphering':
    case 'general-ded-ciphering':
      return { apdu: form.apdu, systemTitle, ...sealed(plain, form, sealing) }
    case 'general-ciphering': {
      const { keyInfo } = form
      const header = { ...form.header, originator: systemTitle }
      const service = sealed(plain, form, sealing, encodeProtectionHeader(header))
      return { apdu: form.apdu, ...header, keyInfo, ...service }
    }
  }
}

/**
 * The answer to a challenge in HLS mechanism 5: security control, invocation counter, tag. 17 octets.
 * @param challenge the other side's, StoC or CtoS
 * @see Green Book, HLS authentication, mechanism 5 (GMAC)
 */
export function gmacAnswer(challenge: Uint8Array, sealing: Omit<Sealing, 'protection'>): Uint8Array {
  const form = { apdu: 'general-glo-ciphering', key: 'unicast' } as const
  const service = sealed(challenge, form, { ...sealing, protection: 'authenticated' })
  const answer = new DataView(new ArrayBuffer(5))
  answer.setUint8(0, service.securityControl)
  answer.setUint32(1, service.invocationCounter)
  return Buffer.concat([new Uint8Array(answer.buffer), service.content.subarray(challenge.length)])
}

function sealed(plain: Uint8Array, form: Form, sealing: Sealing, header: Uint8Array = noOctets): CipheredService {
  const { suite, protection, systemTitle, ek, ak, invocationCounter } = sealing
  const keySet = 'key' in form && form.key === 'broadcast' ? control.broadcastKey : 0
  const securityControl = suite | protectionBits[protection] | keySet
  const title = Buffer.from(systemTitle, 'hex')
  const content = seal(plain, { control: securityControl, title, counter: invocationCounter, ek, ak, header })
  return { securityControl, invocationCounter, content }
}
