import { DatagramWriter, headerOctetsMax } from '../oneway/datagram.ts'
import type { LinkKey } from '../oneway/mac.ts'
import { Pass } from '../oneway/pass.ts'
import { dueAt, type Lane, mayBegin, nextDue, nextLane, Pace, type Waiting } from '../oneway/schedule.ts'
import type { Outbox } from './outbox.ts'
import { type Sender, sendingMax } from './sender.ts'

export interface ForwarderOptions {
  outbox: Outbox
  sender: Sender
  /** of the MACs */
  key: LinkKey
  symbolOctets: number
  bitsPerSecond: number
  passesAfterMs: readonly number[]
  /** share of datagrams that each pass is to outlive by its repair symbols */
  lossShare: number
}

/** Octets sent at once, the most: far below a receiver's buffer. */
const burstOctetsMax = 131_072
/** A turn of sending, the shortest pause between two. */
const turnMs = 1
/** The longest: a clock that was set back must not put a pass off beyond what a timer can hold. */
const idleMsMax = 60_000

interface Sending extends Lane {
  pass: Pass
  next: number
}

/**
 * Sends each sealed batch in as many passes as configured, paced, two at a time by turns; a pass is remembered when its last
 * symbol has left.
 */
export class Forwarder {
  readonly #options: ForwarderOptions
  /** batches with passes to send, but those of which one is being sent */
  readonly #waiting: Map<number, Waiting>
  readonly #pace: Pace
  readonly #writer: DatagramWriter
  #lanes: Sending[] = []
  /** something may have fallen due since we looked: looking costs as much as there are batches */
  #lookAtMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #hurry = false
  #closed = false
  #drained: (() => void) | undefined
  #sent = 0
  /** batches whose first pass has left, since the start */
  delivered = 0

  constructor(options: ForwarderOptions) {
    this.#options = options
    const { outbox, key, symbolOctets, bitsPerSecond, passesAfterMs } = options
    this.#waiting = new Map(outbox.waiting(passesAfterMs.length).map((batch) => [batch.sequence, batch]))
    this.#pace = new Pace({ bitsPerSecond, burstOctets: burstOctetsMax, nowMs: Date.now() })
    // The kernel may still hold `sendingMax` datagrams when the next is written.
    this.#writer = new DatagramWriter({ key, epoch: outbox.epoch, slots: sendingMax + 1, symbolOctets })
    this.#schedule()
  }

  /** batches with passes to send */
  get waiting(): number {
    return this.#waiting.size + this.#lanes.length
  }

  add(batch: Waiting): void {
    this.#waiting.set(batch.sequence, batch)
    this.#lookAtMs = Number.NEGATIVE_INFINITY
    this.#schedule()
  }

  /** One more pass of each, behind what waits for its first; what is being sent, or waits for its first pass, is left alone. */
  replay(batches: readonly Waiting[]): void {
    const sending = new Set(this.#lanes.map(({ batch }) => batch.sequence))
    for (const batch of batches) {
      if (batch.passesDone === 0 || sending.has(batch.sequence)) continue
      this.#waiting.set(batch.sequence, { ...batch, ...this.#waiting.get(batch.sequence), replay: true })
    }
    this.#lookAtMs = Number.NEGATIVE_INFINITY
    this.#schedule()
  }

  /** Sends what is left of all passes now, in order. */
  drain(): Promise<void> {
    this.#hurry = true
    this.#lookAtMs = Number.NEGATIVE_INFINITY
    this.#schedule()
    return this.waiting === 0 ? Promise.resolve() : new Promise((resolve) => (this.#drained = resolve))
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
      if (Date.now() >= this.#lookAtMs) this.#begin()
      const lane = nextLane(this.#lanes, this.#options.passesAfterMs)
      if (lane === undefined) break
      if (!this.#sendSymbol(lane)) {
        this.#schedule()
        return
      }
    }
    if (this.#waiting.size === 0) {
      this.#drained?.()
      return
    }
    this.#schedule(Math.min(idleMsMax, Math.max(turnMs, this.#lookAtMs - Date.now())))
  }

  /** Begins the passes that are due, as many as may go side by side; finds out when to look again. */
  #begin(): void {
    const { passesAfterMs } = this.#options
    const nowMs = this.#hurry ? Number.POSITIVE_INFINITY : Date.now()
    for (;;) {
      const batch = nextDue(this.#waiting.values(), nowMs, passesAfterMs)
      if (batch === undefined) break
      if (!mayBegin(this.#lanes, batch, passesAfterMs)) {
        this.#lookAtMs = Number.POSITIVE_INFINITY // until one ends, or one is added
        return
      }
      this.#waiting.delete(batch.sequence)
      this.#lanes.push({ batch, pass: this.#pass(batch), next: 0, servedAt: this.#sent })
    }
    this.#lookAtMs = Number.POSITIVE_INFINITY
    for (const batch of this.#waiting.values()) {
      this.#lookAtMs = Math.min(this.#lookAtMs, dueAt(batch, passesAfterMs) ?? Number.POSITIVE_INFINITY)
    }
  }

  #pass({ sequence, passesDone }: Waiting): Pass {
    const { outbox, symbolOctets, lossShare, passesAfterMs } = this.#options
    return new Pass(outbox.octets(sequence), passesDone, { symbolOctets, lossShare, passes: passesAfterMs.length })
  }

  /** @returns false when the pace says to wait */
  #sendSymbol(lane: Sending): boolean {
    const { sender, symbolOctets } = this.#options
    if (sender.sending >= sendingMax || !this.#pace.take(symbolOctets + headerOctetsMax, Date.now())) return false
    sender.send(this.#writer.write({ sequence: lane.batch.sequence, ...lane.pass.symbol(lane.next++) }))
    lane.servedAt = ++this.#sent
    if (lane.next === lane.pass.length) this.#passDone(lane)
    return true
  }

  #passDone(lane: Sending): void {
    const { outbox, passesAfterMs } = this.#options
    this.#lanes = this.#lanes.filter((other) => other !== lane)
    this.#lookAtMs = Number.NEGATIVE_INFINITY
    const done = { ...lane.batch, passesDone: lane.batch.passesDone + 1, replay: false }
    if (done.passesDone === 1) this.delivered++
    outbox.passDone(done)
    if (done.passesDone < passesAfterMs.length) this.#waiting.set(done.sequence, done)
  }
}
