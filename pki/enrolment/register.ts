import { closeSync, openSync } from 'node:fs'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { PkiError } from '../errors.ts'
import type { Device, Given } from './decide.ts'
import type { Shipped } from './manifest.ts'

/** A certificate as the CA's journal knows it. */
export type Certified = Pick<Given, 'serial' | 'notAfter' | 'revoked'>

/** A device as an operator sees it. */
export interface Listed extends Shipped {
  quarantined: string | undefined
}

/** Rows of a list, the most. */
export const listMax = 10_000
/** Refused lines of an import that are named, the most. */
const namedMax = 20

const schema = `
CREATE TABLE IF NOT EXISTS device (
  manufacturer TEXT NOT NULL, serial TEXT NOT NULL, concentrator TEXT NOT NULL UNIQUE, quarantined TEXT,
  PRIMARY KEY (manufacturer, serial)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS certified (
  key TEXT PRIMARY KEY, concentrator TEXT NOT NULL, parent TEXT, place INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS certified_of ON certified (concentrator, place);
`

/**
 * The devices that may enrol, and for which keys each was promised a certificate. A promise is durable before the
 * certificate is made, so that a crash in between leaves no certificate whose descent is not known; which promises became
 * certificates is the CA's to say.
 */
export class EnrolmentRegister {
  readonly #database: DatabaseSync

  constructor(file: string) {
    closeSync(openSync(file, 'a', 0o600)) // the files beside it take its mode
    this.#database = new DatabaseSync(file)
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000')
    this.#database.exec(schema)
  }

  /**
   * Adds devices, all or none; those that are there already change nothing.
   * @returns how many are new
   * @throws PkiError `MANIFEST_CONFLICT` naming those that are there as another concentrator, or whose name is taken
   */
  import(shipped: readonly Shipped[]): number {
    const insert = this.#database.prepare('INSERT OR IGNORE INTO device VALUES (?, ?, ?, NULL)')
    const same = this.#database.prepare(
      'SELECT 1 FROM device WHERE manufacturer = ? AND serial = ? AND concentrator = ?',
    )
    return this.#all(() => {
      const conflicts: string[] = []
      let fresh = 0
      for (const { manufacturer, serial, concentrator } of shipped) {
        if (insert.run(manufacturer, serial, concentrator).changes === 1) fresh++
        else if (same.get(manufacturer, serial, concentrator) === undefined)
          conflicts.push(`${manufacturer},${serial},${concentrator}`)
      }
      if (conflicts.length === 0) return fresh
      const named = conflicts.slice(0, namedMax).join('; ')
      throw new PkiError('MANIFEST_CONFLICT', `${conflicts.length} against what is here: ${named}`)
    })
  }

  /** @param certified what the CA's journal knows of a key */
  device(
    { manufacturer, serial }: Pick<Shipped, 'manufacturer' | 'serial'>,
    certified: (key: string) => Certified | undefined,
  ): Device | undefined {
    const row = this.#database
      .prepare('SELECT concentrator, quarantined FROM device WHERE manufacturer = ? AND serial = ?')
      .get(manufacturer, serial)
    return row && this.#deviceOf(row, certified)
  }

  /** As `device`, by the name that its certificates carry. */
  concentrator(id: string, certified: (key: string) => Certified | undefined): Device | undefined {
    const row = this.#database.prepare('SELECT concentrator, quarantined FROM device WHERE concentrator = ?').get(id)
    return row && this.#deviceOf(row, certified)
  }

  #deviceOf(row: Row, certified: (key: string) => Certified | undefined): Device {
    const concentrator = textOf(row, 'concentrator')
    const promised = this.#database
      .prepare('SELECT key, parent FROM certified WHERE concentrator = ? ORDER BY place')
      .all(concentrator)
    const given = promised.flatMap((one) => {
      const key = textOf(one, 'key')
      const found = certified(key)
      return found === undefined ? [] : [{ ...found, key, parent: optionalOf(one, 'parent') }]
    })
    return { concentrator, quarantined: optionalOf(row, 'quarantined'), given }
  }

  /** Durable when it returns; a promise that came to nothing is made again. */
  promise(all: readonly { key: string; concentrator: string; parent: string | undefined }[]): void {
    const insert = this.#database.prepare('INSERT OR REPLACE INTO certified VALUES (?, ?, ?, ?)')
    const last = this.#database.prepare('SELECT coalesce(max(place), 0) AS place FROM certified WHERE concentrator = ?')
    this.#all(() => {
      for (const { key, concentrator, parent } of all) {
        insert.run(key, concentrator, parent ?? null, 1 + (last.get(concentrator)!.place as number))
      }
    })
  }

  /** The first reason stands. @returns false when it is no device, or quarantined already */
  quarantine(concentrator: string, why: string): boolean {
    return (
      this.#database
        .prepare('UPDATE device SET quarantined = ? WHERE concentrator = ? AND quarantined IS NULL')
        .run(why, concentrator).changes === 1
    )
  }

  /** An operator's word: the device may enrol again. @returns false when it was not quarantined */
  release(concentrator: string): boolean {
    return (
      this.#database
        .prepare('UPDATE device SET quarantined = NULL WHERE concentrator = ? AND quarantined IS NOT NULL')
        .run(concentrator).changes === 1
    )
  }

  /** Names of the quarantined devices. */
  quarantined(): string[] {
    return this.#database
      .prepare('SELECT concentrator FROM device WHERE quarantined IS NOT NULL ORDER BY concentrator')
      .all()
      .map((row) => textOf(row, 'concentrator'))
  }

  /** By name, at most `listMax`. */
  list(after = ''): Listed[] {
    const rows = this.#database
      .prepare('SELECT * FROM device WHERE concentrator > ? ORDER BY concentrator LIMIT ?')
      .all(after, listMax)
    return rows.map((row) => ({
      manufacturer: textOf(row, 'manufacturer'),
      serial: textOf(row, 'serial'),
      concentrator: textOf(row, 'concentrator'),
      quarantined: optionalOf(row, 'quarantined'),
    }))
  }

  close(): void {
    this.#database.close()
  }

  #all<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }
}

type Row = Record<string, SQLOutputValue>

function textOf(row: Row, column: string): string {
  return row[column] as string
}

function optionalOf(row: Row, column: string): string | undefined {
  return (row[column] as string | null) ?? undefined
}
