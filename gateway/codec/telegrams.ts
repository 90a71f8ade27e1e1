import { PeerError } from '../errors.ts'
import { generalGloCipheringTag, systemTitleOctets } from './ciphering.ts'
import { decodeLength, OctetReader, octetsMax } from './octets.ts'
import type { Payload, Unframed } from './payload.ts'

const slash = 0x2f
const lineFeed = 0x0a
const exclamation = 0x21
/** Behind the exclamation mark: four digits, carriage return, line feed. */
const endOctetsMax = 6

/** Whether octets begin as a P1 telegram in clear does: no APDU has this tag. */
export function isTelegram(octets: Uint8Array): boolean {
  return octets[0] === slash
}

/**
 * The telegrams in what a P1 port sent: in clear, from `/` to `!` and the checksum, or each inside general-glo-ciphering.
 * What lies between them is passed over, as where a capture begins in the middle of one. Linear in the octets.
 * @returns telegrams and ciphered APDUs as payloads; a fault `FRAME_TRUNCATED` for each that does not end
 * @see DSMR P1 companion standard 5.0.2, 6; Luxembourg smart meter specification, P1
 */
export function unframeTelegrams(octets: Uint8Array): Unframed {
  const payloads: Payload[] = []
  const faults: PeerError[] = []
  for (let at = 0; at < octets.length; ) {
    const end = octets[at] === slash ? telegramEnd(octets, at) : cipheredEnd(octets, at)
    if (end === undefined) at++
    else if (end === 'cut') {
      faults.push(new PeerError('FRAME_TRUNCATED', 'a telegram without its end', { offset: at }))
      at = nextTelegram(octets, at)
    } else {
      payloads.push({ octets: octets.subarray(at, end), offset: at })
      at = end
    }
  }
  return { payloads, frames: payloads.length, faults }
}

/** @returns `undefined` where no telegram begins, `cut` where another begins before it ends, or nothing follows */
function telegramEnd(octets: Uint8Array, at: number): number | 'cut' | undefined {
  if (!isIdentification(octets, at)) return undefined
  for (let i = at + 1; i < octets.length - 1; i++) {
    if (octets[i] === slash && isIdentification(octets, i)) return 'cut' // perhaps in the middle of a line
    if (octets[i] !== lineFeed || octets[i + 1] !== exclamation) continue
    const stop = octets.subarray(i + 2, i + 2 + endOctetsMax).indexOf(lineFeed)
    return stop >= 0 ? i + 3 + stop : Math.min(i + 2 + endOctetsMax, octets.length)
  }
  return 'cut'
}

/** Where the search goes on behind one that was cut: every octet up to there was looked at once. */
function nextTelegram(octets: Uint8Array, at: number): number {
  for (let i = octets.indexOf(slash, at + 1); i >= 0; i = octets.indexOf(slash, i + 1)) {
    if (isIdentification(octets, i)) return i
  }
  return octets.length
}

/** `/` and the three letters of the manufacturer. @see IEC 62056-21, identification message */
function isIdentification(octets: Uint8Array, at: number): boolean {
  return octets[at] === slash && octets.length > at + 3 && [1, 2, 3].every((i) => isLetter(octets[at + i]!))
}

function isLetter(octet: number): boolean {
  return (octet | 0x20) >= 0x61 && (octet | 0x20) <= 0x7a
}

/** @returns `undefined` where no whole general-glo-ciphering with a system title begins */
function cipheredEnd(octets: Uint8Array, at: number): number | undefined {
  if (octets[at] !== generalGloCipheringTag || octets[at + 1] !== systemTitleOctets) return undefined
  const head = 2 + systemTitleOctets
  try {
    const reader = new OctetReader(octets.subarray(at + head), at + head)
    const length = decodeLength(reader, octetsMax)
    return length <= reader.remaining ? reader.offset + length : undefined
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}
