import type { Received } from './gaps.ts'
import type { BatchRange, Manifest } from './manifest.ts'

/** Batches that are missing, side by side. */
export interface Gap {
  /** sequences, both included */
  from: number
  to: number
  /**
   * `suspected`: each has had its first pass, and is not here. `confirmed`: each has had all its passes: only a replay brings it.
   * `lost`: the sender no longer holds it.
   */
  state: 'suspected' | 'confirmed' | 'lost'
  /** when the first and the last of them was sealed, not more exactly than the manifest's ranges; undefined where it is lost */
  span: { fromMs: number; toMs: number } | undefined
  /** readings in them, at most: those of the ranges that they are part of, without what is here of these; 0 where an earlier gap of the same range told them */
  readings: number | undefined
}

/**
 * What a manifest says that is not here; what had no pass yet is not missing.
 * @param readingsOf of a batch that is here; undefined where it is not worth the look
 */
export function lacking(
  manifest: Manifest,
  received: Received,
  readingsOf: (sequence: number) => number | undefined,
): Gap[] {
  const gaps: Gap[] = []
  const first = manifest.ranges[0]?.from ?? manifest.highest + 1
  for (const [from, to] of received.missing(1, first - 1)) {
    gaps.push({ from, to, state: 'lost', span: undefined, readings: undefined })
  }
  for (const range of manifest.ranges) {
    if (range.passesDone === 0) continue
    const state = range.passesDone >= manifest.passes ? 'confirmed' : 'suspected'
    const missing = received.missing(range.from, range.to)
    if (missing.length === 0) continue
    const readings = absent(range, missing, readingsOf)
    // Of several gaps in one range the first is told all its readings: they cannot be told apart.
    for (const [i, [from, to]] of missing.entries()) {
      join(gaps, { from, to, state, span: spanOf(range), readings: i === 0 ? readings : 0 })
    }
  }
  return gaps
}

function spanOf({ firstSealedMs, lastSealedMs }: BatchRange): { fromMs: number; toMs: number } {
  return { fromMs: firstSealedMs, toMs: lastSealedMs }
}

/** Batches of a range that are looked at for their readings, the most. */
const looksMax = 1_024

/** Readings of a range that are not here: what is here is taken off as far as it is known. */
function absent(
  { from, to, readings }: BatchRange,
  missing: readonly [number, number][],
  readingsOf: (sequence: number) => number | undefined,
): number {
  if (to - from >= looksMax) return readings
  let left = readings
  let gap = 0
  for (let sequence = from; sequence <= to; sequence += 1) {
    while (gap < missing.length && missing[gap]![1] < sequence) gap += 1
    const isMissing = gap < missing.length && missing[gap]![0] <= sequence
    if (!isMissing) left -= readingsOf(sequence) ?? 0
  }
  return Math.max(0, left)
}

/** Gaps that touch and are of one state are one; within one range their readings are told once. */
function join(gaps: Gap[], next: Gap): void {
  const last = gaps.at(-1)
  if (last === undefined || last.to !== next.from - 1 || last.state !== next.state || last.span === undefined) {
    gaps.push(next)
    return
  }
  last.to = next.to
  last.span = { fromMs: Math.min(last.span.fromMs, next.span!.fromMs), toMs: Math.max(last.span.toMs, next.span!.toMs) }
  last.readings = (last.readings ?? 0) + (next.readings ?? 0)
}
