/**
 * What an object is, by its number (TOI): 0, one that is another each second, the heartbeat, where FLUTE has its FDT; up to
 * 2^52 - 1 a sealed batch, its sequence; above, a manifest, 2^52 and its number.
 */
export type ObjectKind = 'heartbeat' | 'batch' | 'manifest'

export const heartbeatToi = 0
export const batchSequenceMax: number = 2 ** 52 - 1

export function kindOfToi(toi: number): ObjectKind {
  if (toi === heartbeatToi) return 'heartbeat'
  return toi <= batchSequenceMax ? 'batch' : 'manifest'
}

/** @param number of the manifest, from 1 */
export function toiOfManifest(number: number): number {
  return batchSequenceMax + 1 + number
}

export function manifestOfToi(toi: number): number {
  return toi - batchSequenceMax - 1
}
