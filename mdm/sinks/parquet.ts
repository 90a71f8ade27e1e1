import { readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { PeerError } from '#gateway/errors.ts'
import { openBatch } from '#gateway/oneway/seal.ts'
import { batchPath } from '../paths.ts'
import { makeFolder, namesIn, partial, syncFolder, writeDurably } from './durable.ts'
import { DayFiles, type DayFilesOptions, dayFolder } from './parquet-files.ts'
import {
  emptyManifest,
  isToCompact,
  type Manifest,
  type PartFile,
  parseManifest,
  type Streams,
  streamsOf,
  unionOf,
} from './parquet-manifest.ts'
import { dayEndMs } from './parquet-rows.ts'
import { Position } from './position.ts'
import { type KeptBatch, keptBatch, type Range, type Sink } from './sink.ts'

export interface ParquetOptions {
  folder: string
  /** the receiver's: a closed day is read from its kept batches once more */
  data: string
  everyMs: number
  /** after a day's end, until it becomes one file */
  closeAfterMs: number
  nowMs?: () => number
}

/**
 * Readings as Parquet, `day=2026-01-12/*.parquet` by the day of each interval's end. `manifest.json` says which files count
 * and which batches are in them, and is replaced in one step:
 * ```
 * write NAME.partial, sync ─▶ manifest lists NAME: this counts ─▶ what is not listed goes ─▶ NAME.partial becomes NAME
 * ```
 * A kill before the second step leaves partial files, which the next opening takes away; after it, the next opening finishes.
 */
export class ParquetSink implements Sink {
  readonly name: string
  readonly everyMs: number
  readonly #options: ParquetOptions
  #manifest: Manifest = emptyManifest
  #position = new Position()
  /** days that did not become one file, because batches of theirs are gone; tried again at the next opening */
  readonly #left = new Set<string>()
  #closed = false

  constructor(name: string, options: ParquetOptions) {
    this.name = name
    this.everyMs = options.everyMs
    this.#options = options
  }

  async open(): Promise<void> {
    await makeFolder(this.#options.folder)
    this.#manifest = await this.#readManifest()
    this.#position = positionOf(this.#manifest.streams)
    const found = (await namesIn(this.#options.folder)).filter((name) => /^day=\d{4}-\d\d-\d\d$/.test(name))
    for (const day of new Set([...Object.keys(this.#manifest.days), ...found.map((name) => name.slice(4))])) {
      await this.#settle(day)
    }
    this.#left.clear()
  }

  held(epoch: number): readonly Range[] {
    return this.#position.held(epoch)
  }

  async take(batches: readonly KeptBatch[]): Promise<void> {
    const fresh = batches.filter(({ epoch, sequence }) => !this.#position.has(epoch, sequence))
    if (fresh.length > 0) await this.#add(fresh)
    const closed = this.#toCompact()
    if (closed !== undefined) await this.#compact(closed) // one a time, so that no group waits long
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  async #add(batches: readonly KeptBatch[]): Promise<void> {
    const { files, next } = await this.#write({ kind: 'part' }, batches)
    const taken = new Position()
    for (const { epoch, sequence } of batches) taken.add(epoch, sequence)
    const days = { ...this.#manifest.days }
    for (const [day, file] of files) days[day] = [...(days[day] ?? []), file]
    const streams = unionOf(this.#manifest.streams, streamsOf(taken))
    await this.#commit({ version: 1, next, streams, days }, [...files.keys()])
    for (const { epoch, sequence } of batches) this.#position.add(epoch, sequence)
  }

  /** The first day that is over and not yet one file. */
  #toCompact(): string | undefined {
    const nowMs = (this.#options.nowMs ?? Date.now)()
    const isOver = (day: string): boolean => dayEndMs(day) + this.#options.closeAfterMs <= nowMs
    const { days } = this.#manifest
    return Object.keys(days).find((day) => !this.#left.has(day) && isOver(day) && isToCompact(days[day]!))
  }

  /** Writes a closed day as one file, from its batches. Where they do not give what its parts hold, the parts stay. */
  async #compact(day: string): Promise<void> {
    const parts = this.#manifest.days[day]!
    const { files, next } = await this.#write({ kind: 'day', only: day }, this.#batchesOf(parts))
    const file = files.get(day)
    if (file?.rows === parts.reduce((sum, { rows }) => sum + rows, 0)) {
      await this.#commit({ ...this.#manifest, next, days: { ...this.#manifest.days, [day]: [file] } }, [day])
      return
    }
    this.#left.add(day)
    await this.#settle(day)
  }

  async #write(
    options: Pick<DayFilesOptions, 'kind' | 'only'>,
    batches: Iterable<KeptBatch> | AsyncIterable<KeptBatch>,
  ): Promise<{ files: Map<string, PartFile>; next: number }> {
    const writing = new DayFiles({ ...options, folder: this.#options.folder, next: this.#manifest.next })
    try {
      for await (const batch of batches) {
        await writing.add(batch)
        await nextTurn() // rows are made in one go: others have their turn between batches
      }
      return { files: await writing.finish(), next: writing.next }
    } finally {
      await writing.abandon()
    }
  }

  /** The batches of a day's parts; those that are gone or damaged are left out. */
  async *#batchesOf(parts: readonly PartFile[]): AsyncGenerator<KeptBatch> {
    for (const [epoch, ranges] of Object.entries(unionOf(...parts.map(({ batches }) => batches)))) {
      for (const [from, to] of ranges) {
        for (let sequence = from; sequence <= to && !this.#closed; sequence++) {
          const octets = await readIfThere(join(this.#options.data, batchPath('batches', Number(epoch), sequence)))
          const batch = octets && soundBatch(octets)
          if (batch !== undefined) yield batch
        }
      }
    }
  }

  /** From here it counts; then the folders of these days follow. */
  async #commit(manifest: Manifest, days: readonly string[]): Promise<void> {
    await writeDurably(this.#manifestFile(), Buffer.from(`${JSON.stringify(manifest)}\n`))
    this.#manifest = manifest
    for (const day of days) await this.#settle(day)
  }

  /**
   * Brings a day's folder to what the manifest says. What no longer counts goes first: a reader of `*.parquet` may for a
   * moment see a day without the readings that are being replaced, and never one reading twice.
   */
  async #settle(day: string): Promise<void> {
    const folder = dayFolder(this.#options.folder, day)
    const listed = new Set((this.#manifest.days[day] ?? []).map(({ file }) => file))
    const ours = (await namesIn(folder)).filter((name) => /^(part|day)-\d{12}\.parquet(\.partial)?$/.test(name))
    const isPartial = (name: string): boolean => name.endsWith(partial)
    const stem = (name: string): string => (isPartial(name) ? name.slice(0, -partial.length) : name)
    const stale = ours.filter((name) => !listed.has(stem(name)))
    for (const name of stale) await rm(join(folder, name))
    const due = ours.filter((name) => isPartial(name) && listed.has(stem(name)))
    for (const name of due) await rename(join(folder, name), join(folder, stem(name)))
    if (stale.length + due.length > 0) await syncFolder(folder)
  }

  async #readManifest(): Promise<Manifest> {
    const octets = await readIfThere(this.#manifestFile())
    return octets === undefined ? emptyManifest : parseManifest(octets.toString('utf8'))
  }

  #manifestFile(): string {
    return join(this.#options.folder, 'manifest.json')
  }
}

function positionOf(streams: Streams): Position {
  const position = new Position()
  for (const [epoch, ranges] of Object.entries(streams)) position.addAll(Number(epoch), ranges)
  return position
}

/** @returns undefined for one that no longer is what was verified */
function soundBatch(octets: Uint8Array): KeptBatch | undefined {
  try {
    return keptBatch(openBatch(octets), octets)
  } catch (error) {
    if (error instanceof PeerError) return undefined
    throw error
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
