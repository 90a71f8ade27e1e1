import { createSecretKey } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Apdu, decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { decodeInitiateRequest, decodeInitiateResponse } from '#gateway/codec/initiate.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { type Ciphered, isCiphered } from '#gateway/codec/protection.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import type { Counters } from '#gateway/session/association.ts'
import { type Ciphering, openInitiate, sealInitiate } from '#gateway/session/association-channel.ts'
import { type ClientConfig, stepClient } from '#gateway/session/association-client.ts'
import type { ServerConfig } from '#gateway/session/association-server.ts'
import { invokeOctet } from '#gateway/session/exchange.ts'
import { gmacAnswer, protect } from '#gateway/session/protect.ts'
import type { CosemObjects } from '#gateway/session/serving.ts'
import {
  ciphered,
  clientChallenge,
  faultsOf,
  fresh,
  type Mechanism,
  mechanisms,
  noObjects,
  Pair,
  serverChallenge,
} from './association-pair.ts'

const attribute = { classId: 1, obis: parseObis('0-0:96.1.0'), attribute: 2, selection: undefined }
const get = { kind: 'ask', request: { kind: 'get', attribute } } as const
const value: Data = { type: 'octet-string', octets: new Uint8Array(300).fill(5) }
const objects: CosemObjects = { ...noObjects, get: () => ({ kind: 'data', data: value }) }
const lowest = mechanisms[0]!
const gmac = (suite: number): Mechanism => {
  const { client, server } = ciphered(suite)
  const mechanism = 'high-gmac'
  return { name: mechanism, client: { mechanism, ...client }, server: { mechanism, ...server } }
}

interface Setting {
  suite?: number
  mechanism?: Mechanism
  ciphering?: Partial<Ciphering>
  server?: Partial<Ciphering>
}

function configs({
  suite = 0,
  mechanism = lowest,
  ciphering = {},
  server = {},
}: Setting): [ClientConfig, ServerConfig] {
  const both = ciphered(suite, ciphering)
  return [
    { authentication: mechanism.client, ciphering: both.client, receivePduOctetsMax: 200 },
    { authentication: mechanism.server, ciphering: { ...both.server, ...server }, pduOctets: 200, objects },
  ]
}

function pairOf(setting: Setting = {}): Pair {
  return new Pair(...configs(setting))
}

function dedicatedKey(suite = 0): Uint8Array {
  return new Uint8Array(suite === 2 ? 32 : 16).fill(0xde)
}

/** Every ciphered APDU on the wire, those in user information among them. */
function cipheredOf(pair: Pair): { from: string; apdu: Ciphered }[] {
  return pair.wire.flatMap(({ from, octets }) => {
    const apdu = decodeApdu(octets)
    const inner =
      'userInformation' in apdu && apdu.userInformation instanceof Uint8Array && decodeApdu(apdu.userInformation)
    return [apdu, inner].flatMap((one) => (one && isCiphered(one) ? [{ from, apdu: one }] : []))
  })
}

const forms = [
  { name: 'glo-*', general: false, dedicated: false, tag: 'glo-' },
  { name: 'ded-*', general: false, dedicated: true, tag: 'ded-' },
  { name: 'general-glo-ciphering', general: true, dedicated: false, tag: 'general-glo' },
  { name: 'general-ded-ciphering', general: true, dedicated: true, tag: 'general-ded' },
]
const everyMechanism = [...mechanisms.filter(({ name }) => name !== 'high-gmac'), gmac(0)]
const cases = [
  ...[0, 1, 2].flatMap((suite) => forms.map((form) => ({ ...form, suite, mechanism: gmac(suite) }))),
  ...everyMechanism.map((mechanism) => ({ ...forms[0]!, suite: 0, mechanism })),
].map((one) => ({ ...one, auth: one.mechanism.name }))

describe.each(cases)('suite $suite, $name, $auth', ({ suite, general, dedicated, tag, mechanism }) => {
  const run = (): Pair => {
    const pair = pairOf({ suite, mechanism, ciphering: { general } })
    return pair
      .open(dedicated ? dedicatedKey(suite) : undefined)
      .tell(get)
      .tell(get)
      .tell({ kind: 'release' })
  }

  test('opens, answers in blocks, and is released', () => {
    const pair = run()
    expect(faultsOf([...pair.clientEffects, ...pair.serverEffects])).toEqual([])
    const answers = pair.clientEffects.filter(({ kind }) => kind === 'answer')
    expect(answers).toHaveLength(2)
    expect(pair.clientEffects.at(-1)).toEqual({ kind: 'released' })
    expect([pair.client.at, pair.server.at]).toEqual(['idle', 'idle'])
    expect(Math.max(...pair.lengths.slice(2))).toBeLessThanOrEqual(200)
  })

  test('protects every APDU but the four of ACSE, which hold protected ones', () => {
    const pair = run()
    expect(cipheredOf(pair)).toHaveLength(pair.wire.length)
    const services = pair.wire
      .map(({ octets }) => decodeApdu(octets).apdu)
      .filter((name) => !/^(aa|rl)r[qe]$/.test(name))
    expect(services.filter((name) => !name.startsWith(tag))).toEqual([])
    expect(services.length).toBeGreaterThan(6)
  })

  test('uses each counter once, higher each time, and stores it before the APDU leaves', () => {
    const pair = run()
    for (const side of ['client', 'server'] as const) {
      const used = cipheredOf(pair).flatMap(({ from, apdu }) => (from === side ? [apdu.invocationCounter] : []))
      expect(used).toEqual([...new Set(used)].toSorted((a, b) => a - b))
      const effects = side === 'client' ? pair.clientEffects : pair.serverEffects
      let stored: Counters = fresh
      for (const effect of effects) {
        if (effect.kind === 'store') stored = effect.counters
        if (effect.kind === 'send') expect(stored.sent).toBe(used.shift())
      }
    }
  })
})

describe('what a server refuses in a ciphered association', () => {
  const opened = (setting: Setting = {}, key?: Uint8Array): Pair => {
    const pair = pairOf(setting).open(key)
    expect(pair.server.at).toBe('associated')
    return pair
  }
  const plain = encodeApdu({ apdu: 'get-request', invokeId: invokeOctet(1), choice: 'normal', attribute })
  const title = ciphered(0).client.own
  const sealed = (
    more: Partial<Parameters<typeof protect>[2]> = {},
    form: Parameters<typeof protect>[1] = { apdu: 'glo', key: 'unicast' },
  ) => {
    const { ek, ak, suite, protection } = ciphered(0).client
    const sealing = { ek, ak, suite, protection, systemTitle: title, invocationCounter: 50, ...more }
    return encodeApdu(protect(plain, form, sealing))
  }
  const ours = { applicationContext: 'logical-name-ciphered', callingApTitle: Buffer.from(title, 'hex') } as const
  const refusals: [string, Uint8Array, string, string][] = [
    ['an APDU in clear', plain, 'SECURITY_DOWNGRADE', 'd80105'],
    ['one that is only authenticated', sealed({ protection: 'authenticated' }), 'SECURITY_DOWNGRADE', 'd80105'],
    ['one that is only encrypted', sealed({ protection: 'encrypted' }), 'SECURITY_DOWNGRADE', 'd80105'],
    ['another suite', sealed({ suite: 1 }), 'SECURITY_SUITE', 'd80105'],
    ['another key', sealed({ ak: new Uint8Array(16) }), 'TAG_UNAUTHENTIC', 'd80105'],
    ['the broadcast key', sealed({}, { apdu: 'glo', key: 'broadcast' }), 'SECURITY_CONTROL', 'd80105'],
    ['a dedicated key that nobody gave', sealed({}, { apdu: 'ded' }), 'SECURITY_CONTROL', 'd80105'],
    [
      'a form that was not negotiated',
      sealed({}, { apdu: 'general-glo-ciphering', key: 'unicast' }),
      'SECURITY_SERVICE',
      'd80105',
    ],
    ['a counter that was used', sealed({ invocationCounter: 0 }), 'COUNTER_REPLAYED', 'd8010600000001'],
    ['another client', sealed({ systemTitle: parseSystemTitle('4d4d4d0000000099') }), 'TAG_UNAUTHENTIC', 'd80105'],
    ['a release in clear', encodeApdu({ apdu: 'rlrq', reason: 0 }), 'SECURITY_DOWNGRADE', 'd80105'],
    ['an AARQ in clear', encodeApdu(aarqInClear()), 'ASSOCIATION_REFUSED', '6117'],
    [
      'an AARQ of our context with an initiate in clear',
      encodeApdu({ ...aarqInClear(), ...ours }),
      'SECURITY_DOWNGRADE',
      '6117',
    ],
  ]

  test.each(refusals)('%s: state and counters stay as they were', (_, octets, code, response) => {
    const pair = opened()
    const { server, counters } = pair
    const { effects } = pair.told(octets)
    expect(faultsOf(effects)).toEqual([code])
    expect(pair.server).toEqual(server)
    expect(pair.counters).toBe(counters)
    const told = effects.find((effect) => effect.kind === 'send')
    expect(
      Buffer.from(told?.octets ?? [])
        .toString('hex')
        .slice(0, response.length),
    ).toBe(response)
  })

  test('an APDU that was answered, sent once more', () => {
    const pair = opened().tell(get)
    const heard = pair.wire.filter(({ from }) => from === 'client').map(({ octets }) => octets)
    const { counters } = pair
    for (const octets of heard.slice(1)) {
      expect(faultsOf(pair.told(octets).effects)).toEqual(['COUNTER_REPLAYED'])
      expect(pair.counters).toBe(counters)
    }
    expect(faultsOf(pair.told(heard[0]!).effects)).toEqual(['COUNTER_REPLAYED'])
    expect([pair.server.at, pair.counters]).toEqual(['associated', counters])
  })

  test('what is sealed but is no APDU has used its counter, and says so', () => {
    const pair = opened()
    const { ek, ak, suite, protection } = ciphered(0).client
    const sealing = { ek, ak, suite, protection, systemTitle: title, invocationCounter: 50 }
    const { effects } = pair.told(encodeApdu(protect(Uint8Array.of(0xc0, 9), { apdu: 'glo', key: 'unicast' }, sealing)))
    expect(effects.map(({ kind }) => kind)).toEqual(['store', 'fault', 'send'])
    expect(faultsOf(effects)).toEqual(['APDU_CHOICE'])
    expect(pair.counters.received).toBe(50)
  })

  test('a dedicated key of another length, and one in clear', () => {
    const pair = pairOf().open(new Uint8Array(15))
    expect(faultsOf(pair.serverEffects)).toEqual(['KEY_MISSING'])
    const clear = aarqInClear()
    const initiate = { ...(clear.userInformation as object), dedicatedKey: new Uint8Array(16) }
    const server = new Pair(
      { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 200 },
      { authentication: { mechanism: 'lowest' }, pduOctets: 200, objects },
    )
    const { effects } = server.told(encodeApdu({ ...clear, userInformation: initiate } as Apdu))
    expect(faultsOf(effects)).toEqual(['ASSOCIATION_REFUSED'])
  })

  test('no mutation of an APDU is served, and none moves a counter', () => {
    const pair = opened().tell(get)
    const { server, counters } = pair
    const fine = sealed()
    const mutation = fc.record({ at: fc.nat(fine.length - 1), by: fc.integer({ min: 1, max: 255 }), cut: fc.nat(3) })
    fc.assert(
      fc.property(mutation, ({ at, by, cut }) => {
        const octets = Uint8Array.from(fine.subarray(0, fine.length - cut))
        octets[Math.min(at, octets.length - 1)]! ^= by
        const { effects } = pair.told(octets)
        expect(effects.map(({ kind }) => kind)).toEqual(['fault', 'send'])
        expect(pair.server).toEqual(server)
        expect(pair.counters).toBe(counters)
      }),
      { numRuns: 1_000 },
    )
    expect(pair.told(fine).effects.map(({ kind }) => kind)).toEqual(['store', 'send'])
  })
})

function aarqInClear(): Extract<Apdu, { apdu: 'aarq' }> {
  const config: ClientConfig = { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 200 }
  const { effects } = stepClient(config, { at: 'idle' }, { kind: 'open', challenge: clientChallenge, counters: fresh })
  const [sent] = effects
  const apdu = sent?.kind === 'send' ? decodeApdu(sent.octets) : undefined
  if (apdu?.apdu !== 'aarq') throw new Error('no aarq')
  return apdu
}

describe('a server that takes clear text beside ciphered', () => {
  test('answers in the form in which it is asked, and lets itself be released', () => {
    const pair = pairOf({ server: { clear: true } }).open()
    const plain = encodeApdu({ apdu: 'get-request', invokeId: invokeOctet(1), choice: 'normal', attribute })
    const [sent] = pair.told(plain).effects
    expect(sent?.kind === 'send' && decodeApdu(sent.octets).apdu).toBe('get-response')
    expect(pair.tell(get).clientEffects.at(-1)).toMatchObject({ kind: 'answer' })
    const { effects } = pair.told(encodeApdu({ apdu: 'rlrq', reason: 0 }))
    expect(effects.map(({ kind }) => kind)).toEqual(['send', 'released'])
  })
})

describe('what a client refuses in a ciphered association', () => {
  const asking = (): Pair => {
    const [config] = configs({})
    const pair = pairOf().open()
    const { state, effects } = stepClient(config, pair.client, get)
    pair.client = state
    for (const effect of effects) if (effect.kind === 'send') pair.wire.push({ from: 'client', octets: effect.octets })
    return pair
  }
  const response = encodeApdu({
    apdu: 'get-response',
    invokeId: invokeOctet(1),
    choice: 'normal',
    result: { kind: 'error', result: 4 },
  })
  const sealed = (more: Partial<Parameters<typeof protect>[2]> = {}) => {
    const { ek, ak, suite, protection, own } = ciphered(0).server
    const sealing = { ek, ak, suite, protection, systemTitle: own, invocationCounter: 50, ...more }
    return encodeApdu(protect(response, { apdu: 'glo', key: 'unicast' }, sealing))
  }

  test('takes what its server sealed', () => {
    expect(asking().tell({ kind: 'apdu', octets: sealed() }).clientEffects.at(-1)).toMatchObject({ kind: 'answer' })
  })

  test.each([
    ['an answer in clear', response, 'SECURITY_DOWNGRADE'],
    ['one that is only authenticated', sealed({ protection: 'authenticated' }), 'SECURITY_DOWNGRADE'],
    ['one of another key', sealed({ ak: new Uint8Array(16) }), 'TAG_UNAUTHENTIC'],
    ['one of another server', sealed({ systemTitle: parseSystemTitle('4d4d4d0000000099') }), 'TAG_UNAUTHENTIC'],
    ['an old counter', sealed({ invocationCounter: 0 }), 'COUNTER_REPLAYED'],
  ])('%s ends the association, and nothing is stored', (_, octets, code) => {
    const pair = asking()
    const from = pair.clientEffects.length
    pair.tell({ kind: 'apdu', octets })
    expect(pair.client.at).toBe('idle')
    expect(pair.clientEffects.slice(from).map(({ kind }) => kind)).toEqual(['failed', 'close'])
    expect(faultsOf(pair.clientEffects)).toEqual([code])
  })

  test('its own request back', () => {
    const pair = asking()
    pair.tell({ kind: 'apdu', octets: pair.wire.at(-1)!.octets })
    expect(faultsOf(pair.clientEffects)).toEqual(['TAG_UNAUTHENTIC'])
  })

  test('an AARE in clear', () => {
    const [config] = configs({})
    const clear = new Pair(
      { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 200 },
      { authentication: { mechanism: 'lowest' }, pduOctets: 200, objects },
    ).open()
    const { state } = stepClient(config, { at: 'idle' }, { kind: 'open', challenge: clientChallenge, counters: fresh })
    const { effects } = stepClient(config, state, { kind: 'apdu', octets: clear.wire[1]!.octets })
    expect(faultsOf(effects)).toEqual(['ASSOCIATION_REFUSED'])
  })

  test('a dedicated key without ciphering is its caller’s fault', () => {
    const config: ClientConfig = { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 200 }
    const event = { kind: 'open', challenge: clientChallenge, counters: fresh, dedicatedKey: dedicatedKey() } as const
    expect(() => stepClient(config, { at: 'idle' }, event)).toThrow(RangeError)
  })

  test('a key whose counters are used up seals nothing more', () => {
    const [config] = configs({})
    const event = { kind: 'open', challenge: clientChallenge, counters: { sent: 0xffffffff, received: -1 } } as const
    expect(() => stepClient(config, { at: 'idle' }, event)).toThrow(RangeError)
  })
})

test('general protection is used where both have it, else the service’s own ciphering', () => {
  const pair = pairOf({ ciphering: { general: true }, server: { general: false } })
    .open()
    .tell(get)
  const names = pair.wire.slice(2).map(({ octets }) => decodeApdu(octets).apdu)
  expect(names.every((name) => name.startsWith('glo-'))).toBe(true)
})

test('a GMAC answer under the counter of its APDU is a replay', () => {
  const [, config] = configs({ mechanism: gmac(0) })
  const pair = pairOf({ mechanism: gmac(0) })
  const honest = pairOf({ mechanism: gmac(0) }).open()
  pair.told(honest.wire[0]!.octets, serverChallenge)
  if (pair.server.at !== 'challenged' || config.ciphering === undefined) throw new Error('not challenged')
  const passThree = decodeApdu(honest.wire[2]!.octets)
  if (!isCiphered(passThree)) throw new Error('in clear')
  const { ek, ak, suite, protection, own } = ciphered(0).client
  const open = (invocationCounter: number): Uint8Array => {
    const parameters = { type: 'octet-string', octets: answerUnder(50) } as const
    const method = { classId: 15, obis: parseObis('0-0:40.0.0'), method: 1 }
    const apdu = encodeApdu({ apdu: 'action-request', invokeId: invokeOctet(0), choice: 'normal', method, parameters })
    const sealing = { ek, ak, suite, protection, systemTitle: own, invocationCounter }
    return encodeApdu(protect(apdu, { apdu: 'glo', key: 'unicast' }, sealing))
  }
  const { server } = pair
  expect(faultsOf(pair.told(open(50)).effects)).toEqual(['COUNTER_REPLAYED'])
  pair.server = server
  pair.counters = fresh
  expect(faultsOf(pair.told(open(49)).effects)).toEqual([])
  expect(pair.counters.received).toBe(50)
})

function answerUnder(counter: number): Uint8Array {
  const { ek, ak, suite, own } = ciphered(0).client
  return gmacAnswer(serverChallenge, { ek, ak, suite, systemTitle: own, invocationCounter: counter })
}

const corpus = join(import.meta.dirname, '../../../../shared/corpus/dlms/greenbook.json')
const hasCorpus = existsSync(corpus)
if (!hasCorpus && process.env.CI) throw new Error(`no corpus at ${corpus}`)

test.runIf(hasCorpus).each(['request', 'response'] as const)(
  'the Green Book’s ciphered initiate-%s is sealed and opened (where the corpus is)',
  (which) => {
    const vectors = JSON.parse(readFileSync(corpus, 'utf8')) as GreenBookCase[]
    const one = vectors.find(({ id }) => id === `greenbook-glo-initiate-${which}`)!
    const { expected_structure: expected, hex, ek, ak, system_title: title } = one
    const reader = new OctetReader(Buffer.from(expected.plain_hex, 'hex').subarray(1))
    const initiate = which === 'request' ? decodeInitiateRequest(reader) : decodeInitiateResponse(reader)
    const own = parseSystemTitle(title)
    const key = createSecretKey(Buffer.from(ek, 'hex'))
    const ciphering: Ciphering = { ...ciphered(0).client, own, ek: key, ak: Buffer.from(ak, 'hex') }
    const counters = { sent: expected.invocation_counter - 1, received: expected.invocation_counter - 1 }
    const sealed = sealInitiate(initiate, ciphering, counters)
    expect(Buffer.from(sealed.octets).toString('hex')).toBe(hex)
    const opened = openInitiate(sealed.octets, { ciphering, peer: own, counters })
    expect(opened).toEqual({ initiate, counters: { ...counters, received: expected.invocation_counter } })
  },
)

interface GreenBookCase {
  id: string
  hex: string
  ek: string
  ak: string
  system_title: string
  expected_structure: { plain_hex: string; invocation_counter: number }
}
