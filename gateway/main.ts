import { mkdirSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Logger } from 'pino'
import { addressOf, conduit, loopback, parseZones, type Zones } from '#dmz-config/zones.ts'
import { certificatesFromPem, stapleOf } from '#pki/verify.ts'
import {
  controlName,
  parseLine,
  parseReadRequest,
  type ReadAnswer,
  type ReadRequest,
  refusal,
} from './command-request.ts'
import { type GatewayConfig, parseGatewayConfig } from './config.ts'
import { ConfigError } from './errors.ts'
import { type Broker, openBroker } from './io/broker.ts'
import { type Control, openControl } from './io/control.ts'
import { holdFolder } from './io/database.ts'
import { type EnvelopeFiles, openEnveloper } from './io/enveloper.ts'
import { type Journal, openJournal } from './io/journal.ts'
import { JournalCorrupt, JournalFailed } from './io/journal-record.ts'
import { readKek, readLinkKey, readPublic, readSecret } from './io/keys.ts'
import { openLedger } from './io/ledger.ts'
import { type MetricsListener, openMetrics } from './io/metrics.ts'
import { openRevocation, type Revocation } from './io/revocation.ts'
import { openRevocationFeed } from './io/revocation-feed.ts'
import { openSigner } from './io/signer.ts'
import { gatewayMetrics, type Metrics } from './metrics.ts'
import type { PipelineOptions } from './pipeline-messages.ts'
import { PipelineThread } from './pipeline-thread.ts'
import { parseReplay, type ReplayAnswer, replayRefusal } from './replay.ts'

export interface Gateway {
  /** where concentrators connect */
  readonly port: number
  /** settles when it has ended: 0 after `stop`, another code when it had to give up */
  readonly ended: Promise<number>
  /** takes no more, brings what is acknowledged to the MDM's link, and ends */
  stop(): void
}

const statusIntervalMs = 1_000
/** Certificates run out; that need not be noticed at once. */
const cutIntervalMs = 60_000
/** The journal is released in whole segments, so asking seldom costs nothing. */
const releaseIntervalMs = 5_000

/**
 * Starts the gateway by its configuration file.
 * @throws ConfigError with everything wrong in it
 */
export async function startGateway(configFile: string, log: Logger): Promise<Gateway> {
  const config = parseGatewayConfig(
    readPublic('configuration', configFile).toString('utf8'),
    dirname(resolve(configFile)),
  )
  const drawn = parseZones(readPublic('zonesFile', config.zonesFile).toString('utf8'))
  const zones = config.loopback === undefined ? drawn : loopback(drawn, config.loopback)
  const lock = hold(config.data)
  const journal = openJournal(join(config.data, 'journal'))
  checkLedger(config, journal)
  readLinkKey(config.linkKey)
  const envelope = envelopeFiles(config)
  if (envelope !== undefined) await openEnveloper(envelope)
  await openSigner({ ...config.sealer, crlFile: config.tls.crlFile }) // their faults are the operator's, and told before anyone connects
  const pipeline = new PipelineThread(pipelineOptions(config, zones, journal.durable), log)
  try {
    return await openGateway({ config, zones, log, journal, pipeline, lock })
  } catch (error) {
    await pipeline.abandon() // a thread left behind would keep the process from ending
    await journal.close()
    lock.close()
    throw error
  }
}

async function openGateway({ config, zones, log, journal, pipeline, lock }: Opened): Promise<Gateway> {
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<Error>((resolve) => (fail = resolve))
  let broker: Broker | undefined
  const revocation = await openRevocationOf(config, log, {
    all: () => broker?.cut(),
    some: (serials) => broker?.cutRevoked(serials),
  })
  broker = await openFrontDoor({
    config,
    zones,
    log,
    revocation,
    journal: watched(journal, pipeline),
    onFailure: fail,
  }).catch((error) => {
    revocation.close()
    throw error
  })
  const listening = broker
  pipeline.onPublish = ({ concentrator, octets }) => listening.command(concentrator, octets)
  const control = await openControlOf(config, log, pipeline).catch(async (error) => {
    revocation.close()
    await listening.close()
    throw error
  })
  const metrics = await openMetricsOf(config, log, () =>
    gatewayMetrics({ broker: listening.status(), pipeline: pipeline.status, durable: journal.durable }),
  ).catch(async (error) => {
    revocation.close()
    await control.close()
    await listening.close()
    throw error
  })
  log.info({ event: 'gateway.listening', port: broker.port })
  const stop = Promise.withResolvers<void>()
  return {
    port: broker.port,
    stop: stop.resolve,
    ended: live({ broker, control, journal, pipeline, revocation, log, stop: stop.promise, failed }).finally(
      async () => {
        await metrics?.close() // last, so that a drain can be watched
        lock.close()
      },
    ),
  }
}

/** From the PKI's feed where there is one, else from the CRL file. */
async function openRevocationOf(
  { tls: { crlFile, feedSocket, trustFile } }: GatewayConfig,
  log: Logger,
  cut: { all: () => void; some: (serials: readonly string[]) => void },
): Promise<Revocation> {
  if (feedSocket === undefined) return openRevocation({ file: crlFile, log, onChange: cut.all })
  const authorities = readPublic('tls.trustFile', trustFile).toString('latin1')
  return openRevocationFeed({ path: feedSocket, authorities, log, onRevoked: cut.some })
}

interface Opened {
  config: GatewayConfig
  zones: Zones
  log: Logger
  journal: Journal
  pipeline: PipelineThread
  lock: DatabaseSync
}

interface Parts {
  broker: Broker
  control: Control
  journal: Journal
  pipeline: PipelineThread
  revocation: Revocation
  log: Logger
  stop: Promise<void>
  failed: Promise<Error>
}

/** Until `stop`, then the end in order: nobody new, journal to its end, everything sealed and sent. */
async function live({ broker, control, journal, pipeline, revocation, log, stop, failed }: Parts): Promise<number> {
  const report = (): void =>
    log.info({ event: 'gateway.status', ...broker.status(), ...pipeline.status, durable: journal.durable })
  const timers = [
    setInterval(report, statusIntervalMs),
    setInterval(() => journal.release(pipeline.status?.position ?? 0), releaseIntervalMs),
    setInterval(() => broker.cut(), cutIntervalMs),
  ]
  const fault = await Promise.race([stop.then(() => undefined), failed, pipeline.failed])
  if (fault !== undefined) {
    return gaveUp(fault, log)
  }
  log.info({ event: 'gateway.draining' })
  revocation.close()
  await control.close()
  await broker.close()
  await journal.close()
  const lost = await pipeline.drain(journal.durable)
  timers.forEach(clearInterval)
  report()
  if (lost !== undefined) return gaveUp(lost, log)
  log.info({ event: 'gateway.ended' })
  return 0
}

/** What is acknowledged lies in the journal, and the next start takes it from there. @returns the exit code */
function gaveUp(fault: Error, log: Logger): number {
  if (fault instanceof JournalFailed) {
    log.error({ event: 'journal.failed', detail: fault.message })
    return exitIo
  }
  log.error({ event: 'gateway.failed', detail: fault.message, stack: fault.stack })
  return exitSoftware
}

/** `EX_SOFTWARE` and `EX_IOERR` of sysexits.h */
const exitSoftware = 70
const exitIo = 74

async function openFrontDoor(parts: {
  config: GatewayConfig
  zones: Zones
  log: Logger
  revocation: Revocation
  journal: Journal
  onFailure: (error: Error) => void
}): Promise<Broker> {
  const { config, zones, log, revocation, journal, onFailure } = parts
  const uplink = conduit(zones, 'uplink')
  const cert = readPublic('tls.certificateFile', config.tls.certificateFile)
  const staple = stapleOf(certificatesFromPem(cert.toString('latin1')), (fault) =>
    log.warn({ event: 'staple.fault', detail: (fault as Error).message }),
  )
  return openBroker({
    host: addressOf(zones, 'gateway'),
    port: uplink.port,
    tls: {
      key: readSecret('tls.keyFile', config.tls.keyFile),
      cert,
      ca: readPublic('tls.trustFile', config.tls.trustFile),
    },
    profileSet: config.tls.profileSet,
    limits: uplink.limits,
    staple,
    revocationFault: (certificate) => revocation.fault(certificate),
    journal,
    log,
    onFailure,
  })
}

/** The operator's door: a command in, its answer out. What was asked and what became of it stands in the log, no values. */
function openControlOf(config: GatewayConfig, log: Logger, pipeline: PipelineThread): Promise<Control> {
  const answer = async (line: string, gone: AbortSignal): Promise<ReadAnswer | ReplayAnswer> => {
    if (isReplay(line)) return replayed(line, log, pipeline)
    const request = parsedRequest(line)
    if ('ok' in request) return request
    const { meter, attributes, association } = request
    log.info({ event: 'command.asked', meter, attributes: attributes.length, association })
    const answered = await pipeline.ask(request, gone)
    const outcome = gone.aborted ? 'ABANDONED' : answered.ok ? 'OK' : answered.fault.code
    log.info({ event: 'command.answered', meter, outcome })
    return answered
  }
  return openControl({
    path: join(config.data, controlName),
    answer: async (line, gone) => JSON.stringify(await answer(line, gone)),
    busy: JSON.stringify(refusal('COMMAND_LIMIT', 'others are asking: try again')),
  })
}

/** @returns undefined where the configuration names no address */
async function openMetricsOf(
  { metrics: address }: GatewayConfig,
  log: Logger,
  metrics: () => Metrics,
): Promise<MetricsListener | undefined> {
  if (address === undefined) return undefined
  const listener = await openMetrics({ ...address, metrics })
  log.info({ event: 'metrics.listening', host: address.host, port: listener.port })
  return listener
}

function isReplay(line: string): boolean {
  try {
    return parseLine(line).verb === 'replay'
  } catch {
    return false // said by whoever reads it next
  }
}

async function replayed(line: string, log: Logger, pipeline: PipelineThread): Promise<ReplayAnswer> {
  let answer: ReplayAnswer
  try {
    answer = await pipeline.replay(parseReplay(parseLine(line)))
  } catch (error) {
    answer = replayRefusal(error)
  }
  log.info({ event: 'replay.asked', ...answer })
  return answer
}

function parsedRequest(line: string): ReadRequest | ReadAnswer {
  try {
    return parseReadRequest(line)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return refusal('REQUEST_MALFORMED', error.message)
  }
}

/** The same journal, which also tells the pipeline whenever a group has become durable. */
function watched(journal: Journal, pipeline: PipelineThread): Journal {
  return {
    get durable() {
      return journal.durable
    },
    get full() {
      return journal.full
    },
    append: async (record) => {
      await journal.append(record)
      pipeline.durable(journal.durable)
    },
    drained: () => journal.drained(),
    release: (position) => journal.release(position),
    close: () => journal.close(),
  }
}

/** Two gateways on one folder would each acknowledge what the other loses. @throws ConfigError */
function hold(data: string): DatabaseSync {
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const lock = holdFolder(data)
  if (lock === undefined) throw new ConfigError([`data: ${data} is in use by another gateway`])
  return lock
}

/** Also makes the ledger, and its epoch, before the second thread needs it. @throws JournalCorrupt, ConfigError */
function checkLedger(config: GatewayConfig, journal: Journal): void {
  const ledger = openLedger(join(config.data, 'ledger.sqlite'), readKek(config.kekFile))
  const { position } = ledger
  const lost = ledger.registry.lostProfiles()
  ledger.close()
  if (lost.length > 0) {
    throw new ConfigError(lost.map((name) => `registry: meters have the profile ${name}, which there is not`))
  }
  if (position > journal.durable) {
    throw new JournalCorrupt(`the ledger has consumed ${position} octets, the journal ends at ${journal.durable}`)
  }
}

/** The MDM's first address, and ours of the same version. */
function route({ hosts }: Zones): { host: string; from: string } {
  const [host] = hosts.mdm.addresses
  const from = hosts.gateway.addresses.find((address) => isIPv6(address) === isIPv6(host))
  if (from === undefined) throw new ConfigError([`zonesFile: hosts.gateway has no address of the version of ${host}`])
  return { host, from }
}

function envelopeFiles({ forward, tls }: GatewayConfig): EnvelopeFiles | undefined {
  const { trustFile, crlFile } = tls
  return forward.envelope && { ...forward.envelope, trustFile, crlFile }
}

function pipelineOptions(config: GatewayConfig, zones: Zones, durable: number): PipelineOptions {
  const { port, limits } = conduit(zones, 'oneway')
  const { passesAfterMs, plannedLossPercent, carouselRestSeconds, manifestMs, carriers } = config.forward
  return {
    data: config.data,
    kekFile: config.kekFile,
    linkKey: config.linkKey,
    sealer: { ...config.sealer, crlFile: config.tls.crlFile },
    seal: config.seal,
    forward: {
      ...route(zones),
      port,
      symbolOctets: limits.symbolOctets,
      bitsPerSecond: limits.bitsPerSecondMax,
      passesAfterMs,
      lossShare: plannedLossPercent / 100,
      carouselRestMs: carouselRestSeconds === 0 ? undefined : carouselRestSeconds * 1_000,
      manifestMs,
    },
    carriers,
    envelope: envelopeFiles(config),
    graceSeconds: config.release.graceSeconds,
    retention: config.retention,
    clock: config.clock,
    durable,
  }
}
