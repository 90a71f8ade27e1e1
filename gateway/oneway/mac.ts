import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
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
  octets.fill(0, at, at + macOctets)
  octets.set(createHmac('sha256', key).update(octets).digest().subarray(0, macOctets), at)
}

const claimed = Buffer.alloc(macOctets)

/** In constant time. The field is zero for a moment, and as before afterwards. */
export function holdsMac(octets: Uint8Array, at: number, key: KeyObject): boolean {
  claimed.set(octets.subarray(at, at + macOctets))
  octets.fill(0, at, at + macOctets)
  const mac = createHmac('sha256', key).update(octets).digest()
  octets.set(claimed, at)
  return timingSafeEqual(mac.subarray(0, macOctets), claimed)
}
