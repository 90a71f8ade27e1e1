import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { toNdjson } from '#mdm/ndjson.ts'
import { Dispatcher } from '#mdm/sinks/dispatch.ts'
import { type PostgresOptions, PostgresSink } from '#mdm/sinks/postgres.ts'
import { type KeptBatch, SinkError } from '#mdm/sinks/sink.ts'
import { BatchStore } from '#mdm/store.ts'
import { Chain, sealerOf, seriesOf } from '#test/support/batches.ts'
import { judge } from '#test/support/judge.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { keptOf, MemorySink, sealedBatches } from './memory.ts'
import { PostgresServer, password } from './postgres-server.ts'

const epoch = 4_294_967_295
let pki: WithForeign
let server: PostgresServer
let batches: KeptBatch[]

describe.skipIf(!judge.postgres.here)(`PostgreSQL${judge.postgres.note}`, () => {
  beforeAll(async () => {
    pki = await throwawayPki()
    batches = (await sealedBatches(pki, epoch, 5)).map(keptOf)
    const { chainPem, privateKeyPem } = await pki.issue('gateway', 'database', {
      names: { dns: ['localhost'], ip: [] },
    })
    server = await PostgresServer.start({ certificate: chainPem, key: privateKeyPem! })
  })
  afterAll(async () => {
    await server?.remove()
    await pki.close()
  })

  async function opened(options: PostgresOptions): Promise<PostgresSink> {
    const sink = new PostgresSink('postgres', options)
    onTestFinished(() => sink.close())
    await sink.open()
    return sink
  }

  const faultOf = (failing: Promise<unknown>): Promise<unknown> =>
    failing.then(
      () => undefined,
      (error: unknown) => error,
    )

  /** Readings as NDJSON says them. */
  const lines = (database: string): string[] =>
    server.psql(
      database,
      `SELECT format('{"batch":%s,"meter":"%s","obis":"%s","end":"%s","value":%s,"scaler":%s,"unit":%s,"quality":%s,"revision":%s}',
         sequence, meter, obis, to_char(end_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), value, scaler,
         CASE WHEN unit ~ '^\\d+$' THEN unit ELSE '"' || unit || '"' END, quality, revision)
       FROM ami.readings ORDER BY epoch, sequence, meter, obis, end_time, revision`,
    )
  const written = (of: readonly KeptBatch[]): string[] =>
    of.flatMap(({ sequence, series }) => toNdjson(sequence, series).trimEnd().split('\n'))

  test('an empty database is migrated, and each reading is there once, as NDJSON says it', async () => {
    const options = server.database()
    const sink = await opened(options)
    await sink.take(batches.slice(0, 3))
    expect(lines(options.database)).toEqual(written(batches.slice(0, 3)))
    expect(sink.held(epoch)).toEqual([[1, 3]])
    expect(server.psql(options.database, 'SELECT number FROM ami.migrations ORDER BY number')).toEqual(['1', '2'])
    expect(server.psql(options.database, 'SELECT epoch, highest, batches, readings FROM ami.streams')).toEqual([
      `${epoch}|3|3|18`,
    ])
    expect(server.psql(options.database, `SELECT encode(digest, 'hex') FROM ami.batches WHERE sequence = 2`)).toEqual([
      Buffer.from(batches[1]!.digest).toString('hex'),
    ])
  })

  test('it knows at the next opening what it holds, with the gaps', async () => {
    const options = server.database()
    await (await opened(options)).take([batches[0]!, batches[2]!, batches[3]!])
    const sink = await opened(options)
    expect(sink.held(epoch)).toEqual([
      [1, 1],
      [3, 4],
    ])
    expect(sink.held(1)).toEqual([])
  })

  test('a batch that comes again, by another receiver of the same database too, changes nothing', async () => {
    const options = server.database()
    const [one, other] = await Promise.all([opened(options), opened(options)]) // both migrate
    await Promise.all([one.take(batches.slice(0, 2)), other.take(batches.slice(0, 2))])
    await one.take(batches.slice(0, 3))
    expect(lines(options.database)).toEqual(written(batches.slice(0, 3)))
    expect(server.psql(options.database, 'SELECT batches, readings FROM ami.streams')).toEqual(['3|18'])
  })

  test('values, units, qualities and revisions lose nothing at their ends', async () => {
    const extreme = seriesOf(3, 4, {
      values: [-(2n ** 63n), 2n ** 63n - 1n, -1, 2 ** 53 - 1],
      scaler: -128,
      unit: 255,
      qualities: [0, 4_294_967_295, 2, 15],
      revisions: [0, 1, 254, 255],
      ends: [1, 2, 3, 253_402_300_799],
    })
    const batch = keptOf(await new Chain(await sealerOf(pki), 0).next([extreme]))
    const options = server.database()
    await (await opened(options)).take([batch])
    expect(lines(options.database)).toEqual(written([batch]))
  })

  test('a reading that another stream brought already is counted and not doubled', async () => {
    const again = keptOf((await sealedBatches(pki, 8, 1))[0]!)
    const options = server.database()
    const sink = await opened(options)
    await sink.take([batches[0]!])
    await sink.take([again])
    expect(server.psql(options.database, 'SELECT count(*) FROM ami.readings')).toEqual(['6'])
    expect(server.psql(options.database, 'SELECT epoch, readings, repeated FROM ami.batches ORDER BY epoch')).toEqual([
      '8|6|6',
      `${epoch}|6|0`,
    ])
  })

  test('a correction stands beside the first value, and the view shows the last', async () => {
    const corrected = seriesOf(2, 1, { values: [999], revisions: [1] })
    const chain = new Chain(await sealerOf(pki), 9)
    const first = keptOf(await chain.next([seriesOf(2, 1)]))
    const options = server.database()
    await (await opened(options)).take([first, keptOf(await chain.next([corrected]))])
    expect(server.psql(options.database, 'SELECT value FROM ami.readings ORDER BY revision')).toEqual(['200', '999'])
    expect(server.psql(options.database, 'SELECT value FROM ami.latest')).toEqual(['999'])
  })

  test('another batch under the same stream and sequence is refused, and nothing of its group is there', async () => {
    const options = server.database()
    const sink = await opened(options)
    await sink.take([batches[0]!])
    const other = keptOf(await new Chain(await sealerOf(pki), epoch).next([seriesOf(9, 1)]))
    expect(await faultOf(sink.take([batches[1]!, other]))).toMatchObject({ code: 'SINK_CONFLICT' })
    expect(lines(options.database)).toEqual(written([batches[0]!]))
  })

  test('tables of a later version are left alone', async () => {
    const options = server.database()
    await opened(options)
    server.psql(options.database, 'INSERT INTO ami.migrations (number) VALUES (99)')
    expect(await faultOf(opened(options))).toMatchObject({ code: 'SINK_SCHEMA' })
  })

  test('a user who may only insert and read works once the tables are there', async () => {
    const options = server.database()
    await opened(options)
    server.psql(
      options.database,
      `CREATE USER lesser PASSWORD '${password}'; GRANT USAGE ON SCHEMA ami TO lesser;
       GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA ami TO lesser; GRANT UPDATE ON ami.batches, ami.streams TO lesser`,
    )
    await (await opened({ ...options, user: 'lesser' })).take([batches[0]!])
    expect(lines(options.database)).toEqual(written([batches[0]!]))
  })

  test('what goes wrong has a code, and the message no secret', async () => {
    const options = server.database()
    const wrong: [string, Partial<PostgresOptions>][] = [
      ['SINK_REFUSED', { password: 'a wrong secret' }],
      ['SINK_REFUSED', { password: undefined }],
      ['SINK_REFUSED', { database: 'nowhere' }],
      ['SINK_UNREACHABLE', { host: '/nowhere' }],
      ['SINK_UNREACHABLE', { host: '127.0.0.1', port: 1 }],
    ]
    for (const [code, change] of wrong) {
      const fault = await faultOf(opened({ ...options, ...change }))
      expect(fault).toBeInstanceOf(SinkError)
      expect(fault).toMatchObject({ code })
      expect(JSON.stringify([fault, String(fault), (fault as SinkError).stack])).not.toContain('secret')
    }
  })

  test('a statement that takes too long is ended', async () => {
    const options = { ...server.database(), statementTimeoutMs: 200 }
    const sink = await opened(options)
    server.psql(
      options.database,
      `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
       CREATE TRIGGER slow BEFORE INSERT ON ami.readings FOR EACH ROW EXECUTE FUNCTION slow()`,
    )
    expect(await faultOf(sink.take([batches[0]!]))).toMatchObject({ code: 'SINK_TIMEOUT' })
    server.psql(options.database, 'DROP TRIGGER slow ON ami.readings')
    await sink.open()
    await sink.take([batches[0]!])
    expect(lines(options.database)).toEqual(written([batches[0]!]))
  })

  test('a connection that somebody ends is a fault of that group, and the next opening mends it', async () => {
    const options = server.database()
    const sink = await opened(options)
    server.psql(
      'postgres',
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${options.database}'`,
    )
    expect(await faultOf(sink.take([batches[0]!]))).toMatchObject({ code: 'SINK_UNREACHABLE' })
    await sink.open()
    await sink.take([batches[0]!])
    expect(lines(options.database)).toEqual(written([batches[0]!]))
  })

  test('over TLS it trusts the CA that was named, for the name that was asked for, and nobody else', async () => {
    const options = { ...server.database(), host: 'localhost' }
    const tls = (ca: string): PostgresOptions['tls'] => ({ ca, certificate: undefined, key: undefined })
    await (await opened({ ...options, tls: tls(pki.rootPem) })).take([batches[0]!])
    expect(lines(options.database)).toEqual(written([batches[0]!]))
    expect(
      server.psql(
        options.database,
        "SELECT ssl FROM pg_stat_ssl NATURAL JOIN pg_stat_activity WHERE application_name = 'ami-mdm' AND datname = current_database()",
      ),
    ).toEqual(['t'])
    const foreign = tls((await pki.foreign()).rootPem)
    expect(await faultOf(opened({ ...options, tls: foreign }))).toMatchObject({ code: 'SINK_UNTRUSTED' })
    const byAddress = { ...options, host: '127.0.0.1', tls: tls(pki.rootPem) } // the certificate says localhost
    expect(await faultOf(opened(byAddress))).toMatchObject({ code: 'SINK_UNTRUSTED' })
    const plain = { ...options, host: server.folder, tls: tls(pki.rootPem) } // a socket has no TLS
    expect(await faultOf(opened(plain))).toMatchObject({ code: 'SINK_UNTRUSTED' })
  })

  test('while the server is dead others go on; when it is back, what came meanwhile is there once', async () => {
    const [options, data] = [server.database(), tempFolder()]
    const [sink, other, store] = [new PostgresSink('postgres', options), new MemorySink(), new BatchStore(data)]
    const dispatcher = new Dispatcher({
      store,
      sinks: [sink, other],
      log: pino({ level: 'silent' }),
      backOffMs: () => 20,
    })
    onTestFinished(() => dispatcher.close())
    const keep = (some: readonly KeptBatch[]): void => {
      for (const batch of some) store.put(batch)
    }
    keep(batches.slice(0, 1))
    await dispatcher.idle()
    await server.kill()
    keep(batches.slice(1))
    await vi.waitFor(() => expect(other.taken).toHaveLength(5))
    await vi.waitFor(() => expect(dispatcher.status()[0]!.fault?.code).toBe('SINK_UNREACHABLE'))
    expect(dispatcher.status()).toMatchObject([
      { name: 'postgres', behind: 4, position: [{ epoch, sequence: 1 }] },
      { name: 'memory', behind: 0, fault: undefined },
    ])
    await server.start()
    await vi.waitFor(() => expect(dispatcher.status()[0]).toMatchObject({ behind: 0, fault: undefined }), 10_000)
    expect(lines(options.database)).toEqual(written(batches))
  })
})
