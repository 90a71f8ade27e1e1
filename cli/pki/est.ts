import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '#gateway/errors.ts'
import { readConfig } from '#gateway/fields.ts'
import { serveQueue } from '#pki/enrolment/link.ts'
import { RequestQueue } from '#pki/enrolment/queue.ts'
import { PkiError } from '#pki/errors.ts'
import { estConnectionsMax, estWaitingMax, estWaitMsMax, listenEst } from '#pki/est/front.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { type Command, parse, UsageError } from '../command.ts'
import { type Logger, openLog } from '../log.ts'
import { untilSignal } from '../signals.ts'
import { runEnrolmentCa } from './est-ca.ts'
import { EstTally } from './est-tally.ts'

const help = `usage: ami pki est --config FILE
       ami pki est ca --dir DIR --passphrase-file FILE --queue SOCKET [--together N]

est     the enrolment listener of the DMZ (EST, RFC 7030): takes requests of devices over TLS, holds no CA key, decides nothing
est ca  the CA's side: draws the requests from the listener's socket, decides by DIR's inventory, issues, answers

FILE is JSON; relative paths start at its own folder:
  { "host": ADDRESS, "port": N,            0 lets the system choose; the log line 'est.listening' says which
    "keyFile": FILE, "certificateFile": FILE,   the listener's own, a gateway certificate with its chain
    "clientTrustFiles": [FILE, ...],       whose devices may speak: trust/manufacturers.pem and trust/device.pem
    "caCertificatesFile": FILE,            what 'cacerts' gives: root.pem
    "queueSocket": FILE,                   where the CA draws; whoever may open it is the CA: a folder of its own
    "waitingMax"?: N, "waitMs"?: N }       requests that wait for the CA (${estWaitingMax}), each so long (${estWaitMsMax})

  --together N  requests decided in one bunch, with one fsync (default 100)

A request that finds the queue full gets 503, one that waits too long 202, both with Retry-After. Every outcome is a log
line; 'est.status' counts them every 10 s. A second enrolment of a live device is logged as 'enrolment.clone', level error.
SIGINT or SIGTERM ends either, exit 0.
`

const options = {
  config: { type: 'string' },
  dir: { type: 'string' },
  'passphrase-file': { type: 'string' },
  queue: { type: 'string' },
  together: { type: 'string', default: '100' },
} as const

export const command: Command = { summary: 'enrols devices: the listener, and the CA behind it', help, run }

const statusMs = 10_000

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  const { config, dir, 'passphrase-file': passphraseFile, queue, together } = values
  const signal = untilSignal()
  if (positionals.length === 0 && config !== undefined && dir === undefined && queue === undefined) {
    await serve(parseEstConfig(config), { signal, log: openLog('est') })
  } else if (positionals[0] === 'ca' && positionals.length === 1 && config === undefined) {
    if (dir === undefined || queue === undefined) throw new UsageError('pki est ca: --dir and --queue are needed')
    const where = { dir, ...(passphraseFile === undefined ? {} : { passphraseFile }) }
    await runEnrolmentCa({ ...where, queue, together, signal, log: openLog('enrolment') })
  } else throw new UsageError("pki est: either --config FILE, or 'ca' with its options")
  return 0
}

interface EstConfig {
  host: string
  port: number
  tls: { key: string; cert: string }
  clientCas: string
  caCertificates: readonly Uint8Array[]
  queueSocket: string
  waitingMax: number
  waitMsMax: number
}

/** Reads the files that it names too. @throws ConfigError */
function parseEstConfig(file: string): EstConfig {
  const folder = dirname(resolve(file))
  const form = { pattern: /^[^\0]{1,4096}$/, says: 'a path' }
  const raw = readConfig(read(file), (fields) => ({
    host: fields.text('host'),
    port: fields.whole('port', [0, 65_535]),
    keyFile: fields.path('keyFile', folder),
    certificateFile: fields.path('certificateFile', folder),
    clientTrustFiles: fields.optionalTexts('clientTrustFiles', form) ?? [],
    caCertificatesFile: fields.path('caCertificatesFile', folder),
    queueSocket: fields.path('queueSocket', folder),
    waitingMax: fields.whole('waitingMax', [1, estWaitingMax], estWaitingMax),
    waitMsMax: fields.whole('waitMs', [100, estWaitMsMax], estWaitMsMax),
  }))
  if (raw.clientTrustFiles.length === 0) throw new ConfigError(['clientTrustFiles: 1 to 32 of a path'])
  const { host, port, queueSocket, waitingMax, waitMsMax } = raw
  return {
    ...{ host, port, queueSocket, waitingMax, waitMsMax },
    tls: { key: read(raw.keyFile), cert: read(raw.certificateFile) },
    clientCas: raw.clientTrustFiles.map((one) => read(resolve(folder, one))).join(''),
    caCertificates: certificates(raw.caCertificatesFile),
  }
}

function certificates(file: string): Uint8Array[] {
  try {
    return certificatesFromPem(read(file))
  } catch (cause) {
    if (cause instanceof PkiError) throw new ConfigError([`${file}: ${cause.message}`])
    throw cause
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError([(cause as Error).message])
  }
}

async function serve(config: EstConfig, { signal, log }: { signal: Promise<unknown>; log: Logger }): Promise<void> {
  const { queueSocket, waitingMax, waitMsMax, ...listening } = config
  const tally = new EstTally()
  const queue = new RequestQueue({ waitingMax, waitMsMax })
  const line = await serveQueue(queue, queueSocket).catch(unfit)
  const listener = await listenEst({
    ...listening,
    queue,
    now: Date.now,
    random: Math.random,
    onOutcome: (outcome) => {
      tally.add(outcome)
      log[outcome.status < 400 ? 'info' : 'warn']({ event: 'est.outcome', ...outcome })
    },
  }).catch(async (cause: Error) => {
    await line.close()
    return unfit(cause)
  })
  log.info({ event: 'est.listening', host: config.host, port: listener.port, connectionsMax: estConnectionsMax })
  const status = (): object => ({ ...tally.counts(), waiting: queue.size, attended: line.attended })
  const timer = setInterval(() => log.info({ event: 'est.status', ...status() }), statusMs)
  await signal
  clearInterval(timer)
  await listener.close()
  await line.close()
  log.info({ event: 'est.closed', ...status() })
}

function unfit(cause: Error): never {
  throw new ConfigError([cause.message])
}
