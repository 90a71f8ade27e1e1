import { PeerError } from '../errors.ts'
import { Arena } from './arena.ts'
import type { Datagram } from './datagram.ts'
import type { ObjectShape } from './fec/block.ts'
import { decoderOctets, ObjectDecoder } from './fec/decoder.ts'

/** An object that has come whole. Nothing about it is believed yet. */
export interface Assembled {
  epoch: number
  sequence: number
  octets: Buffer
}

interface Begun {
  decoder: ObjectDecoder
  /** of its symbols */
  piece: Uint8Array
  /** of its first symbol */
  mark: number
}

export interface AssemblerLimits {
  /** objects begun and not complete, the most; the one begun first makes room */
  openMax: number
  /** octets of their symbols, the most */
  octetsMax: number
}

/**
 * Symbols in any order, repeated or not, into whole objects. Memory is bounded by `limits`; an object that makes room is
 * forgotten, and a later pass of the sender's begins it again. Of an object that is whole nothing more is taken until it is
 * `settled`: its pass goes on for as many symbols as were not lost.
 */
export class Assembler {
  readonly #open = new Map<string, Begun>()
  readonly #whole = new Map<Assembled, string>()
  readonly #unsettled = new Map<string, number>()
  readonly #limits: AssemblerLimits
  readonly #arena: Arena
  /** objects that had to make room */
  evicted = 0

  constructor(limits: AssemblerLimits) {
    this.#limits = limits
    this.#arena = new Arena(limits.octetsMax)
  }

  get openCount(): number {
    return this.#open.size
  }

  /** Octets of symbols that open objects hold, or have room for. */
  get octets(): number {
    return this.#arena.held
  }

  /**
   * @param mark where this datagram can be had again, not below those before; see `oldestMark`
   * @returns the object that this symbol makes whole
   * @throws PeerError `SYMBOL_CONTRADICTS`: another symbol of this number is held, and stays; `DATAGRAM_LIMIT`: the object takes
   * more than there is for all
   */
  take({ epoch, sequence, shape, symbol, payload }: Datagram, mark = 0): Assembled | undefined {
    // Its shape is part of the key: one that was sent in another shape before cannot spoil it.
    const { fecId, objectOctets, symbolOctets, symbols, n1 } = shape
    const key = `${epoch}/${sequence}/${fecId}/${objectOctets}/${symbolOctets}/${symbols}/${n1}`
    if (this.#unsettled.has(key)) return undefined
    const begun = this.#open.get(key) ?? this.#begin(key, shape, mark)
    const { decoder } = begun
    const taken = decoder.take(symbol, payload)
    if (taken === 'contradicts') throw new PeerError('SYMBOL_CONTRADICTS', `symbol ${symbol} of ${sequence}`)
    if (taken !== 'whole') return undefined
    const whole = { epoch, sequence, octets: decoder.object() }
    this.#forget(key, begun)
    this.#whole.set(whole, key)
    this.#unsettled.set(key, begun.mark)
    return whole
  }

  /** Its like may be begun again: for the caller to refuse by its sequence, where it was good. */
  settled(whole: Assembled): void {
    const key = this.#whole.get(whole)
    if (key !== undefined) this.#unsettled.delete(key)
    this.#whole.delete(whole)
  }

  /**
   * The least mark from which all that is not settled can be begun again. An object that is whole counts always, one that is
   * open only when it was begun at `since` or later: one whose pass lost too much must not keep everything behind it.
   */
  oldestMark(since: number): number | undefined {
    const open = [...this.#open.values()].map(({ mark }) => mark).filter((mark) => mark >= since)
    const marks = [...this.#unsettled.values(), ...open]
    return marks.length === 0 ? undefined : Math.min(...marks)
  }

  /** The oldest make room, until there is a place for one more and its symbols. */
  #begin(key: string, shape: ObjectShape, mark: number): Begun {
    const octets = decoderOctets(shape)
    if (octets > this.#limits.octetsMax) throw new PeerError('DATAGRAM_LIMIT', `an object that takes ${octets} octets`)
    while (this.#open.size >= this.#limits.openMax) this.#evict()
    let piece = this.#arena.take(octets)
    for (; piece === undefined; piece = this.#arena.take(octets)) this.#evict()
    const begun = { decoder: new ObjectDecoder(shape, piece), piece, mark }
    this.#open.set(key, begun)
    return begun
  }

  #evict(): void {
    const [key, begun] = this.#open.entries().next().value!
    this.#forget(key, begun)
    this.evicted++
  }

  #forget(key: string, { piece }: Begun): void {
    this.#open.delete(key)
    this.#arena.give(piece)
  }
}
