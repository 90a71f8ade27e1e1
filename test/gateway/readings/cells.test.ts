import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DayCells, lastClosedDay, quantityOf, releaseRules } from '#gateway/readings/cells.ts'
import type { Entry } from '#gateway/readings/meter-day.ts'

const day = 20_465
const end = day * 86_400 + 900
const entry = (value: number | bigint, rest: Partial<Entry> = {}): Entry => ({
  offset: 900,
  value,
  scaler: 0,
  unit: 30,
  revision: 0,
  ...rest,
})

/** The one cell that these meters give. */
function cellOf(meters: readonly Entry[], rules = releaseRules): unknown {
  const cells = new DayCells(day)
  for (const one of meters) cells.add('import', [one])
  return cells.close(rules)[0]?.outcome
}

const tenth = Array.from({ length: 10 }, () => entry(100))
const released = (sum: bigint, meters: number, scaler = 0) => ({ state: 'released', sum, scaler, meters })
const few = { state: 'withheld', reason: 'FEW_METERS' }
const dominant = { state: 'withheld', reason: 'DOMINANT_METER' }

describe('a cell', () => {
  test('of ten meters is released, of nine it is not', () => {
    expect(cellOf(tenth)).toEqual(released(1_000n, 10))
    expect(cellOf(tenth.slice(1))).toEqual(few)
  })

  test('a meter that reads zero does not count as one', () => {
    expect(cellOf([...tenth.slice(1), entry(0)])).toEqual(few)
    expect(cellOf([...tenth, entry(0)])).toEqual(released(1_000n, 10))
    expect(cellOf(Array(20).fill(entry(0)))).toEqual(few)
  })

  test('one meter may hold 15 %, and not a hair more', () => {
    const others = Array.from({ length: 17 }, () => entry(50)) // 850
    expect(cellOf([...others, entry(150)])).toEqual(released(1_000n, 18)) // 150 of 1,000
    expect(cellOf([...others, entry(151)])).toEqual(dominant)
    const fine = Array.from({ length: 17 }, () => entry(50_000_000_000_000_000n)) // the same, far beyond 2^53
    expect(cellOf([...fine, entry(150_000_000_000_000_000n)])).toEqual(released(10n ** 18n, 18))
    expect(cellOf([...fine, entry(150_000_000_000_000_001n)])).toEqual(dominant)
  })

  test('what is negative, or no Wh, is left out', () => {
    expect(cellOf([...tenth, entry(-5_000)])).toEqual(released(1_000n, 10))
    expect(cellOf([...tenth, entry(-(2n ** 63n))])).toEqual(released(1_000n, 10))
    for (const unit of [0, 27, 31, 32, 255])
      expect(cellOf([...tenth, entry(5_000, { unit })])).toEqual(released(1_000n, 10))
    expect(cellOf([entry(-1)])).toBeUndefined()
  })

  test('scalers may differ: the sum is exact in the finest', () => {
    const kilo = Array.from({ length: 5 }, () => entry(1, { scaler: 3 }))
    const milli = Array.from({ length: 5 }, () => entry(1_000_001, { scaler: -3 }))
    expect(cellOf([...kilo, ...milli])).toEqual(released(10_000_005n, 10, -3))
    expect(cellOf([...milli, ...kilo])).toEqual(released(10_000_005n, 10, -3))
  })

  test('the outcome is that of exact fractions, whatever the scalers', () => {
    const meters = fc.array(
      fc.record({ value: fc.integer({ min: -2, max: 400 }), scaler: fc.integer({ min: -2, max: 1 }) }),
      { minLength: 8, maxLength: 14 },
    )
    fc.assert(
      fc.property(meters, (all) => {
        const hundredths = all
          .map(({ value, scaler }) => BigInt(value) * 10n ** BigInt(scaler + 2))
          .filter((value) => value >= 0n)
        if (hundredths.length === 0) return
        const sum = hundredths.reduce((a, b) => a + b, 0n)
        const largest = hundredths.reduce((a, b) => (a > b ? a : b), 0n)
        const count = hundredths.filter((value) => value > 0n).length
        const outcome = cellOf(all.map(({ value, scaler }) => entry(value, { scaler })))
        if (count < 10) expect(outcome).toEqual(few)
        else if (largest * 20n > sum * 3n) expect(outcome).toEqual(dominant)
        else {
          const { sum: told, scaler } = outcome as { sum: bigint; scaler: number }
          expect(told * 10n ** BigInt(scaler + 2)).toBe(sum)
          expect(outcome).toMatchObject({ state: 'released', meters: count })
        }
      }),
      { numRuns: 400 },
    )
  })

  test('a sum that 64 bits do not hold is withheld: one absurd scaler must not stop the gateway', () => {
    expect(cellOf([...tenth, entry(1, { scaler: -128 })])).toEqual({ state: 'withheld', reason: 'BEYOND_RANGE' })
    const most = Array.from({ length: 10 }, () => entry((2n ** 63n - 1n) / 10n))
    expect(cellOf(most)).toMatchObject({ state: 'released' })
    const beyond = Array.from({ length: 10 }, () => entry(2n ** 63n / 10n + 1n))
    expect(cellOf(beyond)).toEqual({ state: 'withheld', reason: 'BEYOND_RANGE' })
  })

  test('each quantity and each interval is a cell of its own, in order', () => {
    const cells = new DayCells(day)
    cells.add('import', [entry(1, { offset: 900 }), entry(2, { offset: 86_400 })])
    cells.add('export', [entry(3, { offset: 900 })])
    expect(cells.close({ metersMin: 1, sharePercentMax: 100 })).toEqual([
      { quantity: 'import', end, outcome: released(1n, 1) },
      { quantity: 'import', end: (day + 1) * 86_400, outcome: released(2n, 1) },
      { quantity: 'export', end, outcome: released(3n, 1) },
    ])
  })

  test('the rules are ten meters and 15 %, the quantities those of the recording interval', () => {
    expect(releaseRules).toEqual({ metersMin: 10, sharePercentMax: 15 })
    expect([...quantityOf]).toEqual([
      ['1-0:1.29.0', 'import'],
      ['1-0:2.29.0', 'export'],
    ])
  })
})

test('a day closes when the grace after its end has passed, and not a second before', () => {
  const midnight = (day + 1) * 86_400
  expect(lastClosedDay(midnight + 3_599, 3_600)).toBe(day - 1)
  expect(lastClosedDay(midnight + 3_600, 3_600)).toBe(day)
  expect(lastClosedDay(midnight, 0)).toBe(day)
  expect(lastClosedDay(midnight - 1, 0)).toBe(day - 1)
})
