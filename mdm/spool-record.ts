import { crc32 } from 'node:zlib'
import { datagramOctetsMax, datagramOctetsMin } from '#gateway/oneway/datagram.ts'

/**
 * A datagram as it lies in the ring. The CRC-32 is over all that follows it; a region of zeros is no record.
 *
 * ```
 *  0  CRC-32    4  octets of the datagram, 16 bits    6  when it came, ms since 1970, 48 bits    12  the datagram
 * ```
 */
export interface SpoolRecord {
  atMs: number
  /** part of what it was read from */
  datagram: Buffer
  /** where the next record begins */
  end: number
}

export const recordHeadOctets = 12
export const recordOctetsMax: number = recordHeadOctets + datagramOctetsMax

/** Whether a datagram can be one of ours by its length: what cannot is not worth its place in the ring. */
export function isSpoolable(octets: number): boolean {
  return octets >= datagramOctetsMin && octets <= datagramOctetsMax
}

/** @returns where the next record begins @param atMs ms since 1970 */
export function writeRecord(into: Buffer, at: number, datagram: Uint8Array, atMs: number): number {
  const end = at + recordHeadOctets + datagram.length
  into.writeUInt16BE(datagram.length, at + 4)
  into.writeUIntBE(atMs, at + 6, 6)
  into.set(datagram, at + recordHeadOctets)
  into.writeUInt32BE(crc32(into.subarray(at + 4, end)), at)
  return end
}

/** @returns `short` when it goes on beyond what is there, `broken` when it is none */
export function readRecord(from: Buffer, at: number): SpoolRecord | 'short' | 'broken' {
  if (from.length - at < recordHeadOctets) return 'short'
  const octets = from.readUInt16BE(at + 4)
  if (!isSpoolable(octets)) return 'broken'
  const end = at + recordHeadOctets + octets
  if (end > from.length) return 'short'
  if (crc32(from.subarray(at + 4, end)) !== from.readUInt32BE(at)) return 'broken'
  return { atMs: from.readUIntBE(at + 6, 6), datagram: from.subarray(at + recordHeadOctets, end), end }
}

/** Octets of the whole records among the first `octets` of what `writeRecord` wrote. */
export function wholeRecords(records: Buffer, octets: number): { octets: number; count: number } {
  let [at, count] = [0, 0]
  while (at + recordHeadOctets <= octets) {
    const end = at + recordHeadOctets + records.readUInt16BE(at + 4)
    if (end > octets) break
    at = end
    count++
  }
  return { octets: at, count }
}
