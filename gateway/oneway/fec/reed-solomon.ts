import type { ObjectShape } from './block.ts'
import { sourceSymbols } from './block.ts'
import { Interpolation } from './field.ts'
import { addProduct, layOut, reserve, strideOf } from './kernel.ts'

/**
 * Reed-Solomon over GF(2^8), systematic: octet for octet, the source symbols are the values of a polynomial at α^0, … α^(k-1) and
 * symbol j is its value at α^j, which is what the RFC's generator V(k,k)^-1 · V(k,n) says. Any k symbols give it back.
 * @see RFC 5510, 8.2 to 8.4
 */
export function reedSolomonRepair(object: Uint8Array, shape: ObjectShape, wanted: readonly number[]): Uint8Array {
  const { symbolOctets } = shape
  const count = sourceSymbols(shape)
  const memory = layOut(object, symbolOctets, count + 1)
  return interpolated(memory, { points: upTo(count), wanted, symbolOctets })
}

/**
 * The source symbols that are missing, from the first k symbols that are there.
 * @param symbols all symbols, one after the other @param have 1 for each that is there, at least k of them
 * @returns 0: no more symbols are ever needed
 */
export function reedSolomonSolve({
  symbols,
  have,
  shape,
}: {
  symbols: Uint8Array
  have: Uint8Array
  shape: ObjectShape
}): number {
  const { symbolOctets } = shape
  const [count, stride] = [sourceSymbols(shape), strideOf(symbolOctets)]
  const missing = upTo(count).filter((i) => have[i] === 0)
  const points = upTo(have.length)
    .filter((i) => have[i] === 1)
    .slice(0, count)
  const memory = reserve((count + 1) * stride).fill(0)
  points.forEach((point, i) => {
    memory.set(symbols.subarray(point * symbolOctets, (point + 1) * symbolOctets), i * stride)
  })
  const found = interpolated(memory, { points, wanted: missing, symbolOctets })
  missing.forEach((symbol, i) => {
    symbols.set(found.subarray(i * symbolOctets, (i + 1) * symbolOctets), symbol * symbolOctets)
  })
  return 0
}

/** @param memory the symbols at `points`, then room for one */
function interpolated(
  memory: Uint8Array,
  { points, wanted, symbolOctets }: { points: readonly number[]; wanted: readonly number[]; symbolOctets: number },
): Uint8Array {
  const [stride, interpolation] = [strideOf(symbolOctets), new Interpolation(points)]
  const [sum, found] = [points.length * stride, new Uint8Array(wanted.length * symbolOctets)]
  wanted.forEach((at, w) => {
    memory.fill(0, sum, sum + stride)
    for (const [i, factor] of interpolation.factors(at).entries()) addProduct(sum, i * stride, stride, factor)
    found.set(memory.subarray(sum, sum + symbolOctets), w * symbolOctets)
  })
  return found
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}
