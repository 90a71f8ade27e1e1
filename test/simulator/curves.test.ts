import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { parseCurves } from '#simulator/curves.ts'

const head = 'series,start_utc,kwh\n'

function csv(...rows: string[]): string {
  return head + rows.join('\n')
}

function faultsOf(text: string, limit?: number): readonly string[] {
  try {
    parseCurves(text, limit)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

describe('load curves', () => {
  test('are integers on one power of ten of Wh', () => {
    const curves = parseCurves(
      csv('a,2009-03-23T00:00Z,0.02718', 'a,2009-03-23T00:15Z,1', 'b,2009-03-23T00:00:00Z,12.5'),
    )
    expect(curves.scaler).toBe(-2)
    expect(curves.intervalSeconds).toBe(900)
    expect([...curves.series]).toEqual([
      ['a', { start: Date.UTC(2009, 2, 23) / 1000, values: [2_718, 100_000] }],
      ['b', { start: Date.UTC(2009, 2, 23) / 1000, values: [1_250_000] }],
    ])
  })

  test('are whole Wh where they can be: zeros at the end of a fraction do not count', () => {
    const curves = parseCurves(
      csv('a,2009-03-23T00:00Z,0.09200', 'a,2009-03-23T00:30Z,0.0', 'a,2009-03-23T01:00Z,000.5'),
    )
    expect([curves.scaler, curves.series.get('a')!.values]).toEqual([0, [92, 0, 500]])
  })

  test('lose no digit beyond what a float holds', () => {
    const curves = parseCurves(csv('a,2009-03-23T00:00Z,123456789.987654321', 'a,2009-03-23T00:30Z,999999999'))
    expect([curves.scaler, curves.series.get('a')!.values]).toEqual([-6, [123456789987654321n, 999999999000000000n]])
  })

  test('give back any decimal that is written', () => {
    const decimal = fc.tuple(fc.integer({ min: 0, max: 999_999_999 }), fc.stringMatching(/^[0-9]{1,9}$/))
    fc.assert(
      fc.property(fc.array(decimal, { minLength: 2, maxLength: 6 }), (decimals) => {
        const rows = decimals.map(([whole, part], minute) => `a,2024-02-29T23:0${minute}Z,${whole}.${part}`)
        const { scaler, series } = parseCurves(csv(...rows))
        const expected = decimals.map(([whole, part]) => BigInt(whole) * 10n ** 9n + BigInt(part.padEnd(9, '0')))
        expect(series.get('a')!.values.map((value) => BigInt(value) * 10n ** BigInt(6 + scaler))).toEqual(expected)
      }),
    )
  })

  test('may alternate, end without a line feed, or end lines as Windows does', () => {
    const curves = parseCurves(
      'series,start_utc,kwh\r\na,2009-03-23T00:00Z,1\r\nb,2009-03-23T00:30Z,2\r\na,2009-03-23T00:30Z,3\r\n',
    )
    expect([...curves.series.values()].map(({ values }) => values)).toEqual([[1_000, 3_000], [2_000]])
  })
})

describe('a fault is told with its line:', () => {
  const ok = 'a,2009-03-23T00:00Z,1'
  test.for<[text: string, fault: string]>([
    ['', "line 1: 'series,start_utc,kwh' expected"],
    ['series,kwh\na,1', "line 1: 'series,start_utc,kwh' expected, not 'series,kwh'"],
    [csv(ok), 'no series has two intervals'],
    [csv(ok, '', 'a,2009-03-23T00:30Z,1'), 'line 3: three columns expected'],
    [csv(ok, 'a,2009-03-23T00:30Z'), 'line 3: three columns expected'],
    [csv(ok, 'a,2009-03-23T00:30Z,1,2'), 'line 3: three columns expected'],
    [csv(',2009-03-23T00:00Z,1'), 'line 2: series: 1 to 64 characters'],
    [csv('"a",2009-03-23T00:00Z,1'), 'line 2: series: 1 to 64 characters'],
    ...[
      '2009-03-23 00:00Z',
      '2009-03-23T00:00',
      '2009-03-23T00:00+00:00',
      '2009-02-29T00:00Z',
      '2009-13-01T00:00Z',
      '2009-00-01T00:00Z',
      '2009-03-23T24:00Z',
      '2009-03-23T00:60Z',
      '2009-03-23T00:00:60Z',
      '2009-3-23T00:00Z',
      '',
    ].map((time): [string, string] => [
      csv(`a,${time},1`),
      `line 2: start_utc: a time like 2009-03-23T00:00Z, not '${time}'`,
    ]),
    ...['-1', '+1', '1e3', '1,', '.5', '5.', '', ' 1', 'NaN', '1234567890', '0.1234567890', '1.2.3', '0x1'].map(
      (kwh): [string, string] => [
        csv(`a,2009-03-23T00:00Z,${kwh}`),
        kwh === '1,'
          ? 'line 2: three columns'
          : `line 2: kwh: a decimal number, not negative, 9 digits on either side, not '${kwh}'`,
      ],
    ),
    [csv(ok, ok), 'line 3: start_utc: the interval before, again'],
    [csv(ok, 'a,2009-03-22T23:30Z,1'), 'line 3: start_utc: earlier than the interval before'],
    [
      csv(ok, 'a,2009-03-23T00:30Z,1', 'a,2009-03-23T02:00Z,1'),
      'line 4: start_utc: a gap of 2 intervals of 1800 s before it',
    ],
    [
      csv(ok, 'a,2009-03-23T00:30Z,1', 'a,2009-03-23T00:45Z,1'),
      'line 4: start_utc: 900 s after the interval before, not 1800 s',
    ],
    [
      csv(ok, 'a,2009-03-23T00:30Z,1', 'b,2009-03-23T00:00Z,1', 'b,2009-03-23T00:15Z,1'),
      'line 5: start_utc: 900 s after',
    ],
  ])('%j', ([text, fault]) => {
    const faults = faultsOf(text)
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(fault)
  })

  test('the first twenty of many', () => {
    const faults = faultsOf(csv(...Array.from({ length: 50 }, () => 'a,b,c')))
    expect(faults).toHaveLength(20)
    expect(faults[19]).toMatch(/^line 21: /)
  })

  test('rows beyond the limit, and none at it', () => {
    const rows = Array.from({ length: 3 }, (_, hour) => `a,2009-03-23T0${hour}:00Z,1`)
    expect(faultsOf(csv(...rows), 3)).toEqual([])
    expect(faultsOf(csv(...rows), 2)).toEqual(['line 4: more than 2 rows'])
  })
})

const corpus = join(import.meta.dirname, '../../../shared/corpus/load')
const absent = existsSync(corpus) ? '' : ' (skipped: ../shared/corpus/load is not there)'

describe.skipIf(absent !== '' && process.env.CI === undefined)(`the files of real load${absent}`, () => {
  test.for([
    ['uk-households-30min.csv', 150, 672, 1_800, 0],
    ['au-households-30min.csv', 10, 1_344, 1_800, 0],
    ['bdew-slp-2025-15min.csv', 3, 35_040, 900, -2],
  ] as const)(
    '%s: %i series of %i, and the sum to the last digit',
    ([file, series, length, intervalSeconds, scaler]) => {
      const text = readFileSync(join(corpus, file), 'utf8')
      const curves = parseCurves(text)
      expect([curves.series.size, curves.intervalSeconds, curves.scaler]).toEqual([series, intervalSeconds, scaler])
      const values = [...curves.series.values()].flatMap((each) => each.values)
      expect([...curves.series.values()].every((each) => each.values.length === length)).toBe(true)
      const decimals = text
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((row) => row.split(',')[2]!.split('.'))
      const expected = decimals.reduce((sum, [whole, part = '']) => sum + BigInt(whole! + part.padEnd(9, '0')), 0n)
      const sum = values.reduce<bigint>((total, value) => total + BigInt(value), 0n)
      expect(sum * 10n ** BigInt(6 + scaler)).toBe(expected)
    },
  )
})
