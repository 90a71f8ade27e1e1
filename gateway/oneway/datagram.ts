import type { KeyObject } from 'node:crypto'
import { PeerError } from '../errors.ts'
import { type ObjectShape, payloadOctets } from './fec/block.ts'
import { ftiOctets, isFecId, payloadIdOctets, readFti, readPayloadId, symbolOctetsMax, writeFti } from './fti.ts'
import { heartbeatOctets } from './heartbeat.ts'
import { holdsMac, keyIdMax, type LinkKey, sealMac } from './mac.ts'
import { heartbeatToi } from './toi.ts'

/**
 * One datagram: an LCT header with EXT_AUTH and EXT_FTI, a FEC payload id and one encoding symbol. The session is the stream's
 * epoch (TSI, 32 bits), the object a sealed batch, a manifest, or in one symbol a heartbeat (TOI, 64 bits; see toi.ts).
 *
 * ```
 *  0      V=1 C=0 PSI=0 S=1 O=10 H=0 A=0 B=0 | header length in 32-bit words | codepoint: FEC encoding id
 *  4      congestion control information, 0: the sender paces by itself
 *  8      TSI: epoch                        12  TOI: sequence (64 bits)
 * 20      EXT_AUTH: HET 1, HEL 5 | ASID 4 bits: key id | reserved 12 bits
 * 24      MAC, 16 octets, over the whole datagram with these octets zero
 * 40      EXT_FTI, 12 or 16 octets, and the FEC payload id, 4 octets: see fti.ts
 * 56, 60  symbol
 * ```
 * EXT_AUTH stands first so that it is found without believing any length.
 * @see RFC 5651 (LCT), RFC 5775 (ALC), RFC 6584 (EXT_AUTH)
 */
export interface Datagram {
  epoch: number
  /** TOI: of a batch its sequence, 0 of a heartbeat */
  sequence: number
  shape: ObjectShape
  /** encoding symbol id, 0 to `shape.symbols` - 1 */
  symbol: number
  payload: Uint8Array
}

const [authAt, ftiAt] = [20, 40]
/** Where the MAC stands. */
export const macAt = 24
/** Of the shortest datagram there can be: a header and a symbol of nothing. */
export const datagramOctetsMin: number = ftiAt + 12 + payloadIdOctets
/** Of a datagram, what is not its symbol, the most. */
export const headerOctetsMax = 60
export const datagramOctetsMax: number = headerOctetsMax + symbolOctetsMax

/** V=1, S=1, O=2 (64 bits). @see RFC 5651, 5.1 */
const firstOctets = 0x10_c0
/** HET 1, five words. @see RFC 6584 */
const extAuth = 0x01_05

/** Writes datagrams into memory of its own, `slots` of them in turn: what it gives is good until `slots` more are written. */
export class DatagramWriter {
  readonly #key: LinkKey
  readonly #epoch: number
  readonly #slots: readonly Buffer[]
  #next = 0

  /** @param symbolOctets of the largest symbol to come */
  constructor({
    key,
    epoch,
    slots,
    symbolOctets,
  }: {
    key: LinkKey
    epoch: number
    slots: number
    symbolOctets: number
  }) {
    this.#key = key
    this.#epoch = epoch
    const octets = headerOctetsMax + symbolOctets
    const memory = Buffer.alloc(slots * octets)
    this.#slots = Array.from({ length: slots }, (_, i) => memory.subarray(i * octets, (i + 1) * octets))
  }

  /** @param payload the symbol, of `payloadOctets(shape, symbol)` octets */
  write({ sequence, shape, symbol, payload }: Omit<Datagram, 'epoch'>): Buffer {
    const slot = this.#slots[this.#next]!
    this.#next = (this.#next + 1) % this.#slots.length
    const payloadIdAt = ftiAt + ftiOctets(shape.fecId)
    slot.writeUInt16BE(firstOctets, 0)
    slot.writeUInt8(payloadIdAt / 4, 2)
    slot.writeUInt8(shape.fecId, 3)
    slot.writeUInt32BE(0, 4)
    slot.writeUInt32BE(this.#epoch, 8)
    slot.writeUInt32BE(Math.floor(sequence / 2 ** 32), 12)
    slot.writeUInt32BE(sequence >>> 0, 16)
    slot.writeUInt16BE(extAuth, authAt)
    slot.writeUInt16BE(this.#key.id << 12, authAt + 2)
    writeFti(slot, ftiAt, shape)
    slot.writeUInt32BE(symbol, payloadIdAt)
    slot.set(payload, payloadIdAt + payloadIdOctets)
    const datagram = slot.subarray(0, payloadIdAt + payloadIdOctets + payload.length)
    sealMac(datagram, macAt, this.#key.key)
    return datagram
  }
}

/** Takes datagrams apart: the MAC first, and what it does not hold for is not looked at. */
export class DatagramReader {
  readonly #keys: readonly (KeyObject | undefined)[]
  readonly #objectOctetsMax: number

  /**
   * @param keys each with another id; several while one follows another
   * @param objectOctetsMax larger objects are refused before anything is kept of them; at most 8 MiB
   */
  constructor(keys: readonly LinkKey[], objectOctetsMax: number) {
    this.#keys = Array.from({ length: keyIdMax + 1 }, (_, id) => keys.find((one) => one.id === id)?.key)
    this.#objectOctetsMax = objectOctetsMax
  }

  /**
   * @param octets the payload is part of them
   * @throws PeerError `DATAGRAM_LENGTH`, `DATAGRAM_KEY`, `DATAGRAM_UNAUTHENTIC`, `DATAGRAM_MALFORMED`, `DATAGRAM_LIMIT`
   */
  read(octets: Buffer): Datagram {
    if (octets.length < datagramOctetsMin || octets.length > datagramOctetsMax) {
      throw new PeerError('DATAGRAM_LENGTH', `${octets.length} octets`)
    }
    const id = octets.readUInt8(authAt + 2) >> 4
    const key = this.#keys[id]
    if (key === undefined) throw new PeerError('DATAGRAM_KEY', `no key ${id}`)
    if (!holdsMac(octets, macAt, key)) throw new PeerError('DATAGRAM_UNAUTHENTIC', 'the MAC does not hold')
    return this.#trusted(octets)
  }

  #trusted(octets: Buffer): Datagram {
    const malformed = (why: string): PeerError => new PeerError('DATAGRAM_MALFORMED', why)
    const fecId = octets.readUInt8(3)
    if (!isFecId(fecId)) throw malformed(`codepoint ${fecId}`)
    const payloadIdAt = ftiAt + ftiOctets(fecId)
    if (octets.length < payloadIdAt + payloadIdOctets) throw malformed(`${octets.length} octets`)
    if (octets.readUInt16BE(0) !== firstOctets || octets.readUInt8(2) * 4 !== payloadIdAt) throw malformed('LCT header')
    if (octets.readUInt32BE(4) !== 0) throw malformed('congestion control information')
    if (octets.readUInt16BE(authAt) !== extAuth || (octets.readUInt16BE(authAt + 2) & 0xfff) !== 0) {
      throw malformed('EXT_AUTH')
    }
    const sequence = octets.readUInt32BE(12) * 2 ** 32 + octets.readUInt32BE(16)
    if (!Number.isSafeInteger(sequence)) throw malformed('no such sequence')
    const shape = readFti(octets, ftiAt, fecId, this.#objectOctetsMax)
    if (sequence === heartbeatToi && !isHeartbeat(shape)) throw malformed('no such sequence')
    const symbol = readPayloadId(octets, payloadIdAt, fecId)
    if (symbol === undefined || symbol >= shape.symbols) throw malformed('a symbol outside its object')
    const payload = octets.subarray(payloadIdAt + payloadIdOctets)
    if (payload.length !== payloadOctets(shape, symbol)) throw malformed('a symbol of another length')
    return { epoch: octets.readUInt32BE(8), sequence, shape, symbol, payload }
  }
}

/** Without a code and in one symbol: nothing of it is ever held. */
export const heartbeatShape: ObjectShape = {
  fecId: 0,
  objectOctets: heartbeatOctets,
  symbolOctets: heartbeatOctets,
  symbols: 1,
  n1: 0,
}

function isHeartbeat({ fecId, objectOctets, symbolOctets }: ObjectShape): boolean {
  return fecId === 0 && objectOctets === heartbeatOctets && symbolOctets === heartbeatOctets
}
