import { setTimeout as moment, setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Receiver } from './receive.ts'
import { SpoolReader } from './spool-reader.ts'

export interface RingAssemblerOptions {
  /** that the ring lies in */
  folder: string
  /** of the ring, the most */
  octetsMax: number
  receiver: Pick<Receiver, 'datagram' | 'busy' | 'idle' | 'heldFrom'>
  log: Logger
}

export interface RingAssemblerStatus {
  /** octets since the ring began: what was read, and what is not needed any more */
  position: number
  released: number
  /** octets of the ring that were no records */
  brokenOctets: number
}

/** How long it waits when the ring has nothing new. */
const pollMs = 20
const releaseEveryMs = 250
/**
 * Share of the ring that objects begun and not whole may hold back. A kill makes those begun before it wait for a later pass,
 * which they needed anyway: what their own pass brought was not enough.
 */
const heldShare = 0.25

/**
 * From the ring to the receiver, at the pace of the receiver. What is read is not yet done with: the ring is released only up
 * to the first datagram of what is neither stored nor refused, so that a kill loses nothing and the next start reads that again.
 */
export class RingAssembler {
  readonly #options: RingAssemblerOptions
  readonly #reader: SpoolReader
  readonly #stopping = new AbortController()
  /** all records before it are with the receiver */
  #position: number
  #released: number
  #releasedAt = 0
  #failing = false

  constructor(options: RingAssemblerOptions) {
    this.#options = options
    this.#reader = new SpoolReader(options.folder)
    this.#position = this.#reader.position
    this.#released = this.#position
  }

  /** Settles when it was stopped, and no earlier. */
  async run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const came = await this.#pass(signal)
      if (performance.now() - this.#releasedAt >= releaseEveryMs) this.#release()
      if (came) await nextTurn()
      else await moment(pollMs, undefined, { signal }).catch(() => {})
    }
  }

  /** What it has not passed on stays in the ring. */
  stop(): void {
    this.#stopping.abort()
  }

  /** To be called when `run` and the receiver have ended: what the receiver has finished since is released. */
  close(): void {
    this.#release()
    this.#reader.close()
  }

  status(): RingAssemblerStatus {
    return { position: this.#position, released: this.#released, brokenOctets: this.#reader.brokenOctets }
  }

  /** @returns whether there was anything */
  async #pass(signal: AbortSignal): Promise<boolean> {
    const { receiver } = this.#options
    const records = this.#reader.read()
    for (const { datagram, position, end, atMs } of records) {
      while (receiver.busy && !signal.aborted) await receiver.idle()
      if (signal.aborted) return true
      receiver.datagram(datagram, { mark: position, atMs })
      this.#position = end
    }
    return records.length > 0
  }

  #release(): void {
    this.#releasedAt = performance.now()
    const { receiver, octetsMax, log } = this.#options
    const held = receiver.heldFrom(this.#position - octetsMax * heldShare) ?? this.#position
    if (held <= this.#released) return
    try {
      this.#reader.release(held)
      this.#released = held
      this.#failing = false
    } catch (error) {
      if (!this.#failing) log.error({ event: 'position.failed', detail: (error as Error).message })
      this.#failing = true // the next tries again
    }
  }
}
