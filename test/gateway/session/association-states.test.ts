import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { BlockAssembler } from '#gateway/codec/block-assembler.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { offeredConformance } from '#gateway/session/association.ts'
import type { Open } from '#gateway/session/association-accept.ts'
import { openChannel, sealApdu, sealInitiate } from '#gateway/session/association-channel.ts'
import { type ClientEvent, type ClientState, stepClient } from '#gateway/session/association-client.ts'
import type { Handshake } from '#gateway/session/association-hls.ts'
import { noAttempts } from '#gateway/session/association-lockout.ts'
import { type ServerEvent, type ServerState, stepServer } from '#gateway/session/association-server.ts'
import { invokeOctet } from '#gateway/session/exchange.ts'
import {
  ciphered,
  clientChallenge,
  clientKeys,
  faultsOf,
  fresh,
  noObjects,
  Pair,
  password,
  serverChallenge,
  serverKeys,
} from './association-pair.ts'

const ends = ciphered(0)
const clientConfig = {
  authentication: { mechanism: 'high-gmac', ...ends.client },
  ciphering: ends.client,
  receivePduOctetsMax: 200,
} as const
const serverConfig = {
  authentication: { mechanism: 'high-gmac', ...ends.server },
  ciphering: ends.server,
  pduOctets: 200,
  objects: noObjects,
} as const
const attribute = { classId: 1, obis: parseObis('0-0:96.1.0'), attribute: 2, selection: undefined }
const handshake: Handshake = {
  ctos: clientChallenge,
  stoc: serverChallenge,
  client: Buffer.from(clientKeys.own, 'hex'),
  server: Buffer.from(serverKeys.own, 'hex'),
}
const toServer = openChannel(ends.client, { peer: serverKeys.own, general: false, dedicatedKey: undefined })
const toClient = openChannel(ends.server, { peer: clientKeys.own, general: false, dedicatedKey: undefined })
const glo = { apdu: 'glo', key: 'unicast' } as const
const used = { sent: 6, received: 6 }
const fromServer = (plain: Uint8Array): Uint8Array =>
  sealApdu(plain, glo, { ciphering: ends.server, channel: toClient, counters: used }).octets
const fromClient = (plain: Uint8Array): Uint8Array =>
  sealApdu(plain, glo, { ciphering: ends.client, channel: toServer, counters: used }).octets

const get = encodeApdu({ apdu: 'get-request', invokeId: invokeOctet(1), choice: 'normal', attribute })
const got = {
  apdu: 'get-response',
  invokeId: invokeOctet(1),
  choice: 'normal',
  result: { kind: 'error', result: 4 },
} as const
const run = new Pair(clientConfig, serverConfig).open()

describe('a client with ciphering, every state and every event', () => {
  const open: Open = {
    pduOctets: 200,
    conformance: offeredConformance,
    invokeId: 0,
    counters: fresh,
    channel: toServer,
  }
  const exchange = { request: { kind: 'get', attribute }, invokeId: invokeOctet(1), blocks: [], sent: 0 } as const
  const states: Record<ClientState['at'], ClientState> = {
    idle: { at: 'idle' },
    associating: { at: 'associating', challenge: clientChallenge, counters: fresh, dedicatedKey: undefined },
    authenticating: { at: 'authenticating', handshake, open },
    associated: { at: 'associated', open },
    asking: { at: 'asking', open, exchange: { ...exchange, received: new BlockAssembler() } },
    releasing: { at: 'releasing', open },
  }
  const apdu = (octets: Uint8Array): ClientEvent => ({ kind: 'apdu', octets })
  const events: Record<string, ClientEvent> = {
    open: { kind: 'open', challenge: clientChallenge, counters: fresh },
    ask: { kind: 'ask', request: { kind: 'get', attribute } },
    release: { kind: 'release' },
    aare: apdu(run.wire[1]!.octets),
    passFour: apdu(run.wire[3]!.octets),
    response: apdu(fromServer(encodeApdu(got))),
    another: apdu(fromServer(encodeApdu({ ...got, invokeId: invokeOctet(9) }))),
    clear: apdu(encodeApdu(got)),
    forged: apdu(fromClient(get)),
    rlre: apdu(encodeApdu({ apdu: 'rlre', reason: 0 })),
    exception: apdu(Uint8Array.of(0xd8, 1, 1)),
    timeout: { kind: 'timeout' },
    disconnected: { kind: 'disconnected' },
  }
  const sequence = 'idle failed close ASSOCIATION_SEQUENCE'
  const none = { open: 'not-now', ask: 'not-now', release: 'not-now' }
  const lost = { timeout: 'idle failed close ASSOCIATION_TIMEOUT', disconnected: 'idle failed ASSOCIATION_SEQUENCE' }
  const table: Record<ClientState['at'], Record<string, string>> = {
    idle: { ...none, open: 'associating store send', timeout: 'idle', disconnected: 'idle' },
    associating: { ...none, ...lost, aare: 'authenticating store send' },
    authenticating: {
      ...none,
      ...lost,
      passFour: 'associated store associated',
      response: sequence,
      clear: 'idle failed close SECURITY_DOWNGRADE',
      rlre: 'idle failed close SECURITY_DOWNGRADE',
      aare: 'idle failed close SECURITY_DOWNGRADE',
    },
    associated: {
      ...lost,
      open: 'not-now',
      ask: 'asking store send',
      release: 'releasing store send',
      timeout: 'associated',
    },
    asking: {
      ...none,
      ...lost,
      response: 'associated store answer',
      clear: 'idle failed close SECURITY_DOWNGRADE',
      rlre: 'idle failed close SECURITY_DOWNGRADE',
      aare: 'idle failed close SECURITY_DOWNGRADE',
    },
    releasing: { ...none, ...lost, rlre: 'idle released' },
  }
  const always: Record<string, string> = { exception: 'idle failed close SERVICE_REFUSED' }
  // a request under the client's name and key: its tag does not hold under the server's
  table.authenticating.forged = 'idle failed close TAG_UNAUTHENTIC'
  table.asking.forged = 'idle failed close TAG_UNAUTHENTIC'
  const cases = Object.keys(states).flatMap((at) =>
    Object.keys(events).map((event) => [at as ClientState['at'], event] as const),
  )

  test.each(cases)('%s, %s', (at, name) => {
    const { state, effects } = stepClient(clientConfig, states[at], events[name]!)
    const kinds = effects.map(({ kind }) => kind)
    const seen = kinds[0] === 'not-now' ? 'not-now' : [state.at, ...kinds, ...faultsOf(effects)].join(' ')
    expect(seen).toBe(table[at][name] ?? always[name] ?? sequence)
    if (faultsOf(effects).length > 0) expect(kinds).not.toContain('store')
  })
})

describe('a server with ciphering, every state and every event', () => {
  const serving = { pduOctets: 170, conformance: offeredConformance, transfer: undefined }
  const states: Record<ServerState['at'], ServerState> = {
    idle: { at: 'idle' },
    challenged: { at: 'challenged', handshake, serving, channel: toClient },
    associated: { at: 'associated', serving, channel: toClient },
  }
  const told = (octets: Uint8Array): ServerEvent => {
    return { kind: 'apdu', octets, challenge: serverChallenge, counters: fresh, attempts: noAttempts, now: 0 }
  }
  const { octets: userInformation } = sealInitiate({ ...initiate() }, ends.client, { sent: 9, received: -1 })
  const events: Record<string, ServerEvent> = {
    aarq: told(run.wire[0]!.octets),
    'forged aarq': told(aarqForged()),
    passThree: told(run.wire[2]!.octets),
    request: told(fromClient(get)),
    stray: told(fromClient(encodeApdu(got))),
    clear: told(get),
    forged: told(fromServer(encodeApdu(got))),
    rlrq: told(encodeApdu({ apdu: 'rlrq', reason: 0, userInformation })),
    'rlrq in clear': told(encodeApdu({ apdu: 'rlrq', reason: 0 })),
    broken: told(Uint8Array.of(0xc8)),
    long: told(new Uint8Array(201)),
    timeout: { kind: 'timeout' },
    disconnected: { kind: 'disconnected' },
  }
  const table: Record<ServerState['at'], Record<string, string>> = {
    idle: { rlrq: 'idle send released', 'rlrq in clear': 'idle send released' },
    challenged: {
      passThree: 'associated store send associated',
      request: 'challenged store fault send ASSOCIATION_SEQUENCE',
      stray: 'challenged store fault send ASSOCIATION_SEQUENCE',
    },
    associated: {
      passThree: 'associated store fault send ASSOCIATION_SEQUENCE',
      request: 'associated store send',
      stray: 'associated store fault send ASSOCIATION_SEQUENCE',
    },
  }
  const expected = (at: ServerState['at'], name: string): string => {
    const open: Record<string, string> = {
      clear: `${at} fault send SECURITY_DOWNGRADE`,
      forged: `${at} fault send TAG_UNAUTHENTIC`,
      rlrq: 'idle store send released',
      'rlrq in clear': `${at} fault send SECURITY_DOWNGRADE`,
    }
    const always: Record<string, string> = {
      aarq: 'challenged store send',
      'forged aarq': `${at} fault send TAG_UNAUTHENTIC`,
      broken: `${at} fault send APDU_TRUNCATED`,
      long: `${at} fault send APDU_LENGTH`,
      timeout: 'idle close',
      disconnected: 'idle',
    }
    const asOpen = at === 'idle' ? undefined : open[name]
    return table[at][name] ?? asOpen ?? always[name] ?? `${at} fault send ASSOCIATION_SEQUENCE`
  }
  const cases = Object.keys(states).flatMap((at) =>
    Object.keys(events).map((event) => [at as ServerState['at'], event] as const),
  )

  test.each(cases)('%s, %s', (at, name) => {
    const { state, effects } = stepServer(serverConfig, states[at], events[name]!)
    expect([state.at, ...effects.map(({ kind }) => kind), ...faultsOf(effects)].join(' ')).toBe(expected(at, name))
  })
})

describe('any octets', () => {
  const heard = new Pair(clientConfig, serverConfig).open().tell({ kind: 'ask', request: { kind: 'get', attribute } })
  const clear = new Pair(
    { authentication: { mechanism: 'low', password }, receivePduOctetsMax: 200 },
    { authentication: { mechanism: 'low', password }, pduOctets: 200, objects: noObjects },
  )
    .open()
    .tell({ kind: 'ask', request: { kind: 'get', attribute } })
    .tell({ kind: 'release' })
  const seeds = [...heard.wire, ...clear.wire].map(({ octets }) => octets)
  const mutated = fc
    .record({
      from: fc.constantFrom(...seeds),
      at: fc.nat(),
      by: fc.nat(255),
      cut: fc.nat(8),
      more: fc.uint8Array({ maxLength: 8 }),
    })
    .map(({ from, at, by, cut, more }) => {
      const octets = Uint8Array.from([...from.subarray(0, Math.max(1, from.length - cut)), ...more])
      octets[at % octets.length]! ^= by
      return octets
    })
  const any = fc.oneof(mutated, fc.uint8Array({ maxLength: 64 }))
  const lowest = { mechanism: 'lowest' } as const

  test.each([
    ['with ciphering', serverConfig, heard],
    ['in clear', { authentication: lowest, pduOctets: 200, objects: noObjects }, clear],
  ] as const)('make one step of a server %s, and no exception', (_, config, { server, counters }) => {
    const serving = { pduOctets: 200, conformance: offeredConformance, transfer: undefined }
    const states: ServerState[] = [{ at: 'idle' }, server, { at: 'associated', serving, channel: undefined }]
    fc.assert(
      fc.property(any, fc.constantFrom(...states), (octets, state) => {
        const event = {
          kind: 'apdu',
          octets,
          challenge: serverChallenge,
          counters,
          attempts: noAttempts,
          now: 0,
        } as const
        const { effects } = stepServer(config, state, event)
        expect(effects.filter(({ kind }) => kind === 'send').length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 2_000 },
    )
  })

  test('make one step of a client, and no exception', () => {
    const [state] = [heard.client]
    const asking = stepClient(clientConfig, state, { kind: 'ask', request: { kind: 'get', attribute } }).state
    const opening = { kind: 'open', challenge: clientChallenge, counters: fresh } as const
    const associating = stepClient(clientConfig, { at: 'idle' }, opening).state
    fc.assert(
      fc.property(any, fc.constantFrom(asking, associating, state), (octets, state) => {
        const { state: next, effects } = stepClient(clientConfig, state, { kind: 'apdu', octets })
        if (next.at === 'idle') expect(effects.map(({ kind }) => kind)).toEqual(['failed', 'close'])
      }),
      { numRuns: 2_000 },
    )
  })
})

function initiate(): Parameters<typeof sealInitiate>[0] {
  return {
    apdu: 'initiate-request',
    dedicatedKey: undefined,
    responseAllowed: true,
    qualityOfService: undefined,
    dlmsVersion: 6,
    conformance: offeredConformance,
    receivePduOctetsMax: 200,
  }
}

/** Under the name of the client, but not under its key. */
function aarqForged(): Uint8Array {
  const ciphering = { ...ends.client, ak: new Uint8Array(16) }
  const event = { kind: 'open', challenge: clientChallenge, counters: fresh } as const
  const { effects } = stepClient({ ...clientConfig, ciphering }, { at: 'idle' }, event)
  const sent = effects.find((effect) => effect.kind === 'send')
  return sent?.octets ?? new Uint8Array()
}
