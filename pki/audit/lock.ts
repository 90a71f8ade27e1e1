import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as after } from 'node:timers/promises'
import { PkiError } from '../errors.ts'

/** Milliseconds that one process waits for another, the most. */
export const lockWaitMsMax = 10_000

/**
 * One at a time, within this process and among all that open the same file: SQLite's exclusive lock on an empty database.
 * It is the system's own, so that it goes with a process that dies, and nobody has to judge whether a left lock still counts.
 */
export class Lock {
  readonly #database: DatabaseSync
  #last: Promise<unknown> = Promise.resolve()

  constructor(path: string) {
    closeSync(openSync(path, 'a', 0o600)) // SQLite would let others read it
    this.#database = new DatabaseSync(path, { timeout: 0 })
  }

  /** @throws PkiError `AUDIT_BUSY` when another process keeps the lock for `lockWaitMsMax` */
  hold<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#locked(work))
    this.#last = turn.catch(() => undefined) // its caller is told
    return turn
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    await this.#acquire()
    try {
      return await work()
    } finally {
      this.#database.exec('ROLLBACK')
    }
  }

  async #acquire(): Promise<void> {
    const end = performance.now() + lockWaitMsMax
    for (let waitMs = 1; !this.#tries(); waitMs = Math.min(waitMs * 2, 50)) {
      if (performance.now() > end)
        throw new PkiError('AUDIT_BUSY', `another process keeps the log for over ${lockWaitMsMax} ms`)
      await after(waitMs)
    }
  }

  #tries(): boolean {
    try {
      this.#database.exec('BEGIN EXCLUSIVE')
      return true
    } catch (cause) {
      if ((cause as { errcode?: number }).errcode === 5) return false // SQLITE_BUSY
      throw cause
    }
  }

  /** When the last holder is done. */
  async close(): Promise<void> {
    await this.#last
    this.#database.close()
  }
}
