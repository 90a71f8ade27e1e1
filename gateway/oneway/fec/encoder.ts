import type { ObjectShape } from './block.ts'
import { ldpcRepair } from './ldpc.ts'
import { reedSolomonRepair } from './reed-solomon.ts'

/**
 * Repair symbols of an object, `shape.symbolOctets` each, one after the other.
 * @param wanted encoding symbol ids, k to `shape.symbols` - 1, rising; none where there is no code
 */
export function encodeRepair(object: Uint8Array, shape: ObjectShape, wanted: readonly number[]): Uint8Array {
  if (shape.fecId === 5) return reedSolomonRepair(object, shape, wanted)
  if (shape.fecId === 3) return ldpcRepair(object, shape, wanted)
  return new Uint8Array(0)
}
