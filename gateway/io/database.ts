import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * A SQLite file whose commits survive a power cut: write-ahead log, fsync at each commit. An import of a million meters by
 * another process holds the lock for tens of seconds; whoever waits for it must not give up and end.
 */
export function openDatabase(file: string, schema: string): DatabaseSync {
  const database = new DatabaseSync(file)
  database.exec(
    'PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 60000',
  )
  database.exec(schema)
  return database
}

/** All of `work` or nothing of it. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/**
 * Holds a folder for this process until it ends, however it ends: SQLite's lock is the kernel's.
 * @returns undefined when another process holds it
 */
export function holdFolder(folder: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(join(folder, 'lock.sqlite'))
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT') // the mode keeps the lock when the transaction ends
    return lock
  } catch (error) {
    lock.close()
    if ((error as { errcode?: number }).errcode === sqliteBusy) return undefined
    throw error
  }
}

/** @see SQLite, result codes */
const sqliteBusy = 5
