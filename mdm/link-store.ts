import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { GapMemory } from '#gateway/oneway/gap-watch.ts'

/** A stream that was heard of: accepted, or waiting for an operator's word. */
export interface KnownEpoch {
  epoch: number
  accepted: boolean
  firstSeenMs: number
}

/** Epochs that wait for a word, the most that are told apart: only who has the link's key can announce one. */
export const announcedMax = 16

const schema = `
  CREATE TABLE IF NOT EXISTS epoch (
    epoch INTEGER PRIMARY KEY, first_seen_ms INTEGER NOT NULL, accepted_ms INTEGER) STRICT;
  CREATE TABLE IF NOT EXISTS heartbeat (epoch INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS manifest (epoch INTEGER PRIMARY KEY, memory TEXT NOT NULL) STRICT;
`

/**
 * What the receiver must not forget of the link, `link.sqlite` in its data folder: which epochs count, and the last heartbeat and
 * manifest of each, so that no former one is taken for a new one. Every call is durable when it returns. The receiver and
 * `ami mdm accept-epoch` may have it open at once.
 */
export class LinkStore {
  readonly #database: DatabaseSync

  /** @throws Error what the disk says */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o750 })
    this.#database = new DatabaseSync(join(folder, 'link.sqlite'), { timeout: 5_000 })
    this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${schema}`)
  }

  /** Accepted ones in the order in which they were, then the others. */
  epochs(): KnownEpoch[] {
    const rows = this.#database
      .prepare(
        `SELECT epoch, first_seen_ms, accepted_ms FROM epoch
           ORDER BY accepted_ms IS NULL, accepted_ms, first_seen_ms, epoch`,
      )
      .all() as { epoch: number; first_seen_ms: number; accepted_ms: number | null }[]
    return rows.map((row) => ({
      epoch: row.epoch,
      accepted: row.accepted_ms !== null,
      firstSeenMs: row.first_seen_ms,
    }))
  }

  /** @returns false where it was heard of before, or too many wait for a word */
  announce(epoch: number, nowMs: number): boolean {
    const known = this.epochs()
    const isNew =
      known.every((one) => one.epoch !== epoch) && known.filter((one) => !one.accepted).length < announcedMax
    if (isNew) this.#database.prepare('INSERT INTO epoch VALUES (?, ?, NULL)').run(epoch, nowMs)
    return isNew
  }

  accept(epoch: number, nowMs: number): void {
    this.#database
      .prepare(
        `INSERT INTO epoch VALUES (?1, ?2, ?2)
           ON CONFLICT (epoch) DO UPDATE SET accepted_ms = coalesce(accepted_ms, excluded.accepted_ms)`,
      )
      .run(epoch, nowMs)
  }

  /** Number of the last heartbeat taken, 0 before the first. */
  heartbeat(epoch: number): number {
    const row = this.#database.prepare('SELECT number FROM heartbeat WHERE epoch = ?').get(epoch)
    return (row as { number: number } | undefined)?.number ?? 0
  }

  setHeartbeat(epoch: number, number: number): void {
    this.#database.prepare('INSERT OR REPLACE INTO heartbeat VALUES (?, ?)').run(epoch, number)
  }

  /** @returns undefined before the first manifest */
  gapMemory(epoch: number): GapMemory | undefined {
    const row = this.#database.prepare('SELECT memory FROM manifest WHERE epoch = ?').get(epoch)
    return row === undefined ? undefined : (JSON.parse((row as { memory: string }).memory, octetsFromHex) as GapMemory)
  }

  setGapMemory(epoch: number, memory: GapMemory): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO manifest VALUES (?, ?)')
      .run(epoch, JSON.stringify(memory, octetsAsHex))
  }

  close(): void {
    this.#database.close()
  }
}

function octetsAsHex(key: string, value: unknown): unknown {
  return key === 'digest' && value !== undefined ? Buffer.from(value as Uint8Array).toString('hex') : value
}

function octetsFromHex(key: string, value: unknown): unknown {
  return key === 'digest' ? Buffer.from(value as string, 'hex') : value
}
