import type { Logger } from 'pino'
import { openBatch } from '#gateway/oneway/seal.ts'
import type { BatchStore } from '../store.ts'
import { backOffMs, Follower, type KeptBatches, type SinkStatus } from './follower.ts'
import { type KeptBatch, keptBatch, type Sink } from './sink.ts'

export interface DispatcherOptions {
  store: Pick<BatchStore, 'epochs' | 'kept' | 'batch' | 'onKept'>
  sinks: readonly Sink[]
  log: Logger
  /** milliseconds to wait after so many faults in a row, from 1 */
  backOffMs?: (faults: number) => number
}

/** Octets of batches, as they were sealed, that stay open in memory for sinks that keep up. */
const recentOctetsMax = 2 * 1024 * 1024
/** How long what is left may take at the end. */
const closeMs = 5_000

/**
 * ```
 * verified ─▶ store: kept ─┬─▶ follower ─▶ sink        each from its own position,
 *                          ├─▶ follower ─▶ sink        each at its own pace
 * ```
 * The bound of what waits is the disk with the kept batches; in memory there is one group a sink, and the last few batches.
 */
export class Dispatcher {
  readonly #store: DispatcherOptions['store']
  readonly #followers: readonly Follower[]
  readonly #recent = new Map<string, KeptBatch>()
  #recentOctets = 0

  constructor({ store, sinks, log, ...options }: DispatcherOptions) {
    this.#store = store
    const kept: KeptBatches = {
      epochs: () => store.epochs(),
      held: (epoch) => store.kept(epoch),
      read: (epoch, sequence) => this.#read(epoch, sequence),
    }
    this.#followers = sinks.map((sink) => new Follower({ sink, kept, log, backOffMs, ...options }))
    if (sinks.length > 0) store.onKept((batch) => this.#kept(batch))
  }

  status(): SinkStatus[] {
    return this.#followers.map((follower) => follower.status())
  }

  /** Resolves when each holds all that is kept, or waits: for its time, or after a fault. */
  async idle(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.idle()))
  }

  /** What is left is taken first, where that does not fail or take long; the rest at the next start. */
  async close(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.close(closeMs)))
  }

  #kept(batch: KeptBatch): void {
    this.#remember(batch)
    for (const follower of this.#followers) follower.kick()
  }

  #read(epoch: number, sequence: number): KeptBatch | undefined {
    const recent = this.#recent.get(nameOf(epoch, sequence))
    if (recent !== undefined) return recent
    const octets = this.#store.batch(epoch, sequence)
    return octets && keptBatch(openBatch(octets), octets) // its signature held before it was kept
  }

  #remember(batch: KeptBatch): void {
    this.#recent.set(nameOf(batch.epoch, batch.sequence), batch)
    this.#recentOctets += batch.octets.length
    for (const [name, { octets }] of this.#recent) {
      if (this.#recentOctets <= recentOctetsMax) break
      this.#recent.delete(name)
      this.#recentOctets -= octets.length
    }
  }
}

function nameOf(epoch: number, sequence: number): string {
  return `${epoch}/${sequence}`
}
