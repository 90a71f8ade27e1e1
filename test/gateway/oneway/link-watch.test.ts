import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeerError } from '#gateway/errors.ts'
import { headerOctetsMax } from '#gateway/oneway/datagram.ts'
import {
  clockQualities,
  decodeHeartbeat,
  encodeHeartbeat,
  type Heartbeat,
  heartbeatOctets,
} from '#gateway/oneway/heartbeat.ts'
import { LinkWatch } from '#gateway/oneway/link-watch.ts'

const number48 = fc.nat().chain((high) => fc.nat(0xffff).map((low) => high * 0x1_0000 + low))
const count = fc.maxSafeNat()
const someBeat = fc.record({
  utcMs: number48,
  monotonicMs: number48,
  clock: fc.constantFrom(...clockQualities),
  highest: number48,
  datagrams: count,
  octets: count,
  queuedBatches: fc.nat(0x7fff_ffff),
  queuedOctets: count,
  oldestMs: count,
  octetsPerSecond: count,
})

describe('a heartbeat', () => {
  test('is read as it was written, and fits 256 octets with its header', () => {
    expect(heartbeatOctets + headerOctetsMax).toBeLessThanOrEqual(256)
    fc.assert(
      fc.property(someBeat, (beat) => {
        expect(decodeHeartbeat(encodeHeartbeat(beat))).toEqual(beat)
      }),
    )
  })

  test('of any octets is one in its one form, or refused by its code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: heartbeatOctets - 1, maxLength: heartbeatOctets + 1 }), (octets) => {
        try {
          expect(encodeHeartbeat(decodeHeartbeat(Buffer.from(octets)))).toEqual(Buffer.from(octets))
        } catch (fault) {
          if (!(fault instanceof PeerError)) throw fault
          expect(fault.code).toBe('HEARTBEAT_MALFORMED')
        }
      }),
    )
    const good = encodeHeartbeat(quiet)
    for (const [at, value] of [
      [0, 2],
      [1, 3],
      [2, 1],
      [67, 1],
      [22, 255],
    ] as const) {
      expect(() => decodeHeartbeat(Buffer.from(good.with(at, value)))).toThrow(PeerError)
    }
  })
})

const quiet: Heartbeat = {
  utcMs: 0,
  monotonicMs: 0,
  clock: 'synchronised',
  highest: 0,
  datagrams: 0,
  octets: 0,
  queuedBatches: 0,
  queuedOctets: 0,
  oldestMs: 0,
  octetsPerSecond: 0,
}

/** Beats each second from 1 on, ten datagrams between them, of which `lost` do not come; `late` on the way. */
function beats(
  watch: LinkWatch,
  seconds: number,
  { from = 1, lost = 0, late = (): number => 0, offset = 0 } = {},
): void {
  for (let second = from; second < from + seconds; second += 1) {
    const atMs = second * 1_000
    const beat = { ...quiet, utcMs: atMs + offset, monotonicMs: atMs, datagrams: second * 10, highest: second }
    watch.take(beat, { number: second, received: second * (10 - lost), atMs: atMs + late() })
  }
}

describe('what the receiver makes of heartbeats', () => {
  test('is silence after three missed beats, told once, and its end', () => {
    const watch = new LinkWatch()
    expect(watch.tick(99_000)).toEqual([]) // nothing was ever heard: there is no link to miss
    beats(watch, 5)
    expect(watch.tick(8_000)).toEqual([])
    expect(watch.tick(8_001)).toEqual([{ kind: 'silent', sinceBeatMs: 3_001 }])
    expect(watch.tick(9_000)).toEqual([])
    expect(watch.state(5, 9_000)).toMatchObject({ silent: true, sinceBeatMs: 4_000 })
    expect(watch.take({ ...quiet, monotonicMs: 20_000 }, { number: 20, received: 1, atMs: 20_000 })).toEqual([
      { kind: 'beating', silentMs: 15_000 },
    ])
    expect(watch.state(5, 20_000)).toMatchObject({ silent: false })
  })

  test('is the share of datagrams lost, and what is behind', () => {
    const watch = new LinkWatch()
    beats(watch, 90, { lost: 1 })
    expect(watch.state(80, 90_000)).toMatchObject({ lossShare: 0.1, behind: 10 })
    const good = new LinkWatch()
    beats(good, 90)
    expect(good.state(90, 90_000)).toMatchObject({ lossShare: 0, behind: 0 })
  })

  test('is no loss when the sender began anew and counts from zero', () => {
    const watch = new LinkWatch()
    beats(watch, 10)
    watch.take({ ...quiet, monotonicMs: 5, datagrams: 2 }, { number: 11, received: 102, atMs: 11_000 })
    watch.take({ ...quiet, monotonicMs: 1_005, datagrams: 12 }, { number: 12, received: 112, atMs: 12_000 })
    expect(watch.state(10, 12_000)).toMatchObject({ lossShare: 0 })
  })

  test('takes no beat of a former time, over a restart too', () => {
    const watch = new LinkWatch()
    beats(watch, 10)
    expect(watch.take(quiet, { number: 10, received: 1, atMs: 10_500 })).toBeUndefined()
    expect(watch.state(10, 10_500)).toMatchObject({ sinceBeatMs: 500 })
    const next = new LinkWatch(watch.number)
    expect(next.take(quiet, { number: 9, received: 1, atMs: 11_000 })).toBeUndefined()
    expect(next.take(quiet, { number: 11, received: 1, atMs: 11_000 })).toEqual([])
  })

  test('tells an offset of clocks by the quickest beat, and drift by how it moves', () => {
    const watch = new LinkWatch()
    let second = 0
    const late = (): number => (second++ % 10) * 7 // one in ten comes at once
    beats(watch, 300, { late, offset: -500 })
    expect(watch.state(0, 300_000)).toMatchObject({ offsetMs: 500, driftPpm: undefined })
    for (let at = 301; at <= 900; at += 1) {
      const atMs = at * 1_000
      watch.take(
        { ...quiet, utcMs: atMs - 500 - (at - 300) / 10, monotonicMs: atMs },
        { number: at, received: 0, atMs: atMs + late() },
      )
    }
    expect(watch.state(0, 900_000)!.driftPpm).toBeCloseTo(100, -1)
  })
})
