/**
 * Seeded pseudo-random numbers: good enough to look like life, useless as secrets. Two forms: `random` draws one
 * after the other, `unit` gives the number of a place, so that any of them can be had without those before it.
 */

/** A function that draws numbers from 0 up to, not including, 1: the sfc32 generator with a 32-bit seed. */
export function random(seed: number): () => number {
  let [a, b, c, counter] = [0, seed | 0, hash(seed, 0, 0), 1]
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
  for (let warm = 0; warm < 12; warm += 1) next()
  return next
}

/** A 32-bit unsigned integer for a seed and two coordinates, each step a bijective mixer (lowbias32). */
export function hash(seed: number, a: number, b: number): number {
  return mix(mix(mix(seed) ^ a) ^ b) >>> 0
}

/** As `hash`, from 0 up to, not including, 1. */
export function unit(seed: number, a: number, b: number): number {
  return hash(seed, a, b) / 2 ** 32
}

function mix(value: number): number {
  let x = (value + 0x9e3779b9) | 0
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return x ^ (x >>> 16)
}

/** A draw from the normal distribution, mean 0, deviation 1. @see Box and Muller, 1958 */
export function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
}
