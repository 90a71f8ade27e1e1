import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { PeerFault } from '../errors.ts'
import type { ConcentratorId, SystemTitle } from '../model.ts'

/** Octets that were acknowledged and could not be used, kept with the reason. */
export interface Quarantined {
  atMs: number
  concentrator: ConcentratorId
  meter: SystemTitle | undefined
  code: PeerFault
  detail: string
  octets: Uint8Array
}

export const quarantineSchema = `
  CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, concentrator TEXT NOT NULL, meter TEXT, code TEXT NOT NULL,
    detail TEXT NOT NULL, octets BLOB NOT NULL);
`

export interface QuarantineLimits {
  rowsMax: number
  octetsMax: number
}

/** Beyond, the oldest goes: a peer that sends rubbish must not fill the disk. */
export const quarantineLimits: QuarantineLimits = { rowsMax: 100_000, octetsMax: 1_073_741_824 }

/** What failed, within the ledger's transaction. */
export class Quarantine {
  readonly #database: DatabaseSync
  readonly #limits: QuarantineLimits
  readonly #sql: Record<'insert' | 'oldest' | 'erase', StatementSync>
  #rows: number
  #octets: number

  constructor(database: DatabaseSync, limits: QuarantineLimits = quarantineLimits) {
    this.#database = database
    this.#limits = limits
    this.#sql = {
      insert: database.prepare(
        'INSERT INTO quarantine (at_ms, concentrator, meter, code, detail, octets) VALUES (?, ?, ?, ?, ?, ?)',
      ),
      oldest: database.prepare('SELECT id, length(octets) AS octets FROM quarantine ORDER BY id LIMIT 1'),
      erase: database.prepare('DELETE FROM quarantine WHERE id = ?'),
    }
    const sums = 'SELECT count(*) AS kept, coalesce(sum(length(octets)), 0) AS octets FROM quarantine'
    const { kept, octets } = database.prepare(sums).get() as { kept: number; octets: number }
    this.#rows = kept
    this.#octets = octets
  }

  add({ atMs, concentrator, meter, code, detail, octets }: Quarantined): void {
    this.#sql.insert.run(atMs, concentrator, meter ?? null, code, detail, octets)
    this.#rows++
    this.#octets += octets.length
    while (this.#rows > this.#limits.rowsMax || this.#octets > this.#limits.octetsMax) {
      const oldest = this.#sql.oldest.get() as { id: number; octets: number }
      this.#sql.erase.run(oldest.id)
      this.#rows--
      this.#octets -= oldest.octets
    }
  }

  /** The newest first. */
  list(limit: number): Quarantined[] {
    const rows = this.#database.prepare('SELECT * FROM quarantine ORDER BY id DESC LIMIT ?').all(limit)
    return rows.map((row) => ({
      atMs: row.at_ms as number,
      concentrator: row.concentrator as ConcentratorId,
      meter: (row.meter as SystemTitle | null) ?? undefined,
      code: row.code as PeerFault,
      detail: row.detail as string,
      octets: row.octets as Uint8Array,
    }))
  }
}
