import { createSecretKey } from 'node:crypto'
import { DatagramWriter, macAt } from '#gateway/oneway/datagram.ts'
import { blockOctetsMax, type FecId, payloadOctets, sourceSymbols, symbolLimits } from '#gateway/oneway/fec/block.ts'
import { type LinkKey, sealMac } from '#gateway/oneway/mac.ts'
import type { Sealed } from './batches.ts'
import { linkKey } from './datagrams.ts'

/** Of the stream that is mutated. */
export const epoch = 7
const foreignKey: LinkKey = { id: linkKey.id, key: createSecretKey(Buffer.alloc(32, 1)) }
/** One in so many is a whole object that is judged by its signature. */
const wholeEvery = 2_000
/** As often a genuine datagram goes through, so that there is something to spoil. */
const genuineEvery = 50

/** xorshift32: whole numbers below `below`, the same for the same seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return Math.floor(((state >>> 0) / 2 ** 32) * below)
  }
}
export type Random = ReturnType<typeof randomFrom>

/**
 * Mutants of genuine datagrams, of whoever has no key and of whoever has it: most are sealed again, so that what comes after the
 * MAC is tried too. Each is the caller's until the next.
 */
export class Mutants {
  readonly #random: Random
  readonly #genuine: readonly Buffer[]
  readonly #batches: readonly Sealed[]
  readonly #memory = Buffer.alloc(65_536)
  readonly #writer = new DatagramWriter({ key: linkKey, epoch, slots: 1, symbolOctets: 8_900 })
  #made = 0

  constructor(random: Random, genuine: readonly Buffer[], batches: readonly Sealed[]) {
    this.#random = random
    this.#genuine = genuine
    this.#batches = batches.filter(({ octets }) => octets.length <= 8_900)
  }

  next(): Buffer {
    this.#made++
    if (this.#made % wholeEvery === 0) return this.#spoiltBatch()
    const copy = this.#copy()
    if (this.#made % genuineEvery === 0) return copy
    return this.#kinds[this.#random(this.#kinds.length)]!(copy)
  }

  readonly #kinds: readonly ((copy: Buffer) => Buffer)[] = [
    (copy) => this.#flipped(copy, 0, copy.length),
    (copy) => this.#memory.subarray(0, this.#random(2) === 0 ? this.#random(copy.length) : this.#random(9_200)),
    (copy) => sealed(this.#flipped(copy, 0, 60)),
    (copy) => sealed(this.#flipped(copy, 60, copy.length)),
    (copy) => sealed(this.#extreme(copy)),
    (copy) => {
      sealMac(copy, macAt, foreignKey.key)
      return copy
    },
    (copy) => sealed(this.#spliced(copy)),
    () => this.#begun(),
  ]

  #copy(): Buffer {
    const from = this.#genuine[this.#random(this.#genuine.length)]!
    this.#memory.set(from)
    return this.#memory.subarray(0, from.length)
  }

  #flipped(octets: Buffer, from: number, to: number): Buffer {
    for (let n = this.#random(4); n >= 0; n--) octets[from + this.#random(to - from)]! ^= 1 << this.#random(8)
    return octets
  }

  /** A field of the header at the end of what it can say. */
  #extreme(octets: Buffer): Buffer {
    const at = this.#random(60)
    octets.fill(this.#random(2) === 0 ? 0 : 0xff, at, at + 1 + this.#random(6))
    return octets
  }

  /** The head of one, the rest of another. */
  #spliced(octets: Buffer): Buffer {
    const other = this.#genuine[this.#random(this.#genuine.length)]!
    octets.set(other.subarray(0, 20 + this.#random(40)))
    return octets
  }

  /** An object of any shape that may be held, begun and never gone on with. */
  #begun(): Buffer {
    for (;;) {
      const fecId = ([0, 3, 5] as const)[this.#random(3)]! as FecId
      const [symbolOctets, n1] = [1 + this.#random(8_900), fecId === 3 ? 3 + this.#random(8) : 0]
      const { sourceMax, symbolsMax } = symbolLimits[fecId]
      const objectOctets = 1 + this.#random(Math.min(8_388_608, sourceMax * symbolOctets))
      const source = sourceSymbols({ objectOctets, symbolOctets })
      const symbols = fecId === 0 ? source : source + n1 + this.#random(symbolsMax - source)
      if (symbols > symbolsMax || symbols * symbolOctets > blockOctetsMax) continue
      const shape = { fecId, objectOctets, symbolOctets, symbols, n1 }
      const symbol = this.#random(symbols)
      const payload = this.#memory.subarray(0, payloadOctets(shape, symbol))
      return this.#writer.write({ sequence: 1 + this.#random(2 ** 31), shape, symbol, payload })
    }
  }

  /** A batch that was sealed, and then changed; whole in one datagram, under the name of one that never comes. */
  #spoiltBatch(): Buffer {
    const { octets } = this.#batches[this.#random(this.#batches.length)]!
    const spoilt = this.#flipped(Buffer.from(octets), 0, octets.length)
    const shape = { fecId: 0 as const, objectOctets: spoilt.length, symbolOctets: 8_900, symbols: 1, n1: 0 }
    return this.#writer.write({ sequence: 1_000 + this.#random(1_000), shape, symbol: 0, payload: spoilt })
  }
}

function sealed(octets: Buffer): Buffer {
  sealMac(octets, macAt, linkKey.key)
  return octets
}
