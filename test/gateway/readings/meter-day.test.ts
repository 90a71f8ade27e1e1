import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ExactInteger } from '#gateway/model.ts'
import { dayOf, entries, entryOctets, type Incoming, type MeterDay, mergeDay } from '#gateway/readings/meter-day.ts'

const exact = (value: bigint): ExactInteger => (Number.isSafeInteger(Number(value)) ? Number(value) : value)
const value = fc
  .oneof(
    fc.bigInt({ min: -3n, max: 3n }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.constantFrom(
      -(2n ** 63n),
      2n ** 63n - 1n,
      2n ** 53n,
      -(2n ** 53n),
      2n ** 53n - 1n,
      1n - 2n ** 53n,
      -(2n ** 32n),
    ),
  )
  .map(exact)
const incoming: fc.Arbitrary<Incoming> = fc.record({
  offset: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(1, 900, 86_400)),
  value,
  scaler: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.constantFrom(-128, 127)),
  unit: fc.constantFrom(30, 30, 30, 32, 255),
})

/** The quantity that a reading tells, as one text: exact, whatever its scaler. */
function quantity({ value, scaler, unit }: Incoming): string {
  return `${BigInt(value) * 10n ** BigInt(scaler + 128)} ${unit}`
}

/** What a map of readings would do. */
class Naive {
  readonly known = new Map<number, Incoming & { revision: number }>()

  merge(reading: Incoming): number | 'repeat' {
    const before = this.known.get(reading.offset)
    if (before !== undefined && quantity(before) === quantity(reading)) return 'repeat'
    const revision = before === undefined ? 0 : Math.min(255, before.revision + 1)
    this.known.set(reading.offset, { ...reading, revision })
    return revision
  }

  get entries(): (Incoming & { revision: number })[] {
    return [...this.known.values()].sort((a, b) => a.offset - b.offset)
  }
}

describe("a meter's day", () => {
  test('does what a map of readings would, stretch after stretch', () => {
    fc.assert(
      fc.property(fc.array(fc.array(incoming, { maxLength: 20 }), { maxLength: 6 }), (stretches) => {
        const naive = new Naive()
        let row: MeterDay | undefined
        for (const stretch of stretches) {
          const before = row && Buffer.from(row)
          const merged = mergeDay(row, stretch)
          expect(merged.verdicts).toEqual(stretch.map((reading) => naive.merge(reading)))
          expect(row).toEqual(before) // the old row is left as it was
          row = merged.row
          expect(entries(row)).toEqual(naive.entries)
          expect(row.length).toBe(naive.known.size * entryOctets)
        }
      }),
      { numRuns: 500 },
    )
  })

  const one: Incoming = { offset: 900, value: 100, scaler: 0, unit: 30 }
  const verdict = (known: Incoming, next: Incoming): unknown =>
    mergeDay(mergeDay(undefined, [known]).row, [next]).verdicts[0]

  test.for([
    ['the same', {}, 'repeat'],
    ['the same in another scaler', { value: 1_000, scaler: -1 }, 'repeat'],
    ['the same in a coarser scaler', { value: 1, scaler: 2 }, 'repeat'],
    ['the same as a bigint', { value: 100n }, 'repeat'],
    ['the digits of it in another scaler', { scaler: 1 }, 1],
    ['it in another unit', { unit: 32 }, 1],
    ['one more', { value: 101 }, 1],
    ['its negative', { value: -100 }, 1],
  ] as const)('to one known, %s is a repeat only when it is the same quantity', ([, change, expected]) => {
    expect(verdict(one, { ...one, ...change })).toBe(expected)
  })

  test('a correction back to an earlier value is a correction', () => {
    const values = [1, 2, 1, 1, 2].map((value) => ({ ...one, value }))
    expect(mergeDay(undefined, values).verdicts).toEqual([0, 1, 2, 'repeat', 3])
  })

  test('corrections are counted to 255 and stay there', () => {
    const values = Array.from({ length: 300 }, (_, value) => ({ ...one, value }))
    const { row, verdicts } = mergeDay(undefined, values)
    expect(verdicts.slice(253, 258)).toEqual([253, 254, 255, 255, 255])
    expect(entries(row)).toEqual([{ ...one, value: 299, revision: 255 }])
  })

  test('an interval that ends at midnight belongs to the day that it closes', () => {
    expect([1, 86_399, 86_400, 86_401, 172_800].map(dayOf)).toEqual([0, 0, 0, 1, 1])
    expect(dayOf(0)).toBe(-1)
  })
})
