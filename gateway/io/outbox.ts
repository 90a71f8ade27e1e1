import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Waiting } from '../oneway/schedule.ts'
import type { ChainHead } from '../oneway/seal.ts'
import { transaction } from './database.ts'

/**
 * What has taken effect and must reach the MDM: encoded series until they are sealed, then the sealed batches until their
 * replay window ends. Rows are filled by the ledger's transaction; sealing swaps rows for a batch in one of its own.
 */
export const outboxSchema = `
  CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY, readings INTEGER NOT NULL, octets INTEGER NOT NULL, leaves BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, digest BLOB NOT NULL, sealed_at_ms INTEGER NOT NULL, passes_done INTEGER NOT NULL,
    readings INTEGER NOT NULL, octets BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS batch_by_passes ON batch (passes_done);
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
}

/** Octets of one outbox row, about; a single series beyond it is a row of its own. */
const rowOctetsMax = 262_144
/** Octets of series in one batch: with its signature it stays well under `batchOctetsMax`. */
const batchLeafOctetsMax = 1_048_576

export class Outbox {
  readonly epoch: number
  readonly #database: DatabaseSync
  readonly #insert: StatementSync

  constructor(database: DatabaseSync, epoch: number) {
    this.epoch = epoch
    this.#database = database
    this.#insert = database.prepare('INSERT INTO outbox (readings, octets, leaves) VALUES (?, ?, ?)')
  }

  /** Within the caller's transaction. */
  add(leaves: readonly Leaf[]): void {
    for (let from = 0; from < leaves.length; ) {
      let [to, octets] = [from, 0]
      while (to < leaves.length && (to === from || octets + leaves[to]!.octets.length <= rowOctetsMax)) {
        octets += leaves[to++]!.octets.length
      }
      const row = leaves.slice(from, to)
      this.#insert.run(
        row.reduce((sum, { readings }) => sum + readings, 0),
        octets,
        joined(row),
      )
      from = to
    }
  }

  /** The oldest rows, up to a batch's size. @returns undefined when nothing waits */
  sealable(): Sealable | undefined {
    const found: Sealable = { upTo: 0, leaves: [], readings: 0, full: false }
    let octets = 0
    const rows = this.#database.prepare('SELECT id, readings, octets, leaves FROM outbox ORDER BY id').iterate()
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
    { upTo, readings }: Sealable,
    batch: { sequence: number; digest: Uint8Array; sealedAtMs: number; octets: Uint8Array },
  ): void {
    transaction(this.#database, () => {
      this.#database
        .prepare(
          'INSERT INTO batch (sequence, digest, sealed_at_ms, passes_done, readings, octets) VALUES (?, ?, ?, 0, ?, ?)',
        )
        .run(batch.sequence, batch.digest, batch.sealedAtMs, readings, batch.octets)
      this.#database.prepare('DELETE FROM outbox WHERE id <= ?').run(upTo)
      this.#database.prepare("UPDATE state SET value = value + ? WHERE name = 'sealed'").run(readings)
    })
  }

  /** Batches with passes still to send. */
  waiting(passes: number): Waiting[] {
    const rows = this.#database
      .prepare('SELECT sequence, sealed_at_ms, passes_done FROM batch WHERE passes_done < ? ORDER BY sequence')
      .all(passes) as unknown as Row[]
    return rows.map(waitingOf)
  }

  /** Batches that are here, passes done or not. @param to included */
  held(from: number, to: number): Waiting[] {
    const rows = this.#database
      .prepare('SELECT sequence, sealed_at_ms, passes_done FROM batch WHERE sequence BETWEEN ? AND ? ORDER BY sequence')
      .all(from, to) as unknown as Row[]
    return rows.map(waitingOf)
  }

  octets(sequence: number): Uint8Array {
    const row = this.#database.prepare('SELECT octets FROM batch WHERE sequence = ?').get(sequence) as {
      octets: Uint8Array
    }
    return row.octets
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
    return Number(changes)
  }
}

interface Row {
  sequence: number
  sealed_at_ms: number
  passes_done: number
}

function waitingOf(row: Row): Waiting {
  return { sequence: row.sequence, sealedAtMs: row.sealed_at_ms, passesDone: row.passes_done }
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
