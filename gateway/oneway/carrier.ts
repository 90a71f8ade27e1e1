/** A batch that a carrier has not handed over yet. */
export interface Uncarried {
  sequence: number
  sealedAtMs: number
  /** alarms and events */
  urgent?: boolean
}

/** What one carrier has still to hand over: urgent ones first, each kind in the order in which it came. */
export class Backlog {
  readonly #urgent = new Map<number, Uncarried>()
  readonly #ordinary = new Map<number, Uncarried>()

  constructor(batches: Iterable<Uncarried> = []) {
    for (const batch of batches) this.add(batch)
  }

  get size(): number {
    return this.#urgent.size + this.#ordinary.size
  }

  add(batch: Uncarried): void {
    if (this.#urgent.has(batch.sequence) || this.#ordinary.has(batch.sequence)) return
    const kind = batch.urgent === true ? this.#urgent : this.#ordinary
    kind.set(batch.sequence, batch)
  }

  next(): Uncarried | undefined {
    return this.#urgent.values().next().value ?? this.#ordinary.values().next().value
  }

  done(sequence: number): void {
    this.#urgent.delete(sequence)
    this.#ordinary.delete(sequence)
  }

  /** When the oldest was sealed, milliseconds since 1970; infinity when nothing waits. */
  get oldestMs(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const kind of [this.#urgent, this.#ordinary]) {
      for (const { sealedAtMs } of kind.values()) oldest = Math.min(oldest, sealedAtMs)
    }
    return oldest
  }
}

const retryMsMin = 1_000
const retryMsMax = 60_000

/** The pause behind the nth failure in a row: 1 s, doubled up to a minute. @param failures from 1 */
export function retryAfterMs(failures: number): number {
  return Math.min(retryMsMax, retryMsMin * 2 ** Math.min(failures - 1, 16))
}
