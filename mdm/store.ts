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
import { ReplayGuard } from './replay-guard.ts'

/**
 * Batches on the IT side: `readings/000000/000000000001.ndjson` for whoever loads them, `batches/…/000000000001.batch` as
 * it was sealed, for whoever must prove one later; both under a folder named by the stream's epoch. The readings' file is
 * renamed into place last, and its being there, or an entry of the replay guard, is what "received" means: a batch that comes
 * again finds it, and a crash in between leaves nothing that counts.
 */
export class BatchStore {
  readonly #folder: string
  readonly #received = new Map<number, Received>()
  readonly #guard: ReplayGuard

  /** @throws Error another process has the folder; what the disk says */
  constructor(folder: string) {
    this.#folder = resolve(folder)
    makeFolder(join(this.#folder, 'quarantine'))
    this.#guard = new ReplayGuard(this.#folder)
    for (const { epoch, sequence } of this.#guard.entries()) this.#stream(epoch).add(sequence)
    for (const epoch of directories(folder).filter((name) => /^\d{10}$/.test(name))) this.#scan(epoch)
  }

  close(): void {
    this.#guard.close()
  }

  /** What has come of a stream. Asking remembers nothing: an epoch that a forged datagram names leaves no trace. */
  received(epoch: number): Pick<Received, 'has' | 'gaps' | 'highest'> {
    return this.#received.get(epoch) ?? new Received()
  }

  epochs(): number[] {
    return [...this.#received.keys()]
  }

  /** Durable when it returns. */
  put({
    epoch,
    sequence,
    octets,
    ndjson,
  }: {
    epoch: number
    sequence: number
    octets: Uint8Array
    ndjson: string
  }): void {
    writeDurably(this.#path(epoch, 'batches', sequence, 'batch'), octets)
    writeDurably(this.#path(epoch, 'readings', sequence, 'ndjson'), Buffer.from(ndjson))
    this.#guard.addAll(epoch, [sequence])
    this.#stream(epoch).add(sequence)
  }

  /** The sealed octets of a batch that has come; undefined where somebody has taken the file away since. */
  batch(epoch: number, sequence: number): Buffer | undefined {
    try {
      return readFileSync(this.#path(epoch, 'batches', sequence, 'batch'))
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

  #stream(epoch: number): Received {
    const known = this.#received.get(epoch) ?? new Received()
    this.#received.set(epoch, known)
    return known
  }

  #path(epoch: number, kind: 'batches' | 'readings', sequence: number, ending: string): string {
    const name = String(sequence).padStart(12, '0')
    return join(this.#folder, String(epoch).padStart(10, '0'), kind, name.slice(0, 9), `${name}.${ending}`)
  }

  #scan(epoch: string): void {
    const received = this.#stream(Number(epoch))
    const unknown: number[] = [] // a crash came between the file and the guard
    const folder = join(this.#folder, epoch, 'readings')
    for (const thousand of directories(folder)) {
      for (const name of readdirSync(join(folder, thousand))) {
        if (/^\d{12,16}\.ndjson$/.test(name) && received.add(Number.parseInt(name, 10))) {
          unknown.push(Number.parseInt(name, 10))
        }
      }
    }
    this.#guard.addAll(Number(epoch), unknown)
  }
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
