import { createPublicKey, createSecretKey, type KeyObject, verify } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { systemTitle } from '#gateway/model.ts'
import { type Hls, isHls } from '#gateway/session/association.ts'
import type { Open } from '#gateway/session/association-accept.ts'
import { stepClient } from '#gateway/session/association-client.ts'
import { checkAnswer, checkChallenge, type Handshake, makeAnswer } from '#gateway/session/association-hls.ts'
import { ciphered, clientChallenge, faultsOf, fresh, mechanisms, noObjects, Pair, secret } from './association-pair.ts'

const corpus = join(import.meta.dirname, '../../../../shared/corpus/dlms/greenbook-crypto-vectors.json')
const hasCorpus = existsSync(corpus)
const hls = mechanisms.filter(({ client }) => isHls(client))
const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')
const octets = (text: string): Buffer => Buffer.from(text, 'hex')

/** Titles `C…C` and `S…S`, challenges of the figures 1 and 2: the inputs can be told apart in a sum made by hand. */
const handshake: Handshake = {
  ctos: Buffer.from('1'.repeat(32)),
  stoc: Buffer.from('2'.repeat(32)),
  client: Buffer.from('CCCCCCCC'),
  server: Buffer.from('SSSSSSSS'),
}
const names = { own: systemTitle(handshake.client), peer: undefined }

describe('answers to a challenge', () => {
  // sums made with coreutils: printf … | md5sum, sha1sum, sha256sum
  test.each([
    ['high-md5', 'client', 'e823280e673af93403a6a24ecdae16f1'],
    ['high-md5', 'server', 'c548a3e76cec097aca38fcd56abd4713'],
    ['high-sha1', 'client', '87570cd1f357e92cbc69c97c0a14e4508acd673a'],
    ['high-sha1', 'server', '00767275662ef3d2bcf1814f44dbe013346b4992'],
    ['high-sha256', 'client', '083ef4f5ff2df41c5a99ed48876e901efbbddd80fe1b666459e45ea4beb93b02'],
    ['high-sha256', 'server', 'cbc8f4c2e2a0a22fc17ed72a6624ac14f84d5b88a58d0f3f4e4011d42d4fa819'],
  ] as const)('%s of the %s is the sum over its inputs in their order', (mechanism, end, sum) => {
    const secret = Buffer.from('secret')
    const { answer, counters } = makeAnswer(end, { mechanism, secret, ...names }, { handshake, counters: fresh })
    expect(hex(answer)).toBe(sum)
    expect(counters).toBe(fresh)
  })

  test.each(hls.filter(({ client }) => client.mechanism === 'high-ecdsa'))(
    '$name signs titles and challenges, those of who answers first',
    ({ client }) => {
      if (client.mechanism !== 'high-ecdsa') throw new Error('no ECDSA')
      const { answer } = makeAnswer('client', client, { handshake, counters: fresh })
      const signed = Buffer.from(`CCCCCCCCSSSSSSSS${'2'.repeat(32)}${'1'.repeat(32)}`)
      const key = { key: createPublicKey(client.privateKey as KeyObject), dsaEncoding: 'ieee-p1363' } as const
      expect(verify(client.suite === 1 ? 'sha256' : 'sha384', signed, key, answer)).toBe(true)
      expect(answer).toHaveLength(client.suite === 1 ? 64 : 96)
    },
  )

  const vectors = hasCorpus ? (JSON.parse(readFileSync(corpus, 'utf8')) as Record<string, string>[]) : []
  if (!hasCorpus && process.env.CI) throw new Error(`no corpus at ${corpus}`)
  const gmac = (id: string): Hls => {
    const { ek, ak, system_title: title } = vectors.find((one) => one.id === id)!
    const own = systemTitle(octets(title!))
    return { mechanism: 'high-gmac', own, peer: undefined, ek: createSecretKey(octets(ek!)), ak: octets(ak!) }
  }

  test.runIf(hasCorpus).each([
    ['client', 'greenbook-hls-gmac-pass3', 'challenge_stoc', 'f_stoc'],
    ['server', 'greenbook-hls-gmac-pass4', 'challenge_ctos', 'f_ctos'],
  ] as const)('GMAC of the %s is that of the Green Book (where the corpus is)', (end, id, challenge, expected) => {
    const vector = vectors.find((one) => one.id === id)!
    const counters = { sent: Number(vector.invocation_counter) - 1, received: -1 }
    const named = { ctos: octets(vector[challenge]!), stoc: octets(vector[challenge]!) }
    const told = { ...named, client: octets(vector.system_title!), server: octets(vector.system_title!) }
    const made = makeAnswer(end, gmac(id), { handshake: told, counters })
    expect(hex(made.answer)).toBe(vector[expected])
    expect(checkAnswer(made.answer, end, { hls: gmac(id), handshake: told, counters: fresh }).received).toBe(
      Number(vector.invocation_counter),
    )
  })
})

function pairOf({ client, server }: (typeof mechanisms)[number]): Pair {
  return new Pair(
    { authentication: client, receivePduOctetsMax: 200 },
    { authentication: server, pduOctets: 200, objects: noObjects },
  )
}

const wrongCode = {
  'high-md5': 'AUTHENTICATION_FAILED',
  'high-sha1': 'AUTHENTICATION_FAILED',
  'high-gmac': 'TAG_UNAUTHENTIC',
  'high-sha256': 'AUTHENTICATION_FAILED',
  'high-ecdsa': 'SIGNATURE_INVALID',
} as const

/** The same mechanism with another secret. */
function spoiled(authentication: Hls): Hls {
  switch (authentication.mechanism) {
    case 'high-gmac':
      return { ...authentication, ak: new Uint8Array(16) }
    case 'high-ecdsa':
      return { ...authentication, privateKey: ecdsaOf(authentication.suite).server.privateKey }
    default:
      return { ...authentication, secret: secret.subarray(1) }
  }
}

function ecdsaOf(suite: 1 | 2): { server: Extract<Hls, { mechanism: 'high-ecdsa' }> } {
  const found = hls.find(({ client }) => client.mechanism === 'high-ecdsa' && client.suite === suite)!
  return { server: found.server as Extract<Hls, { mechanism: 'high-ecdsa' }> }
}

function sentBy(pair: Pair, who: 'client' | 'server', at: number): Uint8Array {
  return pair.wire.filter(({ from }) => from === who)[at]!.octets
}

describe.each(hls)('the handshake of $name', (mechanism) => {
  const client = mechanism.client as Hls
  const server = mechanism.server as Hls
  const wrong = wrongCode[client.mechanism]

  test('opens an association', () => {
    const pair = pairOf(mechanism).open()
    expect([pair.client.at, pair.server.at]).toEqual(['associated', 'associated'])
  })

  test('with another secret of the client ends in pass 3, is counted, and moves no counter', () => {
    const pair = pairOf({ ...mechanism, client: spoiled(client) }).open()
    expect(faultsOf(pair.serverEffects)).toEqual([wrong])
    expect(faultsOf(pair.clientEffects)).toEqual(['AUTHENTICATION_FAILED'])
    expect([pair.server.at, pair.counters, pair.attempts.failed]).toEqual(['idle', fresh, 1])
  })

  test('with another secret of the server ends in pass 4', () => {
    const pair = pairOf(mechanism)
    const honest = pairOf(mechanism).open()
    pair.tell({ kind: 'open', challenge: clientChallenge, counters: fresh })
    const passFour = decodeApdu(sentBy(honest, 'server', 1))
    if (passFour.apdu !== 'action-response' || passFour.choice !== 'normal') throw new Error('no pass 4')
    const { returned } = passFour.outcome
    if (returned?.kind !== 'data' || returned.data.type !== 'octet-string') throw new Error('no answer')
    const forged = Uint8Array.from(returned.data.octets)
    forged[forged.length - 1]! ^= 1
    const state = { at: 'authenticating', ...authenticating(mechanism) } as const
    const lying = pairOf(mechanism)
    lying.client = state
    const outcome = { result: 0, returned: { kind: 'data', data: { type: 'octet-string', octets: forged } } } as const
    lying.tell({ kind: 'apdu', octets: encodeApdu({ ...passFour, outcome }) })
    expect([lying.client.at, faultsOf(lying.clientEffects)]).toEqual(['idle', [wrong]])
  })

  test('with an answer of another length is refused by its own code, on both sides', () => {
    const { handshake: heard } = authenticating(mechanism)
    for (const end of ['client', 'server'] as const) {
      const { answer } = makeAnswer(end, end === 'client' ? client : server, { handshake: heard, counters: fresh })
      const check = (octets: Uint8Array) => () =>
        checkAnswer(octets, end, { hls: end === 'client' ? server : client, handshake: heard, counters: fresh })
      expect(check(answer)).not.toThrow()
      expect(check(answer.subarray(1))).toThrow(expect.objectContaining({ code: 'AUTHENTICATION_LENGTH' }))
      expect(check(Buffer.concat([answer, answer]))).toThrow(expect.objectContaining({ code: 'AUTHENTICATION_LENGTH' }))
    }
  })

  test('answers no challenge of ours, none too short, and none too long', () => {
    const least = client.mechanism === 'high-ecdsa' ? 32 : 8
    const ours = Buffer.alloc(64, 1)
    const check = (theirs: Uint8Array) => () => checkChallenge(theirs, ours, client)
    expect(check(Buffer.alloc(least, 2))).not.toThrow()
    expect(check(Buffer.alloc(64, 2))).not.toThrow()
    expect(check(Buffer.alloc(least - 1, 2))).toThrow(expect.objectContaining({ code: 'CHALLENGE_LENGTH' }))
    expect(check(Buffer.alloc(65, 2))).toThrow(expect.objectContaining({ code: 'CHALLENGE_LENGTH' }))
    expect(check(ours)).toThrow(expect.objectContaining({ code: 'CHALLENGE_REFLECTED' }))
  })

  test('takes no pass 3 that was heard in another association', () => {
    const heard = pairOf(mechanism).open()
    const pair = pairOf(mechanism)
    pair.told(sentBy(heard, 'client', 0), Buffer.alloc(32, 9))
    expect(pair.server.at).toBe('challenged')
    const { effects } = pair.told(sentBy(heard, 'client', 1))
    expect([pair.server.at, faultsOf(effects), pair.counters]).toEqual(['idle', [wrong], fresh])
  })

  test('takes no second pass 3 in the same association', () => {
    const pair = pairOf(mechanism).open()
    const { effects } = pair.told(sentBy(pair, 'client', 1))
    expect([pair.server.at, faultsOf(effects)]).toEqual(['associated', ['ASSOCIATION_SEQUENCE']])
  })

  test('serves nothing before pass 3', () => {
    const heard = pairOf(mechanism).open()
    const pair = pairOf(mechanism)
    pair.told(sentBy(heard, 'client', 0))
    const get = Buffer.from('c001c100080000010000ff0200', 'hex')
    expect(faultsOf(pair.told(get).effects)).toEqual(['ASSOCIATION_SEQUENCE'])
  })
})

/** A client's state behind pass 3, from one that ran. */
function authenticating(mechanism: (typeof mechanisms)[number]): { handshake: Handshake; open: Open } {
  const pair = pairOf(mechanism)
  const heard = pairOf(mechanism).open()
  pair.told(sentBy(heard, 'client', 0))
  const { server } = pair
  if (server.at !== 'challenged') throw new Error('not challenged')
  const open = { pduOctets: 200, conformance: 0, invokeId: 0, counters: fresh, channel: undefined }
  return { handshake: server.handshake, open }
}

test('a server asks for the mechanism that it was given and no weaker one', () => {
  for (const { name, client } of mechanisms) {
    for (const { server } of mechanisms) {
      if (client.mechanism === server.mechanism) continue
      const pair = pairOf({ name, client, server }).open()
      expect([pair.client.at, pair.server.at]).toEqual(['idle', 'idle'])
      expect(faultsOf(pair.serverEffects)).toEqual(['ASSOCIATION_REFUSED'])
    }
  }
})

test('a client answers no challenge under another mechanism than its own', () => {
  const mechanism = hls.find(({ name }) => name === 'high-sha256')!
  const heard = pairOf(mechanism).open()
  const aare = decodeApdu(sentBy(heard, 'server', 0))
  if (aare.apdu !== 'aare') throw new Error('no AARE')
  const config = { authentication: mechanism.client, receivePduOctetsMax: 200 }
  const { state } = stepClient(config, { at: 'idle' }, { kind: 'open', challenge: clientChallenge, counters: fresh })
  const octets = encodeApdu({ ...aare, mechanism: 'high-md5' })
  expect(faultsOf(stepClient(config, state, { kind: 'apdu', octets }).effects)).toEqual(['AUTHENTICATION_FAILED'])
})

test('GMAC in suites 1 and 2 is of that suite alone', () => {
  for (const suite of [1, 2]) {
    const { client, server } = ciphered(suite)
    const gmac = (one: typeof client): Hls => ({ mechanism: 'high-gmac', ...one })
    const name = `suite ${suite}`
    expect(pairOf({ name, client: gmac(client), server: gmac(server) }).open().server.at).toBe('associated')
    const other = pairOf({ name, client: gmac(client), server: gmac({ ...server, suite: 0 }) }).open()
    expect(faultsOf(other.serverEffects)).toEqual(['SECURITY_SUITE'])
  }
})
