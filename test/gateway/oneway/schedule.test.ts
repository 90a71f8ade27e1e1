import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dueAt, nextDue, Pace } from '#gateway/oneway/schedule.ts'

const passes = [0, 2_000, 30_000]
const waiting = (sequence: number, passesDone: number, sealedAtMs = 1_000) => ({ sequence, passesDone, sealedAtMs })

describe('when a batch is due', () => {
  test('each pass after its own time since sealing, and none after the last', () => {
    expect([0, 1, 2, 3].map((done) => dueAt(waiting(1, done), passes))).toEqual([1_000, 3_000, 31_000, undefined])
  })

  test('not a millisecond before', () => {
    expect(nextDue([waiting(1, 1)], 2_999, passes)).toBeUndefined()
    expect(nextDue([waiting(1, 1)], 3_000, passes)?.sequence).toBe(1)
    expect(nextDue([waiting(1, 3)], Number.POSITIVE_INFINITY, passes)).toBeUndefined()
  })

  test('first passes go before repeats, then the oldest first', () => {
    const all = [waiting(1, 2), waiting(2, 1), waiting(4, 0), waiting(3, 0)]
    expect(nextDue(all, 1e9, passes)?.sequence).toBe(3)
    expect(nextDue(all.slice(0, 2), 1e9, passes)?.sequence).toBe(1)
  })
})

describe('the pace', () => {
  test('never lets more through than the rate and one burst', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ octets: fc.integer({ min: 1, max: 9_000 }), waitMs: fc.nat({ max: 20 }) })),
        fc.integer({ min: 1, max: 100 }),
        (steps, megabits) => {
          const pace = new Pace({ bitsPerSecond: megabits * 1e6, burstOctets: 10_000, nowMs: 0 })
          let [now, through] = [0, 0]
          for (const { octets, waitMs } of steps) {
            now += waitMs
            if (pace.take(octets, now)) through += octets
          }
          expect(through).toBeLessThanOrEqual(10_000 + (now * megabits * 1e6) / 8_000 + 1e-6)
        },
      ),
    )
  })

  test('what it refuses costs nothing, and time gives it back', () => {
    const pace = new Pace({ bitsPerSecond: 8_000, burstOctets: 100, nowMs: 0 }) // an octet a millisecond
    expect(pace.take(100, 0)).toBe(true)
    expect(pace.take(50, 49)).toBe(false)
    expect(pace.take(50, 50)).toBe(true)
  })

  test('a clock that goes back gives nothing', () => {
    const pace = new Pace({ bitsPerSecond: 8_000, burstOctets: 100, nowMs: 1_000 })
    expect(pace.take(100, 1_000)).toBe(true)
    expect(pace.take(1, 0)).toBe(false)
    expect(pace.take(2, 1_001)).toBe(false)
    expect(pace.take(1, 1_001)).toBe(true)
  })
})
