import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** How long it waits for the process before it to end. */
const lockWaitMs = 10_000

/**
 * Which (epoch, sequence) were stored, for ever and durable, also when somebody has taken the files away since: a batch that is
 * sent again, by whomever, is stored once. It is locked for as long as it is open, so that one process at a time stores.
 */
export class ReplayGuard {
  readonly #database: DatabaseSync
  readonly #insert

  /** @throws Error `database is locked`: another process has held it for `waitMs` */
  constructor(folder: string, waitMs: number = lockWaitMs) {
    this.#database = new DatabaseSync(join(folder, 'received.sqlite'), { timeout: waitMs })
    this.#database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      BEGIN EXCLUSIVE;
      CREATE TABLE IF NOT EXISTS received (
        epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (epoch, sequence)
      ) STRICT, WITHOUT ROWID;
      COMMIT;
    `)
    this.#insert = this.#database.prepare('INSERT OR IGNORE INTO received (epoch, sequence) VALUES (?, ?)')
  }

  /** Durable when it returns, all or none. */
  addAll(epoch: number, sequences: readonly number[]): void {
    if (sequences.length === 0) return
    this.#database.exec('BEGIN')
    try {
      for (const sequence of sequences) this.#insert.run(epoch, sequence)
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  /** All of them, in order. */
  *entries(): Generator<{ epoch: number; sequence: number }> {
    for (const { epoch, sequence } of this.#database
      .prepare('SELECT epoch, sequence FROM received ORDER BY epoch, sequence')
      .iterate()) {
      yield { epoch: Number(epoch), sequence: Number(sequence) }
    }
  }

  close(): void {
    this.#database.close()
  }
}
