import { datagramHeaderOctets, encodeDatagram, symbolCount } from '../oneway/datagram.ts'
import { dueAt, nextDue, Pace, type Waiting } from '../oneway/schedule.ts'
import type { Outbox } from './outbox.ts'
import { type Sender, sendingMax } from './sender.ts'

export interface ForwarderOptions {
  outbox: Outbox
  sender: Sender
  symbolOctets: number
  bitsPerSecond: number
  passesAfterMs: readonly number[]
}

/** Octets sent at once, the most: far below a receiver's buffer. */
const burstOctetsMax = 131_072
/** A turn of sending, the shortest pause between two. */
const turnMs = 2
/** The longest: a clock that was set back must not put a pass off beyond what a timer can hold. */
const idleMsMax = 60_000

interface Current {
  batch: Waiting
  object: Uint8Array
  symbol: number
}

/** Sends each sealed batch in as many passes as configured, paced; a pass is remembered when its last symbol has left. */
export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #waiting: Map<number, Waiting>
  readonly #pace: Pace
  #current: Current | undefined
  #timer: NodeJS.Timeout | undefined
  #hurry = false
  #closed = false
  #drained: (() => void) | undefined
  /** batches whose first pass has left, since the start */
  delivered = 0

  constructor(options: ForwarderOptions) {
    this.#options = options
    const { outbox, bitsPerSecond, passesAfterMs } = options
    this.#waiting = new Map(outbox.waiting(passesAfterMs.length).map((batch) => [batch.sequence, batch]))
    this.#pace = new Pace({ bitsPerSecond, burstOctets: burstOctetsMax, nowMs: Date.now() })
    this.#schedule()
  }

  /** batches with passes to send */
  get waiting(): number {
    return this.#waiting.size
  }

  add(batch: Waiting): void {
    this.#waiting.set(batch.sequence, batch)
    this.#schedule()
  }

  /** Sends what is left of all passes now, in order. */
  drain(): Promise<void> {
    this.#hurry = true
    this.#schedule()
    return this.#waiting.size === 0 ? Promise.resolve() : new Promise((resolve) => (this.#drained = resolve))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #schedule(afterMs: number = turnMs): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#turn(), afterMs)
  }

  /** As much as the pace allows; then again at the next turn, or when the next pass is due. */
  #turn(): void {
    for (;;) {
      this.#current ??= this.#next()
      if (this.#current === undefined) break
      if (!this.#sendSymbol(this.#current)) {
        this.#schedule()
        return
      }
    }
    if (this.#waiting.size === 0) {
      this.#drained?.()
      return
    }
    let pauseMs = idleMsMax
    for (const batch of this.#waiting.values()) {
      pauseMs = Math.min(pauseMs, (dueAt(batch, this.#options.passesAfterMs) ?? 0) - Date.now())
    }
    this.#schedule(Math.max(turnMs, pauseMs))
  }

  #next(): Current | undefined {
    const nowMs = this.#hurry ? Number.POSITIVE_INFINITY : Date.now()
    const batch = nextDue(this.#waiting.values(), nowMs, this.#options.passesAfterMs)
    return batch === undefined ? undefined : { batch, object: this.#options.outbox.octets(batch.sequence), symbol: 0 }
  }

  /** @returns false when the pace says to wait */
  #sendSymbol(current: Current): boolean {
    const { outbox, sender, symbolOctets } = this.#options
    const { batch, object, symbol } = current
    if (sender.sending >= sendingMax || !this.#pace.take(symbolOctets + datagramHeaderOctets, Date.now())) return false
    sender.send(encodeDatagram(object, { epoch: outbox.epoch, sequence: batch.sequence, symbolOctets, symbol }))
    current.symbol++
    if (current.symbol === symbolCount(object.length, symbolOctets)) this.#passDone(batch)
    return true
  }

  #passDone(batch: Waiting): void {
    const { outbox, passesAfterMs } = this.#options
    this.#current = undefined
    const done = { ...batch, passesDone: batch.passesDone + 1 }
    if (done.passesDone === 1) this.delivered++
    outbox.passDone(done)
    if (done.passesDone >= passesAfterMs.length) this.#waiting.delete(batch.sequence)
    else this.#waiting.set(batch.sequence, done)
  }
}
