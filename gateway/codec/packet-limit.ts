import { PeerError } from '../errors.ts'

/** Type octet and up to four of the remaining length. @see MQTT 3.1.1, 2.2.3 */
const lengthOctetsMax = 4

/**
 * Walks over an MQTT octet stream as it comes and refuses a packet as soon as its header says that it is too long: before
 * any of it is gathered. It copies nothing and needs a few numbers a session.
 */
export class PacketLimit {
  readonly #octetsMax: number
  #bodyLeft = 0
  /** octets of the fixed header seen, 0: the next octet is a packet's first */
  #header = 0
  #length = 0

  /** @param octetsMax of a packet's remaining length */
  constructor(octetsMax: number) {
    this.#octetsMax = octetsMax
  }

  /** @throws PeerError `PACKET_LENGTH`, `PACKET_MALFORMED` */
  pass(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, chunk.length - at)
        this.#bodyLeft -= step
        at += step
      } else this.#take(chunk[at++]!)
    }
  }

  #take(octet: number): void {
    this.#header++
    if (this.#header === 1) return
    this.#length += (octet & 0x7f) * 128 ** (this.#header - 2)
    if (this.#length > this.#octetsMax) {
      throw new PeerError('PACKET_LENGTH', `an MQTT packet of over ${this.#octetsMax} octets`)
    }
    if (octet < 0x80) {
      this.#bodyLeft = this.#length
      this.#header = 0
      this.#length = 0
    } else if (this.#header > lengthOctetsMax) {
      throw new PeerError('PACKET_MALFORMED', 'a remaining length of more than four octets')
    }
  }
}
