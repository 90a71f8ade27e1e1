import { existsSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { SubstationId } from '#gateway/model.ts'
import { Census, dayCountText, daysText, type Substation } from './census.ts'
import { limits } from './limits.ts'
import { Refusal } from './refusal.ts'
import type { Span } from './span.ts'

export const quantities = ['import', 'export'] as const
export type Quantity = (typeof quantities)[number]

/** One interval: what was released, or why not. `end` in seconds since 1970-01-01T00:00Z. */
export type Cell =
  | { end: number; state: 'released'; sum: bigint; scaler: number; meters: number }
  | { end: number; state: 'withheld'; reason: string }

export interface ClosedDay {
  /** `YYYY-MM-DD`, UTC */
  day: string
  /** seconds since 1970-01-01T00:00Z */
  closedAt: number
}

type StatementName = 'days' | 'dayCount' | 'closedDays' | 'latestDay' | 'cells' | 'known' | 'version'

const statementTexts: Record<StatementName, string> = {
  days: daysText,
  dayCount: dayCountText,
  closedDays: `SELECT day, closed_at AS closedAt FROM day WHERE substation = ? ORDER BY day DESC LIMIT ${limits.daysMax}`,
  latestDay: 'SELECT max(day) AS day FROM day WHERE substation = ?',
  cells: `SELECT interval_end AS end, state, reason, sum, scaler, meters FROM cell
    WHERE substation = ? AND quantity = ? AND interval_end > ? AND interval_end <= ?
    ORDER BY interval_end LIMIT ${limits.cellsMax + 1}`,
  known: 'SELECT EXISTS (SELECT 1 FROM day WHERE substation = ?) AS known',
  version: 'PRAGMA data_version',
}

interface Opened {
  database: DatabaseSync
  statements: Record<StatementName, StatementSync>
}

/**
 * The released cells, read-only: there is no way from here to anything else of the gateway's.
 * While the file or its tables do not exist yet, every list is empty.
 */
export class ReleasedStore {
  readonly #path: string
  #opened: Opened | undefined
  readonly #census = new Census()

  constructor(path: string) {
    this.#path = path
  }

  /** Whether the file is there and readable. @throws Refusal `STORE_UNAVAILABLE` */
  available(): boolean {
    return this.#read((statements) => statements.version.get() !== undefined) ?? false
  }

  /** In order of id. @throws Refusal `STORE_UNAVAILABLE` */
  substations(): Substation[] {
    return this.#read((statements) => this.#census.list(statements)) ?? []
  }

  /** Whether a day of it has closed. @throws Refusal `STORE_UNAVAILABLE` */
  knows(substation: SubstationId): boolean {
    return this.#read(({ known }) => (known.get(substation) as { known: number }).known === 1) ?? false
  }

  /** Newest first, at most `daysMax`. @throws Refusal `STORE_UNAVAILABLE` */
  closedDays(substation: SubstationId): ClosedDay[] {
    return this.#read(({ closedDays }) => closedDays.all(substation) as unknown as ClosedDay[]) ?? []
  }

  /** `YYYY-MM-DD`, undefined while none has closed. @throws Refusal `STORE_UNAVAILABLE` */
  latestDay(substation: SubstationId): string | undefined {
    return this.#read(({ latestDay }) => (latestDay.get(substation) as { day: string | null }).day) ?? undefined
  }

  /** In order of their ends. @throws Refusal `SPAN_TOO_LONG`, `STORE_UNAVAILABLE` */
  cells(substation: SubstationId, quantity: Quantity, { from, to }: Span): Cell[] {
    const rows = this.#read(({ cells }) => cells.all(substation, quantity, from, to) as unknown as CellRow[]) ?? []
    if (rows.length > limits.cellsMax) {
      throw new Refusal('SPAN_TOO_LONG', `more than ${limits.cellsMax} cells: ask for a shorter span`)
    }
    return rows.map(cellOf)
  }

  close(): void {
    this.#opened?.database.close()
    this.#opened = undefined
  }

  #read<T>(query: (statements: Opened['statements']) => T): T | undefined {
    try {
      this.#opened ??= open(this.#path)
      return this.#opened && query(this.#opened.statements)
    } catch (cause) {
      throw new Refusal('STORE_UNAVAILABLE', 'the released cells cannot be read at present', { cause })
    }
  }
}

interface CellRow {
  end: bigint
  state: Cell['state']
  reason: string | null
  sum: bigint
  scaler: bigint
  meters: bigint
}

/** Holds the promise of the schema even against a writer that broke it: a withheld cell has only its reason. */
function cellOf({ end, state, reason, sum, scaler, meters }: CellRow): Cell {
  return state === 'withheld'
    ? { end: Number(end), state, reason: reason ?? 'UNSTATED' }
    : { end: Number(end), state, sum, scaler: Number(scaler), meters: Number(meters) }
}

/** @returns undefined until the writer has made file and tables */
function open(path: string): Opened | undefined {
  if (!existsSync(path)) return undefined
  const database = new DatabaseSync(path, { readOnly: true, timeout: limits.busyMilliseconds })
  try {
    const tables = database.prepare(`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name IN ('cell', 'day')`)
    if (tables.all().length === 2) return { database, statements: prepared(database) }
  } catch (cause) {
    database.close()
    throw cause
  }
  database.close()
  return undefined
}

function prepared(database: DatabaseSync): Opened['statements'] {
  const entries = Object.entries(statementTexts).map(([name, text]) => [name, database.prepare(text)])
  const statements = Object.fromEntries(entries) as Opened['statements']
  statements.cells.setReadBigInts(true) // a sum may exceed 2^53
  return statements
}
