import protobuf from 'protobufjs/minimal.js'
import { PeerError, type PeerFault } from '../errors.ts'
import type { ExactInteger } from '../model.ts'

export const Reader: typeof protobuf.Reader = protobuf.Reader
export const Writer: typeof protobuf.Writer = protobuf.Writer
export type Reader = protobuf.Reader
export type Writer = protobuf.Writer

const twoTo32 = 4_294_967_296

/** What protobufjs takes and gives for 64 bits where a number will not do. */
interface LongBits {
  low: number
  high: number
}

/** Two's complement of 64 bits. @param value -2^63 to 2^64 - 1 */
export function toLong(value: ExactInteger): number | protobuf.Long {
  if (typeof value === 'number') return value
  const bits = BigInt.asUintN(64, value)
  return { low: Number(bits & 0xffffffffn) | 0, high: Number(bits >> 32n) | 0, unsigned: false } as protobuf.Long
}

/** A signed 64-bit field as an exact integer. */
export function signed(long: number | LongBits): ExactInteger {
  if (typeof long === 'number') return long
  const near = long.high * twoTo32 + (long.low >>> 0)
  if (Number.isSafeInteger(near)) return near
  return (BigInt(long.high) << 32n) | BigInt(long.low >>> 0)
}

/** An unsigned 64-bit field that counts or tells a time. @throws PeerError `fault` beyond 2^53 - 1 */
export function count(long: number | LongBits, fault: PeerFault): number {
  if (typeof long === 'number') return long
  if (long.high >>> 0 >= 0x200000) throw new PeerError(fault, 'a count beyond 2^53 - 1')
  return (long.high >>> 0) * twoTo32 + (long.low >>> 0)
}

/**
 * Decodes one message; whatever protobufjs throws on bad octets becomes `fault`.
 * @param field takes one field by number, or says `false`: it is then skipped, as proto3 asks of readers
 * @throws PeerError `fault`, and what `field` throws
 */
export function decodeMessage(
  octets: Uint8Array,
  fault: PeerFault,
  field: (id: number, reader: Reader, wireType: number) => boolean,
): void {
  const reader = Reader.create(octets)
  try {
    while (reader.pos < reader.len) {
      const tag = reader.uint32()
      if (tag >>> 3 === 0) throw new PeerError(fault, 'field number 0', { offset: reader.pos })
      if (!field(tag >>> 3, reader, tag & 7)) reader.skipType(tag & 7)
    }
  } catch (cause) {
    if (cause instanceof PeerError) throw cause
    throw new PeerError(fault, 'not protobuf', { offset: reader.pos, cause })
  }
}

/** @throws PeerError `fault` when a known field comes in another wire type */
export function expectWire(actual: number, expected: number, fault: PeerFault): void {
  if (actual !== expected) throw new PeerError(fault, `wire type ${actual}, expected ${expected}`)
}
