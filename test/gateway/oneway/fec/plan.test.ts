import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blockOctetsMax, sourceSymbols, symbolLimits } from '#gateway/oneway/fec/block.ts'
import { failureMax, logTail, planObject, repairOfPass, repairSymbols } from '#gateway/oneway/fec/plan.ts'

describe('repair', () => {
  test.for([
    // source symbols, at 2 % loss, at 10 % loss: per cent of repair, as any code needs that decodes from k symbols
    [10, 70, 140],
    [48, 25, 56],
    [100, 16, 39],
    [250, 10, 27],
    [754, 6, 20],
    [1_498, 5, 17],
  ] as const)('of %i symbols is %i %% for a loss of 2 %% and %i %% for 10 %%', ([k, little, much]) => {
    expect(Math.round((repairSymbols(k, 0.02) / k) * 100)).toBe(little)
    expect(Math.round((repairSymbols(k, 0.1) / k) * 100)).toBe(much)
  })

  test('754 symbols of LDPC-Staircase stay under 25 % with their margin', () => {
    const { shape, repair } = planObject(
      { objectOctets: 754 * 1_400, symbolOctets: 1_400 },
      { lossShare: 0.1, passes: 1 },
    )
    expect(shape.fecId).toBe(3)
    expect(repair / 754).toBeLessThan(0.25)
  })

  test('is the least that suffices', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 30 }), (k, percent) => {
        const share = percent / 100
        const m = repairSymbols(k, share)
        expect(logTail(k + m, share, m + 1)).toBeLessThan(Math.log(failureMax))
        if (m > 1) expect(logTail(k + m - 1, share, m)).toBeGreaterThanOrEqual(Math.log(failureMax))
      }),
    )
  })

  test('the tail is the sum of the binomial distribution', () => {
    const exact = (n: number, p: number, from: number): number => {
      let [sum, choose] = [0, 1]
      for (let x = 0; x <= n; x++) {
        if (x >= from) sum += choose * p ** x * (1 - p) ** (n - x)
        choose = (choose * (n - x)) / (x + 1)
      }
      return sum
    }
    for (const [n, p, from] of [
      [10, 0.1, 0],
      [10, 0.1, 1],
      [24, 0.1, 15],
      [60, 0.02, 9],
      [75, 0.3, 70],
    ] as const) {
      expect(Math.exp(logTail(n, p, from))).toBeCloseTo(exact(n, p, from), 12)
      expect(Math.exp(logTail(n, p, from)) / exact(n, p, from)).toBeCloseTo(1, 9)
    }
    expect(logTail(5, 0.1, 6)).toBe(Number.NEGATIVE_INFINITY)
  })
})

describe('a plan', () => {
  const sizes = fc.record({
    objectOctets: fc.integer({ min: 1, max: 8_388_608 }),
    symbolOctets: fc.integer({ min: 128, max: 8_900 }),
  })

  test('stays within the limits of its code, whatever the object', () => {
    fc.assert(
      fc.property(
        sizes,
        fc.constantFrom(0, 0.02, 0.1, 0.3),
        fc.integer({ min: 1, max: 9 }),
        (object, lossShare, passes) => {
          const { shape, repair, sets } = planObject(object, { lossShare, passes })
          expect(sourceSymbols(shape)).toBeLessThanOrEqual(symbolLimits[shape.fecId].sourceMax)
          expect(shape.symbols).toBeLessThanOrEqual(symbolLimits[shape.fecId].symbolsMax)
          expect(shape.symbols).toBe(sourceSymbols(shape) + repair * (shape.fecId === 0 ? 0 : sets))
          if (shape.fecId !== 0) expect(shape.symbols * shape.symbolOctets).toBeLessThanOrEqual(blockOctetsMax)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('each pass has repair symbols of its own, as far as the code has so many', () => {
    for (const objectOctets of [14_000, 250_000, 1_055_600]) {
      const plan = planObject({ objectOctets, symbolOctets: 1_400 }, { lossShare: 0.1, passes: 3 })
      const first = Array.from({ length: plan.sets }, (_, pass) => repairOfPass(plan, pass))
      const all = first.flat().sort((a, b) => a - b)
      const source = sourceSymbols(plan.shape)
      expect(all).toEqual(Array.from({ length: plan.shape.symbols - source }, (_, i) => source + i))
      expect(repairOfPass(plan, plan.sets)).toEqual(first[0])
      expect(first[0]!.at(-1)).toBe(plan.shape.symbols - 1)
    }
  })

  test('is Reed-Solomon while a pass fits 255 symbols, LDPC-Staircase above, nothing where no loss is planned for', () => {
    const idOf = (symbols: number, lossShare = 0.1): number =>
      planObject({ objectOctets: symbols * 1_400, symbolOctets: 1_400 }, { lossShare, passes: 3 }).shape.fecId
    expect([1, 100, 197, 198, 754, 5_992].map((symbols) => idOf(symbols))).toEqual([5, 5, 5, 3, 3, 3])
    expect(idOf(100, 0)).toBe(0)
    expect(planObject({ objectOctets: 8_388_608, symbolOctets: 128 }, { lossShare: 0.1, passes: 3 }).shape.fecId).toBe(
      0,
    )
  })
})
