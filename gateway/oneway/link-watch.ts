import { PeerError } from '../errors.ts'
import { type Heartbeat, heartbeatSeconds } from './heartbeat.ts'

/** Heartbeats that may be missing; a half one more is the network's. */
const missedMax = 3
export const silentAfterMs: number = (missedMax + 0.5) * heartbeatSeconds * 1_000
/** Loss is that of the last so many heartbeats. */
const lossBeats = 60
/** The least delay of each window is free of queueing; so many windows are looked back on. */
const windowMs = 60_000
const windowsMax = 30

interface Beat {
  run: number
  /** handed over by the sender, taken by us: since each one's start */
  sent: number
  taken: number
}

interface Window {
  sinceMs: number
  /** least of receive − send in it, and when it was sent */
  leastMs: number
  atMs: number
}

/** What the heartbeats of one stream tell; times in milliseconds. */
export interface LinkView {
  /** taken since the start */
  heartbeats: number
  silent: boolean
  /** since the last heartbeat, or since the watch began */
  quietMs: number
  /** share of the datagrams of the last minute that did not come, 0 to 1; undefined before the second heartbeat */
  lossShare: number | undefined
  /** of those between heartbeats since the start */
  sentDatagrams: number
  lostDatagrams: number
  /** receive − send of the last heartbeat: delay, and the difference of the clocks */
  delayMs: number | undefined
  /** the least of it within the last windows: the difference of the clocks and the shortest way */
  offsetMs: number | undefined
  /** how fast that changes: millionths by which our clock gains on the sender's; undefined within the first minutes */
  driftPpm: number | undefined
  /** what the sender said last */
  sender: Heartbeat | undefined
}

/** Loss, silence, delay and drift of one stream. Time comes as an argument. */
export class LinkWatch {
  #lastNumber: number
  #heardMs: number
  #silent = false
  #taken = 0
  #view: Pick<LinkView, 'heartbeats' | 'sentDatagrams' | 'lostDatagrams' | 'delayMs' | 'sender'> = {
    heartbeats: 0,
    sentDatagrams: 0,
    lostDatagrams: 0,
    delayMs: undefined,
    sender: undefined,
  }
  #beats: Beat[] = []
  #windows: Window[] = []

  /** @param lastNumber of the last heartbeat that was taken, 0 before the first: no older one is taken @param nowMs silence counts from here */
  constructor(lastNumber: number, nowMs: number) {
    this.#lastNumber = lastNumber
    this.#heardMs = nowMs
  }

  get lastNumber(): number {
    return this.#lastNumber
  }

  /** An authentic datagram of the stream came; of a heartbeat, behind `beat`. */
  taken(): void {
    this.#taken++
  }

  /**
   * @param atMs when it came @param nowMs when it is looked at, which may be later
   * @throws PeerError `HEARTBEAT_REPLAYED` it was taken before, or overtaken by a later one
   */
  beat(heartbeat: Heartbeat, { atMs, nowMs }: { atMs: number; nowMs: number }): void {
    const { number, run, datagrams, utcMs } = heartbeat
    if (number <= this.#lastNumber) {
      throw new PeerError('HEARTBEAT_REPLAYED', `heartbeat ${number}, after ${this.#lastNumber}`)
    }
    this.#lastNumber = number
    this.#heardMs = Math.max(this.#heardMs, nowMs)
    this.#count({ run, sent: datagrams, taken: this.#taken })
    this.#time(utcMs, atMs)
    this.#view = { ...this.#view, heartbeats: this.#view.heartbeats + 1, delayMs: atMs - utcMs, sender: heartbeat }
  }

  /** To be asked each second. @returns what has just begun or ended */
  silence(nowMs: number): 'began' | 'ended' | undefined {
    this.#heardMs = Math.min(this.#heardMs, nowMs) // a clock that was set back
    const silent = nowMs - this.#heardMs > silentAfterMs
    if (silent === this.#silent) return undefined
    this.#silent = silent
    return silent ? 'began' : 'ended'
  }

  view(nowMs: number): LinkView {
    return {
      ...this.#view,
      silent: this.#silent,
      quietMs: Math.max(0, nowMs - this.#heardMs),
      lossShare: this.#lossShare(),
      offsetMs: this.#windows.length === 0 ? undefined : Math.min(...this.#windows.slice(-2).map((one) => one.leastMs)),
      driftPpm: this.#driftPpm(),
    }
  }

  /** Between two heartbeats of one run all that was sent is known; a restart of the sender begins anew. */
  #count(beat: Beat): void {
    const before = this.#beats.at(-1)
    if (before !== undefined && (before.run !== beat.run || beat.sent < before.sent)) this.#beats = []
    else if (before !== undefined) {
      this.#view.sentDatagrams += beat.sent - before.sent
      this.#view.lostDatagrams += Math.max(0, beat.sent - before.sent - (beat.taken - before.taken))
    }
    this.#beats.push(beat)
    if (this.#beats.length > lossBeats + 1) this.#beats.shift()
  }

  #lossShare(): number | undefined {
    const [first, last] = [this.#beats[0], this.#beats.at(-1)]
    if (first === undefined || last === undefined || last.sent === first.sent) return undefined
    return Math.max(0, 1 - (last.taken - first.taken) / (last.sent - first.sent))
  }

  #time(sentMs: number, atMs: number): void {
    const last = this.#windows.at(-1)
    const one = { leastMs: atMs - sentMs, atMs: sentMs }
    if (last === undefined || atMs - last.sinceMs >= windowMs || atMs < last.sinceMs) {
      this.#windows.push({ sinceMs: atMs, ...one })
      if (this.#windows.length > windowsMax) this.#windows.shift()
    } else if (one.leastMs < last.leastMs) Object.assign(last, one)
  }

  /** From the first window to the last one that is complete. */
  #driftPpm(): number | undefined {
    const [first, last] = [this.#windows[0], this.#windows.at(-2)]
    if (first === undefined || last === undefined || last.atMs - first.atMs < windowMs) return undefined
    return ((last.leastMs - first.leastMs) / (last.atMs - first.atMs)) * 1e6
  }
}
