import { type Heartbeat, heartbeatEveryMs } from './heartbeat.ts'

/** Beats missed before the link is called silent. */
export const missedMax = 3
/** Beats over which loss is told. */
const lossBeats = 60
/** Beats over which the least of (received − sent) is taken: queueing only ever adds to it, so that its change is drift. */
const driftBeats = 300

/** What the receiver makes of the heartbeats of one stream. Milliseconds. */
export interface LinkState {
  silent: boolean
  /** since the last beat */
  sinceBeatMs: number
  /** datagrams lost of those sent, over the last minute of beats; undefined before the second beat */
  lossShare: number | undefined
  /** sealed there and not yet here */
  behind: number
  /** the sender's oldest batch that waits for its first pass */
  senderOldestMs: number
  /** our clock ahead of the sender's, with the shortest way between: the least seen */
  offsetMs: number
  /** how the least changed from one window to the next, in parts per million; undefined before the second window */
  driftPpm: number | undefined
  clock: Heartbeat['clock']
  queuedBatches: number
  octetsPerSecond: number
}

export type LinkEvent = { kind: 'silent'; sinceBeatMs: number } | { kind: 'beating'; silentMs: number }

interface Sample {
  sent: number
  received: number
}

/**
 * Loss, silence, lag and drift out of heartbeats; pure, time is told. A beat of a former time is no beat: its number must rise.
 */
export class LinkWatch {
  #last: { beat: Heartbeat; number: number; atMs: number } | undefined
  #silent = false
  #samples: Sample[] = []
  #offsets: { least: number; beats: number; atMs: number } | undefined
  #former: { least: number; atMs: number } | undefined
  #driftPpm: number | undefined

  /** @param lastNumber of the last beat that was taken before, over restarts */
  constructor(lastNumber = 0) {
    this.#number = lastNumber
  }

  #number: number

  /** of the last beat taken: to be kept over restarts */
  get number(): number {
    return this.#number
  }

  /**
   * @param number of the beat, from its TOI
   * @param received datagrams of this stream so far that were authentic, this one included
   * @returns undefined when the beat is of a former time
   */
  take(
    beat: Heartbeat,
    { number, received, atMs }: { number: number; received: number; atMs: number },
  ): LinkEvent[] | undefined {
    if (number <= this.#number) return undefined
    const events: LinkEvent[] = []
    if (this.#silent) events.push({ kind: 'beating', silentMs: atMs - (this.#last?.atMs ?? atMs) })
    this.#silent = false
    const begunAnew = this.#last !== undefined && beat.monotonicMs < this.#last.beat.monotonicMs
    if (begunAnew) this.#samples = []
    this.#samples.push({ sent: beat.datagrams, received })
    if (this.#samples.length > lossBeats) this.#samples.shift()
    this.#offset(atMs - beat.utcMs, atMs)
    this.#last = { beat, number, atMs }
    this.#number = number
    return events
  }

  /** To be asked each second or so. */
  tick(atMs: number): LinkEvent[] {
    if (this.#last === undefined || this.#silent) return []
    const sinceBeatMs = atMs - this.#last.atMs
    if (sinceBeatMs <= missedMax * heartbeatEveryMs) return []
    this.#silent = true
    return [{ kind: 'silent', sinceBeatMs }]
  }

  /** @param highest that is here @returns undefined before the first beat */
  state(highest: number, atMs: number): LinkState | undefined {
    if (this.#last === undefined) return undefined
    const { beat, atMs: heardAt } = this.#last
    return {
      silent: this.#silent,
      sinceBeatMs: atMs - heardAt,
      lossShare: this.#lossShare(),
      behind: Math.max(0, beat.highest - highest),
      senderOldestMs: beat.oldestMs,
      offsetMs: Math.min(
        this.#offsets?.least ?? Number.POSITIVE_INFINITY,
        this.#former?.least ?? Number.POSITIVE_INFINITY,
      ),
      driftPpm: this.#driftPpm,
      clock: beat.clock,
      queuedBatches: beat.queuedBatches,
      octetsPerSecond: beat.octetsPerSecond,
    }
  }

  #lossShare(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (first === undefined || last === undefined || last.sent <= first.sent) return undefined
    const lost = last.sent - first.sent - (last.received - first.received)
    return Math.min(1, Math.max(0, lost / (last.sent - first.sent)))
  }

  #offset(offset: number, atMs: number): void {
    if (this.#offsets === undefined) this.#offsets = { least: offset, beats: 0, atMs }
    this.#offsets.least = Math.min(this.#offsets.least, offset)
    this.#offsets.beats += 1
    if (this.#offsets.beats < driftBeats) return
    const { least, atMs: begun } = this.#offsets
    if (this.#former !== undefined) {
      this.#driftPpm = ((least - this.#former.least) / (begun - this.#former.atMs)) * 1e6
    }
    this.#former = { least, atMs: begun }
    this.#offsets = undefined
  }
}
