import type { ExactInteger } from '../model.ts'

/**
 * What the ledger remembers of one channel of one meter on one UTC day, in one row: an entry per reading, in the order
 * of the interval ends. A million profile readings are ten thousand such rows; a row per reading would be a million.
 *
 * An entry, big-endian: end as seconds after the day's start (u32, 1 to 86,400), value (i64), scaler (i8), unit (u8),
 * revision (u8).
 */
export type MeterDay = Buffer

export const entryOctets = 15
export const secondsPerDay = 86_400
const revisionMax = 255

/** What became of one reading: `repeat` changes nothing, 0 is new, n is the nth correction. */
export type Verdict = 'repeat' | number

export interface Incoming {
  /** seconds after the day's start */
  offset: number
  value: ExactInteger
  scaler: number
  unit: number
}

/** An interval that ends at midnight belongs to the day that it closes. @param end seconds UTC */
export function dayOf(end: number): number {
  return Math.floor((end - 1) / secondsPerDay)
}

/** @returns the row with `readings` in it, and what became of each. `row` itself is left as it was. */
export function mergeDay(
  row: MeterDay | undefined,
  readings: readonly Incoming[],
): { row: MeterDay; verdicts: Verdict[] } {
  const old = row ?? Buffer.alloc(0)
  const merged = Buffer.allocUnsafe(old.length + readings.length * entryOctets)
  old.copy(merged)
  let length = old.length
  const verdicts = readings.map((reading): Verdict => {
    const at = find(merged, length, reading.offset)
    if (at < length && merged.readUInt32BE(at) === reading.offset) return revise(merged, at, reading)
    merged.copyWithin(at + entryOctets, at, length)
    write(merged, at, reading, 0)
    length += entryOctets
    return 0
  })
  return { row: merged.subarray(0, length), verdicts }
}

/** Where `offset` stands or belongs; the end first, since readings mostly come in order. */
function find(row: Buffer, length: number, offset: number): number {
  if (length === 0 || row.readUInt32BE(length - entryOctets) < offset) return length
  let [low, high] = [0, length / entryOctets]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (row.readUInt32BE(middle * entryOctets) < offset) low = middle + 1
    else high = middle
  }
  return low * entryOctets
}

function revise(row: Buffer, at: number, reading: Incoming): Verdict {
  const known = read(row, at)
  if (known.unit === reading.unit && sameQuantity(known, reading)) return 'repeat'
  const revision = Math.min(revisionMax, known.revision + 1)
  write(row, at, reading, revision)
  return revision
}

/** 100 with scaler 0 is 1000 with scaler -1. */
function sameQuantity(a: Incoming, b: Incoming): boolean {
  if (a.scaler === b.scaler) return a.value === b.value || BigInt(a.value) === BigInt(b.value)
  const scaler = Math.min(a.scaler, b.scaler)
  return rescaled(a, scaler) === rescaled(b, scaler)
}

/** @param scaler at most the reading's own */
export function rescaled({ value, scaler }: { value: ExactInteger; scaler: number }, to: number): bigint {
  return BigInt(value) * 10n ** BigInt(scaler - to)
}

function write(row: Buffer, at: number, { offset, value, scaler, unit }: Incoming, revision: number): void {
  row.writeUInt32BE(offset, at)
  if (typeof value === 'bigint') row.writeBigInt64BE(value, at + 4)
  else {
    row.writeInt32BE(Math.floor(value / 2 ** 32), at + 4)
    row.writeUInt32BE(value >>> 0, at + 8)
  }
  row.writeInt8(scaler, at + 12)
  row.writeUInt8(unit, at + 13)
  row.writeUInt8(revision, at + 14)
}

export interface Entry extends Incoming {
  revision: number
}

function read(row: Buffer, at: number): Entry {
  const [high, low] = [row.readInt32BE(at + 4), row.readUInt32BE(at + 8)]
  const near = high * 2 ** 32 + low
  return {
    offset: row.readUInt32BE(at),
    value: Number.isSafeInteger(near) ? near : row.readBigInt64BE(at + 4),
    scaler: row.readInt8(at + 12),
    unit: row.readUInt8(at + 13),
    revision: row.readUInt8(at + 14),
  }
}

export function entries(row: MeterDay): Entry[] {
  return Array.from({ length: row.length / entryOctets }, (_, i) => read(row, i * entryOctets))
}
