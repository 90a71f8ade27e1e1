/**
 * What an object of the session is, by its TOI: batches by their sequence, and beside them what speaks of the link itself. All stay
 * below 2^53, so that they are exact as numbers.
 *
 * | TOI | object |
 * | --- | --- |
 * | 0 | reserved |
 * | 1 to 2^48 - 1 | a sealed batch, its sequence |
 * | 2^48 + n | the n-th manifest |
 * | 2^49 + n | a heartbeat, n rising from one to the next |
 */
export type ObjectKind = 'batch' | 'manifest' | 'heartbeat'

/** Numbers of one kind, the most. */
export const numbersMax: number = 2 ** 48

const base: Record<ObjectKind, number> = { batch: 0, manifest: 2 ** 48, heartbeat: 2 ** 49 }

/** @param number 1 to 2^48 - 1 */
export function toiOf(kind: ObjectKind, number: number): number {
  if (!Number.isInteger(number) || number < 1 || number >= numbersMax) throw new RangeError(`${kind} ${number}`)
  return base[kind] + number
}

/** @returns undefined for a TOI that is of no kind */
export function kindOf(toi: number): { kind: ObjectKind; number: number } | undefined {
  for (const kind of ['heartbeat', 'manifest', 'batch'] as const) {
    const number = toi - base[kind]
    if (number >= 1) return number < numbersMax ? { kind, number } : undefined
  }
  return undefined
}
