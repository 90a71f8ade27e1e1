import { decodeApdu } from '#gateway/codec/apdu.ts'
import type { Counters } from '#gateway/session/association.ts'
import type { Ciphering } from '#gateway/session/association-channel.ts'
import { type ClientConfig, type ClientState, stepClient } from '#gateway/session/association-client.ts'
import { noAttempts } from '#gateway/session/association-lockout.ts'
import { type ServerConfig, type ServerState, stepServer } from '#gateway/session/association-server.ts'
import type { Request } from '#gateway/session/exchange.ts'
import {
  ciphered,
  clientChallenge,
  fresh,
  type Mechanism,
  mechanisms,
  noObjects,
  Pair,
  serverChallenge,
} from '../../gateway/session/association-pair.ts'
import { Broken, type Target } from '../target.ts'
import { isPeerFault } from './dlms.ts'

/** Small, so that answers go in blocks. */
const pduOctets = 96
/** APDUs of one input, the most that are heard. */
const heardMax = 64

interface Ends {
  client: ClientConfig
  server: ServerConfig
}

function ends(mechanism: Mechanism, ciphering?: { client: Ciphering; server: Ciphering }): Ends {
  const objects = { ...noObjects, get: () => ({ kind: 'data', data: long }) as const }
  return {
    client: {
      authentication: mechanism.client,
      receivePduOctetsMax: pduOctets,
      ...(ciphering && { ciphering: ciphering.client }),
    },
    server: {
      authentication: mechanism.server,
      pduOctets,
      objects,
      ...(ciphering && { ciphering: ciphering.server }),
    },
  }
}

const long = { type: 'octet-string', octets: new Uint8Array(150).fill(0x2a) } as const
const named = (name: string): Mechanism => mechanisms.find((one) => one.name === name)!

/** The first octet of an input says which. */
const configs: readonly Ends[] = [
  ends(named('lowest')),
  ends(named('low')),
  ends(named('high-gmac')),
  ends(named('high-sha256')),
  ends(named('high-gmac'), ciphered(0)),
  ends(named('lowest'), ciphered(1, { clear: true })),
]

const attribute = { classId: 1, obis: '0-0:42.0.0', attribute: 2, selection: undefined } as never
const method = { classId: 70, obis: '0-0:96.3.10', method: 1 } as never
const requests: readonly Request[] = [
  { kind: 'get', attribute },
  { kind: 'set', attribute, data: long },
  { kind: 'action', method, parameters: long },
  { kind: 'get-list', attributes: [attribute, attribute] },
  { kind: 'set-list', attributes: [attribute, attribute], data: [long, long] },
]

/** An input: which configuration, then APDUs, each behind its length in two octets. */
function input(config: number, apdus: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(config),
    ...apdus.flatMap((apdu) => [Uint8Array.of(apdu.length >> 8, apdu.length & 0xff), apdu]),
  ])
}

function heard(octets: Uint8Array): { config: Ends; apdus: Uint8Array[] } {
  const apdus: Uint8Array[] = []
  for (let at = 1; at + 2 <= octets.length && apdus.length < heardMax; ) {
    const end = at + 2 + octets[at]! * 256 + octets[at + 1]!
    apdus.push(octets.subarray(at + 2, end))
    at = end
  }
  return { config: configs[(octets[0] ?? 0) % configs.length]!, apdus }
}

/** What either end says in an association that goes well, and asks for all that can be asked for. */
function spoken(config: number, from: 'client' | 'server'): Uint8Array[] {
  const pair = new Pair(configs[config]!.client, configs[config]!.server).open()
  for (const request of requests) pair.tell({ kind: 'ask', request })
  pair.tell({ kind: 'release' })
  return pair.wire.filter((one) => one.from === from).map(({ octets }) => octets)
}

const seedsOf = (from: 'client' | 'server') => (): Uint8Array[] =>
  configs.map((_, config) => input(config, spoken(config, from)))

/** Answers that are APDUs, counters that only rise, and none stored later than what was sealed with it left. */
function rises(before: Counters, after: Counters): Counters {
  if (after.sent < before.sent || after.received < before.received) throw new Broken('a counter went back')
  return after
}

export const serverTarget: Target = {
  name: 'association-server',
  octetsMax: 4_096,
  seeds: seedsOf('client'),
  run: (octets) => {
    const { config, apdus } = heard(octets)
    let [state, counters, attempts]: [ServerState, Counters, typeof noAttempts] = [{ at: 'idle' }, fresh, noAttempts]
    const seen = new Set<string>()
    for (const [now, apdu] of apdus.entries()) {
      const event = { kind: 'apdu', octets: apdu, challenge: serverChallenge, counters, attempts, now } as const
      const step = stepServer(config.server, state, event)
      for (const effect of step.effects) {
        if (effect.kind === 'store') counters = rises(counters, effect.counters)
        if (effect.kind === 'count') attempts = effect.attempts
        if (effect.kind === 'send') decodeApdu(effect.octets)
        seen.add(effect.kind === 'fault' ? effect.fault.code : effect.kind)
      }
      state = step.state
    }
    return `${state.at} ${[...seen].sort().join()}`
  },
  isFault: () => false, // every APDU is answered: nothing may be thrown
}

export const clientTarget: Target = {
  name: 'association-client',
  octetsMax: 4_096,
  seeds: seedsOf('server'),
  run: (octets) => {
    const { config, apdus } = heard(octets)
    let [state, counters, asked]: [ClientState, Counters, number] = [{ at: 'idle' }, fresh, 0]
    const seen = new Set<string>()
    const tell = (event: Parameters<typeof stepClient>[2]): void => {
      const step = stepClient(config.client, state, event)
      for (const effect of step.effects) {
        if (effect.kind === 'store') counters = rises(counters, effect.counters)
        if (effect.kind === 'send') decodeApdu(effect.octets)
        seen.add(effect.kind === 'failed' ? effect.fault.code : effect.kind)
      }
      state = step.state
    }
    tell({ kind: 'open', challenge: clientChallenge, counters })
    for (const apdu of apdus) {
      tell({ kind: 'apdu', octets: apdu })
      if ((state as ClientState).at !== 'associated') continue // TypeScript does not see what `tell` does
      const request = requests[asked++]
      tell(request === undefined ? { kind: 'release' } : { kind: 'ask', request })
    }
    return `${state.at} ${[...seen].sort().join()}`
  },
  isFault: isPeerFault,
}
