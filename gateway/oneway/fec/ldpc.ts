import type { ObjectShape } from './block.ts'
import { sourceSymbols } from './block.ts'
import { type Solution, type System, solve } from './elimination.ts'
import { addSymbol, layOut, reserve, strideOf } from './kernel.ts'
import { type Staircase, staircase } from './staircase.ts'

/** The matrix of an object's shape: the same at both ends. */
export function matrixOf(shape: ObjectShape): Staircase {
  const sources = sourceSymbols(shape)
  return staircase({ sources, rows: shape.symbols - sources, n1: shape.n1 })
}

/**
 * Repair symbols: each is the one before plus the source symbols of its row. All up to the last that is wanted are computed.
 * @param wanted encoding symbol ids, k to n - 1, rising
 * @see RFC 5170, 6.3
 */
export function ldpcRepair(object: Uint8Array, shape: ObjectShape, wanted: readonly number[]): Uint8Array {
  const matrix = matrixOf(shape)
  const { symbolOctets } = shape
  const [stride, found] = [strideOf(symbolOctets), new Uint8Array(wanted.length * symbolOctets)]
  const memory = layOut(object, symbolOctets, matrix.sources + 1)
  const sum = matrix.sources * stride
  let row = 0
  wanted.forEach((symbol, w) => {
    for (; row <= symbol - matrix.sources; row++) {
      const end = matrix.rowStart[row + 1]!
      for (let i = matrix.rowStart[row]!; i < end; i++) addSymbol(sum, matrix.columns[i]! * stride, stride)
    }
    found.set(memory.subarray(sum, sum + symbolOctets), w * symbolOctets)
  })
  return found
}

/**
 * The source symbols that are missing. Between two repair symbols that are there lie rows whose sum is an equation in source
 * symbols alone: repair symbols that are not there need never be computed.
 * @param symbols all symbols, one after the other @param have 1 for each that is there
 * @returns 0 when all are found; else how many more symbols it needs at least, and nothing is changed
 * @see RFC 5170, 6.4; RFC 6816, 5.4
 */
export function ldpcSolve(
  { symbols, have, shape }: { symbols: Uint8Array; have: Uint8Array; shape: ObjectShape },
  matrix: Staircase,
): number {
  const missing: number[] = []
  for (let i = 0; i < matrix.sources; i++) if (have[i] === 0) missing.push(i)
  const held: number[] = []
  for (let row = 0; row < matrix.rows; row++) if (have[matrix.sources + row] === 1) held.push(row)
  const solution = solve(systemOf(matrix, missing, held))
  if (typeof solution === 'number') return solution
  new Substitution({ symbols, shape, matrix, missing, held, solution }).run()
  return 0
}

/** Equation q is the sum of the rows after repair symbol `held[q-1]` up to `held[q]`. */
function systemOf(matrix: Staircase, missing: readonly number[], held: readonly number[]): System {
  const equationOf = new Int32Array(matrix.rows).fill(-1)
  for (let q = 0, row = 0; q < held.length; q++) for (; row <= held[q]!; row++) equationOf[row] = q
  const odd = new Uint8Array(held.length)
  const start = new Uint32Array(missing.length + 1)
  const equationsOf: number[] = []
  missing.forEach((source, unknown) => {
    const [from, to] = [matrix.columnStart[source]!, matrix.columnStart[source + 1]!]
    for (let i = from; i < to; i++) {
      const q = equationOf[matrix.entries[i]!]!
      if (q >= 0) odd[q]! ^= 1 // a symbol that stands twice in a sum cancels
    }
    for (let i = from; i < to; i++) {
      const q = equationOf[matrix.entries[i]!]!
      if (q < 0 || odd[q] === 0) continue
      odd[q] = 0
      equationsOf.push(q)
    }
    start[unknown + 1] = equationsOf.length
  })
  return { unknowns: missing.length, equations: held.length, start, equationsOf: Uint32Array.from(equationsOf) }
}

interface Substitutable {
  symbols: Uint8Array
  shape: ObjectShape
  matrix: Staircase
  /** source symbols that are not there: the unknowns */
  missing: readonly number[]
  /** rows of the repair symbols that are there: where the equations end */
  held: readonly number[]
  solution: Solution
}

/**
 * The octets of a solution. In the kernel's memory: the source symbols, zeros where one is not known yet; two places to add up in;
 * the sums that elimination works on.
 */
class Substitution {
  readonly #of: Substitutable
  readonly #stride: number
  readonly #memory: Uint8Array

  constructor(of: Substitutable) {
    const { shape, matrix, missing, solution } = of
    this.#of = of
    this.#stride = strideOf(shape.symbolOctets)
    this.#memory = reserve((matrix.sources + 2 + solution.pivots.length) * this.#stride).fill(0)
    for (let i = 0, m = 0; i < matrix.sources; i++) {
      if (missing[m] === i) m++
      else this.#memory.set(this.#symbol(i), i * this.#stride)
    }
  }

  run(): void {
    const { missing, matrix, shape, solution } = this.#of
    for (const { unknown, equation } of solution.peeled) this.#copySum(equation, missing[unknown]!)
    const sums = matrix.sources + 2
    for (const [i, { equation }] of solution.pivots.entries()) this.#copySum(equation, sums + i)
    for (let i = 0; i < solution.additions.length; i += 2) {
      const [to, from] = [solution.additions[i]!, solution.additions[i + 1]!]
      addSymbol((sums + to) * this.#stride, (sums + from) * this.#stride, this.#stride)
    }
    for (const [i, { unknown }] of solution.pivots.entries()) this.#copy(sums + i, missing[unknown]!)
    for (const source of missing) {
      const at = source * this.#stride
      this.#symbol(source).set(this.#memory.subarray(at, at + shape.symbolOctets))
    }
  }

  /** What is known of an equation: its two repair symbols and the source symbols of its rows. */
  #copySum(equation: number, to: number): void {
    const { matrix, held } = this.#of
    const [sum, before] = [matrix.sources, matrix.sources + 1]
    const [last, first] = [held[equation]!, equation === 0 ? 0 : held[equation - 1]! + 1]
    this.#memory.set(this.#symbol(matrix.sources + last), sum * this.#stride)
    if (first > 0) {
      this.#memory.set(this.#symbol(matrix.sources + first - 1), before * this.#stride)
      addSymbol(sum * this.#stride, before * this.#stride, this.#stride)
    }
    const end = matrix.rowStart[last + 1]!
    for (let i = matrix.rowStart[first]!; i < end; i++) {
      addSymbol(sum * this.#stride, matrix.columns[i]! * this.#stride, this.#stride)
    }
    this.#copy(sum, to)
  }

  #copy(from: number, to: number): void {
    this.#memory.copyWithin(to * this.#stride, from * this.#stride, (from + 1) * this.#stride)
  }

  #symbol(symbol: number): Uint8Array {
    const { symbols, shape } = this.#of
    return symbols.subarray(symbol * shape.symbolOctets, (symbol + 1) * shape.symbolOctets)
  }
}
