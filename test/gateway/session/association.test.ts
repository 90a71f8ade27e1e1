import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Apdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { BlockAssembler } from '#gateway/codec/block-assembler.ts'
import { conformance } from '#gateway/codec/initiate.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { offeredConformance } from '#gateway/session/association.ts'
import { type ClientEvent, type ClientState, stepClient } from '#gateway/session/association-client.ts'
import type { Handshake } from '#gateway/session/association-hls.ts'
import { noAttempts } from '#gateway/session/association-lockout.ts'
import { type ServerEvent, type ServerState, stepServer } from '#gateway/session/association-server.ts'
import { invokeOctet, type Request } from '#gateway/session/exchange.ts'
import type { CosemObjects } from '#gateway/session/serving.ts'
import {
  clientChallenge,
  clientKeys,
  faultsOf,
  fresh,
  mechanisms,
  noObjects,
  Pair,
  password,
  serverChallenge,
  serverKeys,
} from './association-pair.ts'

const attribute = { classId: 1, obis: parseObis('0-0:96.1.0'), attribute: 2, selection: undefined }
const method = { classId: 9, obis: parseObis('0-0:10.0.0'), method: 1 }

/** Keeps what was set, returns what a method was given. */
function echo(): CosemObjects {
  let kept: Data = { type: 'null-data' }
  return {
    get: () => ({ kind: 'data', data: kept }),
    set: (_, data) => {
      kept = data
      return 0
    },
    act: (_, parameters) => {
      return { result: 0, returned: parameters && { kind: 'data', data: parameters } }
    },
  }
}

const gmac = mechanisms[2]!

function pairOf(objects: CosemObjects, pduOctets = 200, { client, server } = mechanisms[0]!): Pair {
  return new Pair(
    { authentication: client, receivePduOctetsMax: pduOctets },
    { authentication: server, pduOctets, objects },
  )
}

describe('an association', () => {
  test.each(mechanisms)('with $name opens, is released, and opens again', (mechanism) => {
    const pair = pairOf(noObjects, 200, mechanism).open()
    expect([pair.client.at, pair.server.at]).toEqual(['associated', 'associated'])
    pair.tell({ kind: 'release' })
    expect([pair.client.at, pair.server.at]).toEqual(['idle', 'idle'])
    expect(pair.clientEffects.at(-1)).toEqual({ kind: 'released' })
    expect(faultsOf([...pair.clientEffects, ...pair.serverEffects])).toEqual([])
  })

  test('what was negotiated is what both have', () => {
    const pair = pairOf(noObjects, 300).open()
    expect(pair.clientEffects).toContainEqual({ kind: 'associated', conformance: offeredConformance, pduOctets: 300 })
  })

  test('GMAC stores a counter on each side before the APDU that used it leaves', () => {
    const pair = pairOf(noObjects, 200, gmac).open()
    expect(pair.clientEffects.map(({ kind }) => kind)).toEqual(['send', 'store', 'send', 'store', 'associated'])
    expect(pair.serverEffects.map(({ kind }) => kind)).toEqual(['send', 'store', 'send', 'associated'])
    expect(pair.counters).toEqual({ sent: 0, received: 0 })
  })

  const wrong = Buffer.from('87654321')
  test.each([
    [
      'another password',
      'AUTHENTICATION_FAILED',
      { mechanism: 'low', password: wrong },
      { mechanism: 'low', password },
    ],
    [
      'a password that ends like ours',
      'AUTHENTICATION_FAILED',
      { mechanism: 'low', password: password.subarray(1) },
      { mechanism: 'low', password },
    ],
    ['lowest where a password is due', 'ASSOCIATION_REFUSED', { mechanism: 'lowest' }, { mechanism: 'low', password }],
    ['a password where none is due', 'ASSOCIATION_REFUSED', { mechanism: 'low', password }, { mechanism: 'lowest' }],
    ['our own system title', 'SYSTEM_TITLE_FOREIGN', { ...gmac.client, own: serverKeys.own }, gmac.server],
  ] as const)('%s is refused as %s, and both are idle', (_, code, client, server) => {
    const pair = pairOf(noObjects, 200, { name: '', client, server }).open()
    expect([pair.client.at, pair.server.at]).toEqual(['idle', 'idle'])
    expect(faultsOf(pair.clientEffects)).toEqual(['ASSOCIATION_REFUSED'])
    expect(faultsOf(pair.serverEffects)).toEqual([code])
  })

  test('a client with another key is refused in pass 3, and no counter moves', () => {
    const client = { mechanism: 'high-gmac', ...clientKeys, ak: new Uint8Array(16) } as const
    const pair = pairOf(noObjects, 200, { name: '', client, server: gmac.server }).open()
    expect(faultsOf(pair.serverEffects)).toEqual(['TAG_UNAUTHENTIC'])
    expect(faultsOf(pair.clientEffects)).toEqual(['AUTHENTICATION_FAILED'])
    expect([pair.server.at, pair.counters]).toEqual(['idle', fresh])
  })

  test('a pass 3 heard once does not open a second association', () => {
    const pair = pairOf(noObjects, 200, gmac).open()
    const [aarq, passThree] = pair.clientEffects.flatMap((effect) => (effect.kind === 'send' ? [effect.octets] : []))
    const config = { authentication: gmac.server, pduOctets: 200, objects: noObjects }
    const told = {
      kind: 'apdu',
      challenge: serverChallenge,
      counters: pair.counters,
      attempts: noAttempts,
      now: 0,
    } as const
    const { state } = stepServer(config, { at: 'idle' }, { ...told, octets: aarq! })
    const replayed = stepServer(config, state, { ...told, octets: passThree! })
    expect([replayed.state.at, faultsOf(replayed.effects)]).toEqual(['idle', ['COUNTER_REPLAYED']])
  })

  test('a server that sends our own challenge back is refused', () => {
    const pair = pairOf(noObjects, 200, gmac)
    const { state } = stepClient({ authentication: gmac.client, receivePduOctetsMax: 200 }, pair.client, {
      kind: 'open',
      challenge: serverChallenge,
      counters: fresh,
    })
    pair.client = state
    const aare = pairOf(noObjects, 200, gmac)
      .open()
      .serverEffects.find((effect) => effect.kind === 'send')!
    pair.tell({ kind: 'apdu', octets: aare.octets })
    expect(faultsOf(pair.clientEffects)).toEqual(['CHALLENGE_REFLECTED'])
  })
})

describe('services', () => {
  const octets = fc.uint8Array({ maxLength: 2_000, size: 'max' })
  const pduOctets = fc.integer({ min: 64, max: 512 })

  test('what is set in blocks is got in blocks, and no APDU is longer than negotiated', () => {
    fc.assert(
      fc.property(octets, pduOctets, (octets, limit) => {
        const pair = pairOf(echo(), limit).open()
        const from = pair.lengths.length
        const data: Data = { type: 'octet-string', octets }
        pair.tell({ kind: 'ask', request: { kind: 'set', attribute, data } })
        expect(pair.clientEffects.at(-1)).toEqual({ kind: 'answer', answer: { kind: 'set', result: 0 } })
        pair.tell({ kind: 'ask', request: { kind: 'get', attribute } })
        const result = { kind: 'data', data: { type: 'octet-string', octets: expect.anything() } }
        const last = pair.clientEffects.at(-1)!
        expect(last).toMatchObject({ kind: 'answer', answer: { kind: 'get', result } })
        if (last.kind === 'answer' && last.answer.kind === 'get' && last.answer.result.kind === 'data') {
          const { data: got } = last.answer.result
          expect(got.type === 'octet-string' && Buffer.compare(got.octets, octets)).toBe(0)
        }
        expect(Math.max(...pair.lengths.slice(from))).toBeLessThanOrEqual(limit)
      }),
      { numRuns: 60 },
    )
  })

  test('an action takes and returns in blocks, both within what was negotiated', () => {
    const pair = pairOf(echo(), 64).open()
    const from = pair.lengths.length
    const parameters: Data = { type: 'visible-string', octets: Buffer.alloc(700, 'x') }
    pair.tell({ kind: 'ask', request: { kind: 'action', method, parameters } })
    const last = pair.clientEffects.at(-1)
    expect(last).toMatchObject({ answer: { outcome: { result: 0, returned: { data: { type: 'visible-string' } } } } })
    expect(Math.max(...pair.lengths.slice(from))).toBeLessThanOrEqual(64)
    expect(pair.lengths.length - from).toBeGreaterThan(20)
  })

  test.each([
    ['get', { kind: 'get', attribute }, { kind: 'get', result: { kind: 'error', result: 4 } }],
    ['set', { kind: 'set', attribute, data: { type: 'null-data' } }, { kind: 'set', result: 3 }],
    [
      'action',
      { kind: 'action', method, parameters: undefined },
      { kind: 'action', outcome: { result: 3, returned: undefined } },
    ],
  ] as const)('what a server refuses of a %s is an answer and no fault', (_, request, answer) => {
    const pair = pairOf(noObjects)
      .open()
      .tell({ kind: 'ask', request: request as Request })
    expect(pair.clientEffects.at(-1)).toEqual({ kind: 'answer', answer })
    expect(pair.client.at).toBe('associated')
  })

  const associated: Extract<ServerState, { at: 'associated' }> = {
    at: 'associated',
    serving: { pduOctets: 64, conformance: offeredConformance, transfer: undefined },
    channel: undefined,
  }
  const told = (octets: Uint8Array): ServerEvent => {
    return { kind: 'apdu', octets, challenge: serverChallenge, counters: fresh, attempts: noAttempts, now: 0 }
  }
  const serverConfig = { authentication: { mechanism: 'lowest' }, pduOctets: 64, objects: noObjects } as const
  const invokeId = invokeOctet(1)
  const block = { last: true, number: 7, octets: new Uint8Array() }

  test.each([
    ['a GET', { apdu: 'get-request', invokeId, choice: 'next', blockNumber: 1 }, 'c40241 01 00000001 01 10'],
    ['a SET', { apdu: 'set-request', invokeId, choice: 'with-datablock', block }, 'c50341 12 00000007'],
    ['an ACTION', { apdu: 'action-request', invokeId, choice: 'with-pblock', block }, 'c70141 10 00'],
  ] as const)('the next block of %s that nobody began is refused by name', (_, apdu, expected) => {
    const { state, effects } = stepServer(serverConfig, associated, told(encodeApdu(apdu)))
    expect(effects).toEqual([
      { kind: 'send', octets: Uint8Array.from(Buffer.from(expected.replaceAll(' ', ''), 'hex')) },
    ])
    expect(state).toEqual(associated)
  })

  test('a block behind the last is refused, and the last can be had again', () => {
    const objects: CosemObjects = {
      ...noObjects,
      get: () => ({ kind: 'data', data: { type: 'octet-string', octets: new Uint8Array(70) } }),
    }
    let state: ServerState = associated
    const hear = (apdu: Apdu): string => {
      const step = stepServer({ ...serverConfig, objects }, state, told(encodeApdu(apdu)))
      state = step.state
      const [sent] = step.effects
      return sent?.kind === 'send' ? Buffer.from(sent.octets).toString('hex').slice(0, 20) : 'nothing'
    }
    const next = (blockNumber: number): string => hear({ apdu: 'get-request', invokeId, choice: 'next', blockNumber })
    expect(hear({ apdu: 'get-request', invokeId, choice: 'normal', attribute })).toMatch(/^c40241000000000100/)
    expect([next(1), next(1)].map((sent) => sent.slice(0, 18))).toEqual(Array(2).fill('c40241010000000200'))
    expect(next(2)).toBe('c4024101000000020113')
    expect(next(1)).toBe('c4024101000000010110')
  })

  test.each<[string, Apdu]>([
    [
      'another invoke-id',
      { apdu: 'get-response', invokeId: invokeOctet(2), choice: 'normal', result: { kind: 'error', result: 4 } },
    ],
    ['another service', { apdu: 'set-response', invokeId: invokeOctet(1), choice: 'normal', result: 0 }],
    ['a list', { apdu: 'get-response', invokeId: invokeOctet(1), choice: 'with-list', results: [] }],
  ])('a response with %s ends the association', (_, apdu) => {
    const config = { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 200 } as const
    const asking = stepClient(config, pairOf(noObjects).open().client, {
      kind: 'ask',
      request: { kind: 'get', attribute },
    })
    expect(asking.state.at).toBe('asking')
    const { state, effects } = stepClient(config, asking.state, { kind: 'apdu', octets: encodeApdu(apdu) })
    expect([state.at, faultsOf(effects)]).toEqual(['idle', ['ASSOCIATION_SEQUENCE']])
  })

  test('a service that was not negotiated is refused, and a value too long without blocks', () => {
    const long: CosemObjects = {
      ...echo(),
      get: () => ({ kind: 'data', data: { type: 'octet-string', octets: new Uint8Array(99) } }),
    }
    const get = encodeApdu({ apdu: 'get-request', invokeId, choice: 'normal', attribute })
    const answerWith = (bits: number): string => {
      const serving = { ...associated.serving, conformance: bits }
      const { effects } = stepServer({ ...serverConfig, objects: long }, { ...associated, serving }, told(get))
      return effects.flatMap((effect) =>
        effect.kind === 'send' ? [Buffer.from(effect.octets).toString('hex')] : [],
      )[0]!
    }
    expect(answerWith(conformance.set)).toBe('d80202')
    expect(answerWith(conformance.get)).toBe('d80104')
    expect(answerWith(offeredConformance).slice(0, 6)).toBe('c40241')
  })
})

describe('every state and every event', () => {
  const handshake: Handshake = {
    ctos: clientChallenge,
    stoc: serverChallenge,
    client: Buffer.from(clientKeys.own, 'hex'),
    server: Buffer.from(serverKeys.own, 'hex'),
  }
  const config = { authentication: gmac.client, receivePduOctetsMax: 200 }
  const open = { pduOctets: 200, conformance: offeredConformance, invokeId: 0, counters: fresh, channel: undefined }
  const exchange = { request: { kind: 'get', attribute }, invokeId: invokeOctet(1), blocks: [], sent: 0 } as const
  const states: Record<ClientState['at'], ClientState> = {
    idle: { at: 'idle' },
    associating: { at: 'associating', challenge: clientChallenge, counters: fresh, dedicatedKey: undefined },
    authenticating: { at: 'authenticating', handshake, open },
    associated: { at: 'associated', open },
    asking: { at: 'asking', open, exchange: { ...exchange, received: new BlockAssembler() } },
    releasing: { at: 'releasing', open },
  }
  const stray = encodeApdu({ apdu: 'set-response', invokeId: invokeOctet(9), choice: 'normal', result: 0 })
  const events: Record<string, ClientEvent> = {
    open: { kind: 'open', challenge: clientChallenge, counters: fresh },
    ask: { kind: 'ask', request: { kind: 'get', attribute } },
    release: { kind: 'release' },
    stray: { kind: 'apdu', octets: stray },
    broken: { kind: 'apdu', octets: Uint8Array.of(0xc4) },
    exception: { kind: 'apdu', octets: Uint8Array.of(0xd8, 1, 1) },
    long: { kind: 'apdu', octets: new Uint8Array(201) },
    timeout: { kind: 'timeout' },
    disconnected: { kind: 'disconnected' },
  }
  const late = 'idle ASSOCIATION_TIMEOUT'
  const waiting = {
    open: 'not-now',
    ask: 'not-now',
    release: 'not-now',
    timeout: late,
    disconnected: 'idle ASSOCIATION_SEQUENCE',
  }
  const table: Record<ClientState['at'], Record<string, string>> = {
    idle: { open: 'associating', ask: 'not-now', release: 'not-now', timeout: 'idle', disconnected: 'idle' },
    associating: waiting,
    authenticating: waiting,
    associated: {
      open: 'not-now',
      ask: 'asking',
      release: 'releasing',
      timeout: 'associated',
      disconnected: 'idle ASSOCIATION_SEQUENCE',
    },
    asking: waiting,
    releasing: waiting,
  }
  const always: Record<string, string> = {
    stray: 'idle ASSOCIATION_SEQUENCE',
    broken: 'idle APDU_TRUNCATED',
    exception: 'idle SERVICE_REFUSED',
    long: 'idle APDU_LENGTH',
  }
  const cases = Object.keys(states).flatMap((at) =>
    Object.keys(events).map((event) => [at as ClientState['at'], event] as const),
  )

  test.each(cases)('of the client: %s, %s', (at, name) => {
    const { state, effects } = stepClient(config, states[at], events[name]!)
    const isIgnored = effects[0]?.kind === 'not-now'
    if (isIgnored) expect(state).toBe(states[at])
    const seen = isIgnored ? 'not-now' : [state.at, ...faultsOf(effects)].join(' ')
    expect(seen).toBe(table[at][name] ?? always[name])
  })

  const serving = { pduOctets: 64, conformance: offeredConformance, transfer: undefined }
  const serverStates: Record<ServerState['at'], ServerState> = {
    idle: { at: 'idle' },
    challenged: { at: 'challenged', handshake, serving, channel: undefined },
    associated: { at: 'associated', serving, channel: undefined },
  }
  const told = (octets: Uint8Array): ServerEvent => {
    return { kind: 'apdu', octets, challenge: serverChallenge, counters: fresh, attempts: noAttempts, now: 0 }
  }
  const aarq = pairOf(noObjects, 200, gmac)
    .open()
    .clientEffects.find((effect) => effect.kind === 'send')!.octets
  const serverEvents: Record<string, ServerEvent> = {
    aarq: told(aarq),
    rlrq: told(encodeApdu({ apdu: 'rlrq' })),
    get: told(encodeApdu({ apdu: 'get-request', invokeId: invokeOctet(1), choice: 'normal', attribute })),
    stray: told(stray),
    broken: told(Uint8Array.of(0xc0)),
    long: told(new Uint8Array(201)),
    timeout: { kind: 'timeout' },
    disconnected: { kind: 'disconnected' },
  }
  const serverCases = Object.keys(serverStates).flatMap((at) =>
    Object.keys(serverEvents).map((event) => [at as ServerState['at'], event] as const),
  )

  test.each(serverCases)('of the server: %s, %s', (at, name) => {
    const serverConfig = { authentication: gmac.server, pduOctets: 200, objects: noObjects }
    const { state, effects } = stepServer(serverConfig, serverStates[at], serverEvents[name]!)
    const expected: Record<string, string> = {
      aarq: 'challenged send',
      rlrq: 'idle send released',
      get: at === 'associated' ? 'associated send' : `${at} fault send ASSOCIATION_SEQUENCE`,
      stray: `${at} fault send ASSOCIATION_SEQUENCE`,
      broken: `${at} fault send APDU_TRUNCATED`,
      long: `${at} fault send APDU_LENGTH`,
      timeout: 'idle close',
      disconnected: 'idle',
    }
    expect([state.at, ...effects.map(({ kind }) => kind), ...faultsOf(effects)].join(' ')).toBe(expected[name])
  })
})
