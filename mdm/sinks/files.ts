import { join } from 'node:path'
import { toNdjson } from '../ndjson.ts'
import { batchPath, epochFolder, epochOf, type FileKind, sequenceOf } from '../paths.ts'
import { namesIn, writeDurably } from './durable.ts'
import { Position } from './position.ts'
import type { KeptBatch, Range, Sink } from './sink.ts'

const render: Record<FileKind, (batch: KeptBatch) => Uint8Array> = {
  readings: ({ sequence, series }) => Buffer.from(toNdjson(sequence, series)),
  batches: ({ octets }) => octets,
}

/** A file a batch, of one kind; its being there is what "durable here" means. */
export class FileSink implements Sink {
  readonly name: string
  readonly everyMs = 0
  readonly #kind: FileKind
  readonly #folder: string
  #position = new Position()

  constructor(name: string, kind: FileKind, folder: string) {
    this.name = name
    this.#kind = kind
    this.#folder = folder
  }

  async open(): Promise<void> {
    const position = new Position()
    for (const name of await namesIn(this.#folder)) {
      const epoch = epochOf(name)
      if (epoch === undefined) continue
      for (const sequence of await this.#sequences(epoch)) position.add(epoch, sequence)
    }
    this.#position = position
  }

  held(epoch: number): readonly Range[] {
    return this.#position.held(epoch)
  }

  async take(batches: readonly KeptBatch[]): Promise<void> {
    for (const batch of batches) {
      const { epoch, sequence } = batch
      await writeDurably(join(this.#folder, batchPath(this.#kind, epoch, sequence)), render[this.#kind](batch))
      this.#position.add(epoch, sequence)
    }
  }

  async close(): Promise<void> {} // nothing is held open

  async #sequences(epoch: number): Promise<number[]> {
    const folder = join(this.#folder, epochFolder(epoch), this.#kind)
    const names = await Promise.all((await namesIn(folder)).map((thousand) => namesIn(join(folder, thousand))))
    return names.flat().flatMap((name) => sequenceOf(this.#kind, name) ?? [])
  }
}
