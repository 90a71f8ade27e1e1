import { Client, type QueryResult } from 'pg'
import type { SealedSeries } from '#gateway/codec/batch.ts'
import { unitName } from '../ndjson.ts'
import { Position } from './position.ts'
import { postgresError } from './postgres-fault.ts'
import { migrationLock, migrations, sql } from './postgres-schema.ts'
import { type KeptBatch, type Range, type Sink, SinkError } from './sink.ts'

/** Nothing of it is taken from the environment. */
export interface PostgresOptions {
  /** a name, an address, or the folder of a Unix socket */
  host: string
  port: number
  database: string
  user: string
  password: string | undefined
  /** PEM; undefined on loopback and a Unix socket */
  tls: { ca: string; certificate: string | undefined; key: string | undefined } | undefined
  statementTimeoutMs: number
}

const connectTimeoutMs = 10_000
/** The server ends a statement first; this is for one that no longer answers. */
const answerGraceMs = 5_000
/** Readings of one statement, about: series stay whole. */
const statementReadingsMax = 50_000

/**
 * Readings in PostgreSQL under their natural key; a batch, its readings and its sequence in one transaction. Whether a
 * transaction counts whose answer was lost, the table of batches says at the next opening.
 */
export class PostgresSink implements Sink {
  readonly name: string
  readonly everyMs = 0
  readonly #options: PostgresOptions
  #client: Client | undefined
  #position = new Position()

  constructor(name: string, options: PostgresOptions) {
    this.name = name
    this.#options = options
  }

  async open(): Promise<void> {
    await this.close()
    try {
      await this.#connect()
      await this.#migrate()
      await this.#locate()
    } catch (error) {
      await this.close()
      throw postgresError(error)
    }
  }

  held(epoch: number): readonly Range[] {
    return this.#position.held(epoch)
  }

  async take(batches: readonly KeptBatch[]): Promise<void> {
    try {
      await this.#transaction(async () => {
        for (const batch of batches) await this.#put(batch)
      })
    } catch (error) {
      await this.close() // or its locks would stay until the next opening
      throw postgresError(error)
    }
    for (const { epoch, sequence } of batches) this.#position.add(epoch, sequence)
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    client?.connection.stream.destroy() // a statement that hangs must not hold us
  }

  async #connect(): Promise<void> {
    const { host, port, database, user, password, tls, statementTimeoutMs } = this.#options
    const client = new Client({
      host,
      port,
      database,
      user,
      password: () => password ?? '',
      ssl: tls !== undefined && { ca: tls.ca, cert: tls.certificate, key: tls.key, host, minVersion: 'TLSv1.2' },
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
      lock_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + answerGraceMs,
      application_name: 'ami-mdm',
      client_encoding: 'UTF8',
      options: '-c synchronous_commit=on', // what is acknowledged is on the disk, whatever the server's default
      keepAlive: true,
    })
    client.on('error', () => {}) // the next statement says so
    this.#client = client
    await client.connect()
  }

  async #migrate(): Promise<void> {
    const { rows } = await this.#query(sql.hasMigrations)
    const here = (rows[0] as { here: boolean }).here
    if (here && (await this.#version()) === migrations.length) return
    await this.#transaction(async () => {
      await this.#query(sql.lock, [migrationLock])
      await this.#query(sql.schema)
      await this.#query(sql.migrationsTable)
      const version = await this.#version()
      if (version > migrations.length) {
        throw new SinkError('SINK_SCHEMA', `the tables are of version ${version}, ours is ${migrations.length}`)
      }
      for (let number = version + 1; number <= migrations.length; number++) {
        await this.#query(migrations[number - 1]!)
        await this.#query(sql.migrated, [number])
      }
    })
  }

  async #version(): Promise<number> {
    const { rows } = await this.#query(sql.version)
    return (rows[0] as { version: number }).version
  }

  async #locate(): Promise<void> {
    const { rows } = await this.#query(sql.position)
    const position = new Position()
    for (const { epoch, first, last } of rows as { epoch: string; first: string; last: string }[]) {
      position.addAll(Number(epoch), [[Number(first), Number(last)]])
    }
    this.#position = position
  }

  async #put({ epoch, sequence, digest, createdAtMs, readingCount, series }: KeptBatch): Promise<void> {
    await this.#query(sql.stream, [epoch])
    const { rowCount } = await this.#query(sql.batch, [epoch, sequence, digest, createdAtMs, readingCount])
    if (rowCount === 0) return this.#checkSame(epoch, sequence, digest)
    let inserted = 0
    for (const some of inStatements(series)) {
      inserted += (await this.#query(sql.readings, [epoch, sequence, ...columns(some)])).rowCount ?? 0
    }
    if (inserted !== readingCount) await this.#query(sql.repeated, [epoch, sequence, readingCount - inserted])
    await this.#query(sql.counted, [epoch, sequence, inserted])
  }

  /** Another receiver of this database was first, or there are two streams of one name. */
  async #checkSame(epoch: number, sequence: number, digest: Uint8Array): Promise<void> {
    const { rows } = await this.#query(sql.digest, [epoch, sequence])
    if ((rows[0] as { digest: Buffer }).digest.equals(digest)) return
    throw new SinkError('SINK_CONFLICT', `stream ${epoch}: there is another batch ${sequence}`)
  }

  async #transaction(within: () => Promise<void>): Promise<void> {
    await this.#query('BEGIN')
    await within() // what it throws ends the connection, and with it the transaction
    await this.#query('COMMIT')
  }

  async #query(text: string, values?: unknown[]): Promise<QueryResult> {
    if (this.#client === undefined) throw new SinkError('SINK_UNREACHABLE', 'no connection')
    return await this.#client.query(text, values)
  }
}

function* inStatements(series: readonly SealedSeries[]): Generator<SealedSeries[]> {
  let some: SealedSeries[] = []
  let readings = 0
  for (const one of series) {
    some.push(one)
    readings += one.ends.length
    if (readings < statementReadingsMax) continue
    yield some
    ;[some, readings] = [[], 0]
  }
  if (some.length > 0) yield some
}

/** The parameters of `sql.readings`: what a series says once, and what each of its readings says beside the series' number. */
function columns(series: readonly SealedSeries[]): unknown[] {
  const numbers = series.flatMap(({ ends }, i) => Array<number>(ends.length).fill(i + 1))
  return [
    series.map(({ meter }) => meter),
    series.map(({ obis }) => obis),
    series.map(({ scaler }) => scaler),
    series.map(({ unit }) => String(unitName(unit))),
    integers(numbers),
    integers(series.flatMap(({ ends }) => ends)),
    integers(series.flatMap(({ values }) => values)),
    integers(series.flatMap(({ qualities }) => qualities)),
    integers(series.flatMap(({ revisions }) => revisions)),
  ]
}

/** An array as PostgreSQL writes it, of numbers only: the package's own way to write one takes several times as long. */
function integers(list: readonly (number | bigint)[]): string {
  return `{${list.join(',')}}`
}
