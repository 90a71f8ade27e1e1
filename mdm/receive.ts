import type { Logger } from 'pino'
import { batchOctetsMax, decodeHeader, decodeSealedBatch } from '#gateway/codec/batch.ts'
import { answerTo, PeerError, type PeerFault } from '#gateway/errors.ts'
import { type Assembled, Assembler, type AssemblerLimits } from '#gateway/oneway/assemble.ts'
import { DatagramReader } from '#gateway/oneway/datagram.ts'
import type { Bundle } from '#gateway/oneway/frame.ts'
import type { LinkKey } from '#gateway/oneway/mac.ts'
import { encodeReplayCode, replayCodes } from '#gateway/oneway/replay-code.ts'
import { kindOfToi } from '#gateway/oneway/toi.ts'
import type { EnvelopeKey } from '#pki/verify.ts'
import { withoutEnvelope } from './envelope.ts'
import type { Outcome as IntakeOutcome } from './intake.ts'
import type { LinkMonitor, LinkStatus } from './link.ts'
import { Patience } from './patience.ts'
import { checkPlace } from './place.ts'
import { keptBatch } from './sinks/sink.ts'
import type { BatchStore } from './store.ts'
import { type VerifiedBatch, verifyBatch } from './verify.ts'

export interface ReceiverOptions {
  store: BatchStore
  /** DER */
  roots: readonly Uint8Array[]
  /** of the datagrams' MACs, each with another id */
  keys: readonly LinkKey[]
  /** what envelopes are opened with; none: an envelope is refused */
  envelopeKeys?: readonly EnvelopeKey[]
  /** which epochs count, heartbeats and manifests; without: every epoch counts, and what speaks of the link is no batch */
  link?: LinkMonitor
  log: Logger
  /** an exception of ours: nothing that is not stored is passed over, and the process should end */
  onFailure: (error: Error) => void
  /** what takes datagrams apart, and what judges whole objects; other ones only for a test that takes a check away */
  checks?: Partial<Checks>
}

export interface Checks {
  datagram: Pick<DatagramReader, 'read'>
  verify: typeof verifyBatch
  place: typeof checkPlace
}

/** What became of a whole object: `left` when the receiver was closed before a failing store took it. */
export type Outcome = IntakeOutcome | 'left'

export interface ReceiverStatus {
  datagrams: number
  /** readings of batches that came whole, whatever they turned out to be worth */
  delivered: number
  batches: number
  /** verified and stored */
  readings: number
  /** batches of passes that came again */
  repeated: number
  /** objects begun and not whole, and the octets that they have room for */
  open: { objects: number; octets: number }
  /** objects begun that had to make room before they were whole */
  evicted: number
  /** what was dropped or quarantined, by code */
  refused: Partial<Record<PeerFault, number>>
  /** objects that did not verify and whose like has not come since, the last `quarantineNamedMax` of them */
  quarantine: { epoch: number; sequence: number; code: PeerFault; replay: string }[]
  /** what the disk said last, while it says so: nothing is lost, everything waits */
  storeFailure: string | undefined
  /** of each stream: highest sequence, how many are missing below it, and the first hundred ranges of them */
  streams: {
    epoch: number
    highest: number
    missing: number
    /** the first `gapsNamedMax` */
    gaps: [number, number][]
    /** codes for `ami gateway replay`, in the order of the gaps */
    replay: string[]
  }[]
  /** of the last batch: from sealed to stored */
  lagMs: number | undefined
  /** when the last datagram came that was authentic and within bounds, ms since 1970 */
  lastMs: number | undefined
  /** epochs, heartbeats, manifests, and what is missing by them */
  link: LinkStatus | undefined
}

/** Objects begun and not whole, and the octets of symbols that they have room for. */
export const openLimits: AssemblerLimits = { openMax: 64, octetsMax: 16 * 1024 * 1024 }
/** Whole objects that wait to be verified, and their octets, at which whoever feeds the receiver should wait. */
const pendingMax = 64
const pendingOctetsMax = 8 * 1024 * 1024
/** Gaps that one status names, the most, and objects in quarantine. */
const gapsNamedMax = 100
const quarantineNamedMax = 20
/** Exceptions of ours that are told with their datagram, the most. */
const unhandledToldMax = 10

/**
 * From datagrams, or whole objects of another carrier, to stored batches. The order of checks: MAC, bounds (`DatagramReader`),
 * replay guard (`store`), forward error correction (`Assembler`), signature, chain and revocation, form and root
 * (`verifyBatch`), its place in the chain (`checkPlace`), durable commit (`store`). It has no socket and no clock but the
 * wall's: whoever feeds it waits for `idle` while it is `busy`.
 */
export class Receiver {
  readonly #options: ReceiverOptions
  readonly #checks: Checks
  readonly #assembler = new Assembler(openLimits)
  readonly #refused: Partial<Record<PeerFault, number>> = {}
  readonly #counts = { datagrams: 0, delivered: 0, batches: 0, readings: 0, repeated: 0 }
  readonly #quarantine = new Map<string, ReceiverStatus['quarantine'][number]>()
  readonly #patience: Patience
  #pending = 0
  #pendingOctets = 0
  #work: Promise<unknown> = Promise.resolve()
  #lagMs: number | undefined
  #lastMs: number | undefined

  constructor(options: ReceiverOptions) {
    this.#options = options
    this.#patience = new Patience(options.log)
    this.#checks = {
      datagram: new DatagramReader(options.keys, batchOctetsMax),
      verify: verifyBatch,
      place: checkPlace,
      ...options.checks,
    }
  }

  /** So much waits to be verified and stored that no more should come. */
  get busy(): boolean {
    return this.#pending >= pendingMax || this.#pendingOctets >= pendingOctetsMax
  }

  /**
   * Takes a datagram of any worth; what is refused is counted by its code.
   * @param octets written to for a moment, copied where kept @param mark its place in the ring; see `heldFrom`
   * @param atMs when it came, ms since 1970
   */
  datagram(octets: Buffer, { mark, atMs }: { mark: number; atMs: number }): void {
    this.#counts.datagrams++
    try {
      const datagram = this.#checks.datagram.read(octets)
      this.#lastMs = atMs
      const { link } = this.#options
      link?.admit(datagram.epoch)
      if (link?.datagram(datagram, atMs) === true) return
      if (this.#options.store.received(datagram.epoch).has(datagram.sequence)) {
        if (datagram.symbol === 0) this.#counts.repeated++
        return
      }
      const whole = this.#assembler.take(datagram, mark)
      if (whole !== undefined) this.#queue(whole, () => this.#assembler.settled(whole))
    } catch (error) {
      if (!(error instanceof PeerError)) this.#tellUnhandled(error as Error, octets)
      this.#count(error instanceof PeerError ? error.code : 'UNHANDLED')
    }
  }

  /** Takes a whole object that another carrier brought. Nothing about it is believed. @returns when it is durable, or refused */
  object(whole: Assembled): Promise<Outcome> {
    if (whole.octets.length > batchOctetsMax) {
      this.#count('DATAGRAM_LIMIT')
      return Promise.resolve('DATAGRAM_LIMIT')
    }
    return this.#queue(whole, () => {})
  }

  /** As `object`, for an intake, which keeps what is not taken. @throws Error when the receiver was closed before */
  async take(bundle: Bundle): Promise<IntakeOutcome> {
    const outcome = await this.object(bundle)
    if (outcome === 'left') throw new Error('the receiver ends, and its store fails')
    return outcome
  }

  /** The mark from which all that is not settled can be had again; objects that were begun before `since` are given up. */
  heldFrom(since: number): number | undefined {
    return this.#assembler.oldestMark(since)
  }

  status(): ReceiverStatus {
    const { evicted, openCount, octets } = this.#assembler
    return {
      ...this.#counts,
      open: { objects: openCount, octets },
      evicted,
      refused: this.#refused,
      quarantine: [...this.#quarantine.values()].slice(-quarantineNamedMax),
      storeFailure: this.#patience.failure,
      streams: this.#streams(),
      lagMs: this.#lagMs,
      lastMs: this.#lastMs,
      link: this.#options.link?.status(),
    }
  }

  /** resolves when everything that has come whole is verified and stored */
  async idle(): Promise<void> {
    await this.#work
  }

  /** Finishes what has come whole, unless the store fails: that is left for the next start. */
  async close(): Promise<void> {
    this.#patience.end()
    await this.#work
  }

  #streams(): ReceiverStatus['streams'] {
    return this.#options.store.epochs().map((epoch) => {
      const received = this.#options.store.received(epoch)
      const gaps = received.gaps()
      const missing = gaps.reduce((sum, [from, to]) => sum + to - from + 1, 0)
      const named = gaps.slice(0, gapsNamedMax)
      return { epoch, highest: received.highest, missing, gaps: named, replay: replayCodes(epoch, named, gapsNamedMax) }
    })
  }

  /** One object after the other, in the order in which they became whole. */
  #queue(whole: Assembled, settle: () => void): Promise<Outcome> {
    this.#pending++
    this.#pendingOctets += whole.octets.length
    const outcome = this.#work.then(async () => {
      const outcome = await this.#finish(whole)
      if (outcome !== 'left') settle()
      this.#pending--
      this.#pendingOctets -= whole.octets.length
      return outcome
    })
    this.#work = outcome.catch(this.#options.onFailure)
    return outcome
  }

  async #finish(whole: Assembled): Promise<Outcome> {
    const { epoch, sequence } = whole
    const { store, link, envelopeKeys = [] } = this.#options
    try {
      link?.admit(epoch)
      if (kindOfToi(sequence) === 'manifest') return await this.#manifest(whole)
      const octets = withoutEnvelope(whole.octets, envelopeKeys)
      const held = store.received(epoch).has(sequence)
      if (held && (store.batch(epoch, sequence)?.equals(octets) ?? true)) return this.#repeated()
      this.#counts.delivered += held ? 0 : claimedReadings(octets)
      const batch = await this.#verify(octets)
      if (held) return this.#sameAs(whole, batch)
      this.#checks.place(whole, batch, store)
      return await this.#patience.with<Outcome>(() => {
        link?.verified(epoch)
        store.put(keptBatch(batch, octets))
        link?.stored(batch.header)
        this.#stored(whole, batch)
        return 'stored'
      })
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      return this.#refuse(whole, error)
    }
  }

  /** What the sender says of its stream: it is taken in, and is no batch. @throws PeerError `MANIFEST_…` */
  async #manifest(whole: Assembled): Promise<Outcome> {
    await this.#options.link?.manifest(whole)
    return 'stored'
  }

  #repeated(): Outcome {
    this.#counts.repeated++
    return 'repeated'
  }

  /** What is held was verified, and so is this: one sealer must not have signed two batches of one number. */
  #sameAs({ epoch, sequence }: Assembled, { batch, header }: VerifiedBatch): Outcome {
    const held = this.#options.store.batch(epoch, sequence)
    const isOfPlace = header.epoch === epoch && header.sequence === sequence
    if (!isOfPlace) throw new PeerError('BATCH_CHAIN', `batch ${header.sequence} came as ${sequence}`)
    if (held === undefined || Buffer.from(decodeSealedBatch(held).header).equals(batch.header)) return this.#repeated()
    throw new PeerError('BATCH_CONTRADICTS', `another batch ${sequence} is held`)
  }

  #stored({ epoch, sequence }: Assembled, { header }: VerifiedBatch): void {
    this.#counts.batches++
    this.#counts.readings += header.readingCount
    this.#lagMs = Date.now() - header.createdAtMs
    this.#quarantine.delete(`${epoch}/${sequence}`)
  }

  /** The object is kept whole, and named until its like has come. */
  async #refuse({ epoch, sequence, octets }: Assembled, { code, message, cause }: PeerError): Promise<Outcome> {
    const { log, store } = this.#options
    if (answerTo[code] === 'drop') {
      this.#count(code)
      return code
    }
    const outcome = await this.#patience.with<Outcome>(() => {
      store.quarantine({ epoch, sequence, code, octets })
      return code
    })
    if (outcome === 'left') return outcome
    this.#count(code)
    if (kindOfToi(sequence) !== 'batch') {
      log.error({ event: 'manifest.refused', epoch, code, detail: message, cause })
      return code
    }
    const name = `${epoch}/${sequence}`
    this.#quarantine.delete(name)
    const replay = encodeReplayCode({ epoch, from: sequence, to: sequence })
    this.#quarantine.set(name, { epoch, sequence, code, replay })
    if (this.#quarantine.size > quarantineNamedMax) this.#quarantine.delete(this.#quarantine.keys().next().value!)
    log.error({ event: 'batch.refused', epoch, sequence, code, detail: message, cause, replay })
    return outcome
  }

  /** An exception where a fault was due is ours: the octets are kept, the operator is told, and the next batch is taken. */
  async #verify(octets: Buffer): Promise<VerifiedBatch> {
    try {
      return await this.#checks.verify(octets, this.#options.roots, Math.floor(Date.now() / 1000))
    } catch (cause) {
      if (cause instanceof PeerError) throw cause
      throw new PeerError('UNHANDLED', (cause as Error).message, { cause })
    }
  }

  /** One datagram must not stop everyone's: with its octets in the log, the next is taken. */
  #tellUnhandled({ message, stack }: Error, octets: Buffer): void {
    if ((this.#refused.UNHANDLED ?? 0) >= unhandledToldMax) return
    this.#options.log.error({ event: 'datagram.unhandled', detail: message, stack, octets: octets.toString('hex') })
  }

  #count(code: PeerFault): void {
    this.#refused[code] = (this.#refused[code] ?? 0) + 1
  }
}

/** What a whole object says of itself before anything of it is believed. */
function claimedReadings(octets: Buffer): number {
  try {
    return decodeHeader(decodeSealedBatch(octets).header).readingCount
  } catch (error) {
    if (error instanceof PeerError) return 0
    throw error
  }
}
