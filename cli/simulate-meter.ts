import { randomBytes } from 'node:crypto'
import { ConfigError } from '#gateway/errors.ts'
import { type Authentication, type Counters, pduOctetsMax } from '#gateway/session/association.ts'
import type { Ciphering } from '#gateway/session/association-channel.ts'
import { type Attempts, noAttempts } from '#gateway/session/association-lockout.ts'
import { type ServerConfig, type ServerState, stepServer } from '#gateway/session/association-server.ts'
import { type AssociationFacts, type SecurityFacts, saps } from '#simulator/association-object.ts'
import { meterObjects } from '#simulator/cosem-meter.ts'
import { type MeterServer, type MeterSession, type Reaction, startMeterServer } from '#simulator/meter-server.ts'
import { UsageError } from './command.ts'
import { untilSignal } from './signals.ts'
import { accessOf, type MeterOptions, titleOf, weakMechanisms } from './simulate-meter-options.ts'

export { type MeterOptions, titleOf }

/** A simulated meter that listens. */
export interface ListeningMeter {
  seed: number
  /** of the management client; the public one needs none */
  authentication: Authentication
  /** of the management client, in clear where it is not said */
  ciphering?: Ciphering | undefined
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
const challengeOctets = 32
/** Where invocation counters begin: tenths of a second since this moment, so that a meter started again uses none twice. */
const countersEpochSeconds = 1_700_000_000
/** The only logical device. */
const managementDevice = 1
/** Of `security_policy`: requests and responses, authenticated and encrypted. @see Blue Book, security setup, version 1 */
const policyBits = { authenticated: 0x24, encrypted: 0x48, 'authenticated-encrypted': 0x6c } as const
const mechanismNumbers: Record<Authentication['mechanism'], number> = {
  lowest: 0,
  low: 1,
  'high-md5': 3,
  'high-sha1': 4,
  'high-gmac': 5,
  'high-sha256': 6,
  'high-ecdsa': 7,
}

/** Joins the objects, the associations' state machines and the socket. */
export function listenAsMeter(meter: ListeningMeter): Promise<MeterServer> {
  const { seed, authentication, ciphering, pduOctets, host, port, now } = meter
  const installed = (Math.floor(now() / periodSeconds) - historySeconds / periodSeconds) * periodSeconds
  const objects = meterObjects({ seed, systemTitle: titleOf(seed), installed, now })
  const counters = { current: { sent: Math.floor((now() - countersEpochSeconds) * 10), received: -1 } }
  const attempts = { current: noAttempts }
  const security = securityOf(meter, counters)
  const facts = { ...(security && { security }) }
  const server = (
    more: Omit<AssociationFacts, 'security'>,
    how: Omit<ServerConfig, 'objects' | 'pduOctets'>,
  ): ServerConfig => {
    return { ...how, pduOctets, objects: objects.view({ ...facts, ...more }) }
  }
  const mechanism = mechanismNumbers[authentication.mechanism]
  const configs = new Map<number, ServerConfig>([
    [
      saps.public,
      server({ client: saps.public, mechanism: 0, ciphered: false }, { authentication: { mechanism: 'lowest' } }),
    ],
    [
      saps.management,
      server(
        { client: saps.management, mechanism, ciphered: ciphering !== undefined },
        { authentication, ...(ciphering && { ciphering }) },
      ),
    ],
  ])
  return startMeterServer({
    host,
    port,
    open: ({ client, server }) => {
      const config = server === managementDevice ? configs.get(client) : undefined
      return config && openSession(config, counters, attempts)
    },
  })
}

/** What the meter tells of its keys, where it has some. */
function securityOf(
  { seed, authentication, ciphering }: ListeningMeter,
  counters: { current: Counters },
): SecurityFacts | undefined {
  const suite = ciphering?.suite ?? ('suite' in authentication ? authentication.suite : undefined)
  if (suite === undefined && authentication.mechanism !== 'high-gmac') return undefined
  const policy = ciphering === undefined || ciphering.clear === true ? 0 : policyBits[ciphering.protection]
  return { suite: suite ?? 0, systemTitle: titleOf(seed), policy, received: () => counters.current.received }
}

/** Counters and failed attempts are the meter's, whichever session moves them. */
export function openSession(
  config: ServerConfig,
  counters: { current: Counters },
  attempts: { current: Attempts } = { current: noAttempts },
): MeterSession {
  let state: ServerState = { at: 'idle' }
  return (octets) => {
    const challenge = randomBytes(challengeOctets)
    const event =
      octets === undefined
        ? ({ kind: 'disconnected' } as const)
        : ({
            kind: 'apdu',
            octets,
            challenge,
            counters: counters.current,
            attempts: attempts.current,
            now: performance.now() / 1000,
          } as const)
    const { state: next, effects } = stepServer(config, state, event)
    state = next
    const reaction: Reaction & { send: Uint8Array[] } = { send: [], close: false }
    for (const effect of effects) {
      if (effect.kind === 'store') counters.current = effect.counters
      if (effect.kind === 'count') attempts.current = effect.attempts
      if (effect.kind === 'send') reaction.send.push(effect.octets)
      if (effect.kind === 'close') reaction.close = true
    }
    return reaction
  }
}

/** Until SIGINT or SIGTERM. @throws UsageError, ConfigError */
export async function simulateMeter(options: MeterOptions): Promise<number> {
  const { host, port } = addressOf(options.listen)
  const access = accessOf(options)
  const signal = untilSignal()
  const now = (): number => Date.now() / 1000
  const listening = { seed: options.seed, ...access, pduOctets: pduOctetsMax, host, port, now }
  const meter = await listenAsMeter(listening).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError([`--listen: cannot listen on ${host}:${port} (${error.code})`])
  })
  if (weakMechanisms.has(options.authentication)) {
    process.stderr.write(`ami: ${options.authentication} is weak: for old meters and trials only\n`)
  }
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
