import { type CipherGCM, createCipheriv, createDecipheriv, type DecipherGCM, type KeyObject } from 'node:crypto'
import { additionalData, securityControl as control, nonce, tagOctets } from '../codec/ciphering.ts'
import { PeerError } from '../errors.ts'
import { suiteOf } from './suite.ts'

/** What AES-GCM takes besides the octets. @see Green Book, AES-GCM */
export interface Gcm {
  /** the security control octet */
  control: number
  /** of the originator, eight octets: the fixed field of the nonce */
  title: Uint8Array
  /** its invocation field, 0 to 2^32 - 1 */
  counter: number
  /** encryption key, 16 octets in suites 0 and 1, 32 in suite 2 */
  ek: KeyObject
  /** authentication key, as long as `ek`; GB meters have none */
  ak: Uint8Array
  /** what general-ciphering states, as it travels; empty in all other forms */
  header: Uint8Array
}

export const noOctets: Uint8Array = new Uint8Array()

/** @returns what follows the invocation counter: ciphered octets or clear ones, and the tag where there is one */
export function seal(plain: Uint8Array, gcm: Gcm): Uint8Array {
  const cipher = createCipheriv(suiteOf(gcm.control & control.suite).cipher, keyOf(gcm), nonceOf(gcm), options)
  if ((gcm.control & control.authenticated) === 0) return Buffer.concat([cipher.update(plain), cipher.final()])
  const encrypted = authenticate(cipher, plain, gcm)
  const body = encrypted ? cipher.update(plain) : plain
  return Buffer.concat([body, cipher.final(), cipher.getAuthTag()])
}

/** @throws PeerError `SECURITY_SUITE`, `KEY_MISSING`, `APDU_LENGTH`, `TAG_UNAUTHENTIC` */
export function open(content: Uint8Array, gcm: Gcm): Uint8Array {
  const decipher = decipherOf(gcm)
  if ((gcm.control & control.authenticated) === 0) return decipher.update(content)
  const [body, tag] = split(content)
  const encrypted = authenticate(decipher, body, gcm)
  decipher.setAuthTag(tag)
  const plain = encrypted ? decipher.update(body) : body
  try {
    decipher.final()
  } catch (cause) {
    throw new PeerError('TAG_UNAUTHENTIC', 'the tag does not hold', { cause })
  }
  return plain
}

/** Without a look at the tag. @throws PeerError `SECURITY_SUITE`, `KEY_MISSING`, `APDU_LENGTH` */
export function decipherAlone(content: Uint8Array, gcm: Gcm): Uint8Array {
  const body = (gcm.control & control.authenticated) === 0 ? content : split(content)[0]
  return (gcm.control & control.encrypted) === 0 ? body : decipherOf(gcm).update(body)
}

const options = { authTagLength: tagOctets }

function decipherOf(gcm: Gcm): DecipherGCM {
  return createDecipheriv(suiteOf(gcm.control & control.suite).cipher, keyOf(gcm), nonceOf(gcm), options)
}

function nonceOf({ title, counter }: Gcm): Uint8Array {
  return nonce(title, counter)
}

/** @returns whether the octets are encrypted too, or only authenticated: then they stand in the additional data */
function authenticate(gcm: CipherGCM | DecipherGCM, octets: Uint8Array, input: Gcm): boolean {
  const encrypted = (input.control & control.encrypted) !== 0
  gcm.setAAD(additionalData(input.control, input.ak, input.header, encrypted ? noOctets : octets))
  return encrypted
}

function keyOf({ control: octet, ek }: Gcm): KeyObject {
  const { keyOctets } = suiteOf(octet & control.suite)
  if (ek.symmetricKeySize !== keyOctets) {
    throw new PeerError('KEY_MISSING', `no key of ${keyOctets} octets for this suite`)
  }
  return ek
}

function split(content: Uint8Array): [Uint8Array, Uint8Array] {
  const length = content.length - tagOctets
  if (length < 0) throw new PeerError('APDU_LENGTH', `no room for a tag of ${tagOctets} octets`)
  return [content.subarray(0, length), content.subarray(length)]
}
