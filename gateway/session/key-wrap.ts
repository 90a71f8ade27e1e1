import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { PeerError } from '../errors.ts'
import type { Suite } from './suite.ts'

/** @see RFC 3394, 2.2.3.1 (default initial value) */
const initialValue = new Uint8Array(8).fill(0xa6)

/** What wrapping adds. */
const overheadOctets = 8

/**
 * A key under a key-encrypting key, as `key_transfer` and general-ciphering carry it.
 * @param key of the suite's length
 * @param kek the master key, of the suite's length
 * @throws RangeError for a key of another length: both are ours
 * @see RFC 3394; Green Book, AES key wrap
 */
export function wrapKey(key: KeyObject, kek: KeyObject, suite: Suite): Uint8Array {
  if (key.symmetricKeySize !== suite.keyOctets || kek.symmetricKeySize !== suite.keyOctets) {
    throw new RangeError(`keys of suite ${suite.id} have ${suite.keyOctets} octets`)
  }
  const cipher = createCipheriv(suite.wrap, kek, initialValue)
  return Buffer.concat([cipher.update(key.export()), cipher.final()])
}

/**
 * @throws PeerError `KEY_MISSING` where there is no such key-encrypting key, `KEY_WRAP` where the length is wrong or it is
 *   wrapped under another
 */
export function unwrapKey(wrapped: Uint8Array, kek: KeyObject | undefined, suite: Suite): KeyObject {
  if (kek?.symmetricKeySize !== suite.keyOctets) {
    throw new PeerError('KEY_MISSING', `no key-encrypting key of ${suite.keyOctets} octets`)
  }
  if (wrapped.length !== suite.keyOctets + overheadOctets) {
    throw new PeerError('KEY_WRAP', `a wrapped key of ${wrapped.length} octets`)
  }
  const decipher = createDecipheriv(suite.wrap, kek, initialValue)
  try {
    return createSecretKey(Buffer.concat([decipher.update(wrapped), decipher.final()]))
  } catch (cause) {
    throw new PeerError('KEY_WRAP', 'not wrapped under this key', { cause })
  }
}
