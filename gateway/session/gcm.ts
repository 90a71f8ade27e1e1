import { type CipherGCM, createCipheriv, createDecipheriv, type DecipherGCM, type KeyObject } from 'node:crypto'
import {
  additionalData,
  securityControl as control,
  nonceOctets,
  systemTitleOctets,
  tagOctets,
} from '../codec/ciphering.ts'
import { PeerError } from '../errors.ts'
import { type Suite, suiteOf } from './suite.ts'

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
  const cipher = begun(gcm, cipherOf)
  if ((gcm.control & control.authenticated) === 0) return Buffer.concat([cipher.update(plain), cipher.final()])
  const encrypted = authenticate(cipher, plain, gcm)
  const body = encrypted ? cipher.update(plain) : plain
  return Buffer.concat([body, cipher.final(), cipher.getAuthTag()])
}

/** @throws PeerError `SECURITY_SUITE`, `KEY_MISSING`, `APDU_LENGTH`, `TAG_UNAUTHENTIC` */
export function open(content: Uint8Array, gcm: Gcm): Uint8Array {
  const decipher = begun(gcm, decipherOf)
  if ((gcm.control & control.authenticated) === 0) return decipher.update(content)
  const body = bodyOf(content)
  const encrypted = authenticate(decipher, body, gcm)
  decipher.setAuthTag(tagOf(content))
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
  const body = (gcm.control & control.authenticated) === 0 ? content : bodyOf(content)
  return (gcm.control & control.encrypted) === 0 ? body : begun(gcm, decipherOf).update(body)
}

const options = { authTagLength: tagOctets }

type Begin<T> = (cipher: Suite['cipher'], key: KeyObject, iv: Uint8Array) => T

const cipherOf: Begin<CipherGCM> = (cipher, key, iv) => createCipheriv(cipher, key, iv, options)
const decipherOf: Begin<DecipherGCM> = (cipher, key, iv) => createDecipheriv(cipher, key, iv, options)

/** A key of another length is told by OpenSSL, which looks at it anyway. */
function begun<T>(gcm: Gcm, begin: Begin<T>): T {
  const { cipher, keyOctets } = suiteOf(gcm.control & control.suite)
  try {
    return begin(cipher, gcm.ek, nonceOf(gcm))
  } catch (cause) {
    if (gcm.ek.symmetricKeySize === keyOctets) throw cause
    throw new PeerError('KEY_MISSING', `no key of ${keyOctets} octets for this suite`, { cause })
  }
}

/**
 * Room for what OpenSSL takes while it is called and does not keep: making room for each APDU would cost as much as
 * looking at its frame. Nothing is left in it for the next call, which fills all of it.
 */
const room = {
  nonce: Buffer.allocUnsafeSlow(nonceOctets),
  tag: Buffer.allocUnsafeSlow(tagOctets),
  /** security control and authentication key, by the octets of the key */
  additional: new Map([16, 32].map((octets) => [octets, Buffer.allocUnsafeSlow(1 + octets)])),
}

/** @see Green Book, initialization vector */
function nonceOf({ title, counter }: Gcm): Uint8Array {
  if (title.length !== systemTitleOctets) throw new RangeError(`${title.length} octets, a system title has 8`)
  fill(room.nonce, title, 0)
  room.nonce.writeUInt32BE(counter, systemTitleOctets)
  return room.nonce
}

/** For few octets faster than `set`. */
function fill(into: Uint8Array, octets: Uint8Array, from: number): void {
  for (let at = 0; at < octets.length; at++) into[from + at] = octets[at]!
}

/** @returns whether the octets are encrypted too, or only authenticated: then they stand in the additional data */
function authenticate(gcm: CipherGCM | DecipherGCM, octets: Uint8Array, input: Gcm): boolean {
  const encrypted = (input.control & control.encrypted) !== 0
  gcm.setAAD(additionalOf(input, encrypted ? noOctets : octets))
  return encrypted
}

function additionalOf({ control: octet, ak, header }: Gcm, clear: Uint8Array): Uint8Array {
  const usual = room.additional.get(ak.length)
  if (usual === undefined || header.length + clear.length > 0) return additionalData(octet, ak, header, clear)
  usual[0] = octet
  fill(usual, ak, 1)
  return usual
}

function bodyOf(content: Uint8Array): Uint8Array {
  const length = content.length - tagOctets
  if (length < 0) throw new PeerError('APDU_LENGTH', `no room for a tag of ${tagOctets} octets`)
  return new Uint8Array(content.buffer, content.byteOffset, length) // a Buffer's own subarray takes twice as long
}

/** Of a content that has a body. */
function tagOf(content: Uint8Array): Uint8Array {
  const from = content.length - tagOctets
  for (let at = 0; at < tagOctets; at++) room.tag[at] = content[from + at]!
  return room.tag
}
