import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Heartbeat } from '#gateway/oneway/heartbeat.ts'
import { LinkWatch, silentAfterMs } from '#gateway/oneway/link-watch.ts'

const base: Heartbeat = {
  ...{ number: 1, run: 1, clock: 'synchronised', utcMs: 0, monotonicMs: 0, highest: 0, datagrams: 0, octets: 0 },
  ...{ sendErrors: 0, queueObjects: 0, queueOctets: 0, oldestUnsentMs: 0, bitsPerSecond: 50_000_000 },
}

interface Said extends Partial<Heartbeat> {
  number: number
}

/** A heartbeat that comes at once, and is looked at when it comes. */
function beat(watch: LinkWatch, said: Said, atMs: number): void {
  watch.beat({ ...base, utcMs: atMs, ...said }, { atMs, nowMs: atMs })
  watch.taken()
}

describe('the guard', () => {
  test('takes each number once and none below the last, in whatever order they come, also after a restart', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 })), fc.nat({ max: 40 }), (numbers, restartAfter) => {
        let watch = new LinkWatch(0, 0)
        const taken: number[] = []
        for (const [i, number] of numbers.entries()) {
          if (i === restartAfter) watch = new LinkWatch(watch.lastNumber, 0)
          try {
            beat(watch, { number }, i)
            taken.push(number)
          } catch (error) {
            expect(error).toMatchObject({ code: 'HEARTBEAT_REPLAYED' })
            expect(number).toBeLessThanOrEqual(taken.at(-1)!)
          }
        }
        expect(taken).toEqual([...new Set(taken)].sort((a, b) => a - b))
        expect(watch.lastNumber).toBe(taken.at(-1) ?? 0)
      }),
    )
  })

  test('one that it refuses moves nothing', () => {
    const watch = new LinkWatch(0, 0)
    beat(watch, { number: 5, datagrams: 100 }, 1_000)
    const before = watch.view(2_000)
    expect(() => watch.beat({ ...base, number: 5, datagrams: 900 }, { atMs: 2_000, nowMs: 2_000 })).toThrow(
      'heartbeat 5',
    )
    expect(watch.view(2_000)).toEqual(before)
  })
})

describe('silence', () => {
  test('is called once when three are missing, and its end once', () => {
    const watch = new LinkWatch(0, 0)
    beat(watch, { number: 1 }, 1_000)
    const heard: [number, string][] = []
    for (let now = 1_000; now <= 20_000; now += 500) {
      if (now === 15_000) beat(watch, { number: 15 }, now)
      const change = watch.silence(now)
      if (change !== undefined) heard.push([now, change])
    }
    expect(heard).toEqual([
      [1_000 + silentAfterMs + 500, 'began'],
      [15_000, 'ended'],
      [15_000 + silentAfterMs + 500, 'began'],
    ])
  })

  test('two missing are no silence', () => {
    const watch = new LinkWatch(0, 0)
    for (let number = 1; number <= 30; number += 3) {
      beat(watch, { number }, number * 1_000)
      for (let ms = 0; ms < 3_000; ms += 500) expect(watch.silence(number * 1_000 + ms)).toBeUndefined()
    }
  })

  test('counts from the start where nothing was heard at all', () => {
    const watch = new LinkWatch(0, 50_000)
    expect([watch.silence(50_000 + silentAfterMs), watch.silence(50_001 + silentAfterMs)]).toEqual([undefined, 'began'])
  })

  test('a heartbeat that waited in a queue of ours is heard when it is looked at', () => {
    const watch = new LinkWatch(0, 60_000)
    watch.beat({ ...base, utcMs: 1_000 }, { atMs: 1_000, nowMs: 61_000 })
    expect(watch.silence(62_000)).toBeUndefined()
    expect(watch.view(62_000)).toMatchObject({ delayMs: 0, quietMs: 1_000 })
  })

  test('a clock of ours that is set back raises no alarm, and keeps none from being raised', () => {
    const watch = new LinkWatch(0, 0)
    beat(watch, { number: 1 }, 1e9)
    expect(watch.silence(5_000)).toBeUndefined()
    expect(watch.silence(5_001 + silentAfterMs)).toBe('began')
  })
})

describe('loss', () => {
  /** Seconds of traffic: of so many sent, so many come. */
  function run(seconds: readonly { sent: number; lost: number }[]): LinkWatch {
    const watch = new LinkWatch(0, 0)
    let datagrams = 0
    beat(watch, { number: 1, datagrams }, 0)
    datagrams++ // the heartbeat itself
    for (const [i, { sent, lost }] of seconds.entries()) {
      for (let n = 0; n < sent - lost; n++) watch.taken()
      datagrams += sent
      beat(watch, { number: i + 2, datagrams }, (i + 1) * 1_000)
      datagrams++
    }
    return watch
  }

  test('is exactly what did not come of what was sent between heartbeats', () => {
    const second = fc
      .nat({ max: 200 })
      .chain((sent) => fc.record({ sent: fc.constant(sent), lost: fc.nat({ max: sent }) }))
    fc.assert(
      fc.property(fc.array(second, { minLength: 1, maxLength: 50 }), (seconds) => {
        const [sent, lost] = [
          seconds.reduce((sum, one) => sum + one.sent, 0),
          seconds.reduce((sum, one) => sum + one.lost, 0),
        ]
        const view = run(seconds).view(0)
        const beats = seconds.length
        expect(view).toMatchObject({ sentDatagrams: sent + beats, lostDatagrams: lost })
        expect(view.lossShare).toBeCloseTo(lost / (sent + beats), 12)
      }),
    )
  })

  test('is that of the last minute: an hour ago it does not show', () => {
    const view = run([...Array(10).fill({ sent: 100, lost: 100 }), ...Array(70).fill({ sent: 100, lost: 0 })]).view(0)
    expect(view).toMatchObject({ lossShare: 0, lostDatagrams: 1_000 })
  })

  test('a sender that starts anew begins its counts anew: nothing is called lost for it', () => {
    const watch = run([{ sent: 1_000, lost: 0 }])
    beat(watch, { number: 100, run: 100, datagrams: 0 }, 5_000)
    for (let n = 0; n < 10; n++) watch.taken()
    beat(watch, { number: 101, run: 100, datagrams: 11 }, 6_000)
    expect(watch.view(6_000)).toMatchObject({ lossShare: 0, lostDatagrams: 0 })
  })

  test('nor for one whose first heartbeat that comes tells of more than the former run had sent', () => {
    const watch = run([{ sent: 1_000, lost: 0 }])
    beat(watch, { number: 100, run: 98, datagrams: 9_000 }, 5_000)
    expect(watch.view(5_000)).toMatchObject({ lossShare: undefined, lostDatagrams: 0 })
  })

  test('datagrams that the line doubles are no negative loss', () => {
    const watch = run([{ sent: 10, lost: 0 }])
    for (let n = 0; n < 50; n++) watch.taken()
    beat(watch, { number: 9, datagrams: 15 }, 5_000)
    expect(watch.view(5_000)).toMatchObject({ lossShare: 0, lostDatagrams: 0 })
  })
})

describe('delay and drift', () => {
  test.for([
    ['in step', 0],
    ['ours fast', 100],
    ['ours slow', -250],
  ] as const)('a clock %s shows its drift through delays that jump about', ([, ppm]) => {
    const watch = new LinkWatch(0, 0)
    for (let second = 1; second <= 1_800; second++) {
      const sent = second * 1_000
      const queued = second % 7 === 0 ? 2 : 5 + ((second * 7_919) % 300) // the least is met in every minute
      beat(watch, { number: second, utcMs: sent }, sent + 40 + queued + (sent * ppm) / 1e6)
    }
    const { driftPpm, offsetMs } = watch.view(0)
    expect(driftPpm).toBeGreaterThan(ppm - 1)
    expect(driftPpm).toBeLessThan(ppm + 1)
    expect(Math.abs(offsetMs! - (42 + 1_800 * ppm * 1e-3))).toBeLessThan(15)
  })

  test('nothing is said of drift in the first minutes', () => {
    const watch = new LinkWatch(0, 0)
    for (let second = 1; second <= 110; second++) beat(watch, { number: second }, second * 1_000)
    expect(watch.view(0).driftPpm).toBeUndefined()
  })
})
