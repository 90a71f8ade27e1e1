import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import { PeerError } from '#gateway/errors.ts'
import { Position } from './position.ts'
import { countOf, difference } from './ranges.ts'
import { type KeptBatch, type Range, type Sink, SinkError, type SinkFault, sinkError } from './sink.ts'

/** The kept batches, as a follower sees them. */
export interface KeptBatches {
  epochs(): number[]
  held(epoch: number): readonly Range[]
  /** @returns undefined when its file is gone @throws PeerError when it is not what was verified */
  read(epoch: number, sequence: number): KeptBatch | undefined
}

export interface SinkStatus {
  name: string
  /** of each stream: everything that is kept up to this sequence is durable here */
  position: { epoch: number; sequence: number }[]
  /** kept batches that it does not hold yet */
  behind: number
  /** kept batches that it passed over, because they are gone or damaged; tried again at the next start */
  skipped: number
  /** the last one since it went well, and when it began */
  fault: { code: SinkFault; since: string } | undefined
}

export interface FollowerOptions {
  sink: Sink
  kept: KeptBatches
  log: Logger
  /** milliseconds to wait after so many faults in a row, from 1 */
  backOffMs: (faults: number) => number
}

/** One group: what is taken together is durable together. */
const groupBatchesMax = 64
const groupOctetsMax = 2 * 1024 * 1024

/** Doubles from a quarter of a second, half a minute at most. */
export function backOffMs(faults: number): number {
  return Math.min(250 * 2 ** (faults - 1), 30_000)
}

/**
 * Brings one sink what it lacks of the kept batches, in order, for as long as the process lives. A fault is told once, and
 * tried again after a while; nothing here throws.
 */
export class Follower {
  readonly #options: FollowerOptions
  readonly #skipped = new Position()
  readonly #ending = new AbortController()
  readonly #ended: Promise<void>
  #opened = false
  #faults = 0
  #fault: { code: SinkFault; since: string } | undefined
  /** a batch came since the last look */
  #fresh = false
  #asleep: 'no' | 'for news' | 'for a while' = 'no'
  #rested = Promise.withResolvers<void>()
  #news = Promise.withResolvers<void>()
  #givenUp = false

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  /** There is a batch more. */
  kick(): void {
    this.#fresh = true
    if (this.#asleep !== 'for news') return
    this.#awake()
    this.#news.resolve()
  }

  /** Resolves when it holds all that is kept, or waits: for its time, or after a fault. */
  idle(): Promise<void> {
    return this.#rested.promise
  }

  status(): SinkStatus {
    const { sink, kept } = this.#options
    let behind = 0
    const position = kept.epochs().map((epoch) => {
      const lacking = this.#lacking(epoch)
      behind += countOf(lacking)
      return { epoch, sequence: (lacking[0]?.[0] ?? (kept.held(epoch).at(-1)?.[1] ?? 0) + 1) - 1 }
    })
    const skipped = this.#skipped.epochs().reduce((sum, epoch) => sum + countOf(this.#skipped.held(epoch)), 0)
    return { name: sink.name, position, behind, skipped, fault: this.#fault }
  }

  /** Takes what is left, without pauses and until the first fault, for `limitMs` at most; then gives up. */
  async close(limitMs: number): Promise<void> {
    this.#ending.abort()
    this.#news.resolve()
    const inTime = new AbortController()
    const limit = pause(limitMs, undefined, { signal: inTime.signal }).catch(() => undefined) // ended in time
    await Promise.race([this.#ended, limit])
    inTime.abort()
    this.#givenUp = true
    await this.#options.sink.close().catch((error: unknown) => this.#failed(sinkError(error)))
  }

  async #run(): Promise<void> {
    while (!this.#givenUp) {
      this.#fresh = false
      const more = await this.#step()
      if (more || this.#fresh) continue
      if (this.#ending.signal.aborted) return
      await this.#sleep()
    }
  }

  /** @returns whether there may be more to take at once */
  async #step(): Promise<boolean> {
    const { sink } = this.#options
    try {
      if (!this.#opened) await sink.open()
      this.#opened = true
      const group = await this.#gather()
      if (group.length > 0) await sink.take(group)
      this.#recovered()
      return this.#behind()
    } catch (error) {
      this.#opened = false
      this.#failed(sinkError(error))
      this.#fresh = false // what came meanwhile waits too
      return false
    }
  }

  async #sleep(): Promise<void> {
    const { sink, backOffMs } = this.#options
    const ms = this.#faults > 0 ? backOffMs(this.#faults) : sink.everyMs
    this.#asleep = ms === 0 ? 'for news' : 'for a while'
    this.#news = Promise.withResolvers()
    this.#rested.resolve()
    if (ms === 0) await this.#news.promise
    else await pause(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined) // the end has come
    this.#awake()
  }

  #awake(): void {
    if (this.#asleep === 'no') return
    this.#asleep = 'no'
    this.#rested = Promise.withResolvers()
  }

  async #gather(): Promise<KeptBatch[]> {
    const group: KeptBatch[] = []
    let octets = 0
    for (const [epoch, sequence] of this.#next()) {
      const batch = this.#read(epoch, sequence)
      if (batch === undefined) continue
      group.push(batch)
      octets += batch.octets.length
      if (group.length >= groupBatchesMax || octets >= groupOctetsMax) break
      await nextTurn() // opening one takes a while, in which nothing else goes on
    }
    return group
  }

  *#next(): Generator<[epoch: number, sequence: number]> {
    for (const epoch of this.#options.kept.epochs()) {
      for (const [from, to] of this.#lacking(epoch)) {
        for (let sequence = from; sequence <= to; sequence++) yield [epoch, sequence]
      }
    }
  }

  /** @returns undefined where there is nothing to take: told, and passed over */
  #read(epoch: number, sequence: number): KeptBatch | undefined {
    try {
      const batch = this.#options.kept.read(epoch, sequence)
      if (batch !== undefined) return batch
      this.#skip(epoch, sequence, new SinkError('BATCH_MISSING', 'its file is gone'))
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#skip(epoch, sequence, new SinkError('BATCH_DAMAGED', `${error.code}: ${error.message}`))
    }
    return undefined
  }

  #skip(epoch: number, sequence: number, { code, message }: SinkError): void {
    this.#skipped.add(epoch, sequence)
    const { log, sink } = this.#options
    log.error({ event: 'sink.skipped', sink: sink.name, epoch, sequence, code, detail: message })
  }

  #lacking(epoch: number): Range[] {
    const { sink, kept } = this.#options
    return difference(difference(kept.held(epoch), sink.held(epoch)), this.#skipped.held(epoch))
  }

  #behind(): boolean {
    return this.#options.kept.epochs().some((epoch) => this.#lacking(epoch).length > 0)
  }

  /** Told when it begins or is another; not each time that it is tried. */
  #failed({ code, message }: SinkError): void {
    this.#faults++
    if (this.#fault?.code === code) return
    this.#fault = { code, since: new Date().toISOString() }
    const { log, sink } = this.#options
    log.error({ event: 'sink.failed', sink: sink.name, code, detail: message })
  }

  #recovered(): void {
    if (this.#fault !== undefined) this.#options.log.info({ event: 'sink.recovered', sink: this.#options.sink.name })
    this.#faults = 0
    this.#fault = undefined
  }
}
