import { closeSync, fstatSync, openSync } from 'node:fs'
import {
  decodeRecord,
  headOctets,
  JournalCorrupt,
  type Journaled,
  listSegments,
  readAt,
  segmentPath,
} from './journal-record.ts'

/** A stretch of the journal: long enough to share a commit, short enough that sending has its turn. */
const readWindowOctets = 512 * 1024

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
