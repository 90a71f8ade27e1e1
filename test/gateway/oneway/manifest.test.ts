import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeHeader } from '#gateway/codec/batch.ts'
import { PeerError } from '#gateway/errors.ts'
import { Received } from '#gateway/oneway/gaps.ts'
import { lacking } from '#gateway/oneway/lacking.ts'
import {
  decodeManifest,
  encodeManifest,
  joinSigned,
  type Manifest,
  manifestRangesMax,
  splitSigned,
} from '#gateway/oneway/manifest.ts'
import { type ListedBatch, Ranges } from '#gateway/oneway/ranges.ts'
import { kindOf, numbersMax, toiOf } from '#gateway/oneway/toi.ts'

const digest = (fill: number): Buffer => Buffer.alloc(32, fill)

/** Batches from `first` on, each with so many readings. */
function listed(first: number, readings: readonly number[], passesDone = 3): ListedBatch[] {
  return readings.map((count, i) => ({
    sequence: first + i,
    sealedAtMs: 1_000 * ((first % 1_000) + i),
    readings: count,
    passesDone,
  }))
}

function manifestOf(batches: readonly ListedBatch[], more: Partial<Manifest> = {}): Manifest {
  const ranges = new Ranges()
  for (const batch of batches) ranges.add(batch)
  const highest = batches.at(-1)?.sequence ?? 0
  return {
    epoch: 7,
    number: 9,
    createdAtMs: 1_780_000_000_000,
    previous: digest(1),
    highest,
    head: highest === 0 ? Buffer.of() : digest(2),
    passes: 3,
    ranges: ranges.ranges,
    ...more,
  }
}

const someManifest = fc
  .record({
    first: fc.integer({ min: 1, max: 2 ** 40 }),
    readings: fc.array(fc.nat(100_000), { maxLength: 200 }),
    epoch: fc.nat(0xffff_ffff),
    number: fc.integer({ min: 1, max: numbersMax - 1 }),
    isFirst: fc.boolean(),
    passesDone: fc.nat(3),
  })
  .map(({ first, readings, isFirst, passesDone, ...rest }) =>
    manifestOf(listed(first, readings, passesDone), { ...rest, previous: isFirst ? Buffer.of() : digest(3) }),
  )

describe('a manifest', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(someManifest, (manifest) => {
        const octets = encodeManifest(manifest)
        expect(encodeManifest(decodeManifest(octets))).toEqual(octets)
        expect(decodeManifest(octets)).toEqual({
          ...manifest,
          previous: Buffer.from(manifest.previous),
          head: Buffer.from(manifest.head),
        })
      }),
    )
  })

  test('of any octets, or with any octet changed, is one in its one form or refused by its code', () => {
    const isOneOrRefused = (octets: Buffer): void => {
      try {
        expect(encodeManifest(decodeManifest(octets))).toEqual(octets)
      } catch (fault) {
        if (!(fault instanceof PeerError)) throw fault
        expect(fault.code).toBe('MANIFEST_MALFORMED')
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => isOneOrRefused(Buffer.from(octets))))
    const octets = encodeManifest(manifestOf(listed(1, [5, 6, 7])))
    for (let at = 0; at < octets.length; at += 1) {
      for (const bit of [1, 128]) isOneOrRefused(Buffer.from(octets.with(at, octets[at]! ^ bit)))
      isOneOrRefused(octets.subarray(0, at))
    }
  })

  test.for([
    ['a hole', { ranges: [rangeOf(1, 2), rangeOf(4, 9)], highest: 9 }],
    ['ranges that overlap', { ranges: [rangeOf(1, 5), rangeOf(5, 9)], highest: 9 }],
    ['ranges that end early', { ranges: [rangeOf(1, 5)], highest: 9 }],
    ['a range backwards', { ranges: [rangeOf(9, 5)], highest: 5 }],
    ['a batch 0', { ranges: [rangeOf(0, 9)], highest: 9 }],
    ['no passes', { passes: 0 }],
    ['number 0', { number: 0 }],
    ['no head', { head: Buffer.of() }],
  ] as [string, Partial<Manifest>][])('with %s is refused', ([, more]) => {
    const octets = encodeManifest(manifestOf(listed(1, Array(9).fill(1)), more))
    expect(() => decodeManifest(octets)).toThrow(expect.objectContaining({ code: 'MANIFEST_MALFORMED' }))
  })

  test('is no batch’s header, so that a signature of one is never one of the other', () => {
    expect(() => decodeHeader(encodeManifest(manifestOf(listed(1, [1]))))).toThrow()
  })

  test('comes apart from its signature as it was joined, and no other way', () => {
    const [manifest, signature] = [Buffer.from('manifest'), Buffer.from('signature')]
    expect(splitSigned(joinSigned(manifest, signature))).toEqual({ manifest, signature })
    for (const octets of [
      Buffer.of(),
      Buffer.of(0, 0, 0),
      Buffer.of(0, 0, 0, 1, 5),
      Buffer.of(255, 255, 255, 255, 1),
    ]) {
      expect(() => splitSigned(octets)).toThrow(expect.objectContaining({ code: 'MANIFEST_MALFORMED' }))
    }
  })
})

function rangeOf(from: number, to: number): Manifest['ranges'][number] {
  return { from, to, firstSealedMs: 1, lastSealedMs: 2, readings: 3, passesDone: 3 }
}

describe('the ranges of what is held', () => {
  test('tile it without a hole, keep every count, and do not grow with it', () => {
    const ranges = new Ranges()
    let readings = 0
    for (let sequence = 5; sequence < 20_005; sequence += 1) {
      ranges.add({ sequence, sealedAtMs: sequence * 10, readings: sequence % 7, passesDone: 3 })
      readings += sequence % 7
      if (sequence % 997 !== 0) continue
      expect(ranges.ranges.length).toBeLessThanOrEqual(32 + 2 * 15)
    }
    const all = ranges.ranges
    expect(all[0]!.from).toBe(5)
    expect(all.at(-1)!.to).toBe(20_004)
    for (const [i, { from }] of all.entries()) if (i > 0) expect(from).toBe(all[i - 1]!.to + 1)
    expect(all.reduce((sum, one) => sum + one.readings, 0)).toBe(readings)
    expect(all.slice(-32).every(({ from, to }) => from === to)).toBe(true)
    expect(all[0]).toMatchObject({ firstSealedMs: 50, lastSealedMs: all[0]!.to * 10 })
  })

  test('of all sequences there can be fit one manifest', () => {
    expect(32 + 2 * 48).toBeLessThanOrEqual(manifestRangesMax)
  })

  test('tell the least of the passes done, until all before are settled', () => {
    const ranges = new Ranges()
    for (const batch of listed(1, Array(40).fill(1), 0)) ranges.add(batch)
    ranges.passDone(40, 2)
    expect(ranges.ranges.at(-1)).toMatchObject({ from: 40, passesDone: 2 })
    const [oldest] = ranges.ranges
    ranges.passDone(1, 3)
    expect(oldest).toMatchObject({ passesDone: 0 })
    ranges.settled(oldest!.to, 3)
    expect(ranges.ranges.filter(({ passesDone }) => passesDone === 3)).toEqual([oldest])
  })

  test('forget what can no longer be sent', () => {
    const ranges = new Ranges()
    for (const batch of listed(1, Array(100).fill(1))) ranges.add(batch)
    ranges.forget(90)
    expect(ranges.ranges[0]!.to).toBeGreaterThanOrEqual(90)
    ranges.forget(1_000)
    expect(ranges.ranges).toEqual([])
  })
})

describe('what is lacking', () => {
  const received = (...sequences: number[]): Received => {
    const all = new Received()
    for (const sequence of sequences) all.add(sequence)
    return all
  }

  test('is suspected after the first pass and confirmed after the last, with its span and readings; what had none is awaited', () => {
    const batches = [...listed(1, [10, 20, 30], 3), ...listed(4, [40, 50], 1), ...listed(6, [60], 0)]
    expect(lacking(manifestOf(batches), received(1), () => 10)).toEqual([
      { from: 2, to: 3, state: 'confirmed', span: { fromMs: 2_000, toMs: 3_000 }, readings: 50 },
      { from: 4, to: 5, state: 'suspected', span: { fromMs: 4_000, toMs: 5_000 }, readings: 90 },
    ])
  })

  test('is seen behind the last batch that came', () => {
    const gaps = lacking(manifestOf(listed(1, [1, 2, 3])), received(1, 2), () => 0)
    expect(gaps).toMatchObject([{ from: 3, to: 3, state: 'confirmed', readings: 3 }])
  })

  test('is lost where the sender no longer holds it', () => {
    const gaps = lacking(manifestOf(listed(5, [1, 1])), received(1, 2, 5, 6), () => 1)
    expect(gaps).toEqual([{ from: 3, to: 4, state: 'lost', span: undefined, readings: undefined }])
  })

  test('is what a plain set says, of any batches and any that came, and its readings are exact where ranges are whole', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(9), { minLength: 1, maxLength: 120 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 120 })),
        (readings, came) => {
          const here = received(...came.filter((sequence) => sequence <= readings.length))
          const gaps = lacking(manifestOf(listed(1, readings)), here, (sequence) => readings[sequence - 1])
          const told = gaps.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
          const missing = readings.map((_, i) => i + 1).filter((sequence) => !here.has(sequence))
          expect(told).toEqual(missing)
          const lost = missing.reduce((sum, sequence) => sum + readings[sequence - 1]!, 0)
          expect(gaps.reduce((sum, gap) => sum + gap.readings!, 0)).toBe(lost)
        },
      ),
    )
  })
})

test('a TOI is of one kind, and tells its number', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('batch', 'manifest', 'heartbeat'),
      fc.integer({ min: 1, max: numbersMax - 1 }),
      (kind, number) => {
        expect(Number.isSafeInteger(toiOf(kind, number))).toBe(true)
        expect(kindOf(toiOf(kind, number))).toEqual({ kind, number })
      },
    ),
  )
  for (const toi of [0, numbersMax, 2 * numbersMax, 2 ** 50]) expect(kindOf(toi)).toBeUndefined()
  for (const number of [0, numbersMax, 1.5, -1]) expect(() => toiOf('batch', number)).toThrow(RangeError)
})
