/**
 * When which pass of which object is due, and whose symbol goes next. Nothing comes back over the link, so every object is sent
 * `passesAfterMs.length` times, apart in time: loss on a one-way link comes in bursts (a stalled receiver), which a later pass
 * outlives. Time is an argument.
 */
export interface Waiting {
  /** its TOI: of a batch its sequence */
  sequence: number
  sealedAtMs: number
  passesDone: number
  /** of the object; 0 where nobody said */
  octets?: number
  /** alarms and events */
  urgent?: boolean
  /** says what was sealed; small, and the next one follows soon */
  manifest?: boolean
  /** an operator has asked for it */
  replay?: boolean
}

/** What goes first goes first. */
export const classes = ['event', 'manifest', 'reading', 'replay', 'repeat', 'carousel'] as const
export type Class = (typeof classes)[number]

export function classOf({ passesDone, urgent, replay, manifest }: Waiting, passesAfterMs: readonly number[]): Class {
  if (manifest === true) return 'manifest'
  if (passesDone === 0) return urgent === true ? 'event' : 'reading'
  if (replay === true) return 'replay'
  return passesDone < passesAfterMs.length ? 'repeat' : 'carousel'
}

function rank(one: Waiting, passesAfterMs: readonly number[]): number {
  return classes.indexOf(classOf(one, passesAfterMs))
}

/** @returns when its next pass is due, milliseconds; undefined when all are done, and it goes round (`Carousel`) */
export function dueAt(one: Waiting, passesAfterMs: readonly number[]): number | undefined {
  const after = passesAfterMs[one.passesDone]
  if (one.replay === true) return one.sealedAtMs
  return after === undefined ? undefined : one.sealedAtMs + after
}

/**
 * By class, then the oldest first.
 * @returns the one to send now, if any is due
 */
export function nextDue<T extends Waiting>(
  waiting: Iterable<T>,
  nowMs: number,
  passesAfterMs: readonly number[],
): T | undefined {
  let best: T | undefined
  for (const one of waiting) {
    const due = dueAt(one, passesAfterMs)
    if (due === undefined || due > nowMs) continue
    if (best === undefined || goesBefore(one, best, passesAfterMs)) best = one
  }
  return best
}

function goesBefore(one: Waiting, other: Waiting, passesAfterMs: readonly number[]): boolean {
  const [mine, its] = [rank(one, passesAfterMs), rank(other, passesAfterMs)]
  return mine === its ? one.sequence < other.sequence : mine < its
}

/** Objects of which symbols go by turns, the least where as many are due: a burst of loss is shared between them. */
export const interleaved = 2

/** An object of which a pass is being sent. */
export interface Lane {
  batch: Waiting
  /** datagrams that had left, of all lanes, when its last one left */
  servedAt: number
}

/** Whether a pass may begin beside those that are under way: two of its class or a better one are enough. */
export function mayBegin(lanes: readonly Lane[], candidate: Waiting, passesAfterMs: readonly number[]): boolean {
  const limit = rank(candidate, passesAfterMs)
  return lanes.filter(({ batch }) => rank(batch, passesAfterMs) <= limit).length < interleaved
}

/** Of the best class under way the one that has waited longest; the others stand still meanwhile. */
export function nextLane<T extends Lane>(lanes: readonly T[], passesAfterMs: readonly number[]): T | undefined {
  let best: T | undefined
  for (const lane of lanes) {
    const [mine, its] = [rank(lane.batch, passesAfterMs), best === undefined ? 0 : rank(best.batch, passesAfterMs)]
    if (best === undefined || mine < its || (mine === its && lane.servedAt < best.servedAt)) best = lane
  }
  return best
}

/** A token bucket over octets. */
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
