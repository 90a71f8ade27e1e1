import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import { Counter, Gauge, Registry } from 'prom-client'
import { ConfigError } from '#gateway/errors.ts'
import type { StreamLink } from './link.ts'
import { type MdmStatus, mdmAlarms } from './status.ts'

/** Connections at a time, octets of a request's head and milliseconds for it, the most. */
const limits = { connections: 8, headOctets: 4_096, requestMs: 5_000 } as const

type Sample = readonly [labels: Record<string, string>, value: number | undefined]

/** Name, help, and its values. A name that ends in `_total` only grows, until the process that counts starts anew. */
type Metric = readonly [name: string, help: string, samples: (status: MdmStatus) => Sample[]]

const one = (value: number | undefined): Sample[] => [[{}, value]]

const metrics: readonly Metric[] = [
  ['ami_mdm_alarm', '1 while this alarm stands', alarmSamples],
  ['ami_mdm_received_datagrams_total', 'datagrams received', ({ spooler }) => one(spooler?.datagrams)],
  ['ami_mdm_received_octets_total', 'octets of datagrams received', ({ spooler }) => one(spooler?.octets)],
  [
    'ami_mdm_dropped_datagrams_total',
    'datagrams dropped before they were looked at',
    ({ spooler }) => [
      [{ by: 'length' }, spooler?.misfits],
      [{ by: 'ring_full' }, spooler?.ring.dropped.full],
      [{ by: 'ring_failed' }, spooler?.ring.dropped.failed],
      [{ by: 'kernel' }, spooler?.kernel.socket],
    ],
  ],
  [
    'ami_mdm_rcvbuf_errors_total',
    'RcvbufErrors of all UDP sockets of the system',
    ({ spooler }) => one(spooler?.kernel.rcvbufErrors),
  ],
  ['ami_mdm_receive_buffer_octets', 'what the kernel gave', ({ spooler }) => one(spooler?.receiveBufferOctets)],
  ['ami_mdm_ring_octets', 'octets of the ring in use', ({ spooler }) => one(spooler?.ring.octets)],
  ['ami_mdm_ring_octets_max', 'octets of the ring, the most', ({ spooler }) => one(spooler?.ring.octetsMax)],
  [
    'ami_mdm_ring_broken_octets_total',
    'octets of the ring that were no records',
    ({ assembler }) => one(assembler?.ring.brokenOctets),
  ],
  ['ami_mdm_open_objects', 'objects begun and not whole', ({ assembler }) => one(assembler?.open.objects)],
  ['ami_mdm_open_octets', 'octets that open objects have room for', ({ assembler }) => one(assembler?.open.octets)],
  ['ami_mdm_evicted_objects_total', 'open objects that had to make room', ({ assembler }) => one(assembler?.evicted)],
  ['ami_mdm_stored_batches_total', 'batches verified and stored', ({ assembler }) => one(assembler?.batches)],
  ['ami_mdm_stored_readings_total', 'readings verified and stored', ({ assembler }) => one(assembler?.readings)],
  ['ami_mdm_repeated_batches_total', 'batches that came again', ({ assembler }) => one(assembler?.repeated)],
  [
    'ami_mdm_refused_total',
    'datagrams and objects refused, by code',
    ({ assembler }) => Object.entries(assembler?.refused ?? {}).map(([code, count]) => [{ code }, count]),
  ],
  [
    'ami_mdm_quarantined_batches',
    'in quarantine, their like has not come',
    ({ assembler }) => one(assembler?.quarantine.length),
  ],
  [
    'ami_mdm_highest_sequence',
    'highest sequence that came',
    ({ assembler }) => assembler?.streams.map(({ epoch, highest }) => [{ epoch: `${epoch}` }, highest]) ?? [],
  ],
  [
    'ami_mdm_missing_batches',
    'missing below the highest sequence',
    ({ assembler }) => assembler?.streams.map(({ epoch, missing }) => [{ epoch: `${epoch}` }, missing]) ?? [],
  ],
  [
    'ami_mdm_sink_behind_batches',
    'kept batches that a sink does not hold yet',
    ({ assembler }) => assembler?.sinks.map(({ name, behind }) => [{ sink: name }, behind]) ?? [],
  ],
  [
    'ami_mdm_link_quiet_seconds',
    'since the last heartbeat',
    ({ assembler }) => links(assembler, ({ quietMs }) => seconds(quietMs)),
  ],
  [
    'ami_mdm_link_loss_ratio',
    'share of the datagrams of the last minute that did not come',
    ({ assembler }) => links(assembler, ({ lossShare }) => lossShare),
  ],
  [
    'ami_mdm_link_heartbeats_total',
    'heartbeats taken',
    ({ assembler }) => links(assembler, ({ heartbeats }) => heartbeats),
  ],
  [
    'ami_mdm_link_drift_ppm',
    'by how much our clock gains on the sender’s',
    ({ assembler }) => links(assembler, ({ driftPpm }) => driftPpm),
  ],
  [
    'ami_mdm_sender_oldest_unsent_seconds',
    'age of what has waited longest at the sender',
    ({ assembler }) => links(assembler, ({ sender }) => seconds(sender?.oldestUnsentMs)),
  ],
  ['ami_mdm_lag_seconds', 'of the last batch: sealed to stored', ({ assembler }) => one(seconds(assembler?.lagMs))],
  [
    'ami_mdm_silence_seconds',
    'since the last authentic datagram',
    ({ at, assembler }) => one(assembler?.lastMs === undefined ? undefined : seconds(at - assembler.lastMs)),
  ],
]

function links(
  assembler: MdmStatus['assembler'],
  of: (link: StreamLink) => number | undefined,
): [Record<string, string>, number | undefined][] {
  return (assembler?.link?.streams ?? []).map((link) => [{ epoch: `${link.epoch}` }, of(link)])
}

function alarmSamples({ alarms }: MdmStatus): Sample[] {
  return mdmAlarms.map((code) => [{ code }, alarms.includes(code) ? 1 : 0])
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}

/** All metrics of one moment in Prometheus' text format; what is not known is left out. */
export async function metricsText(status: MdmStatus): Promise<string> {
  const registry = new Registry()
  for (const [name, help, samplesOf] of metrics) {
    const samples = samplesOf(status).filter(([, value]) => value !== undefined)
    if (samples.length === 0) continue
    const labelNames = [...new Set(samples.flatMap(([labels]) => Object.keys(labels)))]
    const registers = [registry]
    if (name.endsWith('_total')) {
      const counter = new Counter({ name, help, labelNames, registers })
      for (const [labels, value] of samples) counter.inc(labels, value)
    } else {
      const gauge = new Gauge({ name, help, labelNames, registers })
      for (const [labels, value] of samples) gauge.set(labels, value!)
    }
  }
  return registry.metrics()
}

export interface MetricsServer {
  readonly port: number
  close(): void
}

/**
 * `GET /metrics` and nothing else.
 * @throws ConfigError the address is taken, or none of this machine's
 */
export async function serveMetrics(
  { host, port }: { host: string; port: number },
  status: () => MdmStatus,
): Promise<MetricsServer> {
  const server = createServer(
    { maxHeaderSize: limits.headOctets, requestTimeout: limits.requestMs, headersTimeout: limits.requestMs },
    (request, response) => void answer(request, response, status),
  )
  server.maxConnections = limits.connections
  server.maxRequestsPerSocket = 1
  server.timeout = limits.requestMs
  const bound = await listen(server, host, port)
  return { port: bound, close: () => server.close().closeAllConnections() }
}

async function answer(request: IncomingMessage, response: ServerResponse, status: () => MdmStatus): Promise<void> {
  response.setHeader('connection', 'close')
  if (request.url !== '/metrics') return void response.writeHead(404).end()
  if (request.method !== 'GET') return void response.writeHead(405, { allow: 'GET' }).end()
  const text = await metricsText(status())
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) => {
      const address = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
      reject(new ConfigError([`metrics: cannot listen on ${address} (${code})`]))
    })
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}
