import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { ByteWriter, type ColumnSource, ParquetWriter, type SchemaElement } from 'hyparquet-writer'
import type { ExactInteger } from '#gateway/model.ts'
import { unitName } from '../ndjson.ts'
import { makeFolder, syncFolder } from './durable.ts'
import type { KeptBatch } from './sink.ts'

const secondsPerDay = 86_400

/** Readings of one day, a list a column, in the order in which they were sealed. */
class Rows {
  readonly meter: string[] = []
  readonly obis: string[] = []
  /** seconds since 1970-01-01T00:00Z */
  readonly end: number[] = []
  readonly value: ExactInteger[] = []
  readonly scaler: number[] = []
  readonly unit: string[] = []
  readonly quality: number[] = []
  readonly revision: number[] = []
  readonly epoch: number[] = []
  readonly batch: number[] = []
}

/** A day as `2026-01-12` (UTC): that of the interval's end, so that midnight belongs to the day that it begins. */
export function dayOf(endSeconds: number): string {
  return new Date(endSeconds * 1000).toISOString().slice(0, 10)
}

/** When a day is over, milliseconds since 1970-01-01T00:00Z. */
export function dayEndMs(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) + secondsPerDay * 1000
}

/** Adds a batch's readings to their days' rows. @param rowsOf asked for each day; undefined leaves its readings out */
export function addBatch({ epoch, sequence, series }: KeptBatch, rowsOf: (day: string) => Rows | undefined): void {
  for (const { meter, obis, scaler, unit, ends, values, qualities, revisions } of series) {
    const symbol = String(unitName(unit))
    let at = 0
    while (at < ends.length) {
      const day = dayOf(ends[at]!)
      const until = dayEndMs(day) / 1000
      const rows = rowsOf(day)
      for (; at < ends.length && ends[at]! < until && ends[at]! >= until - secondsPerDay; at++) {
        if (rows === undefined) continue
        rows.meter.push(meter)
        rows.obis.push(obis)
        rows.end.push(ends[at]!)
        rows.value.push(values[at]!)
        rows.scaler.push(scaler)
        rows.unit.push(symbol)
        rows.quality.push(qualities[at]!)
        rows.revision.push(revisions[at]!)
        rows.epoch.push(epoch)
        rows.batch.push(sequence)
      }
    }
  }
}

const required = { repetition_type: 'REQUIRED' } as const
const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8', ...required } as const
const time = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' } as const

const schema: SchemaElement[] = [
  { name: 'readings', num_children: 10 },
  { name: 'meter', ...text },
  { name: 'obis', ...text },
  { name: 'end', type: 'INT64', converted_type: 'TIMESTAMP_MILLIS', logical_type: time, ...required },
  { name: 'value', type: 'INT64', ...required },
  { name: 'scaler', type: 'INT32', converted_type: 'INT_8', ...required },
  { name: 'unit', ...text },
  { name: 'quality', type: 'INT64', ...required },
  { name: 'revision', type: 'INT32', converted_type: 'UINT_8', ...required },
  { name: 'epoch', type: 'INT64', ...required },
  { name: 'batch', type: 'INT64', ...required },
]

/** Rows of a row group, about: what is not yet written of a file is in memory. */
const rowGroupMax = 65_536

/** One day's Parquet file under way, opened late, so that many days need few files at a time. */
export class DayFile {
  readonly #path: string
  rows: Rows = new Rows()
  #written = 0
  #handle: FileHandle | undefined
  #writer: ParquetWriter | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Writes a row group where there are rows enough for one. */
  async writeFull(): Promise<void> {
    if (this.rows.meter.length >= rowGroupMax) await this.#write()
  }

  /** Durable when it resolves. @returns rows in it */
  async finish(): Promise<number> {
    if (this.rows.meter.length > 0 || this.#writer === undefined) await this.#write()
    await this.#writer!.finish()
    await this.#handle!.sync()
    await this.abandon()
    await syncFolder(dirname(this.#path))
    return this.#written
  }

  /** Closes it as it is, where it is open. */
  async abandon(): Promise<void> {
    await this.#handle?.close()
    this.#handle = undefined
  }

  async #write(): Promise<void> {
    await makeFolder(dirname(this.#path))
    this.#handle ??= await open(this.#path, 'w', 0o640)
    this.#writer ??= new ParquetWriter({ ...format, writer: new HandleWriter(this.#handle) })
    const [rows, { length }] = [this.rows, this.rows.meter]
    this.rows = new Rows()
    await this.#writer.write({ columnData: columnsOf(rows), rowGroupSize: length })
    this.#written += length
  }
}

const format = { schema, codec: 'ZSTD', compressors: { ZSTD: zstd }, createdBy: 'ami' } as const

function columnsOf(rows: Rows): ColumnSource[] {
  return [
    { name: 'meter', data: rows.meter, encoding: 'RLE_DICTIONARY' },
    { name: 'obis', data: rows.obis, encoding: 'RLE_DICTIONARY' },
    { name: 'end', data: BigInt64Array.from(rows.end, (end) => BigInt(end) * 1000n), encoding: 'DELTA_BINARY_PACKED' },
    { name: 'value', data: BigInt64Array.from(rows.value, BigInt) },
    { name: 'scaler', data: Int32Array.from(rows.scaler) },
    { name: 'unit', data: rows.unit, encoding: 'RLE_DICTIONARY' },
    { name: 'quality', data: BigInt64Array.from(rows.quality, BigInt) },
    { name: 'revision', data: Int32Array.from(rows.revision) },
    { name: 'epoch', data: BigInt64Array.from(rows.epoch, BigInt) },
    { name: 'batch', data: BigInt64Array.from(rows.batch, BigInt) },
  ]
}

function zstd(octets: Uint8Array): Uint8Array {
  return zstdCompressSync(octets)
}

/** The package's writer, which keeps in memory only what is not yet written. */
class HandleWriter extends ByteWriter {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    super()
    this.#handle = handle
  }

  /** Called by the package after each row group. */
  async flush(): Promise<void> {
    await this.#handle.writeFile(new Uint8Array(this.buffer, 0, this.index)) // from where the last one ended
    this.index = 0
  }

  override async finish(): Promise<void> {
    await this.flush()
  }
}
