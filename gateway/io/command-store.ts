import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { ConcentratorId } from '../model.ts'
import type { Counters } from '../session/association.ts'
import { transaction } from './database.ts'
import type { RegisteredMeter } from './registry.ts'

/**
 * What is kept of a meter so that it can be asked: the concentrator that last brought a frame of it whose tag held, and the
 * last invocation counter that we ourselves used under its key. In the ledger's file, beside the meters.
 */
export const commandSchema = `
  CREATE TABLE IF NOT EXISTS meter_route (
    meter INTEGER PRIMARY KEY REFERENCES meter(id), concentrator TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT -1);
`

/** Meters whose concentrator is kept in memory, the most. */
const knownMax = 200_000

export class CommandStore {
  readonly #database: DatabaseSync
  readonly #known = new Map<number, ConcentratorId>()
  readonly #sql: Record<'select' | 'hear' | 'sent' | 'received', StatementSync>

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#sql = {
      select: database.prepare('SELECT concentrator, sent FROM meter_route WHERE meter = ?'),
      hear: database.prepare(
        `INSERT INTO meter_route (meter, concentrator) VALUES (?, ?)
         ON CONFLICT (meter) DO UPDATE SET concentrator = excluded.concentrator`,
      ),
      sent: database.prepare('UPDATE meter_route SET sent = max(sent, ?) WHERE meter = ?'),
      received: database.prepare('UPDATE meter SET counter = max(counter, ?) WHERE id = ?'),
    }
  }

  /** Within the ledger's transaction; a meter that stays where it is costs nothing. */
  hear({ id }: RegisteredMeter, concentrator: ConcentratorId): void {
    if (this.#known.get(id) === concentrator) return
    if ((this.#sql.select.get(id) as Route | undefined)?.concentrator !== concentrator) {
      this.#sql.hear.run(id, concentrator)
    }
    if (this.#known.size >= knownMax) this.#known.clear()
    this.#known.set(id, concentrator)
  }

  /** @returns `undefined` for a meter that was never heard */
  route({ id }: RegisteredMeter): Route | undefined {
    return this.#sql.select.get(id) as Route | undefined
  }

  /** Durable when it returns, and neither counter ever goes back. @param meter one that has a route */
  store(meter: RegisteredMeter, { sent, received }: Counters): void {
    transaction(this.#database, () => {
      this.#sql.sent.run(sent, meter.id)
      this.#sql.received.run(received, meter.id)
    })
    meter.counter = Math.max(meter.counter, received)
  }
}

export interface Route {
  concentrator: ConcentratorId
  /** the last invocation counter that we used, -1 before the first */
  sent: number
}
