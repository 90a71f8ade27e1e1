import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { batchOctetsMax, encodeSealedBatch } from './codec/batch.ts'
import { Commands } from './commands.ts'
import { Dialects } from './dialects.ts'
import { ConfigError, type PeerFault } from './errors.ts'
import { intake } from './intake.ts'
import { Announcer, oldestUnsentMs } from './io/announcer.ts'
import { Carriers, carrierOf } from './io/carriers.ts'
import { type Clock, openClock } from './io/clock.ts'
import { openClockQuality } from './io/clock-quality.ts'
import { type Enveloper, noEnvelope, openEnveloper } from './io/enveloper.ts'
import { Forwarder } from './io/forwarder.ts'
import { JournalReader } from './io/journal-reader.ts'
import { readKek, readLinkKey } from './io/keys.ts'
import { openLedger, type SqliteLedger } from './io/ledger.ts'
import { batchLeafOctetsMax } from './io/outbox.ts'
import { Releaser } from './io/release.ts'
import { openSender, type Sender } from './io/sender.ts'
import { openSigner, type Signer } from './io/signer.ts'
import { headerDigest, isSealDue, nextHeader } from './oneway/seal.ts'
import type { FromPipeline, LinkStatus, PipelineOptions, ToPipeline } from './pipeline-messages.ts'
import { secondsPerDay } from './readings/meter-day.ts'
import { replay } from './replay.ts'

const statusIntervalMs = 500
const sealTickMsMin = 10
const sealTickMsMax = 100
const releaseBudgetMs = 20
/** Erasing keeps up with 86 million rows a day, in slices too short to be felt. */
const retentionIntervalMs = 5_000
const erasedRowsMax = 5_000

/**
 * The second thread: everything behind the journal. It reads the journal in order, commits to the ledger, seals, forwards
 * and closes days, while the first thread does TLS, MQTT and the journal. Between them go positions, counts, and an operator's
 * commands on their way to a meter; all state is in files, so that killing the process at any moment loses nothing but the
 * commands that were under way, which nobody waits for any more.
 */
class Pipeline {
  readonly #options: PipelineOptions
  readonly #port: MessagePort
  readonly #ledger: SqliteLedger
  readonly #reader: JournalReader
  readonly #releaser: Releaser
  readonly #sender: Sender
  readonly #forwarder: Forwarder
  readonly #carriers: Carriers
  readonly #announcer: Announcer
  readonly #signer: Signer
  readonly #enveloper: Enveloper
  readonly #clock: Clock
  readonly #commands: Commands
  readonly #counts = {
    opened: 0,
    fresh: 0,
    revised: 0,
    repeated: 0,
    repeatedUplinks: 0,
    heartbeats: 0,
  }
  readonly #quarantinedBy: Partial<Record<PeerFault, number>> = {}
  readonly #dialects = new Dialects()
  #durable: number
  #draining = false
  #wake: (() => void) | undefined
  #sealing: Promise<void> = Promise.resolve()
  #sealingFault: string | undefined
  #sealsWaiting = 0

  constructor(
    options: PipelineOptions,
    port: MessagePort,
    { signer, enveloper }: { signer: Signer; enveloper: Enveloper },
  ) {
    this.#options = options
    this.#port = port
    this.#signer = signer
    this.#enveloper = enveloper
    this.#durable = options.durable
    this.#clock = openClock(options.clock)
    this.#ledger = openLedger(join(options.data, 'ledger.sqlite'), readKek(options.kekFile))
    this.#reader = new JournalReader(join(options.data, 'journal'), this.#ledger.position)
    const { graceSeconds } = options
    this.#releaser = new Releaser({
      ledger: this.#ledger.database,
      file: join(options.data, 'released.sqlite'),
      graceSeconds,
    })
    this.#commands = new Commands({
      registry: this.#ledger.registry,
      store: this.#ledger.commands,
      own: this.#ledger.clientTitle,
      publish: (downlink) => this.#send({ kind: 'publish', ...downlink }),
      answer: (id, answer) => this.#send({ kind: 'answer', id, answer }),
      unhandled: ({ stack }) => this.#send({ kind: 'unhandled', stack: stack ?? '' }),
    })
    const { host, port: to, from, ...forward } = options.forward
    this.#sender = openSender({ host, port: to, from })
    const link = { outbox: this.#ledger.outbox, sender: this.#sender, key: readLinkKey(options.linkKey), ...forward }
    this.#forwarder = new Forwarder(link)
    const clockQuality = openClockQuality(() => ({ utcMs: Date.now(), monotonicMs: performance.now() }))
    this.#announcer = new Announcer({ ...link, forwarder: this.#forwarder, signer, clockQuality })
    this.#carriers = this.#openCarriers()
    port.on('message', (message: ToPipeline) => this.#tell(message))
  }

  #openCarriers(): Carriers {
    const { carriers, forward, retention, linkKey } = this.#options
    const { bitsPerSecond } = forward
    const keepMs = retention.replayDays * secondsPerDay * 1000
    return new Carriers({
      carriers: carriers.map((one) => carrierOf(one, { bitsPerSecond, keepMs })),
      database: this.#ledger.database,
      outbox: this.#ledger.outbox,
      key: readLinkKey(linkKey),
      onHeld: (carrier, fault) => this.#send({ kind: 'carrier', carrier, fault }),
    })
  }

  async run(): Promise<void> {
    const timers = [
      setInterval(() => this.#sealWhatIsDue(), this.#sealTickMs()),
      setInterval(() => this.#report('status'), statusIntervalMs),
      setInterval(() => this.#releaser.step(this.#clock() / 1000, releaseBudgetMs), releaseBudgetMs * 5),
      setInterval(() => this.#retain(), retentionIntervalMs),
    ]
    this.#announcer.start()
    await this.#consume()
    this.#commands.end()
    await this.#seal(true)
    await this.#seal(false)
    await Promise.all([this.#forwarder.drain(), this.#carriers.drain()])
    await this.#announcer.manifest() // the last word: all has been sent, up to here
    await this.#forwarder.drain()
    while (!this.#releaser.step(this.#clock() / 1000, 1_000)) await nextTurn()
    timers.forEach(clearInterval)
    await this.#announcer.close()
    this.#forwarder.close()
    this.#report('drained')
    await this.#sender.close()
    this.#releaser.close()
    this.#reader.close()
    this.#ledger.close()
    this.#port.close()
  }

  #tell(message: ToPipeline): void {
    if (message.kind === 'ask') this.#commands.ask(message.id, message.request)
    else if (message.kind === 'replay') {
      const answer = replay(message.lacking, this.#ledger.outbox, this.#forwarder, this.#carriers)
      this.#send({ kind: 'replayed', id: message.id, answer })
    } else if (message.kind === 'cancel') this.#commands.cancel(message.id)
    else if (message.kind === 'undeliverable') this.#commands.undeliverable(message.commandId)
    else {
      this.#durable = message.position
      if (message.kind === 'drain') this.#draining = true
      this.#wake?.()
    }
  }

  /** The journal, stretch by stretch, until it is drained. */
  async #consume(): Promise<void> {
    for (;;) {
      const records = this.#reader.read(this.#durable)
      if (records.length === 0) {
        if (this.#draining) return
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      const taken = intake(records, this.#ledger, Math.floor(this.#clock() / 1000), (...result) =>
        this.#commands.refusal(...result),
      )
      const applied = this.#ledger.commit(taken.effects)
      this.#counts.opened += taken.readings
      this.#counts.repeatedUplinks += taken.repeatedUplinks
      this.#counts.heartbeats += taken.heartbeats
      this.#counts.fresh += applied.fresh
      this.#counts.revised += applied.revised
      this.#counts.repeated += applied.repeated
      for (const result of taken.commandResults) this.#commands.take(result)
      for (const { code, concentrator, detail } of taken.effects.quarantine) {
        this.#quarantinedBy[code] = (this.#quarantinedBy[code] ?? 0) + 1
        if (code === 'COMMAND_UNKNOWN') this.#send({ kind: 'result-refused', concentrator, detail })
      }
      for (const one of this.#dialects.note(taken.dialects)) this.#send({ kind: 'dialect', ...one })
      for (const { stack } of taken.unhandled) this.#send({ kind: 'unhandled', stack: stack ?? '' })
      await nextTurn() // sending and sealing have their turn
    }
  }

  /** Often enough that nothing waits much longer than it may. */
  #sealTickMs(): number {
    const { intervalMs, urgentMs } = this.#options.seal
    return Math.min(sealTickMsMax, Math.max(sealTickMsMin, Math.min(intervalMs, urgentMs) / 4))
  }

  #sealWhatIsDue(): void {
    const { intervalMs, urgentMs } = this.#options.seal
    const isDue = (urgent: boolean): boolean => {
      const limits = { octets: batchLeafOctetsMax, waitMs: urgent ? urgentMs : intervalMs }
      return isSealDue(this.#ledger.outbox.unsealed(urgent), limits, Date.now())
    }
    if (this.#sealsWaiting > 0) return
    for (const urgent of [true, false]) if (isDue(urgent)) void this.#seal(urgent)
  }

  /** One at a time: each header names the one before. */
  #seal(urgent: boolean): Promise<void> {
    this.#sealsWaiting++
    this.#sealing = this.#sealing.then(() => this.#trySeal(urgent)).finally(() => this.#sealsWaiting--)
    return this.#sealing
  }

  /**
   * What the operator must mend (a CRL that has run out, say) holds up sealing and nothing else: readings go on being
   * acknowledged and wait in the outbox.
   */
  async #trySeal(urgent: boolean): Promise<void> {
    let fault: string | undefined
    try {
      await this.#sealAll(urgent)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      fault = error.message
    }
    if (fault !== this.#sealingFault) this.#send({ kind: 'sealing', fault })
    this.#sealingFault = fault
  }

  async #sealAll(urgent: boolean): Promise<void> {
    const { outbox } = this.#ledger
    // What comes while this batch is signed waits for the next time, so that a busy hour makes full batches and not many.
    for (
      let waiting = outbox.sealable(urgent);
      waiting !== undefined;
      waiting = waiting.full ? outbox.sealable(urgent) : undefined
    ) {
      const sealedAtMs = Date.now()
      const head = outbox.head()
      const { leaves: series, readings } = waiting
      const header = nextHeader(head, { series, readingCount: readings, createdAtMs: sealedAtMs })
      const signature = await this.#signer.sign(header)
      const sequence = head.sequence + 1
      const octets = await this.#enveloper.wrap(encodeSealedBatch({ header, signature, series }))
      if (octets.length > batchOctetsMax) {
        throw new ConfigError([
          `tls.crlFile: too long: a batch with it has ${octets.length} octets, limit ${batchOctetsMax}`,
        ])
      }
      outbox.seal(waiting, { sequence, digest: headerDigest(header), sealedAtMs, octets })
      const sealed = { sequence, sealedAtMs, passesDone: 0, octets: octets.length, ...(urgent ? { urgent } : {}) }
      this.#forwarder.add(sealed)
      this.#carriers.add(sealed)
    }
  }

  /** What is forwarded and closed is erased when its time is over. */
  #retain(): void {
    const { replayDays, readingDays } = this.#options.retention
    const dayMs = secondsPerDay * 1000
    this.#carriers.erase(Date.now() - replayDays * dayMs, this.#options.forward.passesAfterMs.length)
    const oldest = Math.floor(this.#clock() / dayMs) - readingDays
    this.#ledger.eraseDays(oldest, erasedRowsMax)
  }

  #linkStatus(): LinkStatus {
    const { sequence } = this.#ledger.outbox.head()
    const { objects, octets, oldestMs, firstPassTo, lastPassTo } = this.#forwarder.queue(sequence)
    const { handed, faults } = this.#sender
    return {
      sentDatagrams: handed.datagrams,
      sentOctets: handed.octets,
      sendErrors: faults,
      queueObjects: objects,
      queueOctets: octets,
      oldestUnsentMs: oldestUnsentMs(this.#ledger.outbox, oldestMs),
      firstPassTo,
      lastPassTo,
      carouselObjects: this.#forwarder.carouselObjects,
      carouselRounds: this.#forwarder.carouselRounds,
      ...this.#announcer.status,
    }
  }

  #report(kind: 'status' | 'drained'): void {
    this.#send({
      kind,
      status: {
        ...this.#counts,
        commands: this.#commands.status,
        ...this.#ledger.totals(),
        position: this.#ledger.position,
        quarantinedBy: this.#quarantinedBy,
        dialects: this.#dialects.counts(),
        batchesSealed: this.#ledger.outbox.head().sequence,
        batchesForwarded: this.#forwarder.delivered,
        batchesWaiting: this.#forwarder.waiting,
        carriers: this.#carriers.status,
        datagrams: this.#sender.sent,
        datagramFaults: this.#sender.faults,
        link: this.#linkStatus(),
        cells: this.#releaser.counts(),
      },
    })
  }

  #send(message: FromPipeline): void {
    this.#port.postMessage(message)
  }
}

const options = workerData as PipelineOptions
const signer = await openSigner(options.sealer)
const enveloper = options.envelope === undefined ? noEnvelope : await openEnveloper(options.envelope)
await new Pipeline(options, parentPort!, { signer, enveloper }).run()
