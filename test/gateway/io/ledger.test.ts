import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { intake } from '#gateway/intake.ts'
import { parseEnlisted } from '#gateway/io/enlisted.ts'
import { openLedger, type SqliteLedger } from '#gateway/io/ledger.ts'
import type { ExactInteger } from '#gateway/model.ts'
import { kek, ledgerIn, take, waitingSeries } from '#test/support/ledger.ts'
import { frame, journaled, later, meter, monday, sealedPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const [one, two] = [meter(1), meter(2)]
const open = (): SqliteLedger => ledgerIn(tempFolder(), [one, two])

type Rows = readonly (readonly [end: number, value: ExactInteger])[]

/** Pushes of one meter, each under the next counter. */
function pushes(ledger: SqliteLedger) {
  let counter = ledger.registry.meter(one.meter)!.counter
  return (rows: Rows, more: { scaler?: number } = {}) => {
    counter++
    return take(ledger, [uplink(counter, [frame(one, sealedPush(one, { counter, rows, ...more }))])]).applied
  }
}

/** Everything in the file that tells a state from another. */
function snapshot(ledger: SqliteLedger): unknown {
  const tables = ['state', 'channel', 'uplink', 'meter_day', 'quarantine', 'outbox', 'batch', 'meter']
  return tables.map((table) => ledger.database.prepare(`SELECT * FROM ${table}`).all())
}

describe('a reading takes effect once', () => {
  test('the same again is a repeat, another value a numbered correction, and only what is new goes to the outbox', () => {
    const ledger = open()
    const push = pushes(ledger)
    const [t1, t2] = [monday + 900, monday + 1_800]
    expect(
      push([
        [t1, 10],
        [t2, 20],
      ]),
    ).toEqual({ fresh: 2, revised: 0, repeated: 0 })
    expect(
      push([
        [t1, 10],
        [t2, 20],
      ]),
    ).toEqual({ fresh: 0, revised: 0, repeated: 2 })
    expect(
      push([
        [t1, 10],
        [t2, 21],
      ]),
    ).toEqual({ fresh: 0, revised: 1, repeated: 1 })
    expect(push([[t2, 22]])).toEqual({ fresh: 0, revised: 1, repeated: 0 })
    expect(push([[t2, 220]], { scaler: -1 })).toEqual({ fresh: 0, revised: 0, repeated: 1 })
    const sent = waitingSeries(ledger).map(({ ends, values, revisions }) => ({ ends, values, revisions }))
    expect(sent).toEqual([
      { ends: [t1, t2], values: [10, 20], revisions: [0, 0] },
      { ends: [t2], values: [21], revisions: [1] },
      { ends: [t2], values: [22], revisions: [2] },
    ])
    ledger.close()
  })

  test('also when it lies among others, across midnight, and within one stretch', () => {
    const ledger = open()
    const rows: Rows = [
      [monday - 900, 1],
      [monday, 2],
      [monday + 900, 3],
    ]
    const frames = [1, 2].map((counter) => frame(one, sealedPush(one, { counter, rows })))
    expect(take(ledger, [uplink(1, frames)]).applied).toEqual({ fresh: 3, revised: 0, repeated: 3 })
    expect(ledger.database.prepare('SELECT count(*) AS n FROM meter_day').get()).toMatchObject({ n: 2 })
    expect(waitingSeries(ledger)).toHaveLength(1)
    ledger.close()
  })

  test('whatever is sent again, and however often the ledger is opened again', () => {
    const row = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: -1, max: 2 }))
    fc.assert(
      fc.property(fc.array(fc.array(row, { minLength: 1, maxLength: 6 }), { maxLength: 8 }), (all) => {
        const folder = tempFolder()
        const known = new Map<number, number>()
        const [expected, sent] = [[] as string[], [] as string[]]
        for (const raw of all) {
          const ledger = ledgerIn(folder, [one])
          const rows = [...new Map(raw)].sort(([a], [b]) => a - b).map(([n, v]) => [monday + n * 900, v] as const)
          pushes(ledger)(rows)
          for (const [end, value] of rows) {
            if (known.get(end) !== value) expected.push(`${end} ${value}`)
            known.set(end, value)
          }
          const waiting = ledger.outbox.sealable()
          for (const { ends, values } of waitingSeries(ledger))
            sent.push(...ends.map((end, i) => `${end} ${values[i]}`))
          const { sequence } = ledger.outbox.head()
          if (waiting !== undefined) {
            ledger.outbox.seal(waiting, {
              sequence: sequence + 1,
              digest: Buffer.alloc(32),
              sealedAtMs: 0,
              octets: Buffer.of(0),
            })
          }
          ledger.close()
        }
        expect(sent).toEqual(expected)
      }),
      { numRuns: 12 },
    )
  })
})

describe('a commit is whole or not at all', () => {
  const stretch = (ledger: SqliteLedger) => {
    const frames = [frame(one, sealedPush(one, { counter: 9, rows: [[monday + 900, 1]] })), frame(two, Buffer.of(1))]
    return intake(journaled([uplink(9, frames)], ledger.position), ledger, later).effects
  }

  test.for(['meter_day', 'outbox', 'uplink', 'quarantine', 'channel'])('when writing to %s fails', (table) => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [one, two])
    const effects = stretch(ledger)
    const before = snapshot(ledger)
    ledger.database.exec(`CREATE TRIGGER broken BEFORE INSERT ON ${table} BEGIN SELECT raise(FAIL, 'disk'); END`)
    expect(() => ledger.commit(effects)).toThrow('disk')
    expect(ledger.position).toBe(0)
    expect(ledger.registry.meter(one.meter)!.counter).toBe(-1)
    expect(snapshot(ledger)).toEqual(before)
    ledger.close() // as the process does, which stops; the next one takes the same stretch whole
    const again = ledgerIn(folder)
    again.database.exec('DROP TRIGGER broken')
    expect(again.commit(stretch(again))).toEqual({ fresh: 1, revised: 0, repeated: 0 })
    expect(again.position).toBe(effects.position)
    again.close()
  })

  test.for(['meter', 'state'])('when updating %s fails', (table) => {
    const ledger = open()
    const effects = stretch(ledger)
    const before = snapshot(ledger)
    ledger.database.exec(`CREATE TRIGGER broken BEFORE UPDATE ON ${table} BEGIN SELECT raise(FAIL, 'disk'); END`)
    expect(() => ledger.commit(effects)).toThrow('disk')
    expect(ledger.position).toBe(0)
    expect(snapshot(ledger)).toEqual(before)
    ledger.close()
  })

  test('when a value that should have been refused comes through', () => {
    const ledger = open()
    const effects = stretch(ledger)
    const [{ meter, series }] = effects.series as [(typeof effects.series)[0]]
    effects.series.push({ meter, series: { ...series, ends: [monday + 1_800], values: [2n ** 64n] } })
    const before = snapshot(ledger)
    expect(() => ledger.commit(effects)).toThrow(RangeError)
    expect(snapshot(ledger)).toEqual(before)
    ledger.close()
  })

  test('when the database is gone', () => {
    const ledger = open()
    const effects = stretch(ledger)
    ledger.close()
    expect(() => ledger.commit(effects)).toThrow()
    expect(ledger.position).toBe(0)
  })
})

describe('what is kept', () => {
  test("the meters' keys lie nowhere in the files in the clear", () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [one, two])
    take(ledger, [uplink(1, [frame(one, sealedPush(one, { counter: 1, rows: [[monday, 1]] }))])])
    const octets = readdirSync(folder).map((name) => readFileSync(join(folder, name)))
    expect(octets.length).toBeGreaterThan(1) // the -wal too
    const needles = [one, two].flatMap(({ ek, ak }) => [ek, ak, Buffer.from(hex(ek)), Buffer.from(hex(ak))])
    for (const needle of [...needles, kek]) {
      expect(octets.some((file) => file.includes(Buffer.from(needle)))).toBe(false)
    }
    expect(octets.some((file) => file.includes(one.meter))).toBe(true) // the search does find what is there
    ledger.close()
  })

  test('another key-encryption key is told at once, before a frame is read', () => {
    const folder = tempFolder()
    ledgerIn(folder, [one]).close()
    expect(() => openLedger(join(folder, 'ledger.sqlite'), Buffer.alloc(32, 1))).toThrow(/kekFile/)
    expect(() => ledgerIn(folder).close()).not.toThrow()
  })

  test('position, epoch and totals survive a restart', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [one])
    take(ledger, [uplink(1, [frame(one, Buffer.of(1)), frame(two, Buffer.of(2))])])
    const facts = (of: SqliteLedger): unknown => [of.position, of.outbox.epoch, of.totals()]
    const before = facts(ledger)
    ledger.close()
    const again = ledgerIn(folder)
    expect(facts(again)).toEqual(before)
    expect(again.totals()).toEqual({ quarantined: 2, sealed: 0 })
    again.close()
  })

  test('days before the one told are erased, some rows at a time, and no others', () => {
    const ledger = open()
    const push = pushes(ledger)
    for (let day = 0; day < 5; day++) push([[monday + day * 86_400 + 900, day]])
    const days = (): number[] =>
      ledger.database
        .prepare('SELECT day FROM meter_day ORDER BY day')
        .all()
        .map(({ day }) => Number(day) - monday / 86_400)
    ledger.eraseDays(monday / 86_400 + 3, 2)
    expect(days()).toEqual([2, 3, 4])
    ledger.eraseDays(monday / 86_400 + 3, 2)
    expect(days()).toEqual([3, 4])
    ledger.close()
  })
})

describe('a line of a registry file', () => {
  const line = { meter: one.meter, substation: 'S-1', ek: 'e'.repeat(32), ak: 'a'.repeat(32) }

  test('that is good gives a meter', () => {
    expect(parseEnlisted(JSON.stringify(line), [])).toMatchObject({ meter: one.meter, substation: 'S-1' })
  })

  test('that is bad is refused, and the message shows no key', () => {
    const text = JSON.stringify(line)
    const bad = [
      text.slice(0, -1),
      `${text}x`,
      text.replace('"ak"', '"AK"'),
      JSON.stringify({ ...line, ek: `${line.ek}0` }),
      JSON.stringify({ ...line, ak: line.ak.slice(1) }),
      JSON.stringify({ ...line, ek: [line.ek] }),
      JSON.stringify({ ...line, meter: line.ek }),
      JSON.stringify({ ...line, substation: `${line.ek} ${line.ak}` }),
      `${line.ek},${line.ak}`,
      JSON.stringify([line]),
      'null',
      '',
    ]
    for (const one of bad) {
      let message = ''
      try {
        parseEnlisted(one, [])
      } catch (error) {
        message = String((error as Error).message) + String((error as Error).cause ?? '')
      }
      expect(message).not.toBe('')
      expect(message).not.toMatch(/e{8}|a{8}/)
    }
  })

  test('that names a known meter again gives it its new keys, and keeps its counter', () => {
    const ledger = open()
    take(ledger, [uplink(1, [frame(one, sealedPush(one, { counter: 5, rows: [[monday, 1]] }))])])
    const rekeyed = { ...meter(7), meter: one.meter }
    ledger.registry.enlist([rekeyed])
    const push = (counter: number, of: typeof one) =>
      take(ledger, [uplink(counter, [frame(one, sealedPush(of, { counter, rows: [[monday + counter, 1]] }))])]).applied
    expect(push(6, one).fresh).toBe(0)
    expect(push(4, rekeyed).fresh).toBe(0)
    expect(push(7, rekeyed).fresh).toBe(1)
    expect(ledger.quarantined(9).map(({ code }) => code)).toEqual(['COUNTER_REPLAYED', 'TAG_UNAUTHENTIC'])
    ledger.close()
  })
})

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
