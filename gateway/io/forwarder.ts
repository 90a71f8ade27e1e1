import { Carousel } from '../oneway/carousel.ts'
import { DatagramWriter, headerOctetsMax } from '../oneway/datagram.ts'
import type { LinkKey } from '../oneway/mac.ts'
import { Pass } from '../oneway/pass.ts'
import {
  classOf,
  dueAt,
  interleaved,
  type Lane,
  mayBegin,
  nextDue,
  nextLane,
  Pace,
  type Waiting,
} from '../oneway/schedule.ts'
import { kindOfToi, toiOfManifest } from '../oneway/toi.ts'
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
  /** milliseconds between two rounds of one object on the carousel, the least; undefined: nothing goes round */
  carouselRestMs?: number | undefined
}

/** What waits, by number, octets and age. */
export interface Queue {
  /** batches sealed whose first pass is not complete */
  objects: number
  octets: number
  /** when the oldest of them was sealed, milliseconds since 1970; infinity when there is none */
  oldestMs: number
  /** batches up to here have all had their first pass, and their last */
  firstPassTo: number
  lastPassTo: number
}

/** Objects on the carousel, the most: 30 days of a batch every ten seconds. */
const carouselObjectsMax = 262_144

/** Octets sent at once, the most: far below a receiver's buffer. */
const burstOctetsMax = 131_072
/** A turn of sending, the shortest pause between two. */
const turnMs = 1
/** The longest: a clock that was set back must not put a pass off beyond what a timer can hold. */
const idleMsMax = 60_000

interface Sending extends Lane {
  pass: Pass
  next: number
  /** times that it has gone round on the carousel */
  rounds: number
}

/**
 * Sends each sealed batch in as many passes as configured, paced, two at a time by turns; a pass is remembered when its last
 * symbol has left. When nothing is due, what has had its passes goes round; how often is remembered by nobody.
 */
export class Forwarder {
  readonly #options: ForwarderOptions
  /** batches with passes to send, but those of which one is being sent */
  readonly #waiting: Map<number, Waiting>
  readonly #pace: Pace
  readonly #writer: DatagramWriter
  readonly #carousel: Carousel
  #manifest: { toi: number; octets: Uint8Array } | undefined
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
  /** passes of the carousel, since the start */
  carouselRounds = 0

  constructor(options: ForwarderOptions) {
    this.#options = options
    const { outbox, key, symbolOctets, bitsPerSecond, passesAfterMs, carouselRestMs } = options
    this.#waiting = new Map(outbox.waiting(passesAfterMs.length).map((batch) => [batch.sequence, batch]))
    this.#pace = new Pace({ bitsPerSecond, burstOctets: burstOctetsMax, nowMs: Date.now() })
    // The kernel may still hold `sendingMax` datagrams when the next is written.
    this.#writer = new DatagramWriter({ key, epoch: outbox.epoch, slots: sendingMax + 1, symbolOctets })
    this.#carousel = new Carousel({ restMs: carouselRestMs ?? 0, objectsMax: carouselObjectsMax })
    if (carouselRestMs !== undefined) {
      const before = Date.now() - carouselRestMs // when they went last is forgotten: they may go at once
      for (const sequence of outbox.passed(passesAfterMs.length, carouselObjectsMax))
        this.#carousel.add(sequence, before)
    }
    this.#schedule()
  }

  /** objects with passes to send; those on the carousel have none */
  get waiting(): number {
    return this.#waiting.size + this.#lanes.filter((lane) => !this.#isRound(lane)).length
  }

  /** objects that go round when nothing else is due */
  get carouselObjects(): number {
    return this.#carousel.size + this.#lanes.filter((lane) => this.#isRound(lane)).length
  }

  /** What waits for its first pass. @param highest the last batch that was sealed */
  queue(highest: number): Queue {
    const queue = {
      objects: 0,
      octets: 0,
      oldestMs: Number.POSITIVE_INFINITY,
      firstPassTo: highest,
      lastPassTo: highest,
    }
    for (const one of [...this.#waiting.values(), ...this.#lanes.map(({ batch }) => batch)]) {
      if (one.manifest === true || one.passesDone >= this.#options.passesAfterMs.length) continue
      queue.lastPassTo = Math.min(queue.lastPassTo, one.sequence - 1)
      if (one.passesDone > 0) continue
      queue.firstPassTo = Math.min(queue.firstPassTo, one.sequence - 1)
      queue.objects++
      queue.octets += one.octets ?? 0
      queue.oldestMs = Math.min(queue.oldestMs, one.sealedAtMs)
    }
    return queue
  }

  add(batch: Waiting): void {
    this.#waiting.set(batch.sequence, batch)
    this.#look()
  }

  /** One pass of it, behind events alone; one that was not begun yet is superseded. */
  announce(number: number, octets: Uint8Array): void {
    const toi = toiOfManifest(number)
    if (this.#manifest !== undefined) this.#waiting.delete(this.#manifest.toi)
    this.#manifest = { toi, octets }
    this.add({ sequence: toi, sealedAtMs: Date.now(), passesDone: 0, octets: octets.length, manifest: true })
  }

  /** One more pass of each, behind what waits for its first; what is being sent, or waits for its first pass, is left alone. */
  replay(batches: readonly Waiting[]): void {
    const asked = new Set(batches.map(({ sequence }) => sequence))
    this.#lanes = this.#lanes.filter((lane) => !(this.#isRound(lane) && asked.has(lane.batch.sequence)))
    const sending = new Set(this.#lanes.map(({ batch }) => batch.sequence))
    for (const batch of batches) {
      if (batch.passesDone === 0 || sending.has(batch.sequence)) continue
      this.#carousel.remove(batch.sequence)
      this.#waiting.set(batch.sequence, { ...batch, ...this.#waiting.get(batch.sequence), replay: true })
    }
    this.#look()
  }

  /** Sends what is left of all passes now, in order. */
  drain(): Promise<void> {
    this.#hurry = true
    this.#lanes = this.#lanes.filter((lane) => !this.#isRound(lane))
    this.#look()
    return this.waiting === 0 ? Promise.resolve() : new Promise((resolve) => (this.#drained = resolve))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #look(): void {
    this.#lookAtMs = Number.NEGATIVE_INFINITY
    this.#schedule()
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
    if (this.#waiting.size === 0) this.#drained?.()
    if (this.#lookAtMs === Number.POSITIVE_INFINITY) return
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
      this.#open(batch, 0)
    }
    this.#lookAtMs = this.#round()
    for (const batch of this.#waiting.values()) {
      this.#lookAtMs = Math.min(this.#lookAtMs, dueAt(batch, passesAfterMs) ?? Number.POSITIVE_INFINITY)
    }
  }

  /** Lets the carousel fill what lanes are free while nothing else is under way. @returns when to look again for it */
  #round(): number {
    const { passesAfterMs, carouselRestMs } = this.#options
    if (carouselRestMs === undefined || this.#hurry) return Number.POSITIVE_INFINITY
    for (;;) {
      const isFree = this.#lanes.length < interleaved && this.#lanes.every((lane) => this.#isRound(lane))
      if (!isFree) return Number.POSITIVE_INFINITY // until one ends
      const turn = this.#carousel.next(Date.now())
      if (turn === undefined) return this.#carousel.dueAt(Date.now())
      const passesDone = passesAfterMs.length + turn.rounds // other repair symbols each time, as far as there are others
      this.#open({ sequence: turn.sequence, sealedAtMs: 0, passesDone }, turn.rounds)
    }
  }

  #isRound({ batch }: Lane): boolean {
    return classOf(batch, this.#options.passesAfterMs) === 'carousel'
  }

  /** What is erased meanwhile is passed over. */
  #open(batch: Waiting, rounds: number): void {
    const { outbox, symbolOctets, lossShare, passesAfterMs } = this.#options
    const { sequence, passesDone, manifest } = batch
    const octets = manifest === true ? this.#manifest!.octets : outbox.octetsHeld(sequence)
    if (octets === undefined) return
    const pass = new Pass(octets, passesDone, { symbolOctets, lossShare, passes: passesAfterMs.length })
    this.#lanes.push({ batch, pass, next: 0, servedAt: this.#sent, rounds })
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
    this.#lanes = this.#lanes.filter((other) => other !== lane)
    this.#lookAtMs = Number.NEGATIVE_INFINITY
    if (kindOfToi(lane.batch.sequence) === 'manifest') return
    if (this.#isRound(lane)) this.#roundDone(lane)
    else this.#repeatLater(lane)
  }

  #repeatLater(lane: Sending): void {
    const { outbox, passesAfterMs } = this.#options
    const done = { ...lane.batch, passesDone: lane.batch.passesDone + 1, replay: false }
    if (done.passesDone === 1) this.delivered++
    outbox.passDone(done)
    if (done.passesDone < passesAfterMs.length) this.#waiting.set(done.sequence, done)
    else this.#ride(done.sequence, 0)
  }

  #roundDone({ batch, rounds }: Sending): void {
    this.carouselRounds++
    this.#ride(batch.sequence, rounds + 1)
  }

  #ride(sequence: number, rounds: number): void {
    if (this.#options.carouselRestMs !== undefined) this.#carousel.add(sequence, Date.now(), rounds)
  }
}
