import { randomInt } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { encodeSeries, type SealedSeries } from '../codec/batch.ts'
import { ConfigError } from '../errors.ts'
import { type ConcentratorId, type Obis, parseSystemTitle, type Series, type SystemTitle } from '../model.ts'
import { dayOf, type Incoming, type MeterDay, mergeDay, secondsPerDay } from '../readings/meter-day.ts'
import { CommandStore, commandSchema } from './command-store.ts'
import { openDatabase, transaction } from './database.ts'
import type { CounterMove } from './meter-keys.ts'
import { type Leaf, Outbox, outboxSchema } from './outbox.ts'
import { Quarantine, type Quarantined, quarantineSchema } from './quarantine.ts'
import { type RegisteredMeter, Registry, registrySchema } from './registry.ts'

/**
 * The exactly-once transaction. What a stretch of the journal gives takes effect whole or not at all, together with the
 * position up to which the journal is consumed: a crash replays the stretch, and nothing of it was there.
 */
export interface Ledger {
  /** the journal is consumed up to here */
  readonly position: number
  readonly registry: Registry
  readonly outbox: Outbox
  /** whether this very uplink was taken before: QoS 1 redelivers, and that is no replay attack */
  seen(concentrator: ConcentratorId, sequence: number, digest: Uint8Array): boolean
  /** whether one channel more may be known: asked before a series is let in. @param beside let in and not committed yet */
  takesChannel(obis: Obis, beside: ReadonlySet<Obis>): boolean
  /** One transaction. @throws what the store says; then the process must stop */
  commit(effects: Effects): Applied
  quarantined(limit: number): Quarantined[]
  close(): void
}

/** What a stretch of the journal asks for. */
export interface Effects {
  /** the journal is consumed up to here */
  position: number
  uplinks: { concentrator: ConcentratorId; sequence: number; digest: Uint8Array }[]
  /** in order; a meter's last one stands. Without a name: the unicast key's */
  counters: ({ meter: RegisteredMeter; counter: number } | CounterMove<RegisteredMeter>)[]
  /** who brought a frame whose tag holds, in order: there a meter can be asked */
  heard: { meter: RegisteredMeter; concentrator: ConcentratorId }[]
  /** urgent: an alarm or an event, which does not wait for the others */
  series: { meter: RegisteredMeter; series: Series; urgent?: boolean }[]
  quarantine: Quarantined[]
}

/** Readings: first values, corrections, and those that were there already. */
export interface Applied {
  fresh: number
  revised: number
  repeated: number
}

/**
 * Uplinks remembered of each concentrator: those whose sequence is within this of its last one's, on either side. Well
 * above what it may have in flight, and bounded also when its sequence jumps or begins again.
 */
const uplinksRemembered = 1_024
/** Channels (OBIS codes) of all meters together, the most. */
const channelsMax = 4_096
/** New ones that one push can bring. */
const seriesChannelsMax = 64

const schema = `
  CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS channel (id INTEGER PRIMARY KEY, obis TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS uplink (
    concentrator TEXT NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (concentrator, sequence)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS meter_day (
    day INTEGER NOT NULL, meter INTEGER NOT NULL, channel INTEGER NOT NULL, entries BLOB NOT NULL,
    PRIMARY KEY (day, meter, channel)) WITHOUT ROWID;
`

/**
 * @param kek 32 octets, wraps the meters' keys at rest
 * @throws ConfigError when it is not the one that wrapped them: else every frame would end in quarantine
 */
export function openLedger(file: string, kek: Uint8Array): SqliteLedger {
  const database = openDatabase(file, schema + registrySchema + commandSchema + outboxSchema + quarantineSchema)
  database
    .prepare(
      "INSERT OR IGNORE INTO state (name, value) VALUES ('position', 0), ('quarantined', 0), ('sealed', 0), ('epoch', ?)",
    )
    .run(randomInt(1, 2 ** 32 - 1))
  const ledger = new SqliteLedger(database, kek)
  if (!ledger.registry.opens()) {
    ledger.close()
    throw new ConfigError(["kekFile: not the key that the meters' keys are wrapped under"])
  }
  return ledger
}

export class SqliteLedger implements Ledger {
  readonly database: DatabaseSync
  readonly registry: Registry
  readonly outbox: Outbox
  readonly commands: CommandStore
  /** the name that meters know us by, where their line says no other */
  readonly clientTitle: SystemTitle
  readonly #quarantine: Quarantine
  readonly #channels: Map<string, number>
  readonly #sql: Record<
    'seen' | 'remember' | 'forget' | 'counter' | 'day' | 'putDay' | 'position' | 'count',
    StatementSync
  >
  #position: number

  constructor(database: DatabaseSync, kek: Uint8Array) {
    this.database = database
    this.registry = new Registry(database, kek)
    this.commands = new CommandStore(database)
    this.clientTitle = clientTitleOf(state(database, 'epoch'))
    this.#position = state(database, 'position')
    this.#quarantine = new Quarantine(database)
    this.outbox = new Outbox(database, state(database, 'epoch'))
    this.#channels = new Map(
      (database.prepare('SELECT id, obis FROM channel').all() as { id: number; obis: string }[]).map((row) => [
        row.obis,
        row.id,
      ]),
    )
    this.#sql = {
      seen: database.prepare('SELECT digest FROM uplink WHERE concentrator = ? AND sequence = ?'),
      remember: database.prepare('INSERT OR REPLACE INTO uplink (concentrator, sequence, digest) VALUES (?, ?, ?)'),
      forget: database.prepare('DELETE FROM uplink WHERE concentrator = ? AND (sequence <= ? OR sequence > ?)'),
      counter: database.prepare('UPDATE meter SET counter = ? WHERE id = ?'),
      day: database.prepare('SELECT entries FROM meter_day WHERE day = ? AND meter = ? AND channel = ?'),
      putDay: database.prepare('INSERT OR REPLACE INTO meter_day (day, meter, channel, entries) VALUES (?, ?, ?, ?)'),
      position: database.prepare("UPDATE state SET value = ? WHERE name = 'position'"),
      count: database.prepare("UPDATE state SET value = value + ? WHERE name = 'quarantined'"),
    }
  }

  get position(): number {
    return this.#position
  }

  seen(concentrator: ConcentratorId, sequence: number, digest: Uint8Array): boolean {
    const row = this.#sql.seen.get(concentrator, sequence) as { digest: Uint8Array } | undefined
    return row !== undefined && Buffer.from(row.digest).equals(digest)
  }

  commit(effects: Effects): Applied {
    const applied = transaction(this.database, () => {
      const merged = this.#merge(effects.series)
      this.#remember(effects)
      for (const move of effects.counters) {
        if ('counter' in move) this.#sql.counter.run(move.counter, move.meter.id)
        else this.registry.keys.count(move.meter.id, move)
      }
      for (const { meter, concentrator } of effects.heard) this.commands.hear(meter, concentrator)
      for (const one of effects.quarantine) this.#quarantine.add(one)
      if (effects.quarantine.length > 0) this.#sql.count.run(effects.quarantine.length)
      this.#sql.position.run(effects.position)
      return merged
    })
    this.#position = effects.position
    for (const move of effects.counters) moved(move)
    this.registry.trim()
    return applied
  }

  /** Of all time: frames quarantined, readings sealed. */
  totals(): { quarantined: number; sealed: number } {
    return { quarantined: state(this.database, 'quarantined'), sealed: state(this.database, 'sealed') }
  }

  quarantined(limit: number): Quarantined[] {
    return this.#quarantine.list(limit)
  }

  /** Erases readings of days before `day`, some rows at a time: what is closed and forwarded is not kept. */
  eraseDays(day: number, rowsMax: number): void {
    this.database
      .prepare(
        'DELETE FROM meter_day WHERE (day, meter, channel) IN (SELECT day, meter, channel FROM meter_day WHERE day < ? LIMIT ?)',
      )
      .run(day, rowsMax)
  }

  close(): void {
    this.database.close()
  }

  #remember({ uplinks }: Effects): void {
    for (const { concentrator, sequence, digest } of uplinks) {
      this.#sql.remember.run(concentrator, sequence, digest)
      this.#sql.forget.run(concentrator, sequence - uplinksRemembered, sequence + uplinksRemembered)
    }
  }

  /** Every series into its meter's days, what is new into the outbox. */
  #merge(all: Effects['series']): Applied {
    const applied = { fresh: 0, revised: 0, repeated: 0 }
    const days = new Map<string, { key: [number, number, number]; row: MeterDay }>()
    const accepted: Record<'ordinary' | 'urgent', Leaf[]> = { ordinary: [], urgent: [] }
    for (const { meter, series, urgent } of all) {
      const revisions: (number | undefined)[] = []
      for (const { day, incoming } of byDay(series)) {
        const key: [number, number, number] = [day, meter.id, this.#channel(series.obis)]
        const name = key.join('/')
        const { row, verdicts } = mergeDay(days.get(name)?.row ?? this.#loadDay(key), incoming)
        days.set(name, { key, row })
        for (const verdict of verdicts) revisions.push(verdict === 'repeat' ? undefined : verdict)
      }
      const effective = select(series, revisions)
      if (effective !== undefined) accepted[urgent === true ? 'urgent' : 'ordinary'].push(leafOf(effective))
      tally(applied, revisions)
    }
    for (const { key, row } of days.values()) this.#sql.putDay.run(...key, row)
    this.outbox.add(accepted.ordinary)
    this.outbox.add(accepted.urgent, true)
    return applied
  }

  #loadDay(key: [number, number, number]): MeterDay | undefined {
    const row = this.#sql.day.get(...key) as { entries: Uint8Array } | undefined
    return row === undefined ? undefined : Buffer.from(row.entries.buffer, row.entries.byteOffset, row.entries.length)
  }

  #channel(obis: Obis): number {
    const known = this.#channels.get(obis)
    if (known !== undefined) return known
    const id = this.#channels.size + 1
    this.database.prepare('INSERT INTO channel (id, obis) VALUES (?, ?)').run(id, obis)
    this.#channels.set(obis, id)
    return id
  }

  takesChannel(obis: Obis, beside: ReadonlySet<Obis>): boolean {
    if (this.#channels.has(obis) || beside.has(obis)) return true
    return this.#channels.size + beside.size + seriesChannelsMax <= channelsMax
  }
}

/**
 * `AMIG` and the epoch: a ledger that is lost takes the counters under the meters' keys with it, and with the next one's
 * name no nonce comes twice.
 */
function clientTitleOf(epoch: number): SystemTitle {
  return parseSystemTitle(`414d4947${epoch.toString(16).padStart(8, '0')}`)
}

/** In memory too, once it is committed. */
function moved(move: Effects['counters'][number]): void {
  if ('counter' in move) move.meter.counter = move.counter
  else if (move.meter.layered !== undefined) {
    const { layered } = move.meter
    layered.counters = { ...layered.counters, [move.name]: move.value }
  }
}

function state(database: DatabaseSync, name: string): number {
  return (database.prepare('SELECT value FROM state WHERE name = ?').get(name) as { value: number }).value
}

/** A series' readings in stretches of one day, in their order. */
function byDay({ ends, values, scaler, unit }: Series): { day: number; incoming: Incoming[] }[] {
  const days: { day: number; incoming: Incoming[] }[] = []
  for (let i = 0; i < ends.length; i++) {
    const day = dayOf(ends[i]!)
    if (days.at(-1)?.day !== day) days.push({ day, incoming: [] })
    days.at(-1)!.incoming.push({ offset: ends[i]! - day * secondsPerDay, value: values[i]!, scaler, unit })
  }
  return days
}

/** The readings that had an effect. */
function select(series: Series, revisions: readonly (number | undefined)[]): SealedSeries | undefined {
  if (!revisions.includes(undefined)) return { ...series, revisions: revisions as number[] }
  const keep = <T>(list: readonly T[]): T[] => list.filter((_, i) => revisions[i] !== undefined)
  if (revisions.every((revision) => revision === undefined)) return undefined
  return {
    ...series,
    ends: keep(series.ends),
    values: keep(series.values),
    qualities: keep(series.qualities),
    revisions: keep(revisions) as number[],
  }
}

function leafOf(series: SealedSeries): Leaf {
  return { octets: encodeSeries(series), readings: series.ends.length }
}

function tally(applied: Applied, revisions: readonly (number | undefined)[]): void {
  for (const revision of revisions) {
    if (revision === undefined) applied.repeated++
    else if (revision === 0) applied.fresh++
    else applied.revised++
  }
}
