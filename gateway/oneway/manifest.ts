import { hash } from 'node:crypto'
import { PeerError } from '../errors.ts'
import { numbersMax } from './toi.ts'

/** Batches that stand side by side, told of together. */
export interface BatchRange {
  /** sequences, both included */
  from: number
  to: number
  /** when the first and the last of them was sealed, milliseconds since 1970 */
  firstSealedMs: number
  lastSealedMs: number
  readings: number
  /** passes that each of them has had, at least */
  passesDone: number
}

/**
 * What the sender has, signed by its sealer: so that the receiver knows what it lacks, the newest included. Its size does not grow
 * with history: ranges double towards the past.
 */
export interface Manifest {
  epoch: number
  /** rises by one from manifest to manifest */
  number: number
  createdAtMs: number
  /** SHA-256 of the manifest before; empty for the first */
  previous: Uint8Array
  /** of the last batch sealed, and SHA-256 of its header, which the chain leads back from; 0 and empty before the first */
  highest: number
  head: Uint8Array
  /** passes that every batch gets */
  passes: number
  /** in order and without a hole, from the oldest batch that can still be sent again to `highest` */
  ranges: readonly BatchRange[]
}

/** Milliseconds from one to the next. */
export const manifestEveryMs = 10_000
/** Ranges of one manifest, the most. */
export const manifestRangesMax = 128
const passesMax = 255
const digestOctets = 32
const rangeOctets = 38
const headOctets = 28
/** A batch's header begins otherwise, so that no signature of one is one of the other. */
const magic = Buffer.from('AMI manifest 1\n', 'latin1')

/**
 * ```
 * "AMI manifest 1\n" | epoch 32 | number 48 | created 48 | highest 48 | passes 8 | ranges 8 | length of previous 8 | of head 8
 * previous | head | each range: from 48, to 48, first sealed 48, last sealed 48, readings 64, passes done 8, reserved 40
 * ```
 */
export function encodeManifest(manifest: Manifest): Buffer {
  const { epoch, number, createdAtMs, previous, highest, head, passes, ranges } = manifest
  if (ranges.length > manifestRangesMax) throw new RangeError(`${ranges.length} ranges, at most ${manifestRangesMax}`)
  const fixed = Buffer.alloc(headOctets)
  fixed.writeUInt32BE(epoch, 0)
  fixed.writeUIntBE(number, 4, 6)
  fixed.writeUIntBE(createdAtMs, 10, 6)
  fixed.writeUIntBE(highest, 16, 6)
  fixed.writeUInt8(passes, 22)
  fixed.writeUInt8(ranges.length, 23)
  fixed.writeUInt8(previous.length, 24)
  fixed.writeUInt8(head.length, 25)
  return Buffer.concat([magic, fixed, previous, head, ...ranges.map(encodeRange)])
}

function encodeRange({ from, to, firstSealedMs, lastSealedMs, readings, passesDone }: BatchRange): Buffer {
  const octets = Buffer.alloc(rangeOctets)
  for (const [place, value] of [from, to, firstSealedMs, lastSealedMs].entries())
    octets.writeUIntBE(value, place * 6, 6)
  octets.writeBigUInt64BE(BigInt(readings), 24)
  octets.writeUInt8(Math.min(passesDone, passesMax), 32)
  return octets
}

/** Only what `encodeManifest` writes. @throws PeerError `MANIFEST_MALFORMED` */
export function decodeManifest(octets: Buffer): Manifest {
  if (octets.length < magic.length + headOctets || !octets.subarray(0, magic.length).equals(magic)) {
    throw malformed('another beginning')
  }
  const fixed = octets.subarray(magic.length, magic.length + headOctets)
  const [count, previousOctets, headDigestOctets] = [fixed.readUInt8(23), fixed.readUInt8(24), fixed.readUInt8(25)]
  if (fixed.readUInt16BE(26) !== 0 || count > manifestRangesMax) throw malformed('a field out of its bounds')
  for (const length of [previousOctets, headDigestOctets]) {
    if (length !== 0 && length !== digestOctets) throw malformed('a digest of another length')
  }
  const previousAt = magic.length + headOctets
  const headAt = previousAt + previousOctets
  const rangesAt = headAt + headDigestOctets
  if (octets.length !== rangesAt + count * rangeOctets) throw malformed(`${octets.length} octets`)
  const manifest = {
    epoch: fixed.readUInt32BE(0),
    number: fixed.readUIntBE(4, 6),
    createdAtMs: fixed.readUIntBE(10, 6),
    previous: octets.subarray(previousAt, headAt),
    highest: fixed.readUIntBE(16, 6),
    head: octets.subarray(headAt, rangesAt),
    passes: fixed.readUInt8(22),
    ranges: Array.from({ length: count }, (_, i) => decodeRange(octets.subarray(rangesAt + i * rangeOctets))),
  }
  checkTiling(manifest)
  return manifest
}

function decodeRange(octets: Buffer): BatchRange {
  const readings = Number(octets.readBigUInt64BE(24))
  if (!Number.isSafeInteger(readings) || octets.readUIntBE(33, 5) !== 0) throw malformed('a range of another form')
  return {
    from: octets.readUIntBE(0, 6),
    to: octets.readUIntBE(6, 6),
    firstSealedMs: octets.readUIntBE(12, 6),
    lastSealedMs: octets.readUIntBE(18, 6),
    readings,
    passesDone: octets.readUInt8(32),
  }
}

function checkTiling({ number, highest, head, passes, ranges }: Manifest): void {
  if (number === 0 || number >= numbersMax || passes === 0) throw malformed('no such number')
  if ((head.length === 0) !== (highest === 0)) throw malformed('a head without a batch, or a batch without')
  let next = ranges[0]?.from ?? highest + 1
  if (next === 0) throw malformed('a batch 0')
  for (const { from, to } of ranges) {
    if (from !== next || to < from) throw malformed('ranges that leave a hole')
    next = to + 1
  }
  if (next !== highest + 1) throw malformed('ranges that do not end at the highest')
}

function malformed(why: string): PeerError {
  return new PeerError('MANIFEST_MALFORMED', why)
}

/** How the next manifest refers to this one. @param octets as encoded */
export function manifestDigest(octets: Uint8Array): Uint8Array {
  return hash('sha256', octets, 'buffer')
}

/** A manifest and its signature, as they travel: length of the manifest, 32 bits; the manifest; the CMS signature. */
export function joinSigned(manifest: Uint8Array, signature: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(manifest.length)
  return Buffer.concat([length, manifest, signature])
}

/** @throws PeerError `MANIFEST_MALFORMED` */
export function splitSigned(octets: Buffer): { manifest: Buffer; signature: Buffer } {
  const length = octets.length < 4 ? Number.POSITIVE_INFINITY : octets.readUInt32BE(0)
  if (4 + length >= octets.length) throw malformed('no signature behind it')
  return { manifest: octets.subarray(4, 4 + length), signature: octets.subarray(4 + length) }
}
