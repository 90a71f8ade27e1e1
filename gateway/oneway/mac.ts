import { createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import { ConfigError } from '../errors.ts'

/**
 * HMAC-SHA-256 cut to 128 bits over a whole datagram with the field itself zero.
 * @see RFC 6584, 5: group-keyed MAC
 */
export const macOctets = 16
/** Key ids are the ASID of EXT_AUTH: four bits, whose meaning is agreed on out of band. @see RFC 6584, 2 */
export const keyIdMax = 15
export const linkKeyOctets = 32

/** A key of the link and the id it goes by. */
export interface LinkKey {
  id: number
  key: KeyObject
}

/**
 * @param name how the configuration calls it @param text of its file
 * @throws ConfigError; the message holds nothing of it
 */
export function parseLinkKey(name: string, text: string): KeyObject {
  const hex = text.trim()
  if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== linkKeyOctets * 2) {
    throw new ConfigError([`${name}: ${linkKeyOctets} octets as ${linkKeyOctets * 2} hex digits`])
  }
  return createSecretKey(hex, 'hex')
}

/** Writes the MAC of `octets` into them at `at`. */
export function sealMac(octets: Uint8Array, at: number, key: KeyObject): void {
  octets.set(macOf(octets, at, key), at)
}

/** In constant time. */
export function holdsMac(octets: Uint8Array, at: number, key: KeyObject): boolean {
  return timingSafeEqual(macOf(octets, at, key), octets.subarray(at, at + macOctets))
}

/** Of SHA-256. */
const [blockOctets, digestOctets] = [64, 32]
let inner: Buffer = Buffer.alloc(blockOctets + 2_048)
const outer = Buffer.alloc(blockOctets + digestOctets)
const mac = Buffer.alloc(macOctets)

/**
 * HMAC as two digests over memory that is kept: an object for each datagram, as `createHmac` makes one, took twice the time and
 * left more to collect. @returns good until the next call @see RFC 2104, 2
 */
function macOf(octets: Uint8Array, at: number, key: KeyObject): Buffer {
  const { innerPad, outerPad } = padsOf(key)
  const length = blockOctets + octets.length
  if (inner.length < length) inner = Buffer.alloc(length)
  inner.set(innerPad)
  inner.set(octets, blockOctets)
  inner.fill(0, blockOctets + at, blockOctets + at + macOctets)
  outer.set(outerPad)
  outer.write(hash('sha256', inner.subarray(0, length), 'binary'), blockOctets, 'latin1')
  mac.write(hash('sha256', outer, 'binary'), 0, macOctets, 'latin1')
  return mac
}

interface Pads {
  innerPad: Uint8Array
  outerPad: Uint8Array
}

const pads = new WeakMap<KeyObject, Pads>()

function padsOf(key: KeyObject): Pads {
  const known = pads.get(key)
  if (known !== undefined) return known
  const secret = key.export()
  if (secret.length > blockOctets) throw new RangeError(`a key of ${secret.length} octets, at most ${blockOctets}`)
  const pad = (octet: number): Uint8Array =>
    Uint8Array.from({ length: blockOctets }, (_, i) => (secret[i] ?? 0) ^ octet)
  const made = { innerPad: pad(0x36), outerPad: pad(0x5c) }
  pads.set(key, made)
  return made
}
