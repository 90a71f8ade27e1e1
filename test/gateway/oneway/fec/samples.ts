import { type ObjectShape, sourceSymbols } from '#gateway/oneway/fec/block.ts'
import { encodeRepair } from '#gateway/oneway/fec/encoder.ts'
import { MinimalStandard } from '#gateway/oneway/fec/staircase.ts'

export function seededOctets(octets: number, seed: number): Buffer {
  const random = new MinimalStandard(1 + (seed % 2_000_000_000))
  return Buffer.from(Array.from({ length: octets }, () => random.below(256)))
}

export function shuffled<T>(all: readonly T[], seed: number): T[] {
  const [random, order] = [new MinimalStandard(1 + (seed % 2_000_000_000)), [...all]]
  for (let i = order.length - 1; i > 0; i--) {
    const other = random.below(i + 1)
    ;[order[i], order[other]] = [order[other]!, order[i]!]
  }
  return order
}

/** All encoding symbols of an object, as they travel. */
export function symbolsOf(object: Uint8Array, shape: ObjectShape): Uint8Array[] {
  const [k, size] = [sourceSymbols(shape), shape.symbolOctets]
  const source = Array.from({ length: k }, (_, i) => object.subarray(i * size, (i + 1) * size))
  const wanted = Array.from({ length: shape.symbols - k }, (_, i) => k + i)
  const repair = encodeRepair(object, shape, wanted)
  return [...source, ...wanted.map((_, i) => repair.subarray(i * size, (i + 1) * size))]
}
