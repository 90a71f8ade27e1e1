import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { recordOctetsMax, wholeRecords, writeRecord } from './spool-record.ts'

/**
 * The ring between spooler and assembler: files in one folder, each named by the position at which it begins (octets since
 * the ring began). The spooler appends to the last; the assembler deletes, from the first, what it needs no more. A file is
 * never gone on with by another life of the spooler, so a torn end stays at an end.
 *
 * ```
 *  0000000000000000.ring  0000000016780312.ring  0000000033558020.ring
 *  ◀ deleted by the assembler                    appended to by the spooler ▶
 * ```
 */
export interface RingSegment {
  /** position at which it begins */
  base: number
  octets: number
}

/** Files of a full ring, about. */
const segmentsPerRing = 64
/** Octets that one write takes, the most. */
const batchOctetsMax = 1_048_576
/** After a write that failed: what comes meanwhile is dropped and counted. */
const retryAfterMs = 1_000

export function segmentFile(folder: string, base: number): string {
  return join(folder, `${String(base).padStart(16, '0')}.ring`)
}

/** In order. */
export function segmentsOf(folder: string): RingSegment[] {
  const bases = readdirSync(folder).flatMap((name) => (/^\d{16}\.ring$/.test(name) ? [Number.parseInt(name, 10)] : []))
  return bases.sort((a, b) => a - b).flatMap((base) => measured(folder, base))
}

function measured(folder: string, base: number): RingSegment[] {
  try {
    return [{ base, octets: statSync(segmentFile(folder, base)).size }]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // deleted in between
    throw error
  }
}

export interface RingState {
  /** octets of its files */
  octets: number
  octetsMax: number
  /** datagrams that were not written: no room left in the ring, or the disk said no */
  dropped: { full: number; failed: number }
  /** what the disk said last, while it says so; the ring tries again each second */
  failure: string | undefined
  /** the last datagram found no room */
  full: boolean
}

/** The writing end. Nothing is ever synced: what a crash of the machine takes is for a later pass of the sender's. */
export class SpoolRing {
  readonly #folder: string
  readonly #octetsMax: number
  readonly #batch = Buffer.allocUnsafe(batchOctetsMax)
  #filled = 0
  #records = 0
  #closed: RingSegment[]
  #closedOctets: number
  #open: (RingSegment & { fd: number }) | undefined
  #next: number
  #retryAtMs = 0
  readonly #dropped = { full: 0, failed: 0 }
  #failure: string | undefined
  #full = false

  /** @param octetsMax of its files and what is not written yet, the most */
  constructor(folder: string, octetsMax: number) {
    mkdirSync(folder, { recursive: true, mode: 0o750 })
    this.#folder = folder
    this.#octetsMax = octetsMax
    this.#closed = segmentsOf(folder)
    this.#closedOctets = sum(this.#closed)
    const last = this.#closed.at(-1)
    this.#next = last === undefined ? 0 : last.base + last.octets
    if (last?.octets === 0) unlinkSync(segmentFile(folder, last.base)) // to be begun again under the same name
  }

  /** Takes a datagram, to be written by `flush`; drops and counts it where there is no room. */
  append(datagram: Uint8Array, atMs: number): void {
    if (this.#batch.length - this.#filled < recordOctetsMax) this.flush()
    this.#full = this.#hasNoRoom()
    if (this.#full) this.#dropped.full++
    else if (this.#failure !== undefined && performance.now() < this.#retryAtMs) this.#dropped.failed++
    else {
      this.#filled = writeRecord(this.#batch, this.#filled, datagram, atMs)
      this.#records++
    }
  }

  /** Writes what was taken, at once. */
  flush(): void {
    if (this.#filled === 0) return
    const batch = this.#batch.subarray(0, this.#filled)
    const records = this.#records
    this.#filled = 0
    this.#records = 0
    let written = 0
    try {
      this.#open ??= this.#begin()
      while (written < batch.length) written += writeSync(this.#open.fd, batch, written)
      this.#open.octets += written
      this.#failure = undefined
    } catch (error) {
      this.#failed(error as NodeJS.ErrnoException)
      this.#dropped.failed += records - this.#keepWhole(batch, written)
    }
    if (this.#open !== undefined && this.#open.octets >= this.#octetsMax / segmentsPerRing) this.#end()
  }

  /**
   * Finds what the assembler has deleted, and begins a file where none is open: the assembler leaves the last one alone. To be
   * called now and then: a full ring takes nothing before.
   */
  survey(): void {
    const there = new Set(segmentsOf(this.#folder).map(({ base }) => base))
    this.#closed = this.#closed.filter(({ base }) => there.has(base))
    this.#closedOctets = sum(this.#closed)
    this.#full &&= this.#hasNoRoom()
    try {
      this.#open ??= this.#begin()
    } catch (error) {
      this.#failed(error as NodeJS.ErrnoException)
    }
  }

  state(): RingState {
    const [octets, octetsMax] = [this.#octets(), this.#octetsMax]
    return { octets, octetsMax, dropped: { ...this.#dropped }, failure: this.#failure, full: this.#full }
  }

  close(): void {
    this.flush()
    if (this.#open !== undefined) this.#end()
  }

  #hasNoRoom(): boolean {
    return this.#octets() + this.#filled + recordOctetsMax > this.#octetsMax
  }

  #octets(): number {
    return this.#closedOctets + (this.#open?.octets ?? 0)
  }

  #begin(): RingSegment & { fd: number } {
    const base = this.#next
    return { fd: openSync(segmentFile(this.#folder, base), 'ax', 0o640), base, octets: 0 }
  }

  #end(): void {
    const { fd, base, octets } = this.#open!
    closeSync(fd)
    this.#closed.push({ base, octets })
    this.#closedOctets += octets
    this.#next = base + octets
    this.#open = undefined
  }

  #failed({ code, message }: NodeJS.ErrnoException): void {
    this.#failure = code ?? message
    this.#retryAtMs = performance.now() + retryAfterMs
  }

  /** A write that stopped half-way is cut back to its last whole record. @returns how many it kept */
  #keepWhole(batch: Buffer, written: number): number {
    if (this.#open === undefined) return 0
    const whole = wholeRecords(batch, written)
    this.#open.octets += whole.octets
    ftruncateSync(this.#open.fd, this.#open.octets)
    return whole.count
  }
}

function sum(segments: readonly RingSegment[]): number {
  return segments.reduce((octets, one) => octets + one.octets, 0)
}
