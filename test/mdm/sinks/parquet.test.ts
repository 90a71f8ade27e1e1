import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SealedSeries } from '#gateway/codec/batch.ts'
import { batchPath } from '#mdm/paths.ts'
import { FileSink } from '#mdm/sinks/files.ts'
import { ParquetSink } from '#mdm/sinks/parquet.ts'
import { type Manifest, parseManifest } from '#mdm/sinks/parquet-manifest.ts'
import type { KeptBatch, SinkError } from '#mdm/sinks/sink.ts'
import { Chain, sealerOf, seriesOf } from '#test/support/batches.ts'
import { monday, quarter } from '#test/support/meters.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { disagreement, duckdb } from './duckdb.ts'
import { keptOf } from './memory.ts'

const epoch = 4_294_967_295
const dayMs = 86_400_000
const tuesdayMs = monday * 1000 + dayMs
let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

interface Lab {
  data: string
  folder: string
  /** milliseconds since 1970 by the sink's clock; later than every day's end, unless set */
  clock: { nowMs: number }
  open: () => Promise<ParquetSink>
  /** batches that lie in the store, and beside it as NDJSON */
  keep: (...all: readonly (readonly SealedSeries[])[]) => Promise<KeptBatch[]>
}

async function lab(): Promise<Lab> {
  const data = tempFolder()
  const folder = join(data, 'parquet')
  const clock = { nowMs: monday * 1000 }
  const chain = new Chain(await sealerOf(pki), epoch)
  const lines = new FileSink('ndjson', 'readings', data)
  const open = async (): Promise<ParquetSink> => {
    const options = { folder, data, everyMs: 0, closeAfterMs: 3_600_000, nowMs: () => clock.nowMs }
    const sink = new ParquetSink('parquet', options)
    await sink.open()
    return sink
  }
  const keep = async (...all: readonly (readonly SealedSeries[])[]): Promise<KeptBatch[]> => {
    const kept: KeptBatch[] = []
    for (const series of all) {
      const batch = keptOf(await chain.next(series))
      const path = join(data, batchPath('batches', epoch, batch.sequence))
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, batch.octets)
      kept.push(batch)
    }
    await lines.take(kept)
    return kept
  }
  return { data, folder, clock, open, keep }
}

const files = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /parquet/.test(name))
    .sort()

const manifestOf = (folder: string): Manifest => parseManifest(readFileSync(join(folder, 'manifest.json'), 'utf8'))
const part = (n: number): string => `part-${String(n).padStart(12, '0')}.parquet`

describe('Parquet', () => {
  test('DuckDB reads what NDJSON says, row for row, also at the ends of what a reading can be', async () => {
    const { data, folder, open, keep } = await lab()
    const extreme = seriesOf(3, 4, {
      values: [-(2n ** 63n), 2n ** 63n - 1n, -1, 2 ** 53 - 1],
      scaler: -128,
      unit: 255,
      qualities: [0, 4_294_967_295, 2, 15],
      revisions: [0, 1, 254, 255],
      ends: [1, monday - 1, monday, 253_402_300_799],
    })
    const sink = await open()
    await sink.take(await keep([seriesOf(1, 96), extreme], [seriesOf(2, 200)]))
    expect(await disagreement(folder, data)).toEqual({ rows: 300, differ: [] })
    expect(sink.held(epoch)).toEqual([[1, 2]])
    const days = await duckdb(
      `SELECT DISTINCT day::VARCHAR AS day FROM read_parquet('${folder}/day=*/*.parquet') ORDER BY 1`,
    )
    expect(days.map((row) => (row as { day: string }).day)).toEqual([
      '1970-01-01',
      '2026-01-11',
      '2026-01-12',
      '2026-01-13',
      '2026-01-14',
      '9999-12-31',
    ])
  })

  test('columns have types, times are UTC, and few different texts are a dictionary', async () => {
    const { folder, open, keep } = await lab()
    await (await open()).take(await keep([seriesOf(1, 96)]))
    const glob = `'${folder}/day=2026-01-12/*.parquet'`
    const described = await duckdb(
      `SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(${glob}, hive_partitioning = false))`,
    )
    expect(described.map((row) => Object.values(row as object).join(' '))).toEqual([
      'meter VARCHAR',
      'obis VARCHAR',
      'end TIMESTAMP WITH TIME ZONE',
      'value BIGINT',
      'scaler TINYINT',
      'unit VARCHAR',
      'quality BIGINT',
      'revision UTINYINT',
      'epoch BIGINT',
      'batch BIGINT',
    ])
    const chunks = await duckdb(`SELECT path_in_schema AS name, encodings, compression FROM parquet_metadata(${glob})`)
    for (const name of ['meter', 'obis', 'unit']) {
      expect(chunks).toContainEqual({ name, encodings: expect.stringContaining('RLE_DICTIONARY'), compression: 'ZSTD' })
    }
  })

  test('what is taken again changes nothing, and the next opening knows what is there', async () => {
    const { data, folder, open, keep } = await lab()
    const batches = await keep([seriesOf(1, 4)], [seriesOf(2, 4)], [seriesOf(3, 4)])
    const sink = await open()
    await sink.take([batches[0]!, batches[2]!])
    await sink.take([batches[0]!])
    const again = await open()
    expect(again.held(epoch)).toEqual([
      [1, 1],
      [3, 3],
    ])
    await again.take(batches)
    expect(await disagreement(folder, data)).toEqual({ rows: 12, differ: [] })
  })

  test('a closed day becomes one file; what comes later is a part beside it, and many of those are taken in', async () => {
    const { data, folder, clock, open, keep } = await lab()
    const sink = await open()
    for (const batch of await keep([seriesOf(1, 4)], [seriesOf(2, 4)])) await sink.take([batch])
    clock.nowMs = tuesdayMs + 3_599_999
    await sink.take([])
    expect(files(join(folder, 'day=2026-01-12'))).toEqual([part(1), part(2)])
    clock.nowMs = tuesdayMs + 3_600_000
    await sink.take([])
    expect(files(join(folder, 'day=2026-01-12'))).toEqual(['day-000000000003.parquet'])
    for (const batch of await keep([seriesOf(3, 4)], [seriesOf(4, 4)])) await sink.take([batch])
    expect(files(join(folder, 'day=2026-01-12'))).toEqual(['day-000000000003.parquet', part(4), part(5)])
    expect(await disagreement(folder, data)).toEqual({ rows: 16, differ: [] })
    for (let n = 5; n <= 19; n++) await sink.take(await keep([seriesOf(n, 4)]))
    expect(files(join(folder, 'day=2026-01-12'))).toEqual(['day-000000000021.parquet'])
    expect(await disagreement(folder, data)).toEqual({ rows: 76, differ: [] })
    expect(manifestOf(folder).days['2026-01-12']).toEqual([
      { file: 'day-000000000021.parquet', rows: 76, batches: { [epoch]: [[1, 19]] } },
    ])
  })

  test('a day whose batches are gone or damaged stays in its parts', async () => {
    for (const harm of [(path: string) => rmSync(path), (path: string) => writeFileSync(path, 'no batch')]) {
      const { data, folder, clock, open, keep } = await lab()
      const sink = await open()
      for (const batch of await keep([seriesOf(1, 4)], [seriesOf(2, 4)])) await sink.take([batch])
      harm(join(data, batchPath('batches', epoch, 1)))
      clock.nowMs = tuesdayMs + dayMs
      await sink.take([])
      expect(files(join(folder, 'day=2026-01-12'))).toEqual([part(1), part(2)])
      expect(await disagreement(folder, data)).toEqual({ rows: 8, differ: [] })
    }
  })

  test('a kill before the manifest leaves nothing that counts, one after it nothing that lacks', async () => {
    const { data, folder, open, keep } = await lab()
    const day = join(folder, 'day=2026-01-12')
    const batches = await keep([seriesOf(1, 4)], [seriesOf(2, 4)])
    await (await open()).take([batches[0]!])
    const [before, first] = [readFileSync(join(folder, 'manifest.json')), readFileSync(join(day, part(1)))]
    await (await open()).take([batches[1]!])
    const [after, second] = [readFileSync(join(folder, 'manifest.json')), readFileSync(join(day, part(2)))]
    const laid = (manifest: Uint8Array, found: Record<string, Uint8Array | string>): void => {
      rmSync(day, { recursive: true })
      mkdirSync(day)
      for (const [name, octets] of Object.entries(found)) writeFileSync(join(day, name), octets)
      writeFileSync(join(folder, 'manifest.json'), manifest)
    }
    for (const torn of ['half a fi', second]) {
      laid(before, { [part(1)]: first, [`${part(2)}.partial`]: torn })
      const sink = await open()
      expect(files(day)).toEqual([part(1)])
      expect(sink.held(epoch)).toEqual([[1, 1]])
      await sink.take([batches[1]!])
      expect(await disagreement(folder, data)).toEqual({ rows: 8, differ: [] })
    }
    laid(after, { [part(1)]: first, [`${part(2)}.partial`]: second })
    expect((await open()).held(epoch)).toEqual([[1, 2]])
    expect(files(day)).toEqual([part(1), part(2)])
    laid(before, { [part(1)]: first, [part(2)]: second }) // listed by no manifest: not ours to show
    await open()
    expect(files(day)).toEqual([part(1)])
  })

  test('a group whose manifest cannot be written is seen by nobody, and is taken once it can', async () => {
    const { data, folder, open, keep } = await lab()
    const batches = await keep([seriesOf(1, 4)], [seriesOf(2, 4)])
    const sink = await open()
    await sink.take([batches[0]!])
    mkdirSync(join(folder, 'manifest.json.partial')) // where it is written first
    await expect(sink.take([batches[1]!])).rejects.toThrow('EISDIR')
    expect(files(join(folder, 'day=2026-01-12'))).toEqual([part(1), `${part(2)}.partial`])
    rmSync(join(folder, 'manifest.json.partial'), { recursive: true })
    await sink.open()
    await sink.take([batches[1]!])
    expect(await disagreement(folder, data)).toEqual({ rows: 8, differ: [] })
  })

  test('a kill while a day becomes one file leaves its readings once', async () => {
    const { data, folder, clock, open, keep } = await lab()
    const day = join(folder, 'day=2026-01-12')
    const sink = await open()
    for (const batch of await keep([seriesOf(1, 4)], [seriesOf(2, 4)])) await sink.take([batch])
    const parts = [part(1), part(2)].map((name) => [name, readFileSync(join(day, name))] as const)
    clock.nowMs = tuesdayMs + dayMs
    await sink.take([])
    const [name] = files(day)
    const whole = readFileSync(join(day, name!))
    rmSync(join(day, name!))
    for (const [one, octets] of parts) writeFileSync(join(day, one), octets)
    writeFileSync(join(day, `${name}.partial`), whole) // the manifest lists it, the folder has not followed
    await open()
    expect(files(day)).toEqual([name])
    expect(await disagreement(folder, data)).toEqual({ rows: 8, differ: [] })
  })

  test('row groups of a large part are written as they fill', async () => {
    const { data, folder, open, keep } = await lab()
    const wide = Array.from({ length: 40 }, (_, n) => seriesOf(n, 3_000, { ends: ends(3_000) }))
    await (await open()).take(await keep(wide.slice(0, 25), wide.slice(25)))
    expect(await disagreement(folder, data)).toEqual({ rows: 120_000, differ: [] })
    const groups = await duckdb(
      `SELECT DISTINCT row_group_num_rows::INTEGER AS rows FROM parquet_metadata('${folder}/day=2026-01-12/*.parquet')`,
    )
    expect(groups).toHaveLength(2)
  })

  test('a manifest of a later version, or none that can be read, is left alone', async () => {
    const { folder, open } = await lab()
    mkdirSync(folder)
    for (const [text, code] of [
      ['{"version":2}', 'SINK_SCHEMA'],
      ['{"ver', 'SINK_FAILED'],
    ] as const) {
      writeFileSync(join(folder, 'manifest.json'), text)
      const fault = await open().catch((error: unknown) => error)
      expect((fault as SinkError).code).toBe(code)
      expect(readFileSync(join(folder, 'manifest.json'), 'utf8')).toBe(text)
    }
  })
})

/** Ends on one day, many of them. */
function ends(count: number): number[] {
  return Array.from({ length: count }, (_, i) => monday + quarter + i)
}
