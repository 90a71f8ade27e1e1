import { join } from 'node:path'
import { partial } from './durable.ts'
import { type PartFile, streamsOf } from './parquet-manifest.ts'
import { addBatch, DayFile } from './parquet-rows.ts'
import { Position } from './position.ts'
import type { KeptBatch } from './sink.ts'

export interface DayFilesOptions {
  /** with the days' folders */
  folder: string
  /** a part of a day, or all of it */
  kind: 'part' | 'day'
  /** number of the first file */
  next: number
  /** this day's readings and no others */
  only?: string
}

/** Files of some batches under way, one for each day that they touch, each under `NAME.partial` until it counts. */
export class DayFiles {
  readonly #options: DayFilesOptions
  readonly #open = new Map<string, { name: string; file: DayFile; position: Position }>()
  /** number of the next file */
  next: number

  constructor(options: DayFilesOptions) {
    this.#options = options
    this.next = options.next
  }

  async add(batch: KeptBatch): Promise<void> {
    const { only } = this.#options
    addBatch(batch, (day) => {
      if (only !== undefined && day !== only) return undefined
      const { file, position } = this.#open.get(day) ?? this.#begin(day)
      position.add(batch.epoch, batch.sequence)
      return file.rows
    })
    for (const { file } of this.#open.values()) await file.writeFull()
  }

  /** Durable, under `NAME.partial`. */
  async finish(): Promise<Map<string, PartFile>> {
    const files = new Map<string, PartFile>()
    for (const [day, { name, file, position }] of this.#open) {
      files.set(day, { file: name, rows: await file.finish(), batches: streamsOf(position) })
    }
    return files
  }

  /** Closes what `finish` has not. */
  async abandon(): Promise<void> {
    for (const { file } of this.#open.values()) await file.abandon()
  }

  #begin(day: string): { name: string; file: DayFile; position: Position } {
    const name = `${this.#options.kind}-${String(this.next++).padStart(12, '0')}.parquet`
    const file = new DayFile(join(dayFolder(this.#options.folder, day), `${name}${partial}`))
    const begun = { name, file, position: new Position() }
    this.#open.set(day, begun)
    return begun
  }
}

/** As Hive names a partition, so that tools take the day from the path. */
export function dayFolder(folder: string, day: string): string {
  return join(folder, `day=${day}`)
}
