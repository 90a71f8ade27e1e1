import { type ObjectShape, sourceSymbols } from './block.ts'
import { ldpcSolve, matrixOf } from './ldpc.ts'
import { reedSolomonSolve } from './reed-solomon.ts'
import type { Staircase } from './staircase.ts'

/** `contradicts`: another symbol of this number is held, and is kept. `whole`: the object can be had. */
export type Taken = 'kept' | 'repeated' | 'contradicts' | 'whole'

/**
 * One object from its symbols, one by one, in any order. Whether it is the object that was sent is for a digest or a
 * signature over it to say. Nothing is computed before there are as many symbols as source symbols, and nothing at all when
 * those are the source symbols.
 */
export class ObjectDecoder {
  readonly shape: ObjectShape
  readonly #sources: number
  readonly #have: Uint8Array
  /** all symbols in a row: the source symbols are the object and its padding */
  readonly #symbols: Uint8Array
  #count = 0
  #sourceCount = 0
  /** symbols at which it is worth to try */
  #tryAt: number
  #matrix: Staircase | undefined

  /**
   * @param shape within `symbolLimits` and `blockOctetsMax`
   * @param memory `decoderOctets(shape)` octets, whatever is in them; the decoder's as long as it lives
   */
  constructor(shape: ObjectShape, memory: Uint8Array = new Uint8Array(decoderOctets(shape))) {
    this.shape = shape
    this.#sources = sourceSymbols(shape)
    this.#tryAt = this.#sources
    const symbolsEnd = shape.symbols * shape.symbolOctets
    this.#symbols = memory.subarray(0, symbolsEnd)
    this.#have = memory.subarray(symbolsEnd).fill(0)
  }

  /** @param payload of `payloadOctets(shape, symbol)` octets; copied @param symbol 0 to `shape.symbols` - 1 */
  take(symbol: number, payload: Uint8Array): Taken {
    const [have, at] = [this.#have, symbol * this.shape.symbolOctets]
    if (have[symbol] === 1) {
      const held = this.#symbols.subarray(at, at + payload.length)
      return Buffer.compare(held, payload) === 0 ? 'repeated' : 'contradicts'
    }
    have[symbol] = 1
    this.#symbols.set(payload, at)
    this.#symbols.fill(0, at + payload.length, at + this.shape.symbolOctets) // the padding of the last source symbol
    this.#count++
    if (symbol < this.#sources) this.#sourceCount++
    return this.#isWhole() ? 'whole' : 'kept'
  }

  /** A copy, when it is whole: the memory of the repair symbols does not stay with it. */
  object(): Buffer {
    return Buffer.from(this.#symbols.subarray(0, this.shape.objectOctets))
  }

  #isWhole(): boolean {
    if (this.#sourceCount === this.#sources) return true
    if (this.#count < this.#tryAt) return false
    const missing = this.#solve()
    this.#tryAt = this.#count + missing
    if (missing === 0) this.#sourceCount = this.#sources
    return missing === 0
  }

  /** @returns how many more symbols it takes at least */
  #solve(): number {
    const of = { symbols: this.#symbols, have: this.#have, shape: this.shape }
    if (this.shape.fecId === 5) return reedSolomonSolve(of)
    if (this.shape.fecId === 0) return this.#sources - this.#sourceCount
    this.#matrix ??= matrixOf(this.shape)
    return ldpcSolve(of, this.#matrix)
  }
}

/** What a decoder of this shape holds: all symbols, and which of them have come. */
export function decoderOctets({ symbols, symbolOctets }: ObjectShape): number {
  return symbols * (symbolOctets + 1)
}
