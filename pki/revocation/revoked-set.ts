/** Octets of a serial number as this PKI gives it: 126 random bits, so that no two CAs ever give the same. */
export const serialOctets = 16

const wordsEach = 4
const fullShare = 0.7

/**
 * Serial numbers, and nothing ever taken out: open addressing over one array of 32-bit words, 16 octets a place. A million
 * take 32 MB, where a `Set` of their text takes 265 MB. Serials are random and ours, so that they are their own hash.
 */
export class RevokedSet {
  #words = new Uint32Array(1_024 * wordsEach)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** @param octets 16 of a serial from `at` on @returns whether it is new */
  add(octets: Uint8Array, at = 0): boolean {
    if ((this.#size + 1) * wordsEach > this.#words.length * fullShare) this.#grow()
    const view = new DataView(octets.buffer, octets.byteOffset + at, serialOctets)
    const added = insert(this.#words, view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12))
    if (added) this.#size += 1
    return added
  }

  /** @param serial hex; one of another length is none of ours, and so not in it */
  has(serial: string): boolean {
    if (serial.length !== 2 * serialOctets) return false
    const octets = Buffer.from(serial, 'hex')
    if (octets.length !== serialOctets) return false
    const [a, b, c, d] = [
      octets.readUInt32BE(0),
      octets.readUInt32BE(4),
      octets.readUInt32BE(8),
      octets.readUInt32BE(12),
    ]
    return placeOf(this.#words, a, b, c, d).found
  }

  #grow(): void {
    const old = this.#words
    this.#words = new Uint32Array(old.length * 2)
    for (let at = 0; at < old.length; at += wordsEach) {
      const [a, b, c, d] = [old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!]
      if ((a | b | c | d) !== 0) insert(this.#words, a, b, c, d)
    }
  }
}

function insert(words: Uint32Array, a: number, b: number, c: number, d: number): boolean {
  const { at, found } = placeOf(words, a, b, c, d)
  if (found) return false
  words[at] = a
  words[at + 1] = b
  words[at + 2] = c
  words[at + 3] = d
  return true
}

/** Where a serial is, or the free place where it belongs; a serial is never zero. */
function placeOf(words: Uint32Array, a: number, b: number, c: number, d: number): { at: number; found: boolean } {
  const mask = words.length / wordsEach - 1
  for (let place = d & mask; ; place = (place + 1) & mask) {
    const at = place * wordsEach
    if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return { at, found: true }
    if ((words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) === 0) return { at, found: false }
  }
}
