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
import { dirname, join } from 'node:path'
import { Received } from '#gateway/oneway/gaps.ts'

/**
 * Batches on the IT side: `readings/000000/000000000001.ndjson` for whoever loads them, `batches/…/000000000001.batch` as
 * it was sealed, for whoever must prove one later; both under a folder named by the stream's epoch. The readings' file is
 * renamed into place last, and its being there is what "received" means: a batch that comes again finds it, and a crash in
 * between leaves nothing that counts.
 */
export class BatchStore {
  readonly #folder: string
  readonly #received = new Map<number, Received>()

  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(join(folder, 'quarantine'), { recursive: true, mode: 0o750 })
    for (const epoch of directories(folder).filter((name) => /^\d{10}$/.test(name))) this.#scan(epoch)
  }

  /** What has come of a stream. */
  received(epoch: number): Received {
    const known = this.#received.get(epoch) ?? new Received()
    this.#received.set(epoch, known)
    return known
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
    this.received(epoch).add(sequence)
  }

  /** The sealed octets of a batch that has come. */
  batch(epoch: number, sequence: number): Buffer {
    return readFileSync(this.#path(epoch, 'batches', sequence, 'batch'))
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

  #path(epoch: number, kind: 'batches' | 'readings', sequence: number, ending: string): string {
    const name = String(sequence).padStart(12, '0')
    return join(this.#folder, String(epoch).padStart(10, '0'), kind, name.slice(0, 9), `${name}.${ending}`)
  }

  #scan(epoch: string): void {
    const received = this.received(Number(epoch))
    const folder = join(this.#folder, epoch, 'readings')
    for (const thousand of directories(folder)) {
      for (const name of readdirSync(join(folder, thousand))) {
        if (/^\d{12}\.ndjson$/.test(name)) received.add(Number(name.slice(0, 12)))
      }
    }
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
  mkdirSync(folder, { recursive: true, mode: 0o750 })
  const beside = `${path}.partial`
  const fd = openSync(beside, 'w', 0o640)
  for (let written = 0; written < octets.length; ) written += writeSync(fd, octets, written)
  fsyncSync(fd)
  closeSync(fd)
  renameSync(beside, path)
  const folderFd = openSync(folder, 'r')
  fsyncSync(folderFd)
  closeSync(folderFd)
}
