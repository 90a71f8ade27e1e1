/**
 * When which pass of which batch is due. Nothing comes back over the link, so every batch is sent `passesAfterMs.length`
 * times, apart in time: loss on a one-way link comes in bursts (a stalled receiver), which a second pass outlives.
 */
export interface Waiting {
  sequence: number
  sealedAtMs: number
  passesDone: number
}

/** @returns when its next pass is due, milliseconds; undefined when all are done */
export function dueAt({ sealedAtMs, passesDone }: Waiting, passesAfterMs: readonly number[]): number | undefined {
  const after = passesAfterMs[passesDone]
  return after === undefined ? undefined : sealedAtMs + after
}

/** First passes before repeats, then the oldest first. @returns the one to send now, if any is due */
export function nextDue<T extends Waiting>(
  waiting: Iterable<T>,
  nowMs: number,
  passesAfterMs: readonly number[],
): T | undefined {
  let best: T | undefined
  for (const one of waiting) {
    const due = dueAt(one, passesAfterMs)
    if (due === undefined || due > nowMs) continue
    if (best === undefined || rank(one) < rank(best) || (rank(one) === rank(best) && one.sequence < best.sequence))
      best = one
  }
  return best
}

function rank({ passesDone }: Waiting): number {
  return passesDone === 0 ? 0 : 1
}

/** A token bucket over octets; time is an argument. */
export class Pace {
  readonly #octetsPerMs: number
  readonly #burstOctets: number
  #tokens: number
  #atMs: number

  constructor({ bitsPerSecond, burstOctets, nowMs }: { bitsPerSecond: number; burstOctets: number; nowMs: number }) {
    this.#octetsPerMs = bitsPerSecond / 8_000
    this.#burstOctets = burstOctets
    this.#tokens = burstOctets
    this.#atMs = nowMs
  }

  /** Takes `octets` if they may go now. */
  take(octets: number, nowMs: number): boolean {
    this.#tokens = Math.min(this.#burstOctets, this.#tokens + Math.max(0, nowMs - this.#atMs) * this.#octetsPerMs)
    this.#atMs = Math.max(this.#atMs, nowMs)
    if (this.#tokens < octets) return false
    this.#tokens -= octets
    return true
  }
}
