import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { csvName, csvOf, demandAnswer, exactDecimal } from '#studies/demand.ts'
import { limits } from '#studies/limits.ts'
import { parseDemand, preferredFormat } from '#studies/query.ts'
import { Rate } from '#studies/rate.ts'

describe('exact decimal', () => {
  test.each([
    [0n, 0, '0'],
    [0n, -3, '0.000'],
    [1230n, -2, '12.30'],
    [5n, -3, '0.005'],
    [-5n, -1, '-0.5'],
    [9_223_372_036_854_775_807n, 3, '9223372036854775807000'],
    [9_223_372_036_854_775_807n, -19, '0.9223372036854775807'],
  ])('%d times ten to %d is %s', (sum, scaler, text) => {
    expect(exactDecimal(sum, scaler)).toBe(text)
  })

  test('no digit is lost for any sum that the store holds and any scaler that a meter has', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.integer({ min: -128, max: 127 }),
        (sum, scaler) => {
          const text = exactDecimal(sum, scaler)
          const [whole, fraction = ''] = text.split('.')
          expect(text).toMatch(/^-?\d+(\.\d+)?$/)
          expect(fraction).toHaveLength(Math.max(0, -scaler))
          expect(BigInt(`${whole}${fraction}`)).toBe(sum * 10n ** BigInt(Math.max(0, scaler)))
        },
      ),
    )
  })
})

test('an answer without a closed day is an empty one that says so', () => {
  const answer = demandAnswer(parseDemand({ substation: 'n' }), undefined, [])
  expect(answer).toMatchObject({ from: null, to: null, cells: [] })
  expect(csvOf(answer)).toBe('end,state,energyWh,meters,reason\r\n')
  expect(csvName(answer)).toBe('n_import_empty.csv')
})

test('a field with a comma, a quote or a line end is quoted in CSV', () => {
  const reason = 'a "b", c\nd'
  const answer = demandAnswer(parseDemand({ substation: 'n' }), { from: 0, to: 9 }, [
    { end: 5, state: 'withheld', reason },
  ])
  expect(csvOf(answer)).toContain('withheld,,,"a ""b"", c\nd"\r\n')
})

test.each([
  [undefined, 'json'],
  ['', 'json'],
  ['text/csv;q=0', 'json'],
  ['text/csv;q=x', 'json'],
  ['TEXT/CSV', 'csv'],
  ['text/html, text/csv;header=present;q=0.1', 'csv'],
])('Accept "%s" prefers %s', (accept, format) => {
  expect(preferredFormat(accept)).toBe(format)
})

describe('rate', () => {
  test('an address has its burst and then its rate', () => {
    const rate = new Rate()
    const passed = (now: number, tries: number): number =>
      Array.from({ length: tries }, () => rate.take('a', now)).filter((wait) => wait === 0).length
    expect(passed(0, 2 * limits.burst)).toBe(limits.burst)
    expect(passed(1, 2 * limits.burst)).toBe(limits.ratePerSecond)
    expect(passed(10_000, 2 * limits.burst)).toBe(limits.burst)
  })

  test('a flood of addresses is remembered no further than the limit, the busy ones last', () => {
    const rate = new Rate()
    for (let i = 0; i < limits.burst; i++) rate.take('busy', 0)
    for (let i = 0; i < limits.addressesMax - 1; i++) rate.take(`a${i}`, 0)
    expect(rate.take('busy', 0)).toBeGreaterThan(0)
    for (let i = 0; i < limits.addressesMax - 1; i++) rate.take(`b${i}`, 0)
    expect(rate.take('busy', 0)).toBeGreaterThan(0)
    for (let i = 0; i < limits.addressesMax; i++) rate.take(`c${i}`, 0)
    expect(rate.take('busy', 0)).toBe(0)
  })
})
