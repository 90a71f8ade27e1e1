import { closeSync, openSync, readFileSync, readSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readRecord, type SpoolRecord } from './spool-record.ts'
import { type RingSegment, segmentFile, segmentsOf } from './spool-ring.ts'

/** A datagram out of the ring. Its octets are good until more is read. */
export interface Spooled extends SpoolRecord {
  /** positions of its record and of the next */
  position: number
  end: number
}

/** Octets read at once. */
const chunkOctets = 262_144

/** The reading end. It may run beside the writing end, in a process of its own, and begin anywhere. */
export class SpoolReader {
  readonly #folder: string
  readonly #chunk = Buffer.allocUnsafe(chunkOctets)
  #segment: { base: number; fd: number } | undefined
  #position: number
  #broken = false
  /** octets that were no records and were passed over: torn by a crash of the machine, or of a disk that lies */
  brokenOctets = 0

  /** @param folder that the ring lies in, or will */
  constructor(folder: string) {
    this.#folder = folder
    this.#position = keptPosition(folder)
  }

  /** Where the next record will be looked for. */
  get position(): number {
    return this.#position
  }

  /** Some of the records that follow, none when none is there yet. */
  read(): Spooled[] {
    for (;;) {
      const later = this.#segment === undefined ? undefined : this.#after(this.#segment.base) // asked before reading
      const records = this.#readHere()
      if (records.length > 0) return records
      if (this.#segment !== undefined && later === undefined) return []
      if (!this.#enter(later ?? this.#first())) return []
    }
  }

  /**
   * Deletes the files that lie wholly before `position`, then remembers that nothing before it is needed any more: a full disk
   * has room for that by then. Not synced: after a crash of the machine more is read again, and that changes nothing.
   */
  release(position: number): void {
    const all = segmentsOf(this.#folder)
    for (const [i, { base }] of all.entries()) {
      const next = all[i + 1] // the last is the spooler's, also when all of it is read
      if (next !== undefined && next.base <= position) unlinkSync(segmentFile(this.#folder, base))
    }
    const file = positionFile(this.#folder)
    writeFileSync(`${file}.partial`, `${position}\n`, { mode: 0o640 })
    renameSync(`${file}.partial`, file)
  }

  close(): void {
    if (this.#segment !== undefined) closeSync(this.#segment.fd)
    this.#segment = undefined
  }

  #readHere(): Spooled[] {
    if (this.#segment === undefined || this.#broken) return []
    const { fd, base } = this.#segment
    const got = this.#chunk.subarray(0, readSync(fd, this.#chunk, 0, chunkOctets, this.#position - base))
    const records: Spooled[] = []
    for (let at = 0, from = this.#position; ; ) {
      const record = readRecord(got, at)
      this.#broken = record === 'broken'
      if (typeof record === 'string') return records
      this.#position = from + record.end
      records.push({ ...record, position: from + at, end: this.#position })
      at = record.end
    }
  }

  #after(base: number): RingSegment | undefined {
    return segmentsOf(this.#folder).find((one) => one.base > base)
  }

  /** The one that the position lies in; where it lies in none, the next; where there is none, the first of another ring. */
  #first(): RingSegment | undefined {
    const all = segmentsOf(this.#folder)
    const within = all.findLast(({ base, octets }) => base <= this.#position && this.#position <= base + octets)
    return within ?? all.find(({ base }) => base > this.#position) ?? all[0]
  }

  #enter(segment: RingSegment | undefined): boolean {
    if (segment === undefined) return false
    if (this.#segment !== undefined) this.brokenOctets += Math.max(0, segment.base - this.#position)
    this.close()
    const inside = this.#position >= segment.base && this.#position <= segment.base + segment.octets
    if (!inside) this.#position = segment.base
    this.#broken = false
    this.#segment = { base: segment.base, fd: openSync(segmentFile(this.#folder, segment.base), 'r') }
    return true
  }
}

function positionFile(folder: string): string {
  return join(folder, 'position')
}

/** 0 where none was kept, or a crash of the machine left none that can be read: reading again changes nothing. */
function keptPosition(folder: string): number {
  try {
    const text = readFileSync(positionFile(folder), 'utf8')
    return /^\d{1,15}\n$/.test(text) ? Number.parseInt(text, 10) : 0
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
