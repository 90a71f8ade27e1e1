import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Uncarried } from '../oneway/carrier.ts'

const schema = `
  CREATE TABLE IF NOT EXISTS carried (carrier TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (carrier, sequence)) WITHOUT ROWID;
`

/**
 * Which batches a carrier has handed over. What is not written here is handed over again after a crash: the receiver takes each
 * batch once. A carrier that is new to the configuration has handed over nothing, and brings the whole window.
 */
export class Carried {
  readonly #database: DatabaseSync
  readonly #carrier: string
  readonly #note: StatementSync

  constructor(database: DatabaseSync, carrier: string) {
    database.exec(schema)
    this.#database = database
    this.#carrier = carrier
    this.#note = database.prepare('INSERT OR IGNORE INTO carried (carrier, sequence) VALUES (?, ?)')
  }

  /** Sealed, still here, and not handed over: the oldest. @param most of them */
  lacking(most: number): Uncarried[] {
    const rows = this.#database
      .prepare(
        `SELECT sequence, sealed_at_ms AS sealedAtMs FROM batch WHERE NOT EXISTS
           (SELECT 1 FROM carried WHERE carrier = ? AND carried.sequence = batch.sequence)
         ORDER BY sequence LIMIT ?`,
      )
      .all(this.#carrier, most) as unknown as Uncarried[]
    return rows.map(({ sequence, sealedAtMs }) => ({ sequence, sealedAtMs }))
  }

  note(sequence: number): void {
    this.#note.run(this.#carrier, sequence)
  }

  /** It is to be handed over once more. */
  forget(sequence: number): void {
    this.#database.prepare('DELETE FROM carried WHERE carrier = ? AND sequence = ?').run(this.#carrier, sequence)
  }

  /** Erases what is said of batches that are erased themselves. */
  erase(): void {
    this.#database
      .prepare('DELETE FROM carried WHERE carrier = ? AND sequence < (SELECT min(sequence) FROM batch)')
      .run(this.#carrier)
  }
}
