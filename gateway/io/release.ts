import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Obis } from '../model.ts'
import { type Cell, DayCells, lastClosedDay, quantityOf, type ReleaseRules, releaseRules } from '../readings/cells.ts'
import { entries, secondsPerDay } from '../readings/meter-day.ts'
import { openDatabase, transaction } from './database.ts'

/**
 * Closes days: per substation, the readings of a closed day become cells, and those that the rules let out are written
 * where studies read. A substation's day is closed once: a reading that comes later reaches the MDM and no cell, since
 * the difference of two versions of a sum would show one meter.
 *
 * Cells are summed when the day closes, from the ledger's own rows, and not as readings come: a correction then needs no
 * undoing, and no sum of an open day lies anywhere.
 */
export interface ReleaseCounts {
  closed: number
  released: number
  withheld: number
}

/** Kept equal to what studies read by a test. */
export const releasedSchema = `
CREATE TABLE IF NOT EXISTS cell (
  substation TEXT NOT NULL,
  quantity TEXT NOT NULL,
  interval_end INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('released', 'withheld')),
  reason TEXT,
  sum INTEGER,
  scaler INTEGER,
  meters INTEGER,
  PRIMARY KEY (substation, quantity, interval_end)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day (
  substation TEXT NOT NULL,
  day TEXT NOT NULL,
  closed_at INTEGER NOT NULL,
  PRIMARY KEY (substation, day)
) WITHOUT ROWID;
`

/** Days back that may still be closed: what a meter dates earlier makes no cell. */
const daysBackMax = 45

export interface ReleaserOptions {
  /** the ledger's own database, read */
  ledger: DatabaseSync
  /** file of the released cells */
  file: string
  graceSeconds: number
  rules?: ReleaseRules
}

export class Releaser {
  readonly #options: ReleaserOptions
  readonly #released: DatabaseSync
  readonly #contributions: StatementSync
  readonly #sql: Record<'isClosed' | 'cell' | 'day', StatementSync>
  #work: Generator<void> | undefined
  /** every day up to here is closed */
  #closedUpTo = Number.NEGATIVE_INFINITY
  readonly #counts: ReleaseCounts

  constructor(options: ReleaserOptions) {
    this.#options = options
    this.#released = openDatabase(options.file, releasedSchema)
    this.#sql = {
      isClosed: this.#released.prepare('SELECT 1 FROM day WHERE substation = ? AND day = ?'),
      cell: this.#released.prepare('INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
      day: this.#released.prepare('INSERT INTO day VALUES (?, ?, ?)'),
    }
    this.#counts = countCells(this.#released)
    this.#contributions = options.ledger.prepare(
      `SELECT channel.obis, meter_day.entries FROM meter
       JOIN meter_day ON meter_day.day = ? AND meter_day.meter = meter.id
       JOIN channel ON channel.id = meter_day.channel
       WHERE meter.substation = ?`,
    )
  }

  /** Works for about `budgetMs` and goes on at the next call. @returns whether everything due is closed */
  step(nowSeconds: number, budgetMs: number): boolean {
    const last = lastClosedDay(nowSeconds, this.#options.graceSeconds)
    if (this.#work === undefined && last <= this.#closedUpTo) return true
    const until = performance.now() + budgetMs
    this.#work ??= this.#close(last, nowSeconds)
    while (performance.now() < until) {
      if (this.#work.next().done === true) {
        this.#work = undefined
        return true
      }
    }
    return false
  }

  /** of all time */
  counts(): ReleaseCounts {
    return { ...this.#counts }
  }

  close(): void {
    this.#released.close()
  }

  /** One substation's day at a step. */
  *#close(last: number, nowSeconds: number): Generator<void> {
    for (const day of this.#days(last)) {
      for (const { id, name } of this.#substations()) {
        if (this.#sql.isClosed.get(name, dayText(day)) === undefined) {
          this.#write({ name, day, nowSeconds }, this.#cells(day, id))
        }
        yield
      }
    }
    this.#closedUpTo = last
  }

  /** Days with readings, found by leaps: the rows of a day are many. */
  *#days(last: number): Generator<number> {
    const next = this.#options.ledger.prepare('SELECT min(day) AS day FROM meter_day WHERE day >= ?')
    for (let from = last - daysBackMax; from <= last; from++) {
      const { day } = next.get(from) as { day: number | null }
      if (day === null || day > last) return
      from = day
      yield day
    }
  }

  #substations(): { id: number; name: string }[] {
    return this.#options.ledger.prepare('SELECT id, name FROM substation ORDER BY name').all() as {
      id: number
      name: string
    }[]
  }

  #cells(day: number, substation: number): Cell[] {
    const sums = new DayCells(day)
    for (const row of this.#contributions.iterate(day, substation) as Iterable<{ obis: Obis; entries: Uint8Array }>) {
      const quantity = quantityOf.get(row.obis)
      if (quantity !== undefined) sums.add(quantity, entries(Buffer.from(row.entries)))
    }
    return sums.close(this.#options.rules ?? releaseRules)
  }

  #write({ name, day, nowSeconds }: { name: string; day: number; nowSeconds: number }, cells: readonly Cell[]): void {
    transaction(this.#released, () => {
      for (const { quantity, end, outcome } of cells) {
        if (outcome.state === 'released') {
          this.#sql.cell.run(name, quantity, end, 'released', null, outcome.sum, outcome.scaler, outcome.meters)
        } else this.#sql.cell.run(name, quantity, end, 'withheld', outcome.reason, null, null, null)
      }
      this.#sql.day.run(name, dayText(day), nowSeconds)
    })
    const released = cells.filter(({ outcome }) => outcome.state === 'released').length
    this.#counts.closed += cells.length
    this.#counts.released += released
    this.#counts.withheld += cells.length - released
  }
}

function countCells(released: DatabaseSync): ReleaseCounts {
  const counts = "SELECT count(*) AS closed, coalesce(sum(state = 'released'), 0) AS released FROM cell"
  const row = released.prepare(counts).get() as { closed: number; released: number }
  return { ...row, withheld: row.closed - row.released }
}

function dayText(day: number): string {
  return new Date(day * secondsPerDay * 1000).toISOString().slice(0, 10)
}
