import { PeerError } from '../errors.ts'

/**
 * What the sender says of itself each second, in one datagram. Numbers are unsigned, 48 bits where the table says no other:
 *
 * ```
 *  0  form, 1 (8 bits)         1  quality of the clock (8)   2  number               8  first of this run
 * 14  UTC, ms                 20  monotonic time, ms        26  highest sequence (64)
 * 34  datagrams handed over   40  their octets              46  send errors
 * 52  objects queued          58  their octets              64  age of the oldest unsent, ms
 * 70  pace, bits a second     76  end
 * ```
 */
export interface Heartbeat {
  /** from 1; another for each heartbeat of the epoch, also after a restart */
  number: number
  /** number of this run's first heartbeat: counts and monotonic time begin there */
  run: number
  clock: ClockQuality
  utcMs: number
  monotonicMs: number
  /** the last batch sealed */
  highest: number
  /** handed to the kernel before this heartbeat, since the run began; heartbeats too */
  datagrams: number
  octets: number
  sendErrors: number
  /** sealed, and the first pass not complete */
  queueObjects: number
  queueOctets: number
  /** of what is not sealed yet or waits for its first pass */
  oldestUnsentMs: number
  bitsPerSecond: number
}

/** What the sender's system says of its clock; `stepped`: it jumped against the monotonic one within the last minutes. */
export const clockQualities = ['unknown', 'synchronised', 'free', 'stepped'] as const
export type ClockQuality = (typeof clockQualities)[number]

export const heartbeatOctets = 76
/** Seconds between two: the receiver counts on it. */
export const heartbeatSeconds = 1
const form = 1
const max48 = 2 ** 48 - 1

/** Where each number stands. */
const places = {
  number: 2,
  run: 8,
  utcMs: 14,
  monotonicMs: 20,
  datagrams: 34,
  octets: 40,
  sendErrors: 46,
  queueObjects: 52,
  queueOctets: 58,
  oldestUnsentMs: 64,
  bitsPerSecond: 70,
} as const
const highestAt = 26

/** Numbers beyond their field are cut to the most that it holds. */
export function encodeHeartbeat(heartbeat: Heartbeat): Buffer {
  const octets = Buffer.alloc(heartbeatOctets)
  octets.writeUInt8(form, 0)
  octets.writeUInt8(clockQualities.indexOf(heartbeat.clock), 1)
  for (const [name, at] of Object.entries(places) as [keyof typeof places, number][]) {
    octets.writeUIntBE(Math.min(max48, Math.max(0, Math.floor(heartbeat[name]))), at, 6)
  }
  octets.writeBigUInt64BE(BigInt(heartbeat.highest), highestAt)
  return octets
}

/** @throws PeerError `HEARTBEAT_MALFORMED` */
export function decodeHeartbeat(octets: Buffer): Heartbeat {
  const malformed = (why: string): PeerError => new PeerError('HEARTBEAT_MALFORMED', why)
  if (octets.length !== heartbeatOctets) throw malformed(`${octets.length} octets`)
  if (octets.readUInt8(0) !== form) throw malformed('of another form')
  const clock = clockQualities[octets.readUInt8(1)]
  if (clock === undefined) throw malformed('no such quality of a clock')
  const highest = octets.readBigUInt64BE(highestAt)
  if (highest > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed('no such sequence')
  const read = (name: keyof typeof places): number => octets.readUIntBE(places[name], 6)
  const numbers = Object.fromEntries(Object.keys(places).map((name) => [name, read(name as keyof typeof places)]))
  const heartbeat = { ...(numbers as Record<keyof typeof places, number>), clock, highest: Number(highest) }
  if (heartbeat.run < 1 || heartbeat.number < heartbeat.run) throw malformed('a number before its run')
  return heartbeat
}
