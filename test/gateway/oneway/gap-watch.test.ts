import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Checkpoint, Manifest } from '#gateway/codec/manifest.ts'
import { type Gap, GapWatch, newGaps } from '#gateway/oneway/gap-watch.ts'
import { Received } from '#gateway/oneway/gaps.ts'
import { checkpointSequences } from '#gateway/oneway/manifest.ts'

const digestOf = (n: number): Uint8Array => new Uint8Array(32).fill(n % 251)
const manifestDigest = (number: number): Uint8Array => new Uint8Array(32).fill(100 + number)
/** Batch n has n readings, and was sealed n seconds after midnight of day 0. */
const total = (sequence: number): number => (sequence * (sequence + 1)) / 2
const checkpoint = (sequence: number): Checkpoint => ({
  ...{ sequence, digest: digestOf(sequence), createdAtMs: sequence * 1_000, readingsTotal: total(sequence) },
})

function manifest(number: number, highest: number, changes: Partial<Manifest> = {}): Manifest {
  const { oldest = 1, ...rest } = changes
  return {
    ...{ epoch: 7, number, createdAtMs: 0, previous: number === 1 ? new Uint8Array(0) : manifestDigest(number - 1) },
    ...{ oldest, highest, firstPassTo: highest, lastPassTo: 0 },
    checkpoints: checkpointSequences(oldest, highest).map(checkpoint),
    ...rest,
  }
}

/** Where everything has come but these. */
function come(highest: number, ...lacking: number[]): Received {
  const received = new Received()
  for (let sequence = 1; sequence <= highest; sequence++) if (!lacking.includes(sequence)) received.add(sequence)
  return received
}

const graceMs = 2_000
type Come = Pick<Received, 'gaps' | 'has' | 'highest'>

function take(
  watch: GapWatch,
  one: Manifest,
  received: Come,
  more: { nowMs?: number; held?: (n: number) => Uint8Array } = {},
): void {
  const { nowMs = 0, held = digestOf } = more
  watch.manifest(one, { digest: manifestDigest(one.number), held, come: received, nowMs })
}

const brief = (gaps: readonly Gap[]): string[] => gaps.map(({ from, to, state }) => `${from}-${to} ${state}`)

describe('a gap', () => {
  test('is nothing before its first pass, suspected after it, confirmed after the last, gone when it comes', () => {
    const watch = new GapWatch()
    const received = come(10, 4, 5)
    const seen = [0, 1, 2, 3].map((step): string[] => {
      const passes = [
        { firstPassTo: 3, lastPassTo: 0 },
        { firstPassTo: 4, lastPassTo: 3 },
        { firstPassTo: 10, lastPassTo: 4 },
        { firstPassTo: 10, lastPassTo: 10 },
      ][step]!
      take(watch, manifest(step + 1, 10, passes), received, { nowMs: step * 10_000 })
      return brief(watch.gaps(received, step * 10_000 + graceMs, 100))
    })
    expect(seen).toEqual([[], ['4-4 suspected'], ['4-4 confirmed', '5-5 suspected'], ['4-5 confirmed']])
    received.add(4)
    received.add(5)
    expect(watch.gaps(received, 1e9, 100)).toEqual([])
  })

  test('behind the last batch that came is seen, and one before any has come', () => {
    const watch = new GapWatch()
    take(watch, manifest(1, 12, { lastPassTo: 11 }), come(9))
    expect(brief(watch.gaps(come(9), graceMs, 100))).toEqual(['10-11 confirmed', '12-12 suspected'])
    expect(brief(watch.gaps(new Received(), graceMs, 100))).toEqual(['1-11 confirmed', '12-12 suspected'])
  })

  test('is not called before its grace, which what was overtaken on the line may need', () => {
    const watch = new GapWatch()
    take(watch, manifest(1, 5), come(4), { nowMs: 10_000 })
    expect(watch.gaps(come(4), 10_000 + graceMs - 1, 100)).toEqual([])
    expect(brief(watch.gaps(come(4), 10_000 + graceMs, 100))).toEqual(['5-5 suspected'])
    take(watch, manifest(2, 6), come(4), { nowMs: 13_000 })
    expect(brief(watch.gaps(come(4), 13_001, 100))).toEqual(['5-5 suspected']) // what was called stays called
  })

  test('below what the sender still has is called erased: no code asks for it', () => {
    const watch = new GapWatch()
    take(watch, manifest(1, 12, { oldest: 6, lastPassTo: 12 }), come(12, 2, 3, 8))
    expect(brief(watch.gaps(come(12, 2, 3, 8), graceMs, 100))).toEqual(['2-3 erased', '8-8 confirmed'])
    expect(brief(watch.gaps(come(12, 4, 5, 6, 7), graceMs, 100))).toEqual(['4-5 erased', '6-7 confirmed'])
  })

  test('tells its span of time and its readings, exactly where both its ends are told of', () => {
    const watch = new GapWatch()
    const received = come(20, 10, 11, 12)
    take(watch, manifest(1, 20, { lastPassTo: 20 }), received)
    expect(watch.gaps(received, graceMs, 100)).toEqual([
      { from: 10, to: 12, state: 'confirmed', afterMs: 9_000, untilMs: 12_000, readings: 33, exact: true },
    ])
    const first = come(20, 1)
    expect(watch.gaps(first, graceMs, 100)).toMatchObject([
      { afterMs: undefined, untilMs: 1_000, readings: 1, exact: true },
    ])
  })

  test('whose ends nobody tells of any more has at most so many readings, and never fewer than it has', () => {
    fc.assert(
      fc.property(fc.integer({ min: 30, max: 5_000 }), fc.nat(), fc.nat({ max: 300 }), (highest, start, length) => {
        const from = 1 + (start % highest)
        const to = Math.min(highest, from + length)
        const received = come(highest, ...Array.from({ length: to - from + 1 }, (_, i) => from + i))
        const watch = new GapWatch()
        take(watch, manifest(1, highest, { lastPassTo: highest }), received)
        const [gap] = watch.gaps(received, graceMs, 1)
        const real = total(to) - total(from - 1)
        if (gap!.exact) expect(gap!.readings).toBe(real)
        else expect(gap!.readings).toBeGreaterThan(real)
        expect(gap!.afterMs ?? 0).toBeLessThanOrEqual((from - 1) * 1_000)
        expect(gap!.untilMs).toBeGreaterThanOrEqual(to * 1_000)
      }),
      { numRuns: 50 },
    )
  })

  test('that an outage of hours makes is told of exactly, also by a receiver that was restarted in it', () => {
    const before = new GapWatch()
    const received = come(1_000)
    take(before, manifest(1, 998, { lastPassTo: 998 }), come(998))
    for (const sequence of [999, 1_000]) {
      before.stored({ sequence, createdAtMs: sequence * 1_000, readings: sequence })
    }
    const after = new GapWatch(before.memory)
    take(after, manifest(400, 9_000, { lastPassTo: 9_000 }), received)
    expect(after.gaps(received, graceMs, 100)).toEqual([
      {
        ...{ from: 1_001, to: 9_000, state: 'confirmed', afterMs: 1_000_000, untilMs: 9_000_000 },
        ...{ readings: total(9_000) - total(1_000), exact: true },
      },
    ])
  })

  test('many of them: the first are named, and memory stays within bounds', () => {
    const watch = new GapWatch()
    const received = new Received()
    for (let number = 1; number <= 200; number++) {
      for (let sequence = number * 50 - 49; sequence <= number * 50; sequence += 2) received.add(sequence)
      take(watch, manifest(number, number * 50), received)
      for (let sequence = number * 50 - 49; sequence <= number * 50; sequence++) {
        watch.stored({ sequence, createdAtMs: 0, readings: sequence })
      }
    }
    expect(watch.gaps(received, graceMs, 100)).toHaveLength(100)
    expect(watch.memory.checkpoints.length).toBeLessThanOrEqual(160 + 400 + 1)
    expect(watch.memory.passes.length).toBeLessThanOrEqual(64)
  })
})

describe('a manifest of a former time, or of another history', () => {
  const after = (): GapWatch => {
    const watch = new GapWatch()
    take(watch, manifest(1, 20), come(20))
    take(watch, manifest(2, 30), come(30))
    return watch
  }
  const other = manifest(3, 40).checkpoints.map((one) => (one.sequence === 30 ? { ...one, digest: digestOf(31) } : one))
  test.for<[string, string, Manifest, ((n: number) => Uint8Array)?]>([
    ['the same once more', 'MANIFEST_REPLAYED', manifest(2, 30)],
    ['an older one', 'MANIFEST_REPLAYED', manifest(1, 20)],
    ['the next, which names another before it', 'MANIFEST_CONTRADICTS', manifest(3, 40, { previous: digestOf(1) })],
    ['one whose stream is shorter', 'MANIFEST_CONTRADICTS', manifest(9, 29)],
    ['one with another batch where one was told of', 'MANIFEST_CONTRADICTS', manifest(3, 40, { checkpoints: other })],
    ['one of other batches than came', 'MANIFEST_CONTRADICTS', manifest(3, 40), (n) => digestOf(n + 1)],
  ])('%s is refused, and changes nothing', ([, code, one, held = digestOf]) => {
    const watch = after()
    const before = structuredClone(watch.memory)
    expect(() => take(watch, one, come(40), { held })).toThrow(expect.objectContaining({ code }))
    expect(watch.memory).toEqual(before)
  })

  test('of many in any order each is taken once, and none behind a later one, also after restarts', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 })), (numbers) => {
        let watch = new GapWatch()
        const taken: number[] = []
        for (const number of numbers) {
          try {
            take(watch, manifest(number, 30 + number), come(10))
            taken.push(number)
          } catch (error) {
            expect(error).toMatchObject({ code: 'MANIFEST_REPLAYED' })
          }
          watch = new GapWatch(watch.memory)
        }
        expect(taken).toEqual(numbers.filter((number, i) => number > Math.max(0, ...numbers.slice(0, i))))
      }),
    )
  })
})

test('news are gaps, or states of gaps, that were not told; one that is filled in part is none', () => {
  const gap = (from: number, to: number, state: Gap['state']): Gap => ({
    ...{ from, to, state, afterMs: undefined, untilMs: undefined, readings: undefined, exact: false },
  })
  const before = [gap(1, 9, 'suspected')]
  expect(newGaps(before, [gap(1, 3, 'suspected'), gap(5, 9, 'suspected')])).toEqual([])
  expect(brief(newGaps(before, [gap(1, 3, 'confirmed'), gap(9, 10, 'suspected')]))).toEqual([
    '1-3 confirmed',
    '9-10 suspected',
  ])
})
