import type { BatchRange } from './manifest.ts'

/** Ranges of one size, the most: one more, and the two oldest become one of the double size. */
const alikeMax = 2
/** Of single batches: what is young is told of one by one. */
const singlesMax = 32

/** A batch as a manifest tells of it. */
export interface ListedBatch {
  sequence: number
  sealedAtMs: number
  readings: number
  passesDone: number
}

/**
 * What the sender holds, in ranges that double towards the past: 32 single batches, and two ranges of each size at most, so that
 * all sequences there can be (2^48) fit `manifestRangesMax`.
 */
export class Ranges {
  readonly #ranges: BatchRange[] = []

  get ranges(): readonly BatchRange[] {
    return this.#ranges
  }

  /** In order, each the next of the one before. */
  add({ sequence, sealedAtMs, readings, passesDone }: ListedBatch): void {
    const last = this.#ranges.at(-1)
    if (last !== undefined && sequence !== last.to + 1) throw new RangeError(`${sequence} does not follow ${last.to}`)
    this.#ranges.push({
      from: sequence,
      to: sequence,
      firstSealedMs: sealedAtMs,
      lastSealedMs: sealedAtMs,
      readings,
      passesDone,
    })
    this.#fold()
  }

  /** A pass of one batch is done; of a range that has become one, the least counts, and is kept until it is done for all. */
  passDone(sequence: number, passesDone: number): void {
    const range = this.#ranges[this.#find(sequence)]
    if (range !== undefined && range.from === range.to) range.passesDone = Math.max(range.passesDone, passesDone)
  }

  /** Every batch up to here has had so many passes: known of the old, which no longer stand alone. */
  settled(upTo: number, passesDone: number): void {
    for (const range of this.#ranges) if (range.to <= upTo) range.passesDone = Math.max(range.passesDone, passesDone)
  }

  /** Batches below can no longer be sent again; a range is told of until its last one goes. */
  forget(below: number): void {
    while (this.#ranges[0] !== undefined && this.#ranges[0].to < below) this.#ranges.shift()
  }

  #find(sequence: number): number {
    return this.#ranges.findIndex(({ from, to }) => from <= sequence && sequence <= to)
  }

  #fold(): void {
    for (let size = 1; ; size *= 2) {
      const alike = this.#ranges.filter((range) => sizeOf(range) === size)
      if (alike.length <= (size === 1 ? singlesMax : alikeMax)) return
      this.#join(this.#ranges.indexOf(alike[0]!))
    }
  }

  /** The range at a place and the one behind it. */
  #join(at: number): void {
    const [first, second] = [this.#ranges[at]!, this.#ranges[at + 1]!]
    this.#ranges.splice(at, 2, {
      from: first.from,
      to: second.to,
      firstSealedMs: Math.min(first.firstSealedMs, second.firstSealedMs),
      lastSealedMs: Math.max(first.lastSealedMs, second.lastSealedMs),
      readings: first.readings + second.readings,
      passesDone: Math.min(first.passesDone, second.passesDone),
    })
  }
}

function sizeOf({ from, to }: BatchRange): number {
  return to - from + 1
}
