import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  unlinkSync,
  writev,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { ConcentratorId } from '../model.ts'

/**
 * Durable before acknowledged. An append-only log in segments: what arrives while one group is being written and synced
 * forms the next group, so that the disk sets the size of the groups and the event loop stays free while it works.
 *
 * A record: body length (u32), CRC-32 of the body (u32), then the body: length of the concentrator's name (u8), the name,
 * time of arrival in ms (u64), the payload. All big-endian. A position is the count of octets before the record since the
 * journal began, so it only grows; a segment is named by the position of its first record.
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

export interface Arrival {
  concentrator: ConcentratorId
  receivedAtMs: number
  payload: Uint8Array
}

export interface Journaled extends Arrival {
  /** where the record after this one begins */
  next: number
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

const headOctets = 8
/** A length beyond this is a torn or foreign record. */
const bodyOctetsMax = 16 * 1024 * 1024
const groupBuffersMax = 1_000 // under IOV_MAX
/** A stretch of the journal: long enough to share a commit, short enough that sending has its turn. */
const readWindowOctets = 512 * 1024

/** Our fault or the disk's: a record before the last segment's end does not check. The process must stop. */
export class JournalCorrupt extends Error {
  override readonly name = 'JournalCorrupt'
}

export function openJournal(folder: string, limits: JournalLimits = journalDefaults): Journal {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  fsyncFolder(dirname(folder)) // a power cut must not take the folder with all that was acknowledged
  return new SegmentJournal(folder, limits)
}

interface Waiting {
  octets: Buffer
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
    const octets = encodeRecord(record)
    return new Promise((durable, failed) => {
      this.#queue.push({ octets, durable, failed })
      this.#queuedOctets += octets.length
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
      const group = this.#queue.splice(0, groupBuffersMax)
      const octets = group.reduce((sum, one) => sum + one.octets.length, 0)
      try {
        await writeDurably(this.#fd, group)
      } catch (error) {
        this.#failure = error as Error
        for (const one of [...group, ...this.#queue]) one.failed(this.#failure)
        this.#queue = []
        break
      }
      this.#written += octets
      this.#queuedOctets -= octets
      this.durable = this.#written
      if (this.#written - this.#segmentStart >= this.#limits.segmentOctets) this.#roll()
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
  const buffers = group.map(({ octets }) => octets)
  const expected = buffers.reduce((sum, { length }) => sum + length, 0)
  await new Promise<void>((resolve, reject) => {
    writev(fd, buffers, (error, written) => {
      if (error !== null) reject(error)
      else if (written !== expected) reject(new Error(`the journal's disk took ${written} of ${expected} octets`))
      else fdatasync(fd, (fault) => (fault === null ? resolve() : reject(fault)))
    })
  })
}

function encodeRecord({ concentrator, receivedAtMs, payload }: Arrival): Buffer {
  const nameOctets = Buffer.byteLength(concentrator)
  const octets = Buffer.allocUnsafe(headOctets + 1 + nameOctets + 8 + payload.length)
  octets.writeUInt32BE(octets.length - headOctets, 0)
  octets.writeUInt8(nameOctets, headOctets)
  octets.write(concentrator, headOctets + 1)
  octets.writeBigUInt64BE(BigInt(receivedAtMs), headOctets + 1 + nameOctets)
  octets.set(payload, headOctets + 9 + nameOctets)
  octets.writeUInt32BE(crc32(octets.subarray(headOctets)), 4)
  return octets
}

/** @returns the record at `at`, or undefined when it is not whole or does not check */
function decodeRecord(octets: Buffer, at: number, position: number): Journaled | undefined {
  if (octets.length - at < headOctets) return undefined
  const bodyOctets = octets.readUInt32BE(at)
  if (bodyOctets < 9 || bodyOctets > bodyOctetsMax || octets.length - at - headOctets < bodyOctets) return undefined
  const body = octets.subarray(at + headOctets, at + headOctets + bodyOctets)
  if (crc32(body) !== octets.readUInt32BE(at + 4)) return undefined
  const nameOctets = body.readUInt8(0)
  if (bodyOctets < 9 + nameOctets) return undefined
  return {
    concentrator: body.toString('utf8', 1, 1 + nameOctets) as ConcentratorId,
    receivedAtMs: Number(body.readBigUInt64BE(1 + nameOctets)),
    payload: body.subarray(9 + nameOctets),
    next: position + headOctets + bodyOctets,
  }
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

/** Reads what `openJournal` wrote, in another thread if need be, each record once and in order. */
export class JournalReader {
  readonly #folder: string
  readonly #windowOctets: number
  #position: number
  #segment: { start: number; fd: number } | undefined

  constructor(folder: string, position: number, windowOctets: number = readWindowOctets) {
    this.#folder = folder
    this.#position = position
    this.#windowOctets = windowOctets
  }

  /**
   * The next records, some megabytes at most.
   * @param durable no record beyond it is read
   * @throws JournalCorrupt
   */
  read(durable: number): Journaled[] {
    const records: Journaled[] = []
    if (this.#position >= durable) return records
    const { start, fd } = this.#locate()
    const available = Math.min(durable - start, fstatSync(fd).size) - (this.#position - start)
    let window = readAt(fd, this.#position - start, Math.min(available, this.#windowOctets))
    const first = window.length < headOctets ? 0 : headOctets + window.readUInt32BE(0)
    if (first > window.length && first <= available) window = readAt(fd, this.#position - start, first)
    for (let at = 0; ; ) {
      const record = decodeRecord(window, at, this.#position)
      if (record === undefined) break
      at += record.next - this.#position
      this.#position = record.next
      records.push(record)
    }
    if (records.length === 0) throw new JournalCorrupt(`the journal does not check at position ${this.#position}`)
    return records
  }

  close(): void {
    if (this.#segment !== undefined) closeSync(this.#segment.fd)
    this.#segment = undefined
  }

  /** The segment that holds the position; the next one where this one ends. */
  #locate(): { start: number; fd: number } {
    const open = this.#segment
    if (open !== undefined && this.#position - open.start < fstatSync(open.fd).size) return open
    const start = listSegments(this.#folder).findLast((segment) => segment <= this.#position)
    if (start === undefined) throw new JournalCorrupt(`the journal has no segment for position ${this.#position}`)
    this.close()
    this.#segment = { start, fd: openSync(segmentPath(this.#folder, start), 'r') }
    return this.#segment
  }
}

function readAt(fd: number, position: number, octets: number): Buffer<ArrayBuffer> {
  const buffer = Buffer.allocUnsafe(octets)
  return buffer.subarray(0, readSync(fd, buffer, 0, octets, position))
}

function segmentPath(folder: string, start: number): string {
  return join(folder, `${String(start).padStart(16, '0')}.log`)
}

function listSegments(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^\d{16}\.log$/.test(name))
    .map((name) => Number(name.slice(0, 16)))
    .sort((a, b) => a - b)
}

function fsyncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
