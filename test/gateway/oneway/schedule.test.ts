import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  classes,
  classOf,
  dueAt,
  interleaved,
  type Lane,
  mayBegin,
  nextDue,
  nextLane,
  Pace,
  type Waiting,
} from '#gateway/oneway/schedule.ts'

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

/** Any batch, in any state. */
const anyWaiting: fc.Arbitrary<Waiting> = fc.record({
  sequence: fc.integer({ min: 1, max: 1_000 }),
  sealedAtMs: fc.integer({ min: 0, max: 50_000 }),
  passesDone: fc.integer({ min: 0, max: 6 }),
  urgent: fc.boolean(),
  replay: fc.boolean(),
})
const rankOf = (one: Waiting): number => classes.indexOf(classOf(one, passes))

describe('what goes first', () => {
  test('events, manifests, readings, replays, repeats; the carousel is not asked for', () => {
    const all = [
      { ...waiting(1, 3) },
      { ...waiting(2, 1) },
      { ...waiting(3, 3), replay: true },
      { ...waiting(4, 0) },
      { ...waiting(2 ** 52 + 1, 0), manifest: true },
      { ...waiting(5, 0), urgent: true },
    ]
    expect(all.map((one) => classOf(one, passes))).toEqual([...classes].reverse())
    const order: number[] = []
    for (let left = all; left.length > 1; left = left.filter(({ sequence }) => sequence !== order.at(-1))) {
      order.push(nextDue(left, 1e9, passes)!.sequence)
    }
    expect(order).toEqual([5, 2 ** 52 + 1, 4, 3, 2])
  })

  test('is due, of the best class that is, and of that the oldest, whatever waits and in whatever order', () => {
    fc.assert(
      fc.property(fc.array(anyWaiting), fc.nat({ max: 100_000 }), (all, nowMs) => {
        const chosen = nextDue(all, nowMs, passes)
        const due = all.filter((one) => (dueAt(one, passes) ?? Number.POSITIVE_INFINITY) <= nowMs)
        if (chosen === undefined) {
          expect(due).toEqual([])
          return
        }
        expect(due).toContain(chosen)
        for (const other of due) {
          expect(rankOf(chosen)).toBeLessThanOrEqual(rankOf(other))
          if (rankOf(other) === rankOf(chosen)) expect(chosen.sequence).toBeLessThanOrEqual(other.sequence)
        }
        expect(nextDue(all.toReversed(), nowMs, passes)?.sequence).toBe(chosen.sequence)
      }),
    )
  })
})

describe('lanes', () => {
  const anyLanes = fc.array(fc.record({ batch: anyWaiting, servedAt: fc.nat() }), { minLength: 1, maxLength: 10 })

  test('the next symbol is of the best class under way, and of the lane that has waited longest', () => {
    fc.assert(
      fc.property(anyLanes, (lanes) => {
        const { batch, servedAt } = nextLane(lanes, passes)!
        for (const other of lanes) {
          expect(rankOf(batch)).toBeLessThanOrEqual(rankOf(other.batch))
          if (rankOf(other.batch) === rankOf(batch)) expect(servedAt).toBeLessThanOrEqual(other.servedAt)
        }
      }),
    )
    expect(nextLane([], passes)).toBeUndefined()
  })

  test('at most two of a class and those before it are under way, and two always may be', () => {
    fc.assert(
      fc.property(fc.array(anyWaiting, { maxLength: 30 }), (candidates) => {
        const lanes: Lane[] = []
        for (const batch of candidates) if (mayBegin(lanes, batch, passes)) lanes.push({ batch, servedAt: 0 })
        for (const limit of classes.keys()) {
          const under = (all: readonly Waiting[]): number => all.filter((one) => rankOf(one) <= limit).length
          expect(under(lanes.map(({ batch }) => batch))).toBeGreaterThanOrEqual(
            Math.min(interleaved, under(candidates)),
          )
        }
        for (const limit of classes.keys()) {
          expect(lanes.filter(({ batch }) => rankOf(batch) === limit).length).toBeLessThanOrEqual(interleaved)
        }
      }),
    )
  })

  test('symbols of two objects go by turns', () => {
    const lanes = [waiting(1, 0), waiting(2, 0)].map((batch): Lane => ({ batch, servedAt: 0 }))
    const order = Array.from({ length: 6 }, (_, sent) => {
      const lane = nextLane(lanes, passes)!
      lane.servedAt = sent + 1
      return lane.batch.sequence
    })
    expect(order).toEqual([1, 2, 1, 2, 1, 2])
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
