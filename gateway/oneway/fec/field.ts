/**
 * GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1; α = x generates it.
 * @see RFC 5510, 8.1
 */
const polynomial = 0x11d
/** Of the multiplicative group: exponents are modulo this. */
export const order = 255

/** α^e for e of 0 to 509, so that a sum of two exponents needs no reduction. */
export const power: Uint8Array = new Uint8Array(2 * order)
/** e of α^e; entry 0 means nothing */
export const logarithm: Uint8Array = new Uint8Array(256)

for (let e = 0, value = 1; e < order; e++) {
  power[e] = power[e + order] = value
  logarithm[value] = e
  value = (value << 1) ^ (value & 0x80 ? polynomial : 0)
}

export function product(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : power[logarithm[a]! + logarithm[b]!]!
}

/**
 * What a polynomial's values at some points contribute to its value at another: `value(at)` = Σ factor[i] · `value(points[i])`,
 * for a polynomial of degree below the number of points (Lagrange).
 * @param points exponents of α, different ones, 0 to 254
 */
export class Interpolation {
  readonly #points: readonly number[]
  /** logarithm of Π (x_i - x_m), m ≠ i */
  readonly #denominators: Uint8Array

  constructor(points: readonly number[]) {
    this.#points = points
    this.#denominators = Uint8Array.from(points, (point, i) => differences(points, point, i))
  }

  /** @param at an exponent that is none of the points @returns as many factors as points */
  factors(at: number): Uint8Array {
    const numerator = differences(this.#points, at, -1)
    return Uint8Array.from(this.#points, (point, i) => {
      const denominator = logarithm[power[at]! ^ power[point]!]! + this.#denominators[i]!
      return power[(numerator + 2 * order - denominator) % order]!
    })
  }
}

/** Logarithm of the product of the differences between α^at and the points, but the one at `except`. */
function differences(points: readonly number[], at: number, except: number): number {
  let sum = 0
  for (let m = 0; m < points.length; m++) {
    if (m !== except) sum += logarithm[power[at]! ^ power[points[m]!]!]!
  }
  return sum % order
}
