import { PeerError } from '../errors.ts'

/** How far the sender's clock may be believed. */
export const clockQualities = ['unknown', 'free-running', 'synchronised'] as const
export type ClockQuality = (typeof clockQualities)[number]

/** What the sender says of itself each second, in one datagram of at most `heartbeatOctets` and its header. */
export interface Heartbeat {
  /** milliseconds since 1970 */
  utcMs: number
  /** milliseconds since the sender began; falls only when it begins anew */
  monotonicMs: number
  clock: ClockQuality
  /** of the last batch sealed, 0 before the first */
  highest: number
  /** datagrams and octets that left since the sender began, heartbeats included */
  datagrams: number
  octets: number
  /** batches that wait for their first pass, and their octets */
  queuedBatches: number
  queuedOctets: number
  /** milliseconds since the oldest of them was sealed; 0 when none waits */
  oldestMs: number
  /** octets that left in the last second */
  octetsPerSecond: number
}

export const heartbeatOctets = 68
/** Milliseconds from one to the next. */
export const heartbeatEveryMs = 1_000

const version = 1

/**
 * ```
 *  0  version 1 | clock quality | reserved 16
 *  4  UTC 48 | monotonic 48 | highest 48 | datagrams 64 | octets 64
 * 38  queued batches 32 | queued octets 64 | oldest 64 | octets a second 64 | reserved 16
 * ```
 */
export function encodeHeartbeat(beat: Heartbeat): Buffer {
  const octets = Buffer.alloc(heartbeatOctets)
  octets.writeUInt8(version, 0)
  octets.writeUInt8(clockQualities.indexOf(beat.clock), 1)
  octets.writeUIntBE(beat.utcMs, 4, 6)
  octets.writeUIntBE(beat.monotonicMs, 10, 6)
  octets.writeUIntBE(beat.highest, 16, 6)
  octets.writeBigUInt64BE(BigInt(beat.datagrams), 22)
  octets.writeBigUInt64BE(BigInt(beat.octets), 30)
  octets.writeUInt32BE(beat.queuedBatches, 38)
  octets.writeBigUInt64BE(BigInt(beat.queuedOctets), 42)
  octets.writeBigUInt64BE(BigInt(beat.oldestMs), 50)
  octets.writeBigUInt64BE(BigInt(beat.octetsPerSecond), 58)
  return octets
}

/** @throws PeerError `HEARTBEAT_MALFORMED` */
export function decodeHeartbeat(octets: Buffer): Heartbeat {
  const malformed = (why: string): PeerError => new PeerError('HEARTBEAT_MALFORMED', why)
  if (octets.length !== heartbeatOctets) throw malformed(`${octets.length} octets`)
  const clock = clockQualities[octets.readUInt8(1)]
  if (octets.readUInt8(0) !== version || octets.readUInt16BE(2) !== 0 || octets.readUInt16BE(66) !== 0) {
    throw malformed('not of version 1')
  }
  if (clock === undefined) throw malformed('no such clock quality')
  const long = (at: number): number => {
    const value = Number(octets.readBigUInt64BE(at))
    if (!Number.isSafeInteger(value)) throw malformed('a number that is too large')
    return value
  }
  return {
    utcMs: octets.readUIntBE(4, 6),
    monotonicMs: octets.readUIntBE(10, 6),
    clock,
    highest: octets.readUIntBE(16, 6),
    datagrams: long(22),
    octets: long(30),
    queuedBatches: octets.readUInt32BE(38),
    queuedOctets: long(42),
    oldestMs: long(50),
    octetsPerSecond: long(58),
  }
}
