import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from 'pino'
import { batchOctetsMax, decodeHeader, decodeSealedBatch } from '#gateway/codec/batch.ts'
import { ConfigError, PeerError, type PeerFault } from '#gateway/errors.ts'
import { type Assembled, Assembler } from '#gateway/oneway/assemble.ts'
import { DatagramReader } from '#gateway/oneway/datagram.ts'
import type { LinkKey } from '#gateway/oneway/mac.ts'
import { replayCodes } from '#gateway/oneway/replay-code.ts'
import { follows } from '#gateway/oneway/seal.ts'
import { kindOfToi } from '#gateway/oneway/toi.ts'
import { LinkMonitor, type LinkStatus } from './link.ts'
import { LinkStore } from './link-store.ts'
import { toNdjson } from './ndjson.ts'
import { BatchStore } from './store.ts'
import { type VerifiedBatch, verifyBatch } from './verify.ts'

export interface ReceiverOptions {
  host: string
  port: number
  data: string
  /** DER */
  roots: readonly Uint8Array[]
  /** of the datagrams' MACs, each with another id */
  keys: readonly LinkKey[]
  receiveBufferOctets: number
  log: Logger
  /** what has come whole cannot be stored, or not be kept in quarantine */
  onFailure: (error: Error) => void
}

export interface Receiver {
  readonly port: number
  status(): ReceiverStatus
  /** resolves when everything that has come whole is verified and stored */
  idle(): Promise<void>
  /** finishes what has come whole */
  close(): Promise<void>
}

export interface ReceiverStatus {
  datagrams: number
  /** readings of batches that came whole, whatever they turned out to be worth */
  delivered: number
  batches: number
  /** verified and stored */
  readings: number
  /** batches of passes that came again */
  repeated: number
  /** objects begun that had to make room before they were whole */
  evicted: number
  /** what was dropped or quarantined, by code */
  refused: Partial<Record<PeerFault, number>>
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
  /** epochs, heartbeats, manifests, and what is missing by them */
  link: LinkStatus
}

/** Objects begun and not whole, and the memory for them. */
const assemblerLimits = { openMax: 64, octetsMax: 64 * 1024 * 1024 }
/** Whole objects that wait to be verified, and their octets; beyond, one is left to a later pass. */
const pendingMax = 256
const pendingOctetsMax = 64 * 1024 * 1024
/** Turns that a batch waits for the socket, the most: a sender without pause must not keep us from storing. */
const emptyTurnsMax = 2_000
/** Gaps that one status names, the most. */
const gapsNamedMax = 100

export async function openReceiver(options: ReceiverOptions): Promise<Receiver> {
  const receiver = new UdpReceiver(options)
  await receiver.listen()
  return receiver
}

class UdpReceiver implements Receiver {
  readonly #options: ReceiverOptions
  readonly #socket: Socket
  readonly #store: BatchStore
  readonly #reader: DatagramReader
  readonly #link: LinkMonitor
  readonly #assembler = new Assembler(assemblerLimits)
  readonly #refused: Partial<Record<PeerFault, number>> = {}
  readonly #counts = { datagrams: 0, delivered: 0, batches: 0, readings: 0, repeated: 0 }
  #pending = 0
  #pendingOctets = 0
  #work: Promise<void> = Promise.resolve()
  #lagMs: number | undefined

  constructor(options: ReceiverOptions) {
    this.#options = options
    this.#store = new BatchStore(options.data)
    this.#reader = new DatagramReader(options.keys, batchOctetsMax)
    this.#link = new LinkMonitor({ ...options, link: new LinkStore(options.data), store: this.#store })
    this.#socket = createSocket({ type: isIPv6(options.host) ? 'udp6' : 'udp4' })
    this.#socket.on('message', (octets) => this.#take(octets))
  }

  get port(): number {
    return this.#socket.address().port
  }

  async listen(): Promise<void> {
    const { host, port, receiveBufferOctets, log } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#socket.once('error', reject)
    this.#socket.bind({ address: host, port, exclusive: true }, resolve)
    await promise.catch(({ code }: NodeJS.ErrnoException) => {
      throw new ConfigError([`zonesFile: cannot listen on ${host}, UDP port ${port} (${code})`])
    })
    this.#socket.off('error', reject)
    this.#socket.on('error', (error) => log.error({ event: 'mdm.socket', detail: error.message }))
    this.#socket.setRecvBufferSize(receiveBufferOctets)
    const got = this.#socket.getRecvBufferSize() / 2 // Linux tells twice what it gives
    if (got < receiveBufferOctets) {
      log.warn({
        event: 'mdm.buffer',
        octets: got,
        wanted: receiveBufferOctets,
        mend: `sysctl net.core.rmem_max=${receiveBufferOctets}`,
      })
    }
  }

  status(): ReceiverStatus {
    const streams = this.#store.epochs().map((epoch) => {
      const received = this.#store.received(epoch)
      const gaps = received.gaps()
      const missing = gaps.reduce((sum, [from, to]) => sum + to - from + 1, 0)
      const named = gaps.slice(0, gapsNamedMax)
      return { epoch, highest: received.highest, missing, gaps: named, replay: replayCodes(epoch, named, gapsNamedMax) }
    })
    const { evicted } = this.#assembler
    return { ...this.#counts, evicted, refused: this.#refused, streams, lagMs: this.#lagMs, link: this.#link.status() }
  }

  idle(): Promise<void> {
    return this.#work
  }

  async close(): Promise<void> {
    this.#socket.close()
    await this.#work
    this.#link.close()
  }

  #take(octets: Buffer): void {
    this.#counts.datagrams++
    try {
      const datagram = this.#reader.read(octets)
      this.#link.admit(datagram.epoch)
      if (this.#link.datagram(datagram, Date.now())) return
      if (this.#store.received(datagram.epoch).has(datagram.sequence)) {
        if (datagram.symbol === 0) this.#counts.repeated++
        return
      }
      const whole = this.#assembler.take(datagram)
      if (whole === undefined) return
      if (this.#pending >= pendingMax || this.#pendingOctets + whole.octets.length > pendingOctetsMax) {
        this.#assembler.settled(whole)
        return
      }
      this.#pending++
      this.#pendingOctets += whole.octets.length
      this.#work = this.#work.then(() => this.#finish(whole)).catch(this.#options.onFailure)
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#count(error.code)
    }
  }

  /** One object after the other, in the order in which they became whole. */
  async #finish(whole: Assembled): Promise<void> {
    const { epoch, sequence, octets } = whole
    await this.#socketEmpty()
    try {
      this.#link.admit(epoch)
      if (kindOfToi(sequence) === 'manifest') return await this.#link.manifest(whole)
      if (this.#store.received(epoch).has(sequence)) return
      this.#counts.delivered += claimedReadings(octets)
      const batch = await this.#verify(octets)
      this.#checkPlace(whole, batch)
      this.#link.verified(epoch)
      this.#store.put({ epoch, sequence, octets, ndjson: toNdjson(sequence, batch.series) })
      this.#link.stored(batch.header)
      this.#counts.batches++
      this.#counts.readings += batch.header.readingCount
      this.#lagMs = Date.now() - batch.header.createdAtMs
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#count(error.code)
      this.#store.quarantine({ epoch, sequence, code: error.code, octets })
      this.#options.log.error({
        event: 'batch.refused',
        epoch,
        sequence,
        code: error.code,
        detail: error.message,
        cause: error.cause,
      })
    } finally {
      this.#assembler.settled(whole)
      this.#pending--
      this.#pendingOctets -= octets.length
    }
  }

  /**
   * Verifying and storing take a while, in which nothing is read: what has come into the kernel's buffer goes first. A turn
   * of the event loop reads a few dozen datagrams; one that brings none says that the buffer is empty.
   */
  async #socketEmpty(): Promise<void> {
    for (let turn = 0, before = -1; turn < emptyTurnsMax && before !== this.#counts.datagrams; turn++) {
      before = this.#counts.datagrams
      await nextTurn()
    }
  }

  /** An exception where a fault was due is ours: the octets are kept, the operator is told, and the next batch is taken. */
  async #verify(octets: Buffer): Promise<VerifiedBatch> {
    try {
      return await verifyBatch(octets, this.#options.roots, Math.floor(Date.now() / 1000))
    } catch (cause) {
      if (cause instanceof PeerError) throw cause
      throw new PeerError('UNHANDLED', (cause as Error).message, { cause })
    }
  }

  /** A signed batch must be the one that its datagrams said, and stand in its chain where both neighbours are known. */
  #checkPlace({ epoch, sequence }: Assembled, { header, batch }: VerifiedBatch): void {
    if (header.epoch !== epoch || header.sequence !== sequence) {
      throw new PeerError('BATCH_CHAIN', `batch ${header.sequence} came as ${sequence}`)
    }
    const [before, after] = [this.#headerOf(epoch, sequence - 1), this.#headerOf(epoch, sequence + 1)]
    if (before !== undefined && !follows(header, before)) {
      throw new PeerError('BATCH_CHAIN', `batch ${sequence} does not follow ${sequence - 1}`)
    }
    if (after !== undefined && !follows(decodeHeader(after), batch.header)) {
      throw new PeerError('BATCH_CHAIN', `batch ${sequence + 1} does not follow ${sequence}`)
    }
  }

  #headerOf(epoch: number, sequence: number): Uint8Array | undefined {
    const octets = this.#store.received(epoch).has(sequence) ? this.#store.batch(epoch, sequence) : undefined
    return octets && decodeSealedBatch(octets).header
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
