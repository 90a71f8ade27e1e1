import type { Datagram } from './datagram.ts'
import { symbolCount } from './datagram.ts'

/** An object all of whose symbols have come. Nothing about it is believed yet. */
export interface Assembled {
  epoch: number
  sequence: number
  octets: Buffer
}

interface Open {
  octets: Buffer
  symbolOctets: number
  have: Uint8Array
  missing: number
}

export interface AssemblerLimits {
  /** objects begun and not complete, the most; the one begun first makes room */
  openMax: number
  /** octets held for them, the most */
  octetsMax: number
}

/**
 * Symbols in any order, repeated or not, into whole objects. Memory is bounded by `limits`; an object that makes room is
 * forgotten, and a later pass of the sender's begins it again.
 */
export class Assembler {
  readonly #open = new Map<string, Open>()
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

  /** @returns the object that this symbol completes */
  take(datagram: Datagram): Assembled | undefined {
    // Its shape is part of the key: a datagram that lies about the length cannot spoil the object of those that do not.
    const key = `${datagram.epoch}/${datagram.sequence}/${datagram.objectOctets}/${datagram.symbolOctets}`
    const open = this.#open.get(key) ?? this.#begin(key, datagram)
    if (open.have[datagram.symbol] === 1) return undefined
    open.have[datagram.symbol] = 1
    open.octets.set(datagram.payload, datagram.symbol * open.symbolOctets)
    open.missing--
    if (open.missing > 0) return undefined
    this.#forget(key, open)
    return { epoch: datagram.epoch, sequence: datagram.sequence, octets: open.octets }
  }

  #begin(key: string, { objectOctets, symbolOctets }: Datagram): Open {
    for (const [oldest, open] of this.#open) {
      if (this.#open.size < this.#limits.openMax && this.#octets + objectOctets <= this.#limits.octetsMax) break
      this.#forget(oldest, open)
      this.evicted++
    }
    const missing = symbolCount(objectOctets, symbolOctets)
    const open = { octets: Buffer.alloc(objectOctets), symbolOctets, have: new Uint8Array(missing), missing }
    this.#open.set(key, open)
    this.#octets += objectOctets
    return open
  }

  #forget(key: string, open: Open): void {
    this.#open.delete(key)
    this.#octets -= open.octets.length
  }
}
