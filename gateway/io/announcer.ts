import { encodeManifest, encodeSealedManifest, manifestOctetsMax } from '../codec/manifest.ts'
import { ConfigError } from '../errors.ts'
import { DatagramWriter, heartbeatShape } from '../oneway/datagram.ts'
import { type ClockQuality, encodeHeartbeat, heartbeatOctets, heartbeatSeconds } from '../oneway/heartbeat.ts'
import type { LinkKey } from '../oneway/mac.ts'
import { checkpointSequences, manifestDigest } from '../oneway/manifest.ts'
import { heartbeatToi } from '../oneway/toi.ts'
import type { Forwarder } from './forwarder.ts'
import type { Outbox } from './outbox.ts'
import { type Sender, sendingMax } from './sender.ts'
import type { Signer } from './signer.ts'

export interface AnnouncerOptions {
  outbox: Outbox
  forwarder: Pick<Forwarder, 'queue' | 'announce'>
  sender: Sender
  signer: Pick<Signer, 'sign'>
  /** of the MACs */
  key: LinkKey
  bitsPerSecond: number
  /** milliseconds between two manifests */
  manifestMs: number
  clockQuality: () => ClockQuality
}

export interface AnnouncerStatus {
  heartbeats: number
  /** not sent, for the line took nothing */
  heartbeatsSkipped: number
  manifests: number
  /** not signed: what the operator must mend holds up sealing as well, and is told there */
  manifestsFailed: number
}

/** Numbers of heartbeats that are reserved at a time: a write for an hour, and a restart skips the rest. */
const reservedAtATime = 3_600

/** Says each second that the sender is there, and every few seconds, signed, what should have come. */
export class Announcer {
  readonly #options: AnnouncerOptions
  readonly #writer: DatagramWriter
  readonly #run: number
  #number: number
  #reservedTo: number
  #timers: NodeJS.Timeout[] = []
  #work: Promise<void> = Promise.resolve()
  readonly status: AnnouncerStatus = { heartbeats: 0, heartbeatsSkipped: 0, manifests: 0, manifestsFailed: 0 }

  constructor(options: AnnouncerOptions) {
    this.#options = options
    const { outbox, key } = options
    this.#writer = new DatagramWriter({
      key,
      epoch: outbox.epoch,
      slots: sendingMax + 1,
      symbolOctets: heartbeatOctets,
    })
    this.#reservedTo = outbox.announced('heartbeat').number
    this.#number = this.#reservedTo
    this.#run = this.#number + 1
  }

  /** From now on, until `close`. */
  start(): void {
    this.beat()
    this.#timers = [
      setInterval(() => this.beat(), heartbeatSeconds * 1_000),
      setInterval(() => void this.manifest(), this.#options.manifestMs),
    ]
  }

  /** Says so for the last time. */
  async close(): Promise<void> {
    this.#timers.forEach(clearInterval)
    await this.#work
  }

  /** Sends a heartbeat beside the pace: two kilobits a second. */
  beat(): void {
    const { outbox, sender, forwarder, bitsPerSecond, clockQuality } = this.#options
    if (sender.sending >= sendingMax) {
      this.status.heartbeatsSkipped++
      return
    }
    const { sequence: highest } = outbox.head()
    const queue = forwarder.queue(highest)
    const payload = encodeHeartbeat({
      number: this.#next(),
      run: this.#run,
      clock: clockQuality(),
      utcMs: Date.now(),
      monotonicMs: performance.now(),
      highest,
      ...sender.handed,
      sendErrors: sender.faults,
      queueObjects: queue.objects,
      queueOctets: queue.octets,
      oldestUnsentMs: oldestUnsentMs(outbox, queue.oldestMs),
      bitsPerSecond,
    })
    sender.send(this.#writer.write({ sequence: heartbeatToi, shape: heartbeatShape, symbol: 0, payload }))
    this.status.heartbeats++
  }

  /** One after the other: each names the one before. */
  manifest(): Promise<void> {
    this.#work = this.#work.then(() => this.#manifest())
    return this.#work
  }

  async #manifest(): Promise<void> {
    const { outbox, forwarder, signer } = this.#options
    const last = outbox.announced('manifest')
    const [{ epoch, sequence: highest }, oldest] = [outbox.head(), outbox.oldest()]
    const { firstPassTo, lastPassTo } = forwarder.queue(highest)
    const checkpoints = outbox.checkpoints(checkpointSequences(oldest, highest))
    const stands = { oldest, highest, firstPassTo, lastPassTo, checkpoints }
    const number = last.number + 1
    const manifest = encodeManifest({ epoch, number, createdAtMs: Date.now(), previous: last.digest, ...stands })
    try {
      const octets = encodeSealedManifest({ manifest, signature: await signer.sign(manifest) })
      if (octets.length > manifestOctetsMax) throw new ConfigError(['tls.crlFile: too long for a manifest'])
      outbox.announce('manifest', number, manifestDigest(manifest))
      forwarder.announce(number, octets)
      this.status.manifests++
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      this.status.manifestsFailed++
    }
  }

  #next(): number {
    this.#number++
    if (this.#number > this.#reservedTo) {
      this.#reservedTo = this.#number + reservedAtATime - 1
      this.#options.outbox.announce('heartbeat', this.#reservedTo)
    }
    return this.#number
  }
}

/** Age of the oldest that is not sealed yet or waits for its first pass. @param queuedMs when the oldest batch was sealed */
export function oldestUnsentMs(outbox: Pick<Outbox, 'unsealed'>, queuedMs: number): number {
  const unsealed = [outbox.unsealed(false), outbox.unsealed(true)].filter(({ octets }) => octets > 0)
  const oldest = Math.min(queuedMs, ...unsealed.map(({ sinceMs }) => sinceMs))
  return oldest === Number.POSITIVE_INFINITY ? 0 : Math.max(0, Date.now() - oldest)
}
