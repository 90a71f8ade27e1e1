import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import type { CarrierConfig } from '../carrier-config.ts'
import { Backlog, retryAfterMs, type Uncarried } from '../oneway/carrier.ts'
import { bundleName } from '../oneway/carrier-name.ts'
import { encodeFrame } from '../oneway/frame.ts'
import type { LinkKey } from '../oneway/mac.ts'
import { Carried } from './carried.ts'
import { type Carrier, CarrierHeld } from './carrier.ts'
import { FileCarrier } from './file-carrier.ts'
import type { Outbox } from './outbox.ts'
import { TcpCarrier } from './tcp-carrier.ts'

export interface CarrierStatus {
  name: string
  /** bundles handed over since the start */
  carried: number
  /** batches still to hand over */
  waiting: number
  /** why it cannot go on, while it cannot */
  held: string | undefined
}

export interface CarriersOptions {
  carriers: readonly Carrier[]
  database: DatabaseSync
  outbox: Outbox
  key: LinkKey
  /** batches in memory that wait for one carrier, the most: the rest is looked up when these are through */
  backlogMax?: number
  /** told once for each change; without a fault: it goes on */
  onHeld: (carrier: string, fault: string | undefined) => void
}

const backlogDefault = 10_000
/** Milliseconds until a carrier that has not come back with a bundle is said to be held: a mount may hang for ever. */
const slowMs = 60_000
/** Milliseconds that the end waits for a carrier, the most: what it has not handed over then, it does after the next start. */
const drainMsMax = 5_000

/** @param forward what a carrier needs of it: a bundle's file is kept as long as its batch, a bundle goes at the link's pace */
export function carrierOf(config: CarrierConfig, forward: { bitsPerSecond: number; keepMs: number }): Carrier {
  return config.kind === 'files'
    ? new FileCarrier({ ...config, ...forward })
    : new TcpCarrier({ ...config, ...forward })
}

/** Every further carrier, each at its own speed: one that is held keeps up neither the datagrams nor the others. */
export class Carriers {
  readonly #outbox: Outbox
  readonly #feeds: readonly Feed[]

  constructor({ carriers, ...options }: CarriersOptions) {
    this.#outbox = options.outbox
    this.#feeds = carriers.map((carrier) => new Feed(carrier, options))
  }

  /** A sealed batch that stands in the outbox. */
  add(batch: Uncarried): void {
    for (const feed of this.#feeds) feed.add(batch)
  }

  /** Batches that an operator has asked for go once more. */
  replay(batches: readonly Uncarried[]): void {
    for (const feed of this.#feeds) feed.replay(batches)
  }

  /** Erases what the outbox may erase and no carrier lacks, with what is said of it here. @see Outbox.erase */
  erase(sealedBeforeMs: number, passes: number): void {
    this.#outbox.erase(Math.min(sealedBeforeMs, ...this.#feeds.map(({ oldestMs }) => oldestMs)), passes)
    for (const feed of this.#feeds) feed.erase()
  }

  get status(): CarrierStatus[] {
    return this.#feeds.map(({ status }) => status)
  }

  /** Hands over what waits, a held one tries once more; at most five seconds. */
  async drain(): Promise<void> {
    await Promise.all(this.#feeds.map((feed) => feed.drain()))
  }
}

/** One carrier's backlog, handed over a bundle at a time; retries for as long as the batch is in the outbox. */
class Feed {
  readonly #carrier: Carrier
  readonly #options: Omit<CarriersOptions, 'carriers'>
  readonly #carried: Carried
  readonly #backlogMax: number
  #backlog: Backlog
  /** there may be more than the backlog has */
  #more = true
  readonly #stop = new AbortController()
  readonly #ended: Promise<void>
  #wake = Promise.withResolvers<void>()
  #draining = false
  #count = 0
  #failures = 0
  #held: string | undefined

  constructor(carrier: Carrier, options: Omit<CarriersOptions, 'carriers'>) {
    this.#carrier = carrier
    this.#options = options
    this.#carried = new Carried(options.database, carrier.name)
    this.#backlogMax = options.backlogMax ?? backlogDefault
    this.#backlog = this.#refilled()
    this.#ended = this.#run()
  }

  get oldestMs(): number {
    return this.#backlog.oldestMs
  }

  get status(): CarrierStatus {
    return { name: this.#carrier.name, carried: this.#count, waiting: this.#backlog.size, held: this.#held }
  }

  add(batch: Uncarried): void {
    if (this.#backlog.size < this.#backlogMax) this.#backlog.add(batch)
    else this.#more = true
    if (this.#held === undefined) this.#wake.resolve() // a held one waits for the end of its pause
  }

  replay(batches: readonly Uncarried[]): void {
    for (const { sequence, sealedAtMs } of batches) {
      this.#carried.forget(sequence)
      this.add({ sequence, sealedAtMs })
    }
  }

  erase(): void {
    this.#carried.erase()
  }

  async drain(): Promise<void> {
    this.#draining = true
    this.#wake.resolve()
    const late = new AbortController()
    await Promise.race([this.#ended, delay(drainMsMax, undefined, { signal: late.signal }).catch(() => undefined)])
    late.abort()
    this.#stop.abort()
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      if (this.#backlog.size === 0 && this.#more) this.#backlog = this.#refilled()
      const batch = this.#backlog.next()
      if (batch === undefined) {
        if (this.#draining) return
        await this.#pause()
      } else if (!(await this.#handOver(batch))) {
        if (this.#draining) return
        await this.#pause(retryAfterMs(this.#failures))
      }
    }
  }

  #refilled(): Backlog {
    const lacking = this.#carried.lacking(this.#backlogMax)
    this.#more = lacking.length === this.#backlogMax
    return new Backlog(lacking)
  }

  /** @returns false when it is held */
  async #handOver({ sequence }: Uncarried): Promise<boolean> {
    const { outbox, key } = this.#options
    const { epoch } = outbox
    const { frame, digest } = encodeFrame({ epoch, sequence, octets: Buffer.from(outbox.octets(sequence)) }, key)
    const slow = setTimeout(() => this.#note(`no end after ${slowMs} ms`), slowMs)
    try {
      await this.#carrier.carry({ frame, name: bundleName({ epoch, sequence, digest }) }, this.#stop.signal)
    } catch (error) {
      if (!(error instanceof CarrierHeld)) throw error
      this.#failures++
      this.#note(error.message)
      return false
    } finally {
      clearTimeout(slow)
    }
    if (this.#stop.signal.aborted) return true // the ledger may be closed: it is handed over once more
    this.#carried.note(sequence)
    this.#backlog.done(sequence)
    this.#count++
    this.#failures = 0
    this.#note(undefined)
    return true
  }

  #note(fault: string | undefined): void {
    const changed = (fault === undefined) !== (this.#held === undefined)
    this.#held = fault
    if (changed && !this.#stop.signal.aborted) this.#options.onHeld(this.#carrier.name, fault)
  }

  /** Until there is something new, or this time is over. */
  async #pause(ms?: number): Promise<void> {
    if (ms !== undefined && !this.#draining) this.#wake = Promise.withResolvers() // what came meanwhile shortens no pause
    const over = new AbortController()
    const timer = ms === undefined ? [] : [delay(ms, undefined, { signal: over.signal }).catch(() => undefined)]
    await Promise.race([this.#wake.promise, ...timer])
    over.abort()
    this.#wake = Promise.withResolvers<void>()
  }
}
