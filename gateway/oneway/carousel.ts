/** One turn of an object on the carousel. */
export interface Turn {
  sequence: number
  /** times it has gone round before */
  rounds: number
}

export interface CarouselOptions {
  /** milliseconds between two rounds of one object, the least: a small backlog must not keep a core busy */
  restMs: number
  /** objects that go round, the most: beyond, the one that was sent longest ago goes round no more */
  objectsMax: number
}

interface Rider {
  rounds: number
  sentAtMs: number
}

/**
 * What has had all its passes and is still within the replay window: it goes round whenever nothing else is due, what was sent
 * longest ago first. A receiver that was away finds everything again by itself, as long as it takes one round.
 */
export class Carousel {
  readonly #options: CarouselOptions
  /** in the order in which they were sent */
  readonly #riders = new Map<number, Rider>()

  constructor(options: CarouselOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#riders.size
  }

  /** An object that was sent just now. @param rounds times it has gone round */
  add(sequence: number, sentAtMs: number, rounds = 0): void {
    this.#riders.delete(sequence)
    this.#riders.set(sequence, { sentAtMs, rounds })
    if (this.#riders.size > this.#options.objectsMax) this.#riders.delete(this.#riders.keys().next().value!)
  }

  remove(sequence: number): void {
    this.#riders.delete(sequence)
  }

  /** Takes the next one off, if its rest is over; the caller adds it again once it is sent. */
  next(nowMs: number): Turn | undefined {
    if (this.dueAt(nowMs) > nowMs) return undefined
    const [sequence, { rounds }] = this.#riders.entries().next().value!
    this.#riders.delete(sequence)
    return { sequence, rounds }
  }

  /** When the next one may go; infinity when there is none. A clock that was set back makes it wait one rest, no more. */
  dueAt(nowMs: number): number {
    const first = this.#riders.values().next().value
    if (first === undefined) return Number.POSITIVE_INFINITY
    first.sentAtMs = Math.min(first.sentAtMs, nowMs)
    return first.sentAtMs + this.#options.restMs
  }
}
