import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Checkpoint } from '../codec/manifest.ts'
import type { Waiting } from '../oneway/schedule.ts'
import type { ChainHead, Unsealed } from '../oneway/seal.ts'
import { transaction } from './database.ts'

/**
 * What has taken effect and must reach the MDM: encoded series until they are sealed, then the sealed batches until their
 * replay window ends. Rows are filled by the ledger's transaction; sealing swaps rows for a batch in one of its own. What is
 * urgent (alarms and events) waits in a table of its own and is sealed apart.
 */
export const outboxSchema = `
  CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY, readings INTEGER NOT NULL, octets INTEGER NOT NULL, leaves BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS outbox_urgent (
    id INTEGER PRIMARY KEY, readings INTEGER NOT NULL, octets INTEGER NOT NULL, leaves BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, digest BLOB NOT NULL, sealed_at_ms INTEGER NOT NULL, passes_done INTEGER NOT NULL,
    readings INTEGER NOT NULL, octets BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS batch_by_passes ON batch (passes_done);
  CREATE TABLE IF NOT EXISTS batch_mark (sequence INTEGER PRIMARY KEY, readings_total INTEGER NOT NULL, urgent INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS announced (name TEXT PRIMARY KEY, number INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
`

export interface Leaf {
  octets: Uint8Array
  readings: number
}

/** What one batch will hold: whole outbox rows. */
export interface Sealable {
  /** last row included */
  upTo: number
  leaves: Uint8Array[]
  readings: number
  /** as large as a batch may be: more rows may wait behind these */
  full: boolean
  urgent?: boolean
}

/** What announces the stream, and counts its words: no number comes twice, whatever crashes. */
export type Announcement = 'heartbeat' | 'manifest'

/** Octets of one outbox row, about; a single series beyond it is a row of its own. */
const rowOctetsMax = 262_144
/** Octets of series in one batch: with its signature it stays well under `batchOctetsMax`. */
export const batchLeafOctetsMax = 1_048_576

const tables = { ordinary: 'outbox', urgent: 'outbox_urgent' } as const
type Kind = keyof typeof tables

const kindOf = (urgent: boolean): Kind => (urgent ? 'urgent' : 'ordinary')

export class Outbox {
  readonly epoch: number
  readonly #database: DatabaseSync
  readonly #insert: Record<Kind, StatementSync>
  readonly #unsealed: Record<Kind, Unsealed>
  readonly #now: () => number

  /** @param now milliseconds since 1970 */
  constructor(database: DatabaseSync, epoch: number, now: () => number = () => Date.now()) {
    this.epoch = epoch
    this.#database = database
    this.#now = now
    const insert = (kind: Kind): StatementSync =>
      database.prepare(`INSERT INTO ${tables[kind]} (readings, octets, leaves) VALUES (?, ?, ?)`)
    this.#insert = { ordinary: insert('ordinary'), urgent: insert('urgent') }
    this.#unsealed = { ordinary: this.#measure('ordinary', now()), urgent: this.#measure('urgent', now()) }
  }

  /** What waits to be sealed; what a former run has left counts from this one's start. */
  unsealed(urgent: boolean): Readonly<Unsealed> {
    return this.#unsealed[kindOf(urgent)]
  }

  /** Within the caller's transaction. */
  add(leaves: readonly Leaf[], urgent = false): void {
    const unsealed = this.#unsealed[kindOf(urgent)]
    if (unsealed.octets === 0) unsealed.sinceMs = this.#now()
    for (const { octets } of leaves) unsealed.octets += octets.length
    for (let from = 0; from < leaves.length; ) {
      let [to, octets] = [from, 0]
      while (to < leaves.length && (to === from || octets + leaves[to]!.octets.length <= rowOctetsMax)) {
        octets += leaves[to++]!.octets.length
      }
      const row = leaves.slice(from, to)
      this.#insert[kindOf(urgent)].run(
        row.reduce((sum, { readings }) => sum + readings, 0),
        octets,
        joined(row),
      )
      from = to
    }
  }

  /** The oldest rows, up to a batch's size; urgent ones, if there are any, unless told which. @returns undefined when nothing waits */
  sealable(urgent: boolean = this.#unsealed.urgent.octets > 0): Sealable | undefined {
    const found: Sealable = { upTo: 0, leaves: [], readings: 0, full: false, urgent }
    let octets = 0
    const table = tables[kindOf(urgent)]
    const rows = this.#database.prepare(`SELECT id, readings, octets, leaves FROM ${table} ORDER BY id`).iterate()
    for (const row of rows as Iterable<{ id: number; readings: number; octets: number; leaves: Uint8Array }>) {
      found.full = octets > 0 && octets + row.octets > batchLeafOctetsMax
      if (found.full) break
      octets += row.octets
      found.leaves.push(...split(row.leaves))
      found.readings += row.readings
      found.upTo = row.id
    }
    return found.upTo === 0 ? undefined : found
  }

  /** Where the chain stands. */
  head(): ChainHead {
    const row = this.#database.prepare('SELECT sequence, digest FROM batch ORDER BY sequence DESC LIMIT 1').get() as
      | { sequence: number; digest: Uint8Array }
      | undefined
    return { epoch: this.epoch, sequence: row?.sequence ?? 0, digest: row?.digest ?? new Uint8Array(0) }
  }

  /** Swaps the rows for their batch, in one transaction. */
  seal(
    { upTo, readings, urgent = false }: Sealable,
    batch: { sequence: number; digest: Uint8Array; sealedAtMs: number; octets: Uint8Array },
  ): void {
    transaction(this.#database, () => {
      this.#database
        .prepare(
          'INSERT INTO batch (sequence, digest, sealed_at_ms, passes_done, readings, octets) VALUES (?, ?, ?, 0, ?, ?)',
        )
        .run(batch.sequence, batch.digest, batch.sealedAtMs, readings, batch.octets)
      this.#database.prepare(`DELETE FROM ${tables[kindOf(urgent)]} WHERE id <= ?`).run(upTo)
      this.#database.prepare("UPDATE state SET value = value + ? WHERE name = 'sealed'").run(readings)
      this.#database
        .prepare("INSERT INTO batch_mark SELECT ?, value, ? FROM state WHERE name = 'sealed'")
        .run(batch.sequence, urgent ? 1 : 0)
    })
    this.#unsealed[kindOf(urgent)] = this.#measure(kindOf(urgent), batch.sealedAtMs)
  }

  #measure(kind: Kind, sinceMs: number): Unsealed {
    const { octets } = this.#database.prepare(`SELECT total(octets) AS octets FROM ${tables[kind]}`).get() as {
      octets: number
    }
    return { octets, sinceMs }
  }

  /** Batches with passes still to send. */
  waiting(passes: number): Waiting[] {
    return this.#batches('passes_done < ?', passes)
  }

  /** Batches that are here, passes done or not. @param to included */
  held(from: number, to: number): Waiting[] {
    return this.#batches('batch.sequence BETWEEN ? AND ?', from, to)
  }

  /** Those whose passes are all done, the latest `most` of them, in order. */
  passed(passes: number, most: number): number[] {
    const rows = this.#database
      .prepare('SELECT sequence FROM batch WHERE passes_done >= ? ORDER BY sequence DESC LIMIT ?')
      .all(passes, most) as { sequence: number }[]
    return rows.map(({ sequence }) => sequence).reverse()
  }

  #batches(where: string, ...values: number[]): Waiting[] {
    const rows = this.#database
      .prepare(
        `SELECT batch.sequence, sealed_at_ms, passes_done, length(octets) AS octets, urgent
           FROM batch LEFT JOIN batch_mark USING (sequence) WHERE ${where} ORDER BY batch.sequence`,
      )
      .all(...values) as unknown as Row[]
    return rows.map(waitingOf)
  }

  /** Of a batch that is not erased. */
  octets(sequence: number): Uint8Array {
    return this.octetsHeld(sequence)!
  }

  /** @returns undefined once it is erased */
  octetsHeld(sequence: number): Uint8Array | undefined {
    const row = this.#database.prepare('SELECT octets FROM batch WHERE sequence = ?').get(sequence)
    return (row as { octets: Uint8Array } | undefined)?.octets
  }

  /** The first batch that is still here, 0 where there is none. */
  oldest(): number {
    return (this.#database.prepare('SELECT coalesce(min(sequence), 0) AS first FROM batch').get() as { first: number })
      .first
  }

  /** Of these batches what a manifest says; those that are erased, or were sealed by a former version, are left out. */
  checkpoints(sequences: readonly number[]): Checkpoint[] {
    const find = this.#database.prepare(
      `SELECT digest, sealed_at_ms AS createdAtMs, readings_total AS readingsTotal
         FROM batch JOIN batch_mark USING (sequence) WHERE sequence = ?`,
    )
    return sequences.flatMap((sequence): Checkpoint[] => {
      const row = find.get(sequence) as Omit<Checkpoint, 'sequence'> | undefined
      return row === undefined ? [] : [{ sequence, ...row }]
    })
  }

  /** The last announcement of this kind; number 0 before the first. */
  announced(name: Announcement): { number: number; digest: Uint8Array } {
    const row = this.#database.prepare('SELECT number, digest FROM announced WHERE name = ?').get(name)
    return (row as { number: number; digest: Uint8Array } | undefined) ?? { number: 0, digest: new Uint8Array(0) }
  }

  /** Durable when it returns, and before anything of it is sent. */
  announce(name: Announcement, number: number, digest: Uint8Array = new Uint8Array(0)): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO announced (name, number, digest) VALUES (?, ?, ?)')
      .run(name, number, digest)
  }

  /** A crash before this repeats the pass: the receiver takes each batch once. */
  passDone({ sequence, passesDone }: Waiting): void {
    this.#database.prepare('UPDATE batch SET passes_done = ? WHERE sequence = ?').run(passesDone, sequence)
  }

  /** Erases batches whose window is over, but the last: the chain goes on from it. @returns how many */
  erase(sealedBeforeMs: number, passes: number): number {
    const { changes } = this.#database
      .prepare(
        `DELETE FROM batch WHERE sealed_at_ms < ? AND passes_done >= ? AND sequence < (SELECT max(sequence) FROM batch)`,
      )
      .run(sealedBeforeMs, passes)
    if (changes > 0) {
      this.#database.exec('DELETE FROM batch_mark WHERE sequence < (SELECT min(sequence) FROM batch)')
    }
    return Number(changes)
  }
}

interface Row {
  sequence: number
  sealed_at_ms: number
  passes_done: number
  octets: number
  /** null: sealed by a former version */
  urgent: number | null
}

function waitingOf({ sequence, sealed_at_ms: sealedAtMs, passes_done: passesDone, octets, urgent }: Row): Waiting {
  return { sequence, sealedAtMs, passesDone, octets, ...(urgent === 1 ? { urgent: true } : {}) }
}

/** Length (u32, big-endian) and octets, one after the other. */
function joined(leaves: readonly Leaf[]): Buffer {
  return Buffer.concat(
    leaves.flatMap(({ octets }) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(octets.length)
      return [length, octets]
    }),
  )
}

function split(octets: Uint8Array): Uint8Array[] {
  const view = Buffer.from(octets.buffer, octets.byteOffset, octets.length)
  const leaves: Uint8Array[] = []
  for (let at = 0; at < view.length; ) {
    const end = at + 4 + view.readUInt32BE(at)
    leaves.push(view.subarray(at + 4, end))
    at = end
  }
  return leaves
}
