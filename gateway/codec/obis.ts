import { PeerError } from '../errors.ts'
import type { Obis } from '../model.ts'

/** Octets of a logical name. */
export const logicalNameOctets = 6

const reduced = /^(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?$/

/**
 * The reduced text form of six octets: `1-0:1.8.0`, and `1-0:1.8.0*1` where the last is not 255.
 * @throws PeerError `DATA_VALUE`
 * @see IEC 62056-61
 */
export function decodeObis(octets: Uint8Array): Obis {
  if (octets.length !== logicalNameOctets) {
    throw new PeerError('DATA_VALUE', `${octets.length} octets, an OBIS code has ${logicalNameOctets}`)
  }
  const high = (octets[0]! << 16) | (octets[1]! << 8) | octets[2]!
  const low = (octets[3]! << 16) | (octets[4]! << 8) | octets[5]!
  const at = (high ^ (low >> 8) ^ (low >> 3)) & (recent.length - 1)
  const known = recent[at]
  if (known !== undefined && known.high === high && known.low === low) return known.text
  const [a, b, c, d, e, f] = octets
  const text = `${a}-${b}:${c}.${d}.${e}${f === 255 ? '' : `*${f}`}` as Obis
  recent[at] = { high, low, text }
  return text
}

/** Texts made lately: a fleet says the same few codes again and again. A code takes the place of another, so it ends. */
const recent: ({ high: number; low: number; text: Obis } | undefined)[] = new Array(1_024).fill(undefined)

/** The six octets of a logical name. */
export function encodeObis(code: Obis): Uint8Array {
  return groups(reduced.exec(code)!)
}

function groups(match: RegExpExecArray): Uint8Array {
  return Uint8Array.from(match.slice(1), (group: string | undefined) => (group === undefined ? 255 : Number(group)))
}

/**
 * Reads the reduced text form; `*255` is dropped, so that one code has one text.
 * @throws PeerError `DATA_VALUE`
 */
export function parseObis(text: string): Obis {
  const match = reduced.exec(text)
  if (match === null || match.slice(1).some((group: string | undefined) => Number(group ?? 0) > 255)) {
    throw new PeerError('DATA_VALUE', `'${text.slice(0, 32)}' is no OBIS code A-B:C.D.E`)
  }
  return decodeObis(groups(match))
}

/** All six groups with dots, as the octets lie: `1.0.1.8.0.255`. */
export function dottedObis(code: Obis): string {
  return encodeObis(code).join('.')
}
