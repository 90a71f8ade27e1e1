import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeSealedBatch } from '#gateway/codec/batch.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import type { Leaf, Sealable } from '#gateway/io/outbox.ts'
import { follows, headerDigest, nextHeader, openBatch } from '#gateway/oneway/seal.ts'
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
})
