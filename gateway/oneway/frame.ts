import { hash } from 'node:crypto'
import { PeerError } from '../errors.ts'
import { holdsMac, keyIdMax, type LinkKey, sealMac } from './mac.ts'

/** A sealed batch that travels whole: in a file, or over a connection of its own. Nothing about its octets is believed yet. */
export interface Bundle {
  /** 32 bits */
  epoch: number
  /** from 1 */
  sequence: number
  octets: Buffer
}

/** What the header of a frame says, its MAC checked. */
export interface FrameHeader {
  epoch: number
  sequence: number
  /** octets of the batch, 1 to the reader's limit */
  length: number
  /** SHA-256 of the batch */
  digest: Buffer
}

/** Magic 4, version 1, key id 1, reserved 2, epoch 4, sequence 8, length 4, SHA-256 32, MAC 16. */
export const frameHeaderOctets = 72
const magic = Buffer.from('AMIB', 'latin1')
const version = 1
const [epochAt, sequenceAt, lengthAt, digestAt, macAt] = [8, 12, 20, 24, 56]

/**
 * Header and batch. The MAC is the datagrams', over the header with its own octets zero: the header names the batch by its
 * digest, so that a stranger's is refused before an octet of its batch is taken in.
 */
export function encodeFrame({ epoch, sequence, octets }: Bundle, key: LinkKey): { frame: Buffer; digest: Buffer } {
  const digest = hash('sha256', octets, 'buffer')
  const frame = Buffer.alloc(frameHeaderOctets + octets.length)
  frame.set(magic)
  frame.writeUInt8(version, 4)
  frame.writeUInt8(key.id, 5)
  frame.writeUInt32BE(epoch, epochAt)
  frame.writeUInt32BE(Math.floor(sequence / 2 ** 32), sequenceAt)
  frame.writeUInt32BE(sequence >>> 0, sequenceAt + 4)
  frame.writeUInt32BE(octets.length, lengthAt)
  frame.set(digest, digestAt)
  sealMac(frame.subarray(0, frameHeaderOctets), macAt, key.key)
  frame.set(octets, frameHeaderOctets)
  return { frame, digest }
}

/** Takes frames apart: form and key, then the MAC; what it does not hold for is not looked at. */
export class FrameReader {
  readonly #keys: readonly (LinkKey['key'] | undefined)[]
  readonly #octetsMax: number

  /** @param keys each with another id; several while one follows another @param octetsMax of a batch */
  constructor(keys: readonly LinkKey[], octetsMax: number) {
    this.#keys = Array.from({ length: keyIdMax + 1 }, (_, id) => keys.find((one) => one.id === id)?.key)
    this.#octetsMax = octetsMax
  }

  /** Octets of the largest frame that is taken. */
  get frameOctetsMax(): number {
    return frameHeaderOctets + this.#octetsMax
  }

  /**
   * @param octets that begin a frame; written to for a moment, and left as they were
   * @throws PeerError `BUNDLE_TRUNCATED`, `BUNDLE_MALFORMED`, `BUNDLE_KEY`, `BUNDLE_UNAUTHENTIC`, `BUNDLE_LIMIT`
   */
  header(octets: Buffer): FrameHeader {
    if (octets.length < frameHeaderOctets)
      throw new PeerError('BUNDLE_TRUNCATED', `a header of ${octets.length} octets`)
    const header = octets.subarray(0, frameHeaderOctets)
    if (!header.subarray(0, 4).equals(magic) || header.readUInt8(4) !== version || header.readUInt16BE(6) !== 0) {
      throw new PeerError('BUNDLE_MALFORMED', 'not a bundle of version 1')
    }
    const id = header.readUInt8(5)
    const key = this.#keys[id]
    if (key === undefined) throw new PeerError('BUNDLE_KEY', `no key ${id}`)
    if (!holdsMac(header, macAt, key)) throw new PeerError('BUNDLE_UNAUTHENTIC', 'the MAC does not hold')
    return this.#trusted(header)
  }

  #trusted(header: Buffer): FrameHeader {
    const sequence = header.readUInt32BE(sequenceAt) * 2 ** 32 + header.readUInt32BE(sequenceAt + 4)
    if (sequence === 0 || !Number.isSafeInteger(sequence)) throw new PeerError('BUNDLE_MALFORMED', 'no such sequence')
    const length = header.readUInt32BE(lengthAt)
    if (length === 0 || length > this.#octetsMax) {
      throw new PeerError('BUNDLE_LIMIT', `${length} octets, limit ${this.#octetsMax}`)
    }
    const digest = Buffer.from(header.subarray(digestAt, macAt))
    return { epoch: header.readUInt32BE(epochAt), sequence, length, digest }
  }

  /**
   * @param octets of the batch, all that came behind the header
   * @throws PeerError `BUNDLE_TRUNCATED`, `BUNDLE_TRAILING`, `BUNDLE_DIGEST`
   */
  bundle({ epoch, sequence, length, digest }: FrameHeader, octets: Buffer): Bundle {
    if (octets.length < length) throw new PeerError('BUNDLE_TRUNCATED', `${octets.length} of ${length} octets`)
    if (octets.length > length) throw new PeerError('BUNDLE_TRAILING', `${octets.length - length} octets too many`)
    if (!hash('sha256', octets, 'buffer').equals(digest)) throw new PeerError('BUNDLE_DIGEST', 'another digest')
    return { epoch, sequence, octets }
  }
}
