import { createSecretKey, randomBytes } from 'node:crypto'
import { ConfigError } from '#gateway/errors.ts'
import { readSecret } from '#gateway/io/keys.ts'
import { parseSystemTitle, type SystemTitle } from '#gateway/model.ts'
import { type Authentication, type Counters, pduOctetsMax } from '#gateway/session/association.ts'
import { type ServerConfig, type ServerState, stepServer } from '#gateway/session/association-server.ts'
import { cosemMeter } from '#simulator/cosem-meter.ts'
import { type MeterServer, type MeterSession, type Reaction, startMeterServer } from '#simulator/meter-server.ts'
import { UsageError } from './command.ts'
import { untilSignal } from './signals.ts'

/** A simulated meter that listens. */
export interface ListeningMeter {
  seed: number
  authentication: Authentication
  /** octets of an APDU both ways, 64 to 65,535 */
  pduOctets: number
  host: string
  /** 0 takes any */
  port: number
  /** seconds since 1970-01-01T00:00Z */
  now: () => number
}

/** What a meter has counted when it is started. */
const historySeconds = 40 * 86_400
const periodSeconds = 900
const challengeOctets = 16
/** Where invocation counters begin: tenths of a second since this moment, so that a meter started again uses none twice. */
const countersEpochSeconds = 1_700_000_000

/** `AMI`, one octet of zero, four of the seed. */
export function titleOf(seed: number): SystemTitle {
  return parseSystemTitle(`414d4900${seed.toString(16).padStart(8, '0')}`)
}

/** Joins the objects, the association's state machine and the socket. */
export function listenAsMeter({
  seed,
  authentication,
  pduOctets,
  host,
  port,
  now,
}: ListeningMeter): Promise<MeterServer> {
  const installed = (Math.floor(now() / periodSeconds) - historySeconds / periodSeconds) * periodSeconds
  const objects = cosemMeter({ seed, systemTitle: titleOf(seed), installed, now })
  const counters = { current: { sent: Math.floor((now() - countersEpochSeconds) * 10), received: -1 } }
  return startMeterServer({ host, port, open: () => openSession({ authentication, pduOctets, objects }, counters) })
}

/** The counters are the meter's, whichever session moves them. */
function openSession(config: ServerConfig, counters: { current: Counters }): MeterSession {
  let state: ServerState = { at: 'idle' }
  return (octets) => {
    const challenge = randomBytes(challengeOctets)
    const event =
      octets === undefined
        ? ({ kind: 'disconnected' } as const)
        : ({ kind: 'apdu', octets, challenge, counters: counters.current } as const)
    const { state: next, effects } = stepServer(config, state, event)
    state = next
    const reaction: Reaction & { send: Uint8Array[] } = { send: [], close: false }
    for (const effect of effects) {
      if (effect.kind === 'store') counters.current = effect.counters
      if (effect.kind === 'send') reaction.send.push(effect.octets)
      if (effect.kind === 'close') reaction.close = true
    }
    return reaction
  }
}

/** The options of `ami simulate meter`, as text. */
export interface MeterOptions {
  listen: string | undefined
  seed: number
  authentication: string
  passwordFile: string | undefined
  ekFile: string | undefined
  akFile: string | undefined
}

/** Until SIGINT or SIGTERM. @throws UsageError, ConfigError */
export async function simulateMeter(options: MeterOptions): Promise<number> {
  const { host, port } = addressOf(options.listen)
  const authentication = authenticationOf(options)
  const signal = untilSignal()
  const now = (): number => Date.now() / 1000
  const listening = { seed: options.seed, authentication, pduOctets: pduOctetsMax, host, port, now }
  const meter = await listenAsMeter(listening).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError([`--listen: cannot listen on ${host}:${port} (${error.code})`])
  })
  process.stdout.write(`meter ${titleOf(options.seed)} on ${host}:${meter.port}\n`)
  await signal
  await meter.close()
  return 0
}

function addressOf(text: string | undefined): { host: string; port: number } {
  const match = /^(?<host>\[[0-9a-fA-F:]+\]|[^:]+):(?<port>\d{1,5})$/.exec(text ?? '')
  const port = Number(match?.groups?.port)
  if (match === null || port > 65_535) throw new UsageError('simulate meter: --listen HOST:PORT is required')
  return { host: match.groups!.host!.replace(/^\[|\]$/g, ''), port }
}

function authenticationOf({ seed, authentication, passwordFile, ekFile, akFile }: MeterOptions): Authentication {
  switch (authentication) {
    case 'lowest':
      return { mechanism: 'lowest' }
    case 'lls': {
      if (passwordFile === undefined) throw new UsageError('simulate meter: lls needs --password-file')
      const password = readSecret('--password-file', passwordFile).toString('utf8').split(/\r?\n/, 1)[0]!
      if (password === '') throw new ConfigError([`--password-file: ${passwordFile} has no password in its first line`])
      return { mechanism: 'low', password: Buffer.from(password) }
    }
    case 'gmac': {
      if (ekFile === undefined || akFile === undefined) {
        throw new UsageError('simulate meter: gmac needs --ek-file and --ak-file')
      }
      const [ek, ak] = [readKey('--ek-file', ekFile), readKey('--ak-file', akFile)]
      return { mechanism: 'high-gmac', own: titleOf(seed), peer: undefined, ek: createSecretKey(ek), ak }
    }
    default:
      throw new UsageError(`--authentication: lowest, lls or gmac, not '${authentication}'`)
  }
}

/** 16 octets as 32 hex digits. @throws ConfigError; the message holds nothing of it */
function readKey(option: string, file: string): Buffer {
  const hex = readSecret(option, file).toString('utf8').trim()
  if (!/^[0-9a-fA-F]{32}$/.test(hex)) throw new ConfigError([`${option}: 16 octets as 32 hex digits`])
  return Buffer.from(hex, 'hex')
}
