/**
 * The receiver's sinks: readings a second that each brings from the kept batches to where it keeps them, beside a sink that does
 * nothing (reading and opening the batches: the bound). A PostgreSQL of its own runs on the same machine.
 *
 *   npm run bench:sinks -- [--readings N] [--rounds N] [--json]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { encodeSealedBatch, encodeSeries, type SealedSeries } from '#gateway/codec/batch.ts'
import { type Obis, systemTitle, unitWh } from '#gateway/model.ts'
import { type ChainHead, headerDigest, nextHeader, openBatch } from '#gateway/oneway/seal.ts'
import { Dispatcher } from '#mdm/sinks/dispatch.ts'
import { FileSink } from '#mdm/sinks/files.ts'
import { ParquetSink } from '#mdm/sinks/parquet.ts'
import { PostgresSink } from '#mdm/sinks/postgres.ts'
import { keptBatch, type Sink } from '#mdm/sinks/sink.ts'
import { BatchStore } from '#mdm/store.ts'
import { MemorySink } from '#test/mdm/sinks/memory.ts'
import { PostgresServer } from '#test/mdm/sinks/postgres-server.ts'
import { figure, grouped, table } from './figures.ts'

const { values } = parseArgs({
  options: {
    readings: { type: 'string', default: '192000' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})

/** A quarter-hour of many meters, and a day of each: what a head-end sends all day, and what a backfill is made of. */
const shapes = { 'one reading a series': 1, '96 readings a series': 96 }
const batchReadings = 9_600
const dayStart = 1_768_176_000

function seriesOf(n: number, count: number): SealedSeries {
  const title = Buffer.alloc(8, 'AMI')
  title.writeUInt32BE(n, 4)
  const rows = Array.from({ length: count }, (_, i) => i)
  return {
    meter: systemTitle(title),
    obis: '1-0:1.29.0' as Obis,
    scaler: 0,
    unit: unitWh,
    ends: rows.map((i) => dayStart + ((n + i) % 96) * 900).sort((a, b) => a - b),
    values: rows.map((i) => (n * 7_919 + i * 104_729) % 997),
    qualities: rows.map(() => 0),
    revisions: rows.map(() => 0),
  }
}

/** Batches as they lie in the store; nobody looks at a signature again. */
function fill(store: BatchStore, readings: number, perSeries: number): void {
  let head: ChainHead = { epoch: 7, sequence: 0, digest: new Uint8Array(0) }
  for (let n = 0; n < readings / perSeries; ) {
    const all = Array.from({ length: batchReadings / perSeries }, () => encodeSeries(seriesOf(n++, perSeries)))
    const header = nextHeader(head, { series: all, readingCount: batchReadings, createdAtMs: dayStart * 1000 })
    head = { ...head, sequence: head.sequence + 1, digest: headerDigest(header) }
    const sealed = encodeSealedBatch({ header, signature: new Uint8Array(0), series: all })
    store.put(keptBatch(openBatch(sealed), sealed))
  }
}

/** @returns readings a second until all is durable */
async function rateOf(sink: Sink, store: BatchStore, readings: number): Promise<number> {
  const begun = performance.now()
  const dispatcher = new Dispatcher({ store, sinks: [sink], log: pino({ level: 'silent' }) })
  await dispatcher.idle()
  const rate = (readings / (performance.now() - begun)) * 1000
  const [status] = dispatcher.status()
  await dispatcher.close()
  if (status!.behind > 0 || status!.fault !== undefined) throw new Error(`${sink.name}: ${JSON.stringify(status)}`)
  return rate
}

const readings = Math.ceil(Number(values.readings) / batchReadings) * batchReadings
const server = await PostgresServer.start()
const results: { shape: string; sink: string; rate: ReturnType<typeof figure> }[] = []
for (const [shape, perSeries] of Object.entries(shapes)) {
  const data = mkdtempSync(join(tmpdir(), 'ami-bench-'))
  const store = new BatchStore(data)
  fill(store, readings, perSeries)
  const rates = new Map<string, number[]>()
  for (let round = 0; round < Number(values.rounds); round++) {
    const folder = join(data, `round-${round}`)
    const parquet = { folder: join(folder, 'parquet'), data, everyMs: 0, closeAfterMs: 3e11 } // no day closes
    for (const sink of [
      new MemorySink('none'),
      new FileSink('batches', 'batches', join(folder, 'copies')),
      new FileSink('ndjson', 'readings', join(folder, 'lines')),
      new ParquetSink('parquet', parquet),
      new PostgresSink('postgres', server.database()),
    ]) {
      rates.set(sink.name, [...(rates.get(sink.name) ?? []), await rateOf(sink, store, readings)])
    }
  }
  for (const [sink, rounds] of rates) results.push({ shape, sink, rate: figure(rounds) })
  rmSync(data, { recursive: true })
}
await server.remove()

if (values.json) console.log(JSON.stringify(results, null, 2))
else {
  const rows = results.map(({ shape, sink, rate }) => [
    sink,
    shape,
    grouped(rate.median),
    rate.rounds.map(grouped).join(', '),
  ])
  process.stdout.write(table([['sink', 'shape', 'readings/s', 'rounds'], ...rows]))
}
