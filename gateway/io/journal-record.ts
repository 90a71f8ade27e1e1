import { closeSync, fsyncSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { ConcentratorId } from '../model.ts'

/**
 * A record of the journal and the segments that hold it.
 *
 * A record: body length (u32), CRC-32 of the body (u32), then the body: length of the concentrator's name (u8), the name,
 * time of arrival in ms (u64), the payload. All big-endian. A position is the count of octets before the record since the
 * journal began, so it only grows; a segment is named by the position of its first record.
 */
export interface Arrival {
  concentrator: ConcentratorId
  receivedAtMs: number
  payload: Uint8Array
}

export interface Journaled extends Arrival {
  /** where the record after this one begins */
  next: number
}

export const headOctets = 8
/** A length beyond this is a torn or foreign record. */
export const bodyOctetsMax = 16_777_216
/** A payload of this many octets is written from where it lies. */
const copiedOctetsMax = 16_384

/** Our fault or the disk's: a record before the last segment's end does not check. The process must stop. */
export class JournalCorrupt extends Error {
  override readonly name = 'JournalCorrupt'
}

/** The disk's: nothing can be made durable any more, so nothing may be acknowledged. The process must stop. */
export class JournalFailed extends Error {
  override readonly name = 'JournalFailed'
}

/** @returns one buffer, or two where copying the payload would cost more than a second */
export function encodeRecord({ concentrator, receivedAtMs, payload }: Arrival): Uint8Array[] {
  const nameOctets = Buffer.byteLength(concentrator)
  const copied = payload.length <= copiedOctetsMax ? payload.length : 0
  const octets = Buffer.allocUnsafe(headOctets + 1 + nameOctets + 8 + copied)
  octets.writeUInt32BE(octets.length - copied + payload.length - headOctets, 0)
  octets.writeUInt8(nameOctets, headOctets)
  octets.write(concentrator, headOctets + 1)
  octets.writeBigUInt64BE(BigInt(receivedAtMs), headOctets + 1 + nameOctets)
  if (copied > 0) octets.set(payload, headOctets + 9 + nameOctets)
  const sum = crc32(octets.subarray(headOctets))
  octets.writeUInt32BE(copied > 0 ? sum : crc32(payload, sum), 4)
  return copied > 0 ? [octets] : [octets, payload]
}

/** @returns the record at `at`, or undefined when it is not whole or does not check */
export function decodeRecord(octets: Buffer, at: number, position: number): Journaled | undefined {
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

export function readAt(fd: number, position: number, octets: number): Buffer<ArrayBuffer> {
  const buffer = Buffer.allocUnsafe(octets)
  return buffer.subarray(0, readSync(fd, buffer, 0, octets, position))
}

export function segmentPath(folder: string, start: number): string {
  return join(folder, `${String(start).padStart(16, '0')}.log`)
}

export function listSegments(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^\d{16}\.log$/.test(name))
    .map((name) => Number(name.slice(0, 16)))
    .sort((a, b) => a - b)
}

export function fsyncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
