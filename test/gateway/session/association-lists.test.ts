import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Apdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { conformance } from '#gateway/codec/initiate.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { offeredConformance } from '#gateway/session/association.ts'
import { beginExchange, invokeOctet, type Request } from '#gateway/session/exchange.ts'
import { type Progress, takeResponse } from '#gateway/session/exchange-response.ts'
import { type CosemObjects, type Served, type Serving, serve } from '#gateway/session/serving.ts'
import { ciphered, mechanisms, Pair } from './association-pair.ts'

const attribute = { classId: 1, obis: parseObis('0-0:96.1.0'), attribute: 2, selection: undefined }
const attributeOf = (i: number): typeof attribute => ({ ...attribute, attribute: i })
const method = { classId: 9, obis: parseObis('0-0:10.0.0'), method: 1 }
const methodOf = (i: number): typeof method => ({ ...method, method: i })
const octetsOf = (octets: Uint8Array): Data => ({ type: 'octet-string', octets })

/** Keeps what was set by attribute, returns what a method was given; refuses number 13. */
function keeping(): CosemObjects & { kept: Map<number, Data>; acted: (Data | undefined)[] } {
  const kept = new Map<number, Data>()
  const acted: (Data | undefined)[] = []
  return {
    kept,
    acted,
    get: ({ attribute }) => ({ kind: 'data', data: kept.get(attribute) ?? { type: 'null-data' } }),
    set: ({ attribute }, data) => {
      if (attribute === 13) return 3
      kept.set(attribute, data)
      return 0
    },
    act: ({ method }, parameters) => {
      acted.push(parameters)
      if (method === 13) return { result: 3, returned: undefined }
      return { result: 0, returned: parameters && { kind: 'data', data: parameters } }
    },
  }
}

function pairOf(objects: CosemObjects, limit: number, isCiphered = false): Pair {
  const { client, server } = ciphered(0)
  const { client: lowest } = mechanisms[0]!
  return new Pair(
    { authentication: lowest, receivePduOctetsMax: limit, ...(isCiphered && { ciphering: client }) },
    { authentication: lowest, pduOctets: limit, objects, ...(isCiphered && { ciphering: server }) },
  ).open()
}

function answerTo(pair: Pair, request: Request): unknown {
  const last = pair.tell({ kind: 'ask', request }).clientEffects.at(-1)
  return last?.kind === 'answer' ? last.answer : last
}

const values = fc.array(fc.uint8Array({ maxLength: 200, size: 'max' }), { minLength: 1, maxLength: 4 })

describe.each([
  ['in clear', false],
  ['ciphered', true],
] as const)('lists %s', (_, isCiphered) => {
  test('what is set as a list is got as a list, in blocks where it is long, and within what was negotiated', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 160, max: 700 }), (values, limit) => {
        const objects = keeping()
        const pair = pairOf(objects, limit, isCiphered)
        const from = pair.lengths.length
        const attributes = values.map((_, i) => attributeOf(i + 1))
        const data = values.map(octetsOf)
        expect(answerTo(pair, { kind: 'set-list', attributes, data })).toEqual({
          kind: 'set-list',
          results: values.map(() => 0),
        })
        expect([...objects.kept.values()].map(plain)).toEqual(data.map(plain))
        const got = answerTo(pair, { kind: 'get-list', attributes }) as { results: { data: Data }[] }
        expect(got.results.map(({ data }) => plain(data))).toEqual(data.map(plain))
        expect(Math.max(...pair.lengths.slice(from))).toBeLessThanOrEqual(limit)
      }),
      { numRuns: 60 },
    )
  })

  test('methods are invoked as a list, in blocks both ways', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 160, max: 700 }), (values, limit) => {
        const objects = keeping()
        const pair = pairOf(objects, limit, isCiphered)
        const methods = values.map((_, i) => methodOf(i + 1))
        const answer = answerTo(pair, { kind: 'action-list', methods, parameters: values.map(octetsOf) })
        const outcomes = (answer as { outcomes: { result: number; returned: { data: Data } }[] }).outcomes
        expect(outcomes.map(({ result, returned }) => [result, plain(returned.data)])).toEqual(
          values.map((value) => [0, plain(octetsOf(value))]),
        )
        expect(Math.max(...pair.lengths)).toBeLessThanOrEqual(limit)
      }),
      { numRuns: 60 },
    )
  })
})

/** Without what tells one buffer from another. */
function plain(data: Data): string {
  return data.type === 'octet-string' ? Buffer.from(data.octets).toString('hex') : data.type
}

test('each of a list has its own result: one that is refused keeps none from its neighbours', () => {
  const objects = keeping()
  const pair = pairOf(objects, 500)
  const nothing: Data = { type: 'null-data' }
  const attributes = [attributeOf(1), attributeOf(13), attributeOf(2)]
  const data = [octetsOf(Buffer.of(1)), nothing, octetsOf(Buffer.of(2))]
  expect(answerTo(pair, { kind: 'set-list', attributes, data })).toEqual({ kind: 'set-list', results: [0, 3, 0] })
  expect([...objects.kept.keys()]).toEqual([1, 2])
  const methods = [methodOf(13), methodOf(1)]
  expect(answerTo(pair, { kind: 'action-list', methods, parameters: [nothing, nothing] })).toEqual({
    kind: 'action-list',
    outcomes: [
      { result: 3, returned: undefined },
      { result: 0, returned: undefined },
    ],
  })
  expect(objects.acted).toEqual([undefined, undefined]) // null-data in a list stands for none
})

const serving: Serving = { pduOctets: 64, conformance: offeredConformance, transfer: undefined }
const confirmed = invokeOctet(1)
const unconfirmed = 1
const block = { last: true, number: 1, octets: Buffer.from('0100', 'hex') }

function hex({ response }: Served): string | undefined {
  return response && Buffer.from(encodeApdu(response)).toString('hex')
}

describe('a server', () => {
  const bare = { data: [] as Data[], parameters: [] as Data[] }

  test.each<[string, Apdu, string]>([
    [
      'a SET list with a value too few',
      { apdu: 'set-request', invokeId: confirmed, choice: 'with-list', attributes: [attribute], ...bare },
      'd80103',
    ],
    [
      'an ACTION list with a value too few',
      { apdu: 'action-request', invokeId: confirmed, choice: 'with-list', methods: [method], ...bare },
      'd80103',
    ],
    [
      'a SET list whose results no APDU holds',
      {
        apdu: 'set-request',
        invokeId: confirmed,
        choice: 'with-list',
        attributes: Array(60).fill(attribute),
        data: Array(60).fill({ type: 'null-data' }),
      },
      'd80104',
    ],
    [
      'blocks of a SET list whose results no APDU holds',
      {
        apdu: 'set-request',
        invokeId: confirmed,
        choice: 'with-list-and-first-datablock',
        attributes: Array(60).fill(attribute),
        block,
      },
      'd80104',
    ],
    [
      'blocks of a SET list with a value too few',
      {
        apdu: 'set-request',
        invokeId: confirmed,
        choice: 'with-list-and-first-datablock',
        attributes: [attribute, attribute],
        block,
      },
      'c5044102111100000001',
    ],
    [
      'blocks of an ACTION list with a value too few',
      {
        apdu: 'action-request',
        invokeId: confirmed,
        choice: 'with-list-and-first-pblock',
        methods: [method, method],
        block,
      },
      'c701410f00',
    ],
  ])('refuses %s, and does nothing of it', (_, apdu, expected) => {
    const objects = keeping()
    expect(hex(serve(serving, apdu, objects)!)).toBe(expected)
    expect([objects.kept.size, objects.acted.length]).toEqual([0, 0])
  })

  const lists: [string, keyof typeof conformance, Apdu][] = [
    [
      'a GET list',
      'multiple-references',
      { apdu: 'get-request', invokeId: confirmed, choice: 'with-list', attributes: [attribute] },
    ],
    [
      'a SET list',
      'multiple-references',
      { apdu: 'set-request', invokeId: confirmed, choice: 'with-list', attributes: [], data: [] },
    ],
    [
      'an ACTION list',
      'multiple-references',
      { apdu: 'action-request', invokeId: confirmed, choice: 'with-list', methods: [], parameters: [] },
    ],
    [
      'blocks of a SET',
      'block-transfer-with-set-or-write',
      { apdu: 'set-request', invokeId: confirmed, choice: 'with-first-datablock', attribute, block },
    ],
    [
      'blocks of an ACTION',
      'block-transfer-with-action',
      { apdu: 'action-request', invokeId: confirmed, choice: 'with-first-pblock', method, block },
    ],
  ]

  test.each(lists)('takes %s only where it was negotiated', (_, bit, apdu) => {
    const without = { ...serving, conformance: offeredConformance & ~conformance[bit] }
    expect(hex(serve(without, apdu, keeping())!)).toBe('d80202')
    expect(hex(serve(serving, apdu, keeping())!)).not.toBe('d80202')
  })

  const value = octetsOf(new Uint8Array(100))
  test.each<[string, Apdu, number, number]>([
    ['GET', { apdu: 'get-request', invokeId: unconfirmed, choice: 'normal', attribute }, 0, 0],
    ['SET', { apdu: 'set-request', invokeId: unconfirmed, choice: 'normal', attribute, data: value }, 1, 0],
    [
      'SET of a list',
      { apdu: 'set-request', invokeId: unconfirmed, choice: 'with-list', attributes: [attribute], data: [value] },
      1,
      0,
    ],
    ['ACTION', { apdu: 'action-request', invokeId: unconfirmed, choice: 'normal', method, parameters: value }, 0, 1],
    [
      'ACTION of a list',
      { apdu: 'action-request', invokeId: unconfirmed, choice: 'with-list', methods: [method], parameters: [value] },
      0,
      1,
    ],
    [
      'SET that was not negotiated in this form',
      { apdu: 'set-request', invokeId: unconfirmed, choice: 'with-list', attributes: [attribute], data: [] },
      0,
      0,
    ],
  ])('does not answer an unconfirmed %s, and does what it asks', (_, apdu, sets, acts) => {
    const objects = keeping()
    expect(serve(serving, apdu, objects)).toEqual({ serving, response: undefined })
    expect([objects.kept.size, objects.acted.length]).toEqual([sets, acts])
  })
})

describe('a client', () => {
  const data = [octetsOf(new Uint8Array(90)), octetsOf(new Uint8Array(90))]
  const setList: Request = { kind: 'set-list', attributes: [attribute, attribute], data }
  const getList: Request = { kind: 'get-list', attributes: [attribute, attribute] }
  const actionList: Request = { kind: 'action-list', methods: [method, method], parameters: data }

  function taken(request: Request, apdu: Apdu, limit = 500): Progress | string {
    const { exchange } = beginExchange(request, confirmed, limit)
    try {
      return takeResponse(exchange, apdu)
    } catch (fault) {
      return (fault as { code: string }).code
    }
  }

  const error = { kind: 'error', result: 3 } as const
  const outcome = { result: 3, returned: undefined }
  const set = { apdu: 'set-response', invokeId: confirmed } as const
  const action = { apdu: 'action-response', invokeId: confirmed } as const
  const got = { apdu: 'get-response', invokeId: confirmed } as const

  test.each<[string, Request, Apdu, string]>([
    ['one result to a GET list', getList, { ...got, choice: 'normal', result: error }, 'ASSOCIATION_SEQUENCE'],
    ['a list too short to a GET list', getList, { ...got, choice: 'with-list', results: [error] }, 'DATA_COUNT'],
    ['one result to a SET list', setList, { ...set, choice: 'normal', result: 0 }, 'ASSOCIATION_SEQUENCE'],
    ['a list too long to a SET list', setList, { ...set, choice: 'with-list', results: [0, 0, 0] }, 'DATA_COUNT'],
    [
      'the end of blocks that were not sent',
      setList,
      { ...set, choice: 'last-datablock-with-list', results: [0, 0], blockNumber: 1 },
      'ASSOCIATION_SEQUENCE',
    ],
    ['one outcome to an ACTION list', actionList, { ...action, choice: 'normal', outcome }, 'ASSOCIATION_SEQUENCE'],
    [
      'a list too short to an ACTION list',
      actionList,
      { ...action, choice: 'with-list', outcomes: [outcome] },
      'DATA_COUNT',
    ],
    [
      'an acknowledgement of another block',
      actionList,
      { ...action, choice: 'next-pblock', blockNumber: 2 },
      'ASSOCIATION_SEQUENCE',
    ],
  ])('refuses %s', (_, request, apdu, code) => {
    expect(taken(request, apdu)).toBe(code)
  })

  test('takes one refusal of a transfer for each of its list', () => {
    const whole = { ...set, choice: 'last-datablock', result: 17, blockNumber: 1 } as const
    expect(taken(setList, whole, 64)).toEqual({ answer: { kind: 'set-list', results: [17, 17] } })
    const refused = taken(actionList, { ...action, choice: 'normal', outcome }, 64)
    expect(refused).toEqual({ answer: { kind: 'action-list', outcomes: [outcome, outcome] } })
    const ended = taken(getList, { ...got, choice: 'with-datablock', block: { last: true, number: 1, result: 15 } })
    const result = { kind: 'error', result: 15 }
    expect(ended).toEqual({ answer: { kind: 'get-list', results: [result, result] } })
  })

  test.each<[string, Request]>([
    ['lists of other lengths', { ...setList, data: [] }],
    [
      'descriptors that fit no APDU',
      { kind: 'set-list', attributes: Array(9).fill(attribute), data: Array(9).fill(data[0]) },
    ],
    ['a GET list that fits no APDU', { kind: 'get-list', attributes: Array(9).fill(attribute) }],
  ])('of %s is told at once', (_, request) => {
    expect(() => beginExchange(request, confirmed, 64)).toThrow(RangeError)
  })
})
