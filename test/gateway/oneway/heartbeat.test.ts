import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeerError } from '#gateway/errors.ts'
import { DatagramWriter, heartbeatShape, macAt } from '#gateway/oneway/datagram.ts'
import {
  clockQualities,
  decodeHeartbeat,
  encodeHeartbeat,
  type Heartbeat,
  heartbeatOctets,
} from '#gateway/oneway/heartbeat.ts'
import { sealMac } from '#gateway/oneway/mac.ts'
import { batchSequenceMax, heartbeatToi, kindOfToi, manifestOfToi, toiOfManifest } from '#gateway/oneway/toi.ts'
import { linkKey, readDatagram } from '#test/support/datagrams.ts'

const number48 = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const anyHeartbeat: fc.Arbitrary<Heartbeat> = fc
  .record({
    number: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
    run: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
    clock: fc.constantFrom(...clockQualities),
    utcMs: number48,
    monotonicMs: number48,
    highest: fc.maxSafeNat(),
    datagrams: number48,
    octets: number48,
    sendErrors: number48,
    queueObjects: number48,
    queueOctets: number48,
    oldestUnsentMs: number48,
    bitsPerSecond: number48,
  })
  .map((one) => ({ ...one, run: Math.min(one.run, one.number) }))

const [example] = fc.sample(anyHeartbeat, { numRuns: 1, seed: 1 }) as [Heartbeat]

function datagram(heartbeat: Heartbeat = example): Buffer {
  const writer = new DatagramWriter({ key: linkKey, epoch: 7, slots: 1, symbolOctets: heartbeatOctets })
  return writer.write({ sequence: heartbeatToi, shape: heartbeatShape, symbol: 0, payload: encodeHeartbeat(heartbeat) })
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof PeerError) return error.code
    throw error
  }
}

describe('a heartbeat', () => {
  test('is read as it was written', () => {
    fc.assert(fc.property(anyHeartbeat, (one) => void expect(decodeHeartbeat(encodeHeartbeat(one))).toEqual(one)))
  })

  test('has its fields where the table says, in network order', () => {
    const octets = encodeHeartbeat({
      ...{ number: 0x0102030405, run: 0x11, clock: 'stepped', utcMs: 0x22, monotonicMs: (0x33).toString().length },
      ...{ highest: 2 ** 40 + 9, datagrams: 0x44, octets: 0x55, sendErrors: 0x66, queueObjects: 0x77 },
      ...{ queueOctets: 0x88, oldestUnsentMs: 0x99, bitsPerSecond: 0xaa },
    })
    expect(
      octets
        .toString('hex')
        .match(/^(..)(..)(.{12})(.{12})(.{12})(.{12})(.{16})(.+)$/)!
        .slice(1, 8),
    ).toEqual(['01', '03', '000102030405', '000000000011', '000000000022', '000000000002', '0000010000000009'])
    expect(
      octets
        .subarray(34)
        .toString('hex')
        .match(/.{12}/g)!
        .map((hex) => Number.parseInt(hex, 16)),
    ).toEqual([0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa])
  })

  test('takes one datagram of at most 256 octets, an object of TOI 0 in one symbol', () => {
    const octets = datagram()
    expect(octets.length).toBeLessThanOrEqual(256)
    expect(readDatagram(octets)).toMatchObject({ epoch: 7, sequence: 0, symbol: 0, shape: heartbeatShape })
    expect(decodeHeartbeat(Buffer.from(readDatagram(octets).payload))).toEqual(example)
  })

  test('with any bit flipped is refused for its MAC or its key', () => {
    const octets = datagram()
    const codes = new Set<string | undefined>()
    for (let bit = 0; bit < octets.length * 8; bit++) {
      const other = Buffer.from(octets)
      other[bit >> 3]! ^= 0x80 >> (bit & 7)
      codes.add(codeOf(() => readDatagram(other)))
    }
    expect(codes).toEqual(new Set(['DATAGRAM_UNAUTHENTIC', 'DATAGRAM_KEY']))
  })

  test('authentic, of any other octets, is a value that is written the same, or HEARTBEAT_MALFORMED', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2 * heartbeatOctets }), fc.boolean(), (octets, long) => {
        const sized = long
          ? Buffer.concat([octets, Buffer.alloc(heartbeatOctets)]).subarray(0, heartbeatOctets)
          : octets
        const code = codeOf(() => {
          expect(encodeHeartbeat(decodeHeartbeat(Buffer.from(sized)))).toEqual(Buffer.from(sized))
        })
        expect([undefined, 'HEARTBEAT_MALFORMED']).toContain(code)
      }),
    )
  })

  test.for<[string, (octets: Buffer) => Buffer]>([
    ['another form', (octets) => set(octets, 0, 2)],
    ['a quality of a clock that there is not', (octets) => set(octets, 1, clockQualities.length)],
    ['a run behind its number', (octets) => set(set(octets, 2, 0, 0, 0, 0, 0, 5), 8, 0, 0, 0, 0, 0, 6)],
    ['run 0', (octets) => set(octets, 8, 0, 0, 0, 0, 0, 0)],
    ['a sequence beyond 2^53', (octets) => set(octets, 26, 0, 32)],
    ['an octet less', (octets) => octets.subarray(1)],
    ['an octet more', (octets) => Buffer.concat([octets, Buffer.of(0)])],
  ])('with %s is HEARTBEAT_MALFORMED', ([, change]) => {
    expect(codeOf(() => decodeHeartbeat(change(encodeHeartbeat(example))))).toBe('HEARTBEAT_MALFORMED')
  })

  test('an object of TOI 0 in another shape is refused as a datagram: nothing of it is held', () => {
    const writer = new DatagramWriter({ key: linkKey, epoch: 7, slots: 1, symbolOctets: 100 })
    const shapes = [
      { ...heartbeatShape, objectOctets: 75 },
      { ...heartbeatShape, objectOctets: 152, symbols: 2 },
      { ...heartbeatShape, fecId: 5, symbols: 2 } as const,
      { ...heartbeatShape, symbolOctets: 100 },
    ]
    for (const shape of shapes) {
      const octets = Buffer.from(
        writer.write({ sequence: 0, shape, symbol: 0, payload: Buffer.alloc(Math.min(76, shape.objectOctets)) }),
      )
      sealMac(octets, macAt, linkKey.key)
      expect(codeOf(() => readDatagram(octets))).toBe('DATAGRAM_MALFORMED')
    }
  })
})

test('the numbers of objects keep heartbeat, batches and manifests apart', () => {
  expect([0, 1, batchSequenceMax, toiOfManifest(1)].map(kindOfToi)).toEqual(['heartbeat', 'batch', 'batch', 'manifest'])
  expect(manifestOfToi(toiOfManifest(77))).toBe(77)
  expect(Number.isSafeInteger(toiOfManifest(2 ** 51))).toBe(true)
})

function set(octets: Buffer, at: number, ...values: number[]): Buffer {
  const other = Buffer.from(octets)
  other.set(values, at)
  return other
}
