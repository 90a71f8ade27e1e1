import type { Logger } from 'pino'
import { type BatchHeader, decodeSealedBatch } from '#gateway/codec/batch.ts'
import { PeerError } from '#gateway/errors.ts'
import type { Assembled } from '#gateway/oneway/assemble.ts'
import type { Datagram } from '#gateway/oneway/datagram.ts'
import { type Gap, type GapState, GapWatch, newGaps } from '#gateway/oneway/gap-watch.ts'
import { decodeHeartbeat } from '#gateway/oneway/heartbeat.ts'
import { type LinkView, LinkWatch } from '#gateway/oneway/link-watch.ts'
import { replayCodes } from '#gateway/oneway/replay-code.ts'
import { headerDigest } from '#gateway/oneway/seal.ts'
import { kindOfToi, manifestOfToi } from '#gateway/oneway/toi.ts'
import type { KnownEpoch, LinkStore } from './link-store.ts'
import type { BatchStore } from './store.ts'
import { verifyManifest } from './verify-manifest.ts'

export interface LinkOptions {
  link: LinkStore
  store: Pick<BatchStore, 'received' | 'epochs' | 'batch'>
  /** DER */
  roots: readonly Uint8Array[]
  log: Logger
  /** milliseconds since 1970 */
  now?: () => number
}

/** A gap as the log and the status name it: times as text, and the codes for `ami gateway replay`. */
export interface NamedGap {
  from: number
  to: number
  state: GapState
  after: string | undefined
  until: string | undefined
  /** in it; at most so many where not `exact` */
  readings: number | undefined
  exact: boolean
  replay: string[]
}

export interface StreamLink extends LinkView {
  epoch: number
  /** number of the last manifest taken, 0 before the first; what it said of the stream's end */
  manifest: number
  highest: number
  /** taken since the start */
  manifests: number
  /** the first `gapsNamedMax` */
  gaps: NamedGap[]
}

export interface LinkStatus {
  /** the last accepted one is the one whose silence alarms */
  epochs: KnownEpoch[]
  streams: StreamLink[]
  /** what the disk said last, while it says so: a restart could take a former heartbeat or manifest for a new one */
  failure: string | undefined
}

interface Stream {
  watch: LinkWatch
  gapWatch: GapWatch
  manifests: number
  /** as they were when last told of */
  told: Gap[]
}

const tickMs = 1_000
/** Gaps of a stream that are named, the most. */
export const gapsNamedMax = 100

/**
 * What the receiver knows of the link besides batches: which epochs count, the sender's heartbeats and manifests, and from them
 * silence, loss, and what is missing. It is told of every authentic datagram, every manifest that came whole, every batch stored.
 */
export class LinkMonitor {
  readonly #options: LinkOptions
  readonly #now: () => number
  readonly #streams = new Map<number, Stream>()
  readonly #timer: NodeJS.Timeout
  #epochs: KnownEpoch[] = []
  /** in the order in which they were */
  #accepted: ReadonlySet<number> = new Set()
  #failure: string | undefined

  constructor(options: LinkOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    const { link, store } = options
    for (const epoch of store.epochs()) link.accept(epoch, this.#now()) // of a receiver that knew nothing of this yet
    this.#know()
    for (const epoch of this.#accepted) this.#stream(epoch)
    this.#timer = setInterval(() => this.tick(), tickMs)
    this.#timer.unref()
  }

  /**
   * Whether anything of this stream may be taken: it was accepted, or there is none yet.
   * @throws PeerError `EPOCH_UNACCEPTED`: it is announced, and dropped until an operator accepts it
   */
  admit(epoch: number): void {
    if (this.#accepted.size === 0 || this.#accepted.has(epoch)) return
    if (this.#epochs.every((one) => one.epoch !== epoch)) this.#announce(epoch)
    throw new PeerError('EPOCH_UNACCEPTED', `stream ${epoch}`)
  }

  /**
   * An authentic datagram of an admitted stream.
   * @param atMs when it came
   * @returns whether it is done with: a heartbeat, or of a manifest that is known
   * @throws PeerError `HEARTBEAT_MALFORMED`, `HEARTBEAT_REPLAYED`, `MANIFEST_REPLAYED`
   */
  datagram({ epoch, sequence, symbol, payload }: Datagram, atMs: number): boolean {
    const kind = kindOfToi(sequence)
    const stream = this.#accepted.has(epoch) ? this.#stream(epoch) : undefined
    try {
      if (kind === 'heartbeat' && stream !== undefined) this.#beat(epoch, stream, { payload, atMs })
      if (kind === 'manifest' && stream !== undefined) return isKnown(stream, manifestOfToi(sequence), symbol)
      return kind === 'heartbeat' // of a stream that nothing signed has come of, it tells nothing
    } finally {
      stream?.watch.taken()
    }
  }

  /**
   * A manifest that came whole.
   * @throws PeerError `MANIFEST_MALFORMED`, `MANIFEST_SIGNATURE`, `MANIFEST_REPLAYED`, `MANIFEST_CONTRADICTS`
   */
  async manifest({ epoch, sequence, octets }: Assembled): Promise<void> {
    const { manifest, digest } = await verifyManifest(octets, this.#options.roots, Math.floor(this.#now() / 1000))
    if (manifest.epoch !== epoch || manifest.number !== manifestOfToi(sequence)) {
      throw new PeerError('MANIFEST_CONTRADICTS', `manifest ${manifest.number} came as ${manifestOfToi(sequence)}`)
    }
    this.verified(epoch)
    const stream = this.#stream(epoch)
    const come = this.#options.store.received(epoch)
    const held = (batch: number): Uint8Array | undefined => this.#heldDigest(epoch, batch)
    stream.gapWatch.manifest(manifest, { digest, held, come, nowMs: this.#now() })
    stream.manifests++
    this.#durably(() => this.#options.link.setGapMemory(epoch, stream.gapWatch.memory))
  }

  /** Something signed of this stream has come: the first one of all is taken without a word. @throws PeerError `EPOCH_UNACCEPTED` */
  verified(epoch: number): void {
    this.admit(epoch)
    if (this.#accepted.has(epoch)) return
    this.#durably(() => {
      this.#options.link.accept(epoch, this.#now())
      this.#know()
      this.#options.log.info({ event: 'epoch.accepted', epoch })
    })
  }

  /** A batch was stored. */
  stored({ epoch, sequence, createdAtMs, readingCount: readings }: BatchHeader): void {
    this.#stream(epoch).gapWatch.stored({ sequence, createdAtMs, readings })
  }

  /** Each second: silence, what is missing, and whether an operator has accepted an epoch meanwhile. */
  tick(): void {
    this.#durably(() => this.#reload())
    const current = [...this.#accepted].at(-1)
    for (const [epoch, stream] of this.#streams) {
      this.#tellGaps(epoch, stream)
      if (epoch === current) this.#tellSilence(epoch, stream)
    }
  }

  status(): LinkStatus {
    const nowMs = this.#now()
    const streams = [...this.#streams].map(([epoch, { watch, gapWatch, manifests }]) => ({
      epoch,
      ...watch.view(nowMs),
      manifest: gapWatch.number,
      highest: gapWatch.highest,
      manifests,
      gaps: gapWatch.gaps(this.#options.store.received(epoch), nowMs, gapsNamedMax).map((gap) => named(epoch, gap)),
    }))
    return { epochs: this.#epochs, streams, failure: this.#failure }
  }

  close(): void {
    clearInterval(this.#timer)
    for (const [epoch, { gapWatch }] of this.#streams) {
      if (gapWatch.number > 0) this.#durably(() => this.#options.link.setGapMemory(epoch, gapWatch.memory))
    }
    this.#options.link.close()
  }

  #know(): void {
    this.#epochs = this.#options.link.epochs()
    this.#accepted = new Set(this.#epochs.filter(({ accepted }) => accepted).map(({ epoch }) => epoch))
  }

  #stream(epoch: number): Stream {
    const known = this.#streams.get(epoch)
    if (known !== undefined) return known
    const { link } = this.#options
    const watch = new LinkWatch(link.heartbeat(epoch), this.#now())
    const stream = { watch, gapWatch: new GapWatch(link.gapMemory(epoch)), manifests: 0, told: [] }
    this.#streams.set(epoch, stream)
    return stream
  }

  #announce(epoch: number): void {
    this.#durably(() => {
      if (!this.#options.link.announce(epoch, this.#now())) return
      this.#know()
      this.#options.log.error({
        event: 'epoch.announced',
        epoch,
        detail: `the sender has begun afresh: nothing of it is taken until \`ami mdm accept-epoch ${epoch}\``,
      })
    })
  }

  #reload(): void {
    const before = this.#accepted
    this.#know()
    for (const epoch of this.#accepted) {
      if (before.has(epoch)) continue
      this.#stream(epoch)
      this.#options.log.info({ event: 'epoch.accepted', epoch })
    }
  }

  /** What it changes is in memory alone, and its number durable before anything else is done. */
  #beat(epoch: number, { watch }: Stream, { payload, atMs }: { payload: Uint8Array; atMs: number }): void {
    const heartbeat = decodeHeartbeat(Buffer.from(payload.buffer, payload.byteOffset, payload.length))
    watch.beat(heartbeat, { atMs, nowMs: this.#now() })
    this.#durably(() => this.#options.link.setHeartbeat(epoch, watch.lastNumber))
  }

  #heldDigest(epoch: number, sequence: number): Uint8Array | undefined {
    const octets = this.#options.store.batch(epoch, sequence)
    return octets && headerDigest(decodeSealedBatch(octets).header)
  }

  #tellSilence(epoch: number, { watch }: Stream): void {
    const nowMs = this.#now()
    const change = watch.silence(nowMs)
    if (change === undefined) return
    const { log } = this.#options
    if (change === 'began') log.error({ event: 'link.silent', epoch, quietMs: watch.view(nowMs).quietMs })
    else log.info({ event: 'link.heard', epoch })
  }

  #tellGaps(epoch: number, stream: Stream): void {
    const gaps = stream.gapWatch.gaps(this.#options.store.received(epoch), this.#now(), gapsNamedMax)
    for (const gap of newGaps(stream.told, gaps)) {
      const { state, ...told } = named(epoch, gap)
      this.#options.log[state === 'suspected' ? 'warn' : 'error']({ event: `gap.${state}`, epoch, ...told })
    }
    if (stream.told.length > 0 && gaps.length === 0) this.#options.log.info({ event: 'gap.closed', epoch })
    stream.told = gaps
  }

  /** A disk that is full must stop neither batches nor the watch: it is told once, and tried again with the next. */
  #durably(act: () => void): void {
    try {
      act()
      this.#failure = undefined
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === undefined) throw error
      if (this.#failure === undefined) this.#options.log.error({ event: 'link.store-failed', code, detail: message })
      this.#failure = message
    }
  }
}

/** Symbols of a manifest that was taken are not gathered again. @throws PeerError `MANIFEST_REPLAYED` once for each older one */
function isKnown({ gapWatch }: Stream, number: number, symbol: number): boolean {
  const last = gapWatch.number
  if (number < last && symbol === 0) throw new PeerError('MANIFEST_REPLAYED', `manifest ${number}, after ${last}`)
  return number <= last
}

function named(epoch: number, { from, to, state, afterMs, untilMs, readings, exact }: Gap): NamedGap {
  const text = (ms: number | undefined): string | undefined => (ms === undefined ? ms : new Date(ms).toISOString())
  const replay = state === 'erased' ? [] : replayCodes(epoch, [[from, to]], gapsNamedMax)
  return { from, to, state, after: text(afterMs), until: text(untilMs), readings, exact, replay }
}
