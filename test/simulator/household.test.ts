import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCurves } from '#simulator/curves.ts'
import { makeFleet, type SimulatedMeter } from '#simulator/fleet.ts'
import { intervalEnergy } from '#simulator/household.ts'
import { localOffsetSeconds } from '#simulator/local-time.ts'
import { dayShape, hoursOf, type LocalCurve, lagOne, mean, quantile, variation } from './statistics.ts'

const fleet = makeFleet({ seed: 20_090_323, substations: 1, concentrators: 1, meters: 600 })
const meters = fleet.substations[0]!.concentrators[0]!.meters
const newYear = Date.UTC(2025, 0, 1) / 1000
const yearSeconds = 365 * 86_400
const years = new Map(meters.map((meter) => [meter, intervalEnergy(meter, newYear, yearSeconds)]))
const solar = meters.filter((meter) => years.get(meter)!.exportWh > 0)
const plain = meters.filter((meter) => years.get(meter)!.exportWh === 0)

/** Energy over a span of whole steps, a value a step. */
function curve(meter: SimulatedMeter, start: number, steps: number, stepSeconds: number): LocalCurve {
  const values = Array.from(
    { length: steps },
    (_, i) => intervalEnergy(meter, start + i * stepSeconds, stepSeconds).importWh,
  )
  return { localStart: start + localOffsetSeconds(start), stepSeconds, values }
}

function exportBetween(start: number, seconds: number): number {
  return solar.reduce((sum, meter) => sum + intervalEnergy(meter, start, seconds).exportWh, 0)
}

describe('a household', () => {
  test('gives the same whole watt-hours for the same interval, in any order', () => {
    const place = fc.record({
      index: fc.nat(599),
      start: fc.integer({ min: 0, max: 2 ** 31 }),
      seconds: fc.integer({ min: 1, max: 86_400 }),
    })
    fc.assert(
      fc.property(place, ({ index, start, seconds }) => {
        const meter = meters[index]!
        const energy = intervalEnergy(meter, start, seconds)
        expect(Number.isInteger(energy.importWh) && energy.importWh >= 0).toBe(true)
        expect(Number.isInteger(energy.exportWh) && energy.exportWh >= 0).toBe(true)
        intervalEnergy(meter, start + 86_400, 900)
        expect(intervalEnergy({ seed: meter.seed }, start, seconds)).toEqual(energy)
      }),
      { numRuns: 200 },
    )
  })

  test('an hour is its four quarters, but for rounding', () => {
    for (const meter of meters.slice(0, 100)) {
      const hour = intervalEnergy(meter, newYear, 3_600)
      const quarters = [0, 1, 2, 3].map((i) => intervalEnergy(meter, newYear + i * 900, 900).importWh)
      expect(Math.abs(quarters.reduce((a, b) => a + b) - hour.importWh)).toBeLessThanOrEqual(2)
    }
  })

  test('uses 1,450 to 7,700 kWh a year in nine cases of ten, 3,400 in the middle', () => {
    const use = plain.map((meter) => years.get(meter)!.importWh / 1000)
    expect(quantile(use, 0.5)).toSatisfy((kwh: number) => kwh > 3_400 * 0.9 && kwh < 3_400 * 1.1)
    expect(quantile(use, 0.05)).toSatisfy((kwh: number) => kwh > 1_450 * 0.85 && kwh < 1_450 * 1.15)
    expect(quantile(use, 0.95)).toSatisfy((kwh: number) => kwh > 7_700 * 0.85 && kwh < 7_700 * 1.15)
  })

  test('uses more in January than in July', () => {
    const month = (start: number): number =>
      mean(plain.map((meter) => intervalEnergy(meter, start, 30 * 86_400).importWh))
    expect(month(newYear) / month(Date.UTC(2025, 6, 1) / 1000)).toSatisfy(
      (ratio: number) => ratio > 1.15 && ratio < 1.6,
    )
  })

  test('is left alone on some days, when little but the fridge and the standby remain', () => {
    const quiet = plain.slice(0, 50).map((meter) => {
      const days = Array.from(
        { length: 90 },
        (_, day) => intervalEnergy(meter, newYear + day * 86_400, 86_400).importWh,
      )
      return days.filter((wh) => wh < 0.55 * quantile(days, 0.5)).length / days.length
    })
    expect(mean(quiet)).toSatisfy((share: number) => share > 0.03 && share < 0.15)
  })
})

describe('solar export', () => {
  test('one household in six has it', () => {
    expect(solar.length / meters.length).toSatisfy((share: number) => share > 1 / 6 - 0.05 && share < 1 / 6 + 0.05)
  })

  test('is greatest about solar noon and nothing at night', () => {
    const june = Date.UTC(2025, 5, 10) / 1000
    const hours = Array.from({ length: 24 }, (_, hour) => exportBetween(june + hour * 3_600, 3_600))
    expect(hours.indexOf(Math.max(...hours))).toSatisfy((hour: number) => hour >= 10 && hour <= 13) // UTC
    expect(hours[0]! + hours[1]! + hours[22]! + hours[23]!).toBe(0)
  })

  test('is several times greater in June than in December', () => {
    const june = exportBetween(Date.UTC(2025, 5, 1) / 1000, 30 * 86_400)
    expect(june / exportBetween(Date.UTC(2025, 11, 1) / 1000, 30 * 86_400)).toBeGreaterThan(4)
  })

  test('follows one weather: a dull day of one house is a dull day of its neighbours', () => {
    const may = Date.UTC(2025, 4, 1) / 1000
    const days = (meter: SimulatedMeter): number[] =>
      Array.from({ length: 30 }, (_, day) => intervalEnergy(meter, may + day * 86_400, 86_400).exportWh)
    const all = solar.slice(0, 20).map(days)
    const best = all.map((each) => each.indexOf(Math.max(...each)))
    const dull = all.map((each) => each.indexOf(Math.min(...each)))
    expect(new Set(best).size).toBeLessThan(10)
    expect(best.some((day) => dull.includes(day))).toBe(false)
  })
})

describe('local time', () => {
  test.for([
    ['2025-03-30T00:59:59Z', 3_600],
    ['2025-03-30T01:00:00Z', 7_200],
    ['2025-10-26T00:59:59Z', 7_200],
    ['2025-10-26T01:00:00Z', 3_600],
    ['2024-03-31T01:00:00Z', 7_200],
    ['2024-12-31T23:59:59Z', 3_600],
  ] as const)('at %s Brussels is %i s ahead', ([text, seconds]) => {
    expect(localOffsetSeconds(Date.parse(text) / 1000)).toBe(seconds)
  })
})

const real = join(import.meta.dirname, '../../../shared/corpus/load/uk-households-30min.csv')
const absent = existsSync(real) ? '' : ' (skipped: ../shared/corpus/load is not there)'

describe.skipIf(absent !== '' && process.env.CI === undefined)(`beside 150 real households${absent}`, () => {
  const start = Date.UTC(2009, 2, 30) / 1000 // the week in which British clocks too are on summer time
  const ofReal = (): LocalCurve[] =>
    [...parseCurves(readFileSync(real, 'utf8')).series.values()].map((series) => ({
      localStart: start + 3_600,
      stepSeconds: 1_800,
      values: series.values.slice((start - series.start) / 1_800).map(Number),
    }))
  const theirs = absent === '' ? ofReal() : []
  const ours = plain.map((meter) => curve(meter, start, 7 * 48, 1_800))

  test('the sample is there', () => expect(theirs).toHaveLength(150))

  test('evenings stand as high above nights, within 40 %', () => {
    const ratio = (curves: LocalCurve[]): number => {
      const day = dayShape(curves, false)
      return hoursOf(day, 17, 22) / hoursOf(day, 1, 5)
    }
    expect(ratio(ours) / ratio(theirs)).toSatisfy((share: number) => share > 0.6 && share < 1.4)
  })

  test('the working day has the same shape, hour by hour within 0.35 of the mean load', () => {
    const [our, their] = [dayShape(ours, false), dayShape(theirs, false)]
    expect(Math.max(...our.map((hour, index) => Math.abs(hour - their[index]!)))).toBeLessThan(0.35)
  })

  test('weekends begin later and hold more at midday', () => {
    for (const curves of [ours, theirs]) {
      const [working, weekend] = [dayShape(curves, false), dayShape(curves, true)]
      expect(hoursOf(weekend, 6, 8)).toBeLessThan(0.8 * hoursOf(working, 6, 8))
      expect(hoursOf(weekend, 10, 14)).toBeGreaterThan(1.15 * hoursOf(working, 10, 14))
    }
  })

  test.for([0.05, 0.25, 0.5, 0.75, 0.95])('the daily use of households at %d agrees within 25 %', (share) => {
    const daily = (curves: LocalCurve[]): number =>
      quantile(
        curves.map(({ values }) => mean(values) * 48),
        share,
      )
    expect(daily(ours) / daily(theirs)).toSatisfy((ratio: number) => ratio > 0.75 && ratio < 1.25)
  })

  test.for([0.05, 0.5, 0.95])('one half-hour says as much about the next, at %d within 0.2', (share) => {
    const memory = (curves: LocalCurve[]): number =>
      quantile(
        curves.map(({ values }) => lagOne(values)),
        share,
      )
    expect(Math.abs(memory(ours) - memory(theirs))).toBeLessThan(0.2)
  })

  test('half-hours scatter as much, within 30 % in the median', () => {
    const scatter = (curves: LocalCurve[]): number =>
      quantile(
        curves.map(({ values }) => variation(values)),
        0.5,
      )
    expect(scatter(ours) / scatter(theirs)).toSatisfy((ratio: number) => ratio > 0.7 && ratio < 1.3)
  })
})
