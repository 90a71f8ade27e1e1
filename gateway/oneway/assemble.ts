import { PeerError } from '../errors.ts'
import type { Datagram } from './datagram.ts'
import { decoderOctets, ObjectDecoder } from './fec/decoder.ts'

/** An object that has come whole. Nothing about it is believed yet. */
export interface Assembled {
  epoch: number
  sequence: number
  octets: Buffer
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
  readonly #open = new Map<string, ObjectDecoder>()
  readonly #whole = new Map<Assembled, string>()
  readonly #unsettled = new Set<string>()
  readonly #limits: AssemblerLimits
  #octets = 0
  /** objects that had to make room */
  evicted = 0

  constructor(limits: AssemblerLimits) {
    this.#limits = limits
  }

  get openCount(): number {
    return this.#open.size
  }

  /**
   * @returns the object that this symbol makes whole
   * @throws PeerError `SYMBOL_CONTRADICTS`: another symbol of this number is held, and stays
   */
  take({ epoch, sequence, shape, symbol, payload }: Datagram): Assembled | undefined {
    // Its shape is part of the key: one that was sent in another shape before cannot spoil it.
    const { fecId, objectOctets, symbolOctets, symbols, n1 } = shape
    const key = `${epoch}/${sequence}/${fecId}/${objectOctets}/${symbolOctets}/${symbols}/${n1}`
    if (this.#unsettled.has(key)) return undefined
    const decoder = this.#open.get(key) ?? this.#begin(key, new ObjectDecoder(shape))
    const taken = decoder.take(symbol, payload)
    if (taken === 'contradicts') throw new PeerError('SYMBOL_CONTRADICTS', `symbol ${symbol} of ${sequence}`)
    if (taken !== 'whole') return undefined
    this.#forget(key, decoder)
    const whole = { epoch, sequence, octets: decoder.object() }
    this.#whole.set(whole, key)
    this.#unsettled.add(key)
    return whole
  }

  /** Its like may be begun again: for the caller to refuse by its sequence, where it was good. */
  settled(whole: Assembled): void {
    const key = this.#whole.get(whole)
    if (key !== undefined) this.#unsettled.delete(key)
    this.#whole.delete(whole)
  }

  #begin(key: string, decoder: ObjectDecoder): ObjectDecoder {
    const octets = decoderOctets(decoder.shape)
    for (const [oldest, open] of this.#open) {
      if (this.#open.size < this.#limits.openMax && this.#octets + octets <= this.#limits.octetsMax) break
      this.#forget(oldest, open)
      this.evicted++
    }
    this.#open.set(key, decoder)
    this.#octets += octets
    return decoder
  }

  #forget(key: string, decoder: ObjectDecoder): void {
    this.#open.delete(key)
    this.#octets -= decoderOctets(decoder.shape)
  }
}
