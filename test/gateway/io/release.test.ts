import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { Releaser, releasedSchema } from '#gateway/io/release.ts'
import { releasedSchema as whatStudiesRead } from '#studies/schema.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, meter, monday, sealedPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const street = Array.from({ length: 12 }, (_, n) => meter(n + 1))
const tuesday = monday + 86_400
const grace = 3_600

interface Lab {
  ledger: SqliteLedger
  releaser: Releaser
  file: string
  push(rows: readonly (readonly [number, number])[], of?: typeof street, scaler?: number): void
}

function lab(): Lab {
  const folder = tempFolder()
  const ledger = ledgerIn(folder, street)
  const file = join(folder, 'released.sqlite')
  let counter = 0
  return {
    ledger,
    releaser: releaserOf(ledger, file),
    file,
    push: (rows, of = street, scaler = 0) => {
      counter++
      const frames = of.map((one) => frame(one, sealedPush(one, { counter, rows, scaler })))
      take(ledger, [uplink(counter, frames)])
    },
  }
}

function releaserOf(ledger: SqliteLedger, file: string): Releaser {
  return new Releaser({ ledger: ledger.database, file, graceSeconds: grace })
}

function cells(file: string): unknown[] {
  const database = new DatabaseSync(file, { readOnly: true })
  const rows = database.prepare('SELECT * FROM cell ORDER BY substation, quantity, interval_end').all()
  database.close()
  return rows.map((row) => ({ ...row }))
}

function days(file: string): unknown[] {
  const database = new DatabaseSync(file, { readOnly: true })
  const rows = database.prepare('SELECT substation, day, closed_at FROM day ORDER BY substation, day').all()
  database.close()
  return rows.map((row) => ({ ...row }))
}

const finish = (releaser: Releaser, now: number): void => {
  for (let i = 0; i < 10_000 && !releaser.step(now, 50); i++);
}

describe('closing days', () => {
  test('a day is closed when its grace is over, and not before', () => {
    const { ledger, releaser, file, push } = lab()
    push([[monday + 900, 100]])
    finish(releaser, tuesday + grace - 1)
    expect(days(file)).toEqual([])
    finish(releaser, tuesday + grace)
    expect(days(file)).toEqual([{ substation: 'S-1', day: '2026-01-12', closed_at: tuesday + grace }])
    expect(cells(file)).toEqual([
      {
        substation: 'S-1',
        quantity: 'import',
        interval_end: monday + 900,
        state: 'released',
        reason: null,
        sum: 1_200,
        scaler: 0,
        meters: 12,
      },
    ])
    expect(releaser.counts()).toEqual({ closed: 1, released: 1, withheld: 0 })
    releaser.close()
    ledger.close()
  })

  test('a reading that comes later changes no cell and adds none, also after a restart', () => {
    const { ledger, releaser, file, push } = lab()
    push([[monday + 900, 100]])
    finish(releaser, tuesday + grace)
    const before = cells(file)
    push([
      [monday + 900, 101],
      [monday + 1_800, 50],
    ])
    finish(releaser, tuesday + grace + 1)
    finish(releaser, tuesday + 86_400 + grace)
    releaser.close()
    const again = releaserOf(ledger, file)
    finish(again, tuesday + 5 * 86_400)
    expect(cells(file)).toEqual(before)
    expect(again.counts()).toEqual({ closed: 1, released: 1, withheld: 0 })
    again.close()
    ledger.close()
  })

  test('a correction before the day closes counts, and counts once', () => {
    const { ledger, releaser, file, push } = lab()
    push([[monday + 900, 100]])
    push([[monday + 900, 100]])
    push([[monday + 900, 70]])
    finish(releaser, tuesday + grace)
    expect(cells(file)).toMatchObject([{ sum: 840, meters: 12 }])
    releaser.close()
    ledger.close()
  })

  test('of a withheld cell nothing is written but the reason', () => {
    const { ledger, releaser, file, push } = lab()
    push([[monday + 900, 100]], street.slice(0, 9))
    push([[monday + 1_800, 10]])
    push([[monday + 1_800, 90]], street.slice(0, 1))
    finish(releaser, tuesday + grace)
    const nothing = { state: 'withheld', sum: null, scaler: null, meters: null }
    expect(cells(file)).toMatchObject([
      { interval_end: monday + 900, reason: 'FEW_METERS', ...nothing },
      { interval_end: monday + 1_800, reason: 'DOMINANT_METER', ...nothing },
    ])
    releaser.close()
    ledger.close()
  })

  test('one meter with an absurd scaler stops neither the gateway nor the other cells', () => {
    const { ledger, releaser, file, push } = lab()
    push(
      [
        [monday + 900, 100],
        [monday + 1_800, 100],
      ],
      street.slice(1),
    )
    push([[monday + 900, 1]], street.slice(0, 1), -128)
    finish(releaser, tuesday + grace)
    expect(cells(file)).toMatchObject([
      { interval_end: monday + 900, state: 'withheld', reason: 'BEYOND_RANGE', sum: null },
      { interval_end: monday + 1_800, state: 'released', sum: 1_100 },
    ])
    releaser.close()
    ledger.close()
  })

  test('a crash in the middle of a day leaves nothing of it, and the next run closes it whole', () => {
    const { ledger, releaser, file, push } = lab()
    push([
      [monday + 900, 100],
      [monday + 1_800, 100],
    ])
    const breaker = new DatabaseSync(file)
    breaker.exec("CREATE TRIGGER broken BEFORE INSERT ON day BEGIN SELECT raise(FAIL, 'crash'); END")
    expect(() => finish(releaser, tuesday + grace)).toThrow('crash')
    expect(cells(file)).toEqual([])
    releaser.close()
    breaker.exec('DROP TRIGGER broken')
    breaker.close()
    const again = releaserOf(ledger, file)
    finish(again, tuesday + grace)
    finish(again, tuesday + grace)
    expect(cells(file)).toHaveLength(2)
    expect(days(file)).toHaveLength(1)
    again.close()
    ledger.close()
  })

  test('a day beyond the look-back makes no cell', () => {
    const { ledger, releaser, file, push } = lab()
    push([[monday + 900, 100]])
    finish(releaser, monday + 48 * 86_400)
    expect(cells(file)).toEqual([])
    expect(days(file)).toEqual([])
    releaser.close()
    ledger.close()
  })

  test('an interval that ends at midnight belongs to the day that it closes', () => {
    const { ledger, releaser, file, push } = lab()
    push([
      [monday, 5],
      [tuesday, 7],
    ])
    finish(releaser, tuesday + grace)
    expect(cells(file)).toMatchObject([
      { interval_end: monday, sum: 60 },
      { interval_end: tuesday, sum: 84 },
    ])
    expect(days(file)).toMatchObject([{ day: '2026-01-11' }, { day: '2026-01-12' }])
    releaser.close()
    ledger.close()
  })
})

test('the released file is the one that studies read', () => {
  const shape = (schema: string): unknown => {
    const database = new DatabaseSync(':memory:')
    database.exec(schema)
    const shapes = ['cell', 'day'].map((table) => database.prepare(`PRAGMA table_xinfo(${table})`).all())
    const names = database.prepare('SELECT type, name, tbl_name FROM sqlite_master ORDER BY name').all()
    database.close()
    return [shapes, names]
  }
  expect(shape(releasedSchema)).toEqual(shape(whatStudiesRead))
  const text = (schema: string): string => schema.replace(/\s+/g, '')
  expect(text(releasedSchema)).toBe(text(whatStudiesRead))
})
