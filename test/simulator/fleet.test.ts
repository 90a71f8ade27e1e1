import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { type Fleet, type FleetSize, makeFleet } from '#simulator/fleet.ts'
import { random, unit } from '#simulator/random.ts'

const size: FleetSize = { seed: 1, substations: 3, concentrators: 12, meters: 605, smallSubstation: true }

function metersOf(fleet: Fleet): Fleet['substations'][number]['concentrators'][number]['meters'][number][] {
  return fleet.substations.flatMap(({ concentrators }) => concentrators.flatMap(({ meters }) => [...meters]))
}

describe('a fleet', () => {
  test('is spread evenly, with one substation too small to be released', () => {
    const counts = makeFleet(size).substations.map(({ id, concentrators }) => [
      id,
      concentrators.map((each) => each.meters.length),
    ])
    expect(counts).toEqual([
      ['sub-001', [54, 54, 55]],
      ['sub-002', [54, 54, 55, 54]],
      ['sub-003', [54, 55, 54, 55]],
      ['sub-004', [7]],
    ])
  })

  test('keeps its totals whatever they are, no part more than one above another', () => {
    const sizes = fc
      .record({
        substations: fc.integer({ min: 1, max: 6 }),
        perSubstation: fc.integer({ min: 1, max: 5 }),
        more: fc.nat(40),
        small: fc.boolean(),
        seed: fc.nat(),
      })
      .map(({ substations, perSubstation, more, small, seed }): FleetSize => {
        const concentrators = substations * perSubstation + (small ? 1 : 0)
        return { seed, substations, concentrators, meters: concentrators + 7 + more, smallSubstation: small }
      })
    fc.assert(
      fc.property(sizes, (wanted) => {
        const fleet = makeFleet(wanted)
        const concentrators = fleet.substations.flatMap((each) => each.concentrators)
        expect(concentrators).toHaveLength(wanted.concentrators)
        expect(new Set(concentrators.map(({ id }) => id)).size).toBe(wanted.concentrators)
        expect(metersOf(fleet)).toHaveLength(wanted.meters)
        const even = concentrators.slice(0, wanted.smallSubstation ? -1 : undefined).map(({ meters }) => meters.length)
        expect(Math.max(...even) - Math.min(...even)).toBeLessThanOrEqual(1)
      }),
      { numRuns: 100 },
    )
  })

  test('gives each meter a title, keys and a household of its own', () => {
    const meters = metersOf(makeFleet(size))
    const keys = meters.flatMap(({ ek, ak }) => [ek, ak].map((key) => Buffer.from(key).toString('hex')))
    expect(new Set(meters.map((meter) => meter.systemTitle)).size).toBe(605)
    expect(new Set(keys).size).toBe(1_210)
    expect(new Set(meters.map(({ seed }) => seed)).size).toBe(605)
    expect(keys.every((key) => key.length === 32)).toBe(true)
    expect(meters[0]!.systemTitle).toMatch(/^414d49[0-9a-f]{4}000001$/)
  })

  test('is the same for the same seed, and shares no title or key with another', () => {
    const again = metersOf(makeFleet(size))
    expect(metersOf(makeFleet(size))).toEqual(again)
    const other = new Set(
      metersOf(makeFleet({ ...size, seed: 2 })).flatMap(({ systemTitle, ek }) => [systemTitle, ek.join()]),
    )
    expect(again.some(({ systemTitle, ek }) => other.has(systemTitle) || other.has(ek.join()))).toBe(false)
  })

  test.for<[change: Partial<FleetSize>, faults: string[]]>([
    [{ seed: -1 }, ['seed: a whole number, 0 to 4294967295']],
    [{ substations: 0 }, ['substations: a whole number, 1 to 999']],
    [{ concentrators: 3 }, ['concentrators: 3 are too few for 4 substations']],
    [{ meters: 17 }, ['meters: 17 are too few for 12 concentrators, one of them with 7']],
    [{ meters: 11, smallSubstation: false }, ['meters: 11 are too few for 12 concentrators']],
    [
      { substations: 1_000, meters: 2.5 },
      ['substations: a wh', 'meters: a wh', 'concentrators: 12 are', 'meters: 2.5 are'],
    ],
  ])('%j is refused', ([change, faults]) => {
    const made = (): Fleet => makeFleet({ ...size, ...change })
    expect(made).toThrow(ConfigError)
    expect(made).toThrow(expect.objectContaining({ faults: faults.map((fault) => expect.stringContaining(fault)) }))
  })
})

describe('random numbers', () => {
  test('are the same for the same seed, and others for another', () => {
    const draws = (seed: number): number[] => Array.from({ length: 5 }, random(seed))
    expect(draws(7)).toEqual(draws(7))
    expect(draws(7)).not.toEqual(draws(8))
  })

  test.for([
    ['drawn in order', random(1)],
    ['of neighbouring places', (_: unknown, index: number) => unit(1, index, 3)],
    ['of neighbouring seeds', (_: unknown, index: number) => unit(index, 20_000, 3)],
  ] as const)('%s fill sixteen bins evenly', ([, draw]) => {
    const bins = Array.from({ length: 16 }, () => 0)
    for (const value of Array.from({ length: 16_000 }, draw as () => number)) bins[Math.floor(value * 16)]! += 1
    const chiSquare = bins.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0)
    expect(chiSquare).toBeLessThan(37.7) // 15 degrees of freedom, one in a thousand
  })
})
