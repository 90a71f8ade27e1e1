import { appendFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  encodeIssuers,
  encodeRevoked,
  encodeState,
  type FeedMessage,
  FeedReader,
  feedFrameOctetsMax,
} from '#pki/revocation/feed.ts'
import { type PublisherEvent, publishRevocations } from '#pki/revocation/publisher.ts'
import { RevokedSet, serialOctets } from '#pki/revocation/revoked-set.ts'
import { throwawayPki } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const serial = fc
  .uint8Array({ minLength: serialOctets, maxLength: serialOctets })
  .filter((octets) => octets.some(Boolean))
const hexOf = (octets: Uint8Array): string => Buffer.from(octets).toString('hex').toUpperCase()

describe('a set of revoked serials', () => {
  test('holds what was put into it and nothing else, however much that is', () => {
    fc.assert(
      fc.property(fc.array(serial, { maxLength: 3_000, size: 'max' }), fc.array(serial), (put, others) => {
        const [ours, known] = [new RevokedSet(), new Set<string>()]
        for (const one of put) {
          expect(ours.add(one)).toBe(!known.has(hexOf(one)))
          known.add(hexOf(one))
        }
        expect(ours.size).toBe(known.size)
        for (const one of [...put, ...others]) expect(ours.has(hexOf(one))).toBe(known.has(hexOf(one)))
      }),
      { numRuns: 30 },
    )
  })

  test('tells serials apart that share all but one octet, and knows none of another length', () => {
    const set = new RevokedSet()
    const octets = new Uint8Array(serialOctets).fill(0x41)
    set.add(octets)
    for (let at = 0; at < serialOctets; at += 1) expect(set.has(hexOf(octets.with(at, 0x42)))).toBe(false)
    for (const other of ['', '41', hexOf(octets).slice(2), `${hexOf(octets)}41`, 'no hex'.padEnd(32, '-')]) {
      expect(set.has(other)).toBe(false)
    }
    expect(set.has(hexOf(octets).toLowerCase())).toBe(true)
  })
})

const message = fc.oneof<fc.Arbitrary<FeedMessage>[]>(
  fc.array(fc.uint8Array({ minLength: 1, maxLength: 64 }), { maxLength: 9 }).map((ids) => ({
    kind: 'issuers',
    keyIds: ids.map((id) => Buffer.from(id).toString('hex')),
  })),
  fc.array(serial, { minLength: 1, maxLength: 40 }).map((all) => ({ kind: 'revoked', serials: Buffer.concat(all) })),
  fc.nat().map((count) => ({ kind: 'state', count })),
)

function encodeMessage(one: FeedMessage): Uint8Array {
  if (one.kind === 'issuers') return encodeIssuers(one.keyIds)
  return one.kind === 'revoked' ? encodeRevoked(one.serials) : encodeState(one.count)
}

describe('the feed', () => {
  test('is read as it was written, in whatever pieces it comes', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 9 }), fc.array(fc.nat(97), { minLength: 1 }), (messages, cuts) => {
        const octets = Buffer.concat(messages.map(encodeMessage))
        const [reader, read] = [new FeedReader(), [] as FeedMessage[]]
        for (let at = 0, turn = 0; at < octets.length; turn += 1) {
          const length = 1 + cuts[turn % cuts.length]!
          read.push(...reader.take(octets.subarray(at, at + length)))
          at += length
        }
        expect(read.map((one) => hexOf(encodeMessage(one)))).toEqual(messages.map((one) => hexOf(encodeMessage(one))))
      }),
    )
  })

  test('of a million is written in frames that are short enough', () => {
    const many = new Uint8Array(100_000 * serialOctets).fill(1)
    const octets = Buffer.from(encodeRevoked(many))
    let [at, told] = [0, 0]
    while (at < octets.length) {
      const length = octets.readUInt32BE(at)
      expect(length).toBeLessThanOrEqual(feedFrameOctetsMax)
      told += length - 1
      at += 4 + length
    }
    expect(told).toBe(many.length)
  })

  test.for([
    ['a frame that is too long', Buffer.from('0001000103', 'hex')],
    ['an empty frame', Buffer.from('00000000', 'hex')],
    ['a type that is not known', Buffer.from('0000000109', 'hex')],
    ['half a serial', Buffer.from('000000090241414141414141 41'.replace(' ', ''), 'hex')],
    ['no serial', Buffer.from('0000000102', 'hex')],
    ['a state of three octets', Buffer.from('0000000403000001', 'hex')],
    ['another version', Buffer.from('000000020102', 'hex')],
    ['an identifier that ends early', Buffer.from('00000004010105aa', 'hex')],
    ['an identifier of no octets', Buffer.from('00000003010100', 'hex')],
  ] as const)('refuses %s', ([, octets]) => {
    expect(() => new FeedReader().take(octets)).toThrow(expect.objectContaining({ code: 'FEED_MALFORMED' }))
  })
})

/** A listener that only listens, or says something first. */
async function listener(says?: string): Promise<{
  path: string
  messages: FeedMessage[]
  until: (kind: string, count: number) => Promise<void>
  sockets: Socket[]
}> {
  const path = join(tempFolder(), 'feed.sock')
  const [messages, sockets, reader] = [[] as FeedMessage[], [] as Socket[], new FeedReader()]
  let wake = (): void => undefined
  const server = createServer((socket) => {
    sockets.push(socket)
    if (says !== undefined) socket.write(says)
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      messages.push(...reader.take(chunk))
      wake()
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const of = (kind: string): number => messages.filter((one) => one.kind === kind).length
  const until = async (kind: string, count: number): Promise<void> => {
    while (of(kind) < count) await new Promise<void>((resolve) => (wake = resolve))
  }
  return { path, messages, until, sockets }
}

/** It looks four times between two states, and once with each. */
const looksOfThreeBeats = 15

describe('the publisher', () => {
  test('tells all at first, then each revocation, of its own process or another, and that all is told', async () => {
    const pki = await throwawayPki()
    onTestFinished(() => pki.close())
    const serials = await Promise.all(['a', 'b', 'c'].map(async (id) => (await pki.issue('concentrator', id)).serial))
    await pki.revoke(serials[0]!)
    const { path, messages, until } = await listener()
    const publisher = await publishRevocations({ dir: pki.caDir, listeners: [path], onEvent: () => undefined })
    onTestFinished(() => publisher.close())
    await until('state', 1)
    await pki.revoke(serials[1]!)
    await until('revoked', 2)
    await until('state', 3)
    const told = messages.flatMap((one) => (one.kind === 'revoked' ? [hexOf(one.serials)] : []))
    expect(told).toEqual(serials.slice(0, 2))
    expect(messages.map((one) => (one.kind === 'state' ? one.count : one.kind)).slice(0, 3)).toEqual([
      'issuers',
      'revoked',
      1,
    ])
    expect(messages.at(-1)).toEqual({ kind: 'state', count: 2 })
    const [issuers] = messages
    expect(issuers?.kind === 'issuers' && issuers.keyIds.length).toBe(5)
  })

  test('cuts off a listener that speaks, and connects again', async () => {
    const pki = await throwawayPki()
    onTestFinished(() => pki.close())
    const { path, sockets } = await listener('hello')
    const events: PublisherEvent[] = []
    const twice = Promise.withResolvers<void>()
    const publisher = await publishRevocations({
      dir: pki.caDir,
      listeners: [path],
      onEvent: (event) => {
        if (events.push(event) >= 3) twice.resolve()
      },
    })
    onTestFinished(() => publisher.close())
    await twice.promise
    expect(events.map(({ kind }) => kind).slice(0, 3)).toEqual(['connected', 'disconnected', 'connected'])
    expect(events[1]).toMatchObject({ detail: 'a listener has nothing to say' })
    expect(sockets.length).toBeGreaterThan(1)
  })

  test('says no more that all is told once the journal cannot be read', async () => {
    const pki = await throwawayPki()
    onTestFinished(() => pki.close())
    const { path, messages, until } = await listener()
    const faults: PublisherEvent[] = []
    const many = Promise.withResolvers<void>()
    const publisher = await publishRevocations({
      dir: pki.caDir,
      listeners: [path],
      onEvent: (event) => {
        if (event.kind === 'fault' && faults.push(event) === looksOfThreeBeats) many.resolve()
      },
    })
    onTestFinished(() => publisher.close())
    await until('state', 1)
    appendFileSync(join(pki.caDir, 'journal.ndjson'), '{"event":"torn\n')
    const before = messages.length
    await many.promise
    expect(faults[0]).toMatchObject({ detail: expect.stringContaining('is not JSON') })
    expect(messages.slice(before).filter(({ kind }) => kind === 'state').length).toBeLessThanOrEqual(1)
  })

  test('takes no more listeners than it states, and no PKI that is not there', async () => {
    const onEvent = (): void => undefined
    const many = Array.from({ length: 65 }, (_, i) => `/nowhere/${i}`)
    for (const listeners of [[], many]) {
      await expect(publishRevocations({ dir: tempFolder(), listeners, onEvent })).rejects.toMatchObject({
        code: 'FEED_LISTENERS',
      })
    }
    await expect(publishRevocations({ dir: tempFolder(), listeners: ['/x'], onEvent })).rejects.toMatchObject({
      code: 'STORE_MISSING',
    })
  })
})
