import { createSocket } from 'node:dgram'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as moment } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Child } from '#cli/demo/child.ts'
import { defaultZonesFile } from '#dmz-config/zones.ts'
import { toNdjson } from '#mdm/ndjson.ts'
import { batchPath } from '#mdm/paths.ts'
import type { SinkStatus } from '#mdm/sinks/follower.ts'
import type { KeptBatch } from '#mdm/sinks/sink.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf } from '#test/support/datagrams.ts'
import { judge } from '#test/support/judge.ts'
import { monday } from '#test/support/meters.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { disagreement } from './duckdb.ts'
import { keptOf } from './memory.ts'
import { PostgresServer, password } from './postgres-server.ts'

const seed = Number(process.env.KILL_SEED ?? 20_261_125)
const epoch = 7
const batchCount = 60
const kills = 14

/** A seeded source of whole numbers below a limit: a run that failed can be run again. */
function numbers(from: number): (limit: number) => number {
  let state = from >>> 0
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

/** Batches over two days, some with a correction of what the one before said. */
async function sealed(pki: WithForeign): Promise<Sealed[]> {
  const chain = new Chain(await sealerOf(pki), epoch)
  const all: Sealed[] = []
  for (let n = 1; n <= batchCount; n++) {
    const corrected = seriesOf(n - 1, 1, { values: [n], revisions: [1] })
    const ends = Array.from({ length: 100 }, (_, i) => monday + 43_200 + i * 900)
    all.push(await chain.next([seriesOf(n), corrected, seriesOf(1_000 + n, 100, { ends })]))
  }
  return all
}

/** Sends pass after pass of everything, each in another order, until it is told to stop. */
function sending(all: readonly Sealed[], port: number, random: (limit: number) => number): () => Promise<void> {
  const socket = createSocket('udp4')
  let on = true
  const passes = async (): Promise<void> => {
    while (on) {
      const order = all.map((one) => [random(2 ** 31), one] as const).sort((a, b) => a[0] - b[0])
      for (const [, { octets, sequence }] of order) {
        if (!on) break
        for (const datagram of datagramsOf(octets, { epoch, sequence, symbolOctets: 1_000 })) {
          await new Promise<void>((sent) => socket.send(datagram, port, '127.0.0.1', () => sent()))
        }
        await moment(40)
      }
    }
    socket.close()
  }
  const ended = passes()
  return () => {
    on = false
    return ended
  }
}

interface Status {
  streams: { highest: number; missing: number }[]
  sinks: SinkStatus[]
}

test.skipIf(!judge.postgres.here)(
  `SIGKILL ${kills} times of the receiver, and of the database thrice, while batches are repeated: each sink holds each reading once (seed ${seed}; another by KILL_SEED)${judge.postgres.note}`,
  async () => {
    const [folder, random, pki, server] = [
      tempFolder(),
      numbers(seed),
      await throwawayPki(),
      await PostgresServer.start(),
    ]
    onTestFinished(async () => {
      await server.remove()
      await pki.close()
    })
    const all = await sealed(pki)
    const database = server.database()
    const port = await udpPort()
    const configFile = join(folder, 'mdm.json')
    writeFileSync(join(folder, 'password'), password, { mode: 0o600 })
    writeFileSync(join(folder, 'link.key'), '5a'.repeat(32), { mode: 0o600 })
    const { host, user } = database
    const sinks = [
      { kind: 'ndjson' },
      { kind: 'batches', name: 'archive', folder: 'archive' },
      { kind: 'parquet', everySeconds: 0 },
      { kind: 'postgres', host, port: server.port, database: database.database, user, passwordFile: 'password' },
    ]
    const linkKeys = [{ id: 5, file: 'link.key' }]
    const [zonesFile, trustFile] = [fileURLToPath(defaultZonesFile), pki.rootFile]
    const config = {
      zonesFile,
      loopback: { oneway: port },
      data: 'data',
      trustFile,
      linkKeys,
      sinks,
      allowSmallBuffer: true,
    }
    writeFileSync(configFile, JSON.stringify(config))

    const stop = sending(all, port, random)
    onTestFinished(stop)
    let receiver: Child
    const begin = async (): Promise<void> => {
      receiver = new Child('mdm', ['mdm', 'receive', '--config', configFile], join(folder, 'mdm.log'))
      await receiver.until('mdm.listening')
    }
    onTestFinished(() => receiver.kill())
    for (let kill = 0; kill < kills; kill++) {
      await begin()
      await moment(random(500))
      if (kill % 5 === 2) {
        await server.kill()
        await moment(random(200))
        await server.start()
      }
      receiver!.kill()
      await receiver!.ended
    }
    await begin()
    await vi.waitFor(
      () => {
        const { streams, sinks: states } = receiver.last('mdm.status') as unknown as Status
        expect(streams).toMatchObject([{ highest: batchCount, missing: 0 }])
        for (const state of states)
          expect(state).toMatchObject({ behind: 0, skipped: 0, position: [{ sequence: batchCount }] })
      },
      { timeout: 60_000, interval: 200 },
    )
    await stop()
    expect(await receiver!.stop()).toBe(0)

    const [data, kept] = [join(folder, 'data'), all.map(keptOf)]
    expect(linesIn(data)).toEqual(linesOf(kept))
    for (const { sequence, octets } of all) {
      expect(readFileSync(join(folder, 'archive', batchPath('batches', epoch, sequence)))).toEqual(Buffer.from(octets))
    }
    expect(await disagreement(join(data, 'parquet'), data)).toEqual({ rows: batchCount * 104, differ: [] })
    const rows = server.psql(
      database.database,
      `SELECT sequence, meter, obis, extract(epoch FROM end_time)::bigint, value, scaler, unit, quality, revision FROM ami.readings`,
    )
    expect(rows.sort()).toEqual(rowsOf(kept))
    expect(server.psql(database.database, 'SELECT count(*), sum(repeated) FROM ami.batches')).toEqual([
      `${batchCount}|0`,
    ])
  },
  240_000,
)

function linesIn(data: string): string[] {
  return readdirSync(data, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ndjson'))
    .sort()
    .flatMap((name) => readFileSync(join(data, name), 'utf8').trimEnd().split('\n'))
}

function linesOf(all: readonly KeptBatch[]): string[] {
  return all.flatMap(({ sequence, series }) => toNdjson(sequence, series).trimEnd().split('\n'))
}

/** As psql says them. */
function rowsOf(all: readonly KeptBatch[]): string[] {
  const rows = all.flatMap(({ sequence, series }) =>
    series.flatMap(({ meter, obis, scaler, ends, values, qualities, revisions }) =>
      ends.map((end, i) => [sequence, meter, obis, end, values[i], scaler, 'Wh', qualities[i], revisions[i]].join('|')),
    ),
  )
  return rows.sort()
}

function udpPort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}
