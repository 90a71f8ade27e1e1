import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writev,
} from 'node:fs'
import { dirname } from 'node:path'
import {
  type Arrival,
  bodyOctetsMax,
  decodeRecord,
  encodeRecord,
  fsyncFolder,
  headOctets,
  JournalFailed,
  listSegments,
  readAt,
  segmentPath,
} from './journal-record.ts'

/**
 * Durable before acknowledged. An append-only log in segments: what arrives while one group is being written and synced
 * forms the next group, so that the disk sets the size of the groups and the event loop stays free while it works.
 */
export interface Journal {
  /** @returns when the record will survive a crash; rejects when the store fails, and then nothing may be acknowledged */
  append(record: Arrival): Promise<void>
  /** every record before this position is durable */
  readonly durable: number
  /** octets waiting to be written, bounded by the caller's asking `full` before it takes more */
  readonly full: boolean
  /** resolves when `full` no longer holds */
  drained(): Promise<void>
  /** what lies before may be erased, a whole segment at a time */
  release(position: number): void
  close(): Promise<void>
}

export interface JournalLimits {
  /** octets waiting in memory, the most */
  queuedOctetsMax: number
  /** octets on disk not yet released, the most: beyond, nobody is acknowledged */
  backlogOctetsMax: number
  segmentOctets: number
}

export const journalDefaults: JournalLimits = {
  queuedOctetsMax: 64 * 1024 * 1024,
  backlogOctetsMax: 8 * 1024 * 1024 * 1024,
  segmentOctets: 64 * 1024 * 1024,
}

const groupRecordsMax = 500 // of two pieces: under IOV_MAX

export function openJournal(folder: string, limits: JournalLimits = journalDefaults): Journal {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  fsyncFolder(dirname(folder)) // a power cut must not take the folder with all that was acknowledged
  return new SegmentJournal(folder, limits)
}

interface Waiting {
  /** one buffer, or two where copying the payload would cost more than a second */
  pieces: readonly Uint8Array[]
  octets: number
  durable: () => void
  failed: (error: Error) => void
}

class SegmentJournal implements Journal {
  readonly #folder: string
  readonly #limits: JournalLimits
  #fd: number
  #segmentStart: number
  #written: number
  #released: number
  #queue: Waiting[] = []
  #queuedOctets = 0
  #writing: Promise<void> | undefined
  #waiters: (() => void)[] = []
  #failure: Error | undefined
  durable: number

  constructor(folder: string, limits: JournalLimits) {
    this.#folder = folder
    this.#limits = limits
    const segments = listSegments(folder)
    this.#segmentStart = segments.at(-1) ?? 0
    this.#released = segments[0] ?? 0
    this.#fd = openSync(segmentPath(folder, this.#segmentStart), 'a+', 0o600)
    this.#written = this.#segmentStart + recoverTail(this.#fd)
    fsyncFolder(folder)
    this.durable = this.#written
  }

  get full(): boolean {
    const backlog = this.#written - this.#released
    return this.#queuedOctets >= this.#limits.queuedOctetsMax || backlog >= this.#limits.backlogOctetsMax
  }

  append(record: Arrival): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const pieces = encodeRecord(record)
    const octets = pieces.reduce((sum, { length }) => sum + length, 0)
    return new Promise((durable, failed) => {
      this.#queue.push({ pieces, octets, durable, failed })
      this.#queuedOctets += octets
      this.#writing ??= this.#writeGroups()
    })
  }

  drained(): Promise<void> {
    return this.full ? new Promise((resolve) => this.#waiters.push(resolve)) : Promise.resolve()
  }

  release(position: number): void {
    const segments = listSegments(this.#folder)
    for (let i = 0; i + 1 < segments.length && segments[i + 1]! <= position; i++) {
      unlinkSync(segmentPath(this.#folder, segments[i]!))
      this.#released = segments[i + 1]!
    }
    this.#wake()
  }

  async close(): Promise<void> {
    await this.#writing
    closeSync(this.#fd)
  }

  /** One group after the other until nothing waits; a failure fails them all and every later append. */
  async #writeGroups(): Promise<void> {
    await undefined // so that all of this turn's appends share the first group
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, groupRecordsMax)
      const octets = group.reduce((sum, one) => sum + one.octets, 0)
      try {
        await writeDurably(this.#fd, group)
        this.#written += octets
        if (this.#written - this.#segmentStart >= this.#limits.segmentOctets) this.#roll()
      } catch (cause) {
        const why = (cause as Error).message
        this.#failure = new JournalFailed(`the journal in ${this.#folder} cannot be written: ${why}`, { cause })
        for (const one of [...group, ...this.#queue]) one.failed(this.#failure)
        this.#queue = []
        break
      }
      this.#queuedOctets -= octets
      this.durable = this.#written
      for (const one of group) one.durable()
      this.#wake()
    }
    this.#writing = undefined
  }

  #roll(): void {
    closeSync(this.#fd)
    this.#segmentStart = this.#written
    this.#fd = openSync(segmentPath(this.#folder, this.#segmentStart), 'a+', 0o600)
    fsyncFolder(this.#folder)
  }

  #wake(): void {
    if (this.full) return
    for (const resolve of this.#waiters.splice(0)) resolve()
  }
}

/** @throws what the disk says, also when it takes fewer octets than it was given */
async function writeDurably(fd: number, group: readonly Waiting[]): Promise<void> {
  const buffers = group.flatMap(({ pieces }) => pieces)
  const expected = buffers.reduce((sum, { length }) => sum + length, 0)
  await new Promise<void>((resolve, reject) => {
    writev(fd, buffers, (error, written) => {
      if (error !== null) reject(error)
      else if (written !== expected) reject(new Error(`no space left: ${written} of ${expected} octets were taken`))
      else fdatasync(fd, (fault) => (fault === null ? resolve() : reject(fault)))
    })
  })
}

/** Cuts off what a crash left half-written: it was never acknowledged. @returns octets that stay */
function recoverTail(fd: number): number {
  const { size } = fstatSync(fd)
  let [good, window] = [0, Buffer.alloc(0)]
  let windowAt = 0
  for (;;) {
    const record = decodeRecord(window, good - windowAt, good)
    if (record !== undefined) {
      good = record.next
      continue
    }
    const wanted = Math.min(size - good, headOctets + bodyOctetsMax)
    if (wanted <= window.length - (good - windowAt)) break
    window = readAt(fd, good, wanted)
    windowAt = good
  }
  if (good < size) ftruncateSync(fd, good)
  fsyncSync(fd) // also what stays: a killed process may have written it and not synced it, and it will now count as durable
  return good
}
