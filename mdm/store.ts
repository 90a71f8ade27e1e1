import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Received } from '#gateway/oneway/gaps.ts'
import { batchPath, epochFolder, epochOf, type FileKind, sequenceOf } from './paths.ts'
import { ReplayGuard } from './replay-guard.ts'
import { receivedRanges } from './sinks/ranges.ts'
import type { KeptBatch, Range } from './sinks/sink.ts'

/**
 * Batches on the IT side as they were sealed, `EPOCH/batches/000000000/000000000001.batch`: what every sink is fed from, and
 * what proves a reading later. Its file is renamed into place last, and its being there is what "received" means: a batch
 * that comes again finds it, and a crash in between leaves nothing that counts. Where somebody has taken the file away and
 * its readings lie beside as NDJSON, it counts as received all the same, and the replay guard remembers it without either.
 */
export class BatchStore {
  readonly #folder: string
  readonly #received = new Map<number, Received>()
  readonly #kept = new Map<number, Received>()
  readonly #listeners: ((batch: KeptBatch) => void)[] = []
  readonly #guard: ReplayGuard

  /** @throws Error another process has the folder; what the disk says */
  constructor(folder: string) {
    this.#folder = resolve(folder)
    makeFolder(join(this.#folder, 'quarantine'))
    this.#guard = new ReplayGuard(this.#folder)
    for (const { epoch, sequence } of this.#guard.entries()) streamOf(this.#received, epoch).add(sequence)
    for (const name of directories(folder)) {
      const epoch = epochOf(name)
      if (epoch === undefined) continue
      const [received, kept] = [streamOf(this.#received, epoch), streamOf(this.#kept, epoch)]
      for (const sequence of this.#sequences(epoch, 'batches')) kept.add(sequence)
      const found = [...this.#sequences(epoch, 'batches'), ...this.#sequences(epoch, 'readings')]
      this.#guard.addAll(
        epoch,
        found.filter((sequence) => received.add(sequence)),
      ) // a crash came between file and guard
    }
  }

  close(): void {
    this.#guard.close()
  }

  /** What has come of a stream. Asking remembers nothing: an epoch that a forged datagram names leaves no trace. */
  received(epoch: number): Pick<Received, 'has' | 'gaps' | 'highest'> {
    return this.#received.get(epoch) ?? new Received()
  }

  /** Sequences of a stream whose batch lies here: closed ranges in order. */
  kept(epoch: number): Range[] {
    return receivedRanges(this.#kept.get(epoch) ?? new Received())
  }

  epochs(): number[] {
    return [...this.#received.keys()]
  }

  /** Durable when it returns; then whoever follows is told. */
  put(batch: KeptBatch): void {
    const { epoch, sequence, octets } = batch
    writeDurably(join(this.#folder, batchPath('batches', epoch, sequence)), octets)
    this.#guard.addAll(epoch, [sequence])
    streamOf(this.#kept, epoch).add(sequence)
    streamOf(this.#received, epoch).add(sequence)
    for (const listener of this.#listeners) listener(batch)
  }

  /** @param listener must not throw: the batch is kept */
  onKept(listener: (batch: KeptBatch) => void): void {
    this.#listeners.push(listener)
  }

  /** The sealed octets of a batch that has come; undefined where somebody has taken the file away since. */
  batch(epoch: number, sequence: number): Buffer | undefined {
    try {
      return readFileSync(join(this.#folder, batchPath('batches', epoch, sequence)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** Keeps what did not verify, the last of each sequence: an object that is forged again and again fills nothing. */
  quarantine({
    epoch,
    sequence,
    code,
    octets,
  }: {
    epoch: number
    sequence: number
    code: string
    octets: Uint8Array
  }): void {
    const kept = readdirSync(join(this.#folder, 'quarantine')).sort()
    if (kept.length >= quarantineMax) rmSync(join(this.#folder, 'quarantine', kept[0]!))
    writeDurably(
      join(this.#folder, 'quarantine', `${epoch}-${String(sequence).padStart(12, '0')}-${code}.batch`),
      octets,
    )
  }

  *#sequences(epoch: number, kind: FileKind): Generator<number> {
    const folder = join(this.#folder, epochFolder(epoch), kind)
    for (const thousand of directories(folder)) {
      for (const name of readdirSync(join(folder, thousand))) {
        const sequence = sequenceOf(kind, name)
        if (sequence !== undefined) yield sequence
      }
    }
  }
}

function streamOf(streams: Map<number, Received>, epoch: number): Received {
  const known = streams.get(epoch) ?? new Received()
  streams.set(epoch, known)
  return known
}

/** Objects in quarantine, the most: the oldest name makes room. */
const quarantineMax = 1_000

function directories(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Whole or not at all, and durable: beside it, synced, renamed, the folder synced. */
function writeDurably(path: string, octets: Uint8Array): void {
  const folder = dirname(path)
  makeFolder(folder)
  const beside = `${path}.partial`
  const fd = openSync(beside, 'w', 0o640)
  for (let written = 0; written < octets.length; ) written += writeSync(fd, octets, written)
  fsyncSync(fd)
  closeSync(fd)
  renameSync(beside, path)
  syncFolder(folder)
}

/** And its entry in every folder that had to be made above it: a power cut must not take it with all that it holds. */
function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: 0o750 })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) syncFolder(dirname(made))
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
