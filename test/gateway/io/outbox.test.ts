import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { decodeSeries, encodeSealedBatch } from '#gateway/codec/batch.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import type { Leaf, Sealable } from '#gateway/io/outbox.ts'
import { follows, headerDigest, nextHeader, openBatch } from '#gateway/oneway/seal.ts'
import { protect } from '#simulator/protect.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, meter, monday, sealedPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const one = meter(1)
const open = (): SqliteLedger => ledgerIn(tempFolder(), [one])
const leaf = (octets: number, fill = 1): Leaf => ({ octets: Buffer.alloc(octets, fill), readings: 1 })

/** What the sealer does, but for the signature. */
function seal(ledger: SqliteLedger, waiting: Sealable, sealedAtMs = 1_000): Buffer {
  const head = ledger.outbox.head()
  const header = nextHeader(head, { series: waiting.leaves, readingCount: waiting.readings, createdAtMs: sealedAtMs })
  const octets = encodeSealedBatch({ header, signature: Buffer.of(1), series: waiting.leaves })
  ledger.outbox.seal(waiting, { sequence: head.sequence + 1, digest: headerDigest(header), sealedAtMs, octets })
  return Buffer.from(octets)
}

/** What waits, batch after batch; the caller seals each before it asks for the next. */
function* batches(ledger: SqliteLedger): Generator<Sealable> {
  for (let turn = 0; turn < 50; turn++) {
    const waiting = ledger.outbox.sealable()
    if (waiting === undefined) return
    yield waiting
  }
  throw new Error('what is sealed keeps waiting')
}

function push(ledger: SqliteLedger, counter: number): void {
  take(ledger, [uplink(counter, [frame(one, sealedPush(one, { counter, rows: [[monday + counter * 900, counter]] }))])])
}

describe('the outbox', () => {
  test('gives back every leaf once and in order, in batches of a mebibyte', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 300_000 }), { maxLength: 20 }), (sizes) => {
        const ledger = open()
        const leaves = sizes.map((size, i) => leaf(size, i))
        ledger.outbox.add(leaves.slice(0, 7))
        ledger.outbox.add(leaves.slice(7))
        const found: string[] = []
        for (const waiting of batches(ledger)) {
          expect(waiting.leaves.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(1_048_576)
          expect(waiting.readings).toBe(waiting.leaves.length)
          found.push(...waiting.leaves.map((octets) => `${octets.length} ${octets[0]}`))
          seal(ledger, waiting)
        }
        expect(found).toEqual(leaves.map(({ octets }) => `${octets.length} ${octets[0]}`))
        expect(ledger.totals().sealed).toBe(sizes.length)
        ledger.close()
      }),
      { numRuns: 20 },
    )
  })

  test('a leaf beyond the limit goes alone', () => {
    const ledger = open()
    ledger.outbox.add([leaf(10), leaf(2_000_000), leaf(10)])
    const lengths: number[][] = []
    for (const waiting of batches(ledger)) {
      lengths.push(waiting.leaves.map(({ length }) => length))
      seal(ledger, waiting)
    }
    expect(lengths).toEqual([[10], [2_000_000], [10]])
    ledger.close()
  })

  test('batches count from 1 without gaps, each names the one before, also across a restart', () => {
    const folder = tempFolder()
    let before: Uint8Array | undefined
    for (let n = 1; n <= 4; n++) {
      const ledger = ledgerIn(folder, n === 1 ? [one] : [])
      push(ledger, n)
      const { header, batch, series } = openBatch(seal(ledger, ledger.outbox.sealable()!))
      expect(header).toMatchObject({ epoch: ledger.outbox.epoch, sequence: n, seriesCount: 1, readingCount: 1 })
      expect(series[0]!.values).toEqual([n])
      if (before === undefined) expect(header.previous).toHaveLength(0)
      else expect(follows(header, before)).toBe(true)
      before = batch.header
      ledger.close()
    }
  })

  test('what is committed while a batch is being signed waits for the next one', () => {
    const ledger = open()
    push(ledger, 1)
    const waiting = ledger.outbox.sealable()!
    push(ledger, 2) // comes in between
    expect(openBatch(seal(ledger, waiting)).series.map(({ values }) => values)).toEqual([[1]])
    expect(openBatch(seal(ledger, ledger.outbox.sealable()!)).series.map(({ values }) => values)).toEqual([[2]])
    expect(ledger.outbox.sealable()).toBeUndefined()
    ledger.close()
  })

  test.for(['DELETE ON outbox', 'INSERT ON batch', 'UPDATE ON state'])(
    'rows are swapped for their batch whole or not at all: %s fails',
    (what) => {
      const ledger = open()
      push(ledger, 1)
      const waiting = ledger.outbox.sealable()!
      ledger.database.exec(`CREATE TRIGGER broken BEFORE ${what} BEGIN SELECT raise(FAIL, 'disk'); END`)
      expect(() => seal(ledger, waiting)).toThrow('disk')
      expect(ledger.outbox.head().sequence).toBe(0)
      expect(ledger.outbox.sealable()).toEqual(waiting)
      expect(ledger.totals().sealed).toBe(0)
      ledger.close()
    },
  )

  test('one sequence is sealed once', () => {
    const ledger = open()
    push(ledger, 1)
    const waiting = ledger.outbox.sealable()!
    const batch = { sequence: 1, digest: Buffer.alloc(32), sealedAtMs: 0, octets: Buffer.of(1) }
    ledger.outbox.seal(waiting, batch)
    expect(() => ledger.outbox.seal(waiting, batch)).toThrow()
    ledger.close()
  })

  test('what is forwarded and past its window is erased, but never the last: the chain goes on from it', () => {
    const ledger = open()
    for (let n = 1; n <= 4; n++) {
      push(ledger, n)
      seal(ledger, ledger.outbox.sealable()!, n * 1_000)
      if (n !== 2) ledger.outbox.passDone({ sequence: n, sealedAtMs: 0, passesDone: 3 })
    }
    expect(ledger.outbox.waiting(3).map(({ sequence }) => sequence)).toEqual([2])
    expect(ledger.outbox.erase(3_000, 3)).toBe(1) // 1; 2 has passes to send, 3 is not past its window
    expect(ledger.outbox.erase(1e9, 3)).toBe(1) // 3; 4 is the last
    expect(ledger.outbox.head().sequence).toBe(4)
    push(ledger, 5)
    expect(openBatch(seal(ledger, ledger.outbox.sealable()!)).header.sequence).toBe(5)
    ledger.close()
  })

  test('what is urgent is sealed apart and first, and says so for as long as its batch is here', () => {
    const ledger = open()
    ledger.outbox.add([leaf(10, 1)])
    ledger.outbox.add([leaf(10, 2)], true)
    ledger.outbox.add([leaf(10, 3)])
    const first: number[][] = []
    for (const waiting of batches(ledger)) {
      first.push(waiting.leaves.map((octets) => octets[0]!))
      seal(ledger, waiting)
    }
    expect(first).toEqual([[2], [1, 3]])
    expect(ledger.outbox.waiting(3).map(({ urgent }) => urgent)).toEqual([true, undefined])
    ledger.close()
  })

  test('of a kind alone is given what was asked for, and only its rows go', () => {
    const ledger = open()
    ledger.outbox.add([leaf(10, 1)])
    ledger.outbox.add([leaf(10, 2)], true)
    seal(ledger, ledger.outbox.sealable(false)!)
    expect(ledger.outbox.sealable(false)).toBeUndefined()
    expect(ledger.outbox.sealable(true)!.leaves.map((octets) => octets[0])).toEqual([2])
    ledger.close()
  })

  test('what waits to be sealed is measured from its first series on, also after a restart', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder)
    vi.useFakeTimers({ now: 5_000, toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    ledger.outbox.add([leaf(10), leaf(20)])
    vi.setSystemTime(6_000)
    ledger.outbox.add([leaf(5)])
    expect([ledger.outbox.unsealed(false), ledger.outbox.unsealed(true)]).toEqual([
      { octets: 35, sinceMs: 5_000 },
      { octets: 0, sinceMs: expect.any(Number) },
    ])
    ledger.close()
    const again = ledgerIn(folder)
    expect(again.outbox.unsealed(false)).toEqual({ octets: 35, sinceMs: 6_000 })
    seal(again, again.outbox.sealable()!)
    expect(again.outbox.unsealed(false).octets).toBe(0)
    again.close()
  })

  test('an event-notification is urgent, a push of readings is not', () => {
    const ledger = ledgerIn(tempFolder(), [{ ...one, profile: 'kaifa-no' }])
    const event = encodeApdu({
      apdu: 'event-notification',
      time: encodeDateTime(monday),
      attribute: { classId: 3, obis: parseObis('1-0:1.8.0'), attribute: 2 },
      data: { type: 'double-long-unsigned', value: 77 },
    })
    const { meter: systemTitle, ek, ak } = one
    const sealed = protect(event, { systemTitle, ek, ak, invocationCounter: 1 })
    const readings = sealedPush(one, { counter: 2, rows: [[monday + 900, 5]] })
    take(ledger, [uplink(1, [frame(one, sealed), frame(one, readings)])])
    expect(ledger.outbox.sealable(true)!.leaves.map((octets) => decodeSeries(octets).values)).toEqual([[77]])
    expect(ledger.outbox.sealable(false)!.leaves.map((octets) => decodeSeries(octets).values)).toEqual([[5]])
    ledger.close()
  })

  test('what manifests say of a batch goes with it, and totals go on', () => {
    const ledger = open()
    for (let n = 1; n <= 3; n++) {
      push(ledger, n)
      seal(ledger, ledger.outbox.sealable()!, n * 1_000)
      ledger.outbox.passDone({ sequence: n, sealedAtMs: 0, passesDone: 3 })
    }
    expect(
      ledger.outbox.checkpoints([1, 2, 3, 4]).map(({ sequence, readingsTotal }) => [sequence, readingsTotal]),
    ).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ])
    expect([ledger.outbox.oldest(), ledger.outbox.passed(3, 2)]).toEqual([1, [2, 3]])
    ledger.outbox.erase(2_500, 3)
    expect(ledger.outbox.oldest()).toBe(3)
    expect(ledger.outbox.checkpoints([1, 2, 3])).toMatchObject([{ sequence: 3, createdAtMs: 3_000, readingsTotal: 3 }])
    expect(ledger.database.prepare('SELECT count(*) AS n FROM batch_mark').get()).toEqual({ n: 1 })
    ledger.close()
  })
})
