import { type ObjectShape, sourceSymbols } from './fec/block.ts'
import { encodeRepair } from './fec/encoder.ts'
import { planObject, repairOfPass, symbolsOfPass } from './fec/plan.ts'

/** One symbol of a pass, as a datagram carries it. */
export interface PassSymbol {
  shape: ObjectShape
  symbol: number
  payload: Uint8Array
}

export interface PassOptions {
  symbolOctets: number
  /** share of datagrams to outlive, 0 to 0.5 */
  lossShare: number
  /** passes there are, each with repair symbols of its own as far as they go */
  passes: number
}

/** The symbols of one pass of an object: the source symbols and the repair symbols of this pass, in the order in which they go. */
export class Pass {
  readonly shape: ObjectShape
  readonly #object: Uint8Array
  readonly #source: number
  readonly #order: readonly number[]
  /** by encoding symbol id: where it stands in `#repair` */
  readonly #place = new Map<number, number>()
  readonly #repair: Uint8Array

  /** @param pass from 0 */
  constructor(object: Uint8Array, pass: number, { symbolOctets, lossShare, passes }: PassOptions) {
    const plan = planObject({ objectOctets: object.length, symbolOctets }, { lossShare, passes })
    this.shape = plan.shape
    this.#object = object
    this.#source = sourceSymbols(plan.shape)
    this.#order = symbolsOfPass(plan, pass)
    const repair = repairOfPass(plan, pass)
    for (const [place, symbol] of repair.entries()) this.#place.set(symbol, place)
    this.#repair = encodeRepair(object, plan.shape, repair)
  }

  get length(): number {
    return this.#order.length
  }

  /** @param at 0 to `length` - 1 */
  symbol(at: number): PassSymbol {
    const { symbolOctets } = this.shape
    const symbol = this.#order[at]!
    const [octets, from] = symbol < this.#source ? [this.#object, symbol] : [this.#repair, this.#place.get(symbol)!]
    return { shape: this.shape, symbol, payload: octets.subarray(from * symbolOctets, (from + 1) * symbolOctets) }
  }
}
