import { PeerError } from '../errors.ts'
import { count, decodeMessage, expectWire, type Reader, Writer } from './protobuf.ts'

/** One batch of the stream, and through its digest, which the next header names, every batch before it. */
export interface Checkpoint {
  sequence: number
  /** SHA-256 of its encoded header, 32 octets */
  digest: Uint8Array
  createdAtMs: number
  /** readings of this batch and of all before */
  readingsTotal: number
}

/** What the sender says of its stream, signed: where it stands, and what should have come. */
export interface Manifest {
  epoch: number
  /** from 1; another for each manifest of the epoch */
  number: number
  createdAtMs: number
  /** SHA-256 of the encoded manifest before; empty in the first */
  previous: Uint8Array
  /** the first batch that can still be had by a replay; 0 where there is none */
  oldest: number
  /** the last one sealed; 0 before the first */
  highest: number
  /** all up to here have had their first pass */
  firstPassTo: number
  /** all up to here have had their last pass */
  lastPassTo: number
  /** in order; see `checkpointSequences` */
  checkpoints: Checkpoint[]
}

export interface SealedManifest {
  /** encoded `Manifest`, the octets that are signed */
  manifest: Uint8Array
  /** CMS SignedData, detached, DER */
  signature: Uint8Array
}

/** Octets of a sealed manifest, the most that a receiver takes: its signature brings chain and CRLs along. */
export const manifestOctetsMax = 1_048_576
export const checkpointsMax = 160

const fault = 'MANIFEST_MALFORMED'
const digestOctets = 32
/** Stands first, so that no signature over it can be taken for one over anything else. */
const what = 'ami.v1.Manifest'

export function encodeManifest(manifest: Manifest): Uint8Array {
  const writer = Writer.create()
  writer.uint32(10).string(what)
  const { epoch, number, createdAtMs, previous, oldest, highest, firstPassTo, lastPassTo } = manifest
  if (epoch !== 0) writer.uint32(16).uint32(epoch)
  if (number !== 0) writer.uint32(24).uint64(number)
  if (createdAtMs !== 0) writer.uint32(32).uint64(createdAtMs)
  if (previous.length > 0) writer.uint32(42).bytes(previous)
  for (const [tag, value] of [
    [48, oldest],
    [56, highest],
    [64, firstPassTo],
    [72, lastPassTo],
  ] as const) {
    if (value !== 0) writer.uint32(tag).uint64(value)
  }
  for (const checkpoint of manifest.checkpoints) writeCheckpoint(writer, checkpoint)
  return writer.finish()
}

function writeCheckpoint(writer: Writer, { sequence, digest, createdAtMs, readingsTotal }: Checkpoint): void {
  writer.uint32(82).fork()
  if (sequence !== 0) writer.uint32(8).uint64(sequence)
  if (digest.length > 0) writer.uint32(18).bytes(digest)
  if (createdAtMs !== 0) writer.uint32(24).uint64(createdAtMs)
  if (readingsTotal !== 0) writer.uint32(32).uint64(readingsTotal)
  writer.ldelim()
}

/** @throws PeerError `MANIFEST_MALFORMED`, also when the octets are not canonical or the numbers contradict each other */
export function decodeManifest(octets: Uint8Array): Manifest {
  let named = ''
  const numbers = [0, 0, 0, 0, 0, 0, 0, 0]
  let previous = new Uint8Array(0)
  const checkpoints: Checkpoint[] = []
  decodeMessage(octets, fault, (field, reader, wire) => {
    expectWire(wire, [1, 5, 10].includes(field) ? 2 : 0, fault)
    if (field === 1) named = reader.string()
    else if (field === 5) previous = reader.bytes() as typeof previous
    else if (field === 10) checkpoints.push(decodeCheckpoint(reader.bytes()))
    else if (field <= 9) numbers[field - 2] = count(reader.uint64(), fault)
    else return false
    if (checkpoints.length > checkpointsMax) throw new PeerError(fault, `over ${checkpointsMax} checkpoints`)
    return true
  })
  const [epoch, number, createdAtMs, , oldest, highest, firstPassTo, lastPassTo] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const manifest = { epoch, number, createdAtMs, previous, oldest, highest, firstPassTo, lastPassTo, checkpoints }
  if (named !== what || !isConsistent(manifest) || !Buffer.from(encodeManifest(manifest)).equals(octets)) {
    throw new PeerError(fault, 'a manifest that is not canonical')
  }
  return manifest
}

function isConsistent(manifest: Manifest): boolean {
  const { epoch, number, previous, oldest, highest, firstPassTo, lastPassTo, checkpoints } = manifest
  return (
    epoch < 2 ** 32 &&
    number >= 1 &&
    previous.length === (number === 1 ? 0 : digestOctets) &&
    lastPassTo <= firstPassTo &&
    firstPassTo <= highest &&
    oldest <= highest &&
    checkpoints.every(({ digest }) => digest.length === digestOctets) &&
    checkpoints.every(({ sequence }, i) => sequence > (checkpoints[i - 1]?.sequence ?? 0) && sequence <= highest) &&
    checkpoints.every(({ readingsTotal }, i) => readingsTotal >= (checkpoints[i - 1]?.readingsTotal ?? 0))
  )
}

function decodeCheckpoint(octets: Uint8Array): Checkpoint {
  const checkpoint: Checkpoint = { sequence: 0, digest: new Uint8Array(0), createdAtMs: 0, readingsTotal: 0 }
  const number = (reader: Reader): number => count(reader.uint64(), fault)
  decodeMessage(octets, fault, (field, reader, wire) => {
    expectWire(wire, field === 2 ? 2 : 0, fault)
    if (field === 1) checkpoint.sequence = number(reader)
    else if (field === 2) checkpoint.digest = reader.bytes()
    else if (field === 3) checkpoint.createdAtMs = number(reader)
    else if (field === 4) checkpoint.readingsTotal = number(reader)
    else return false
    return true
  })
  return checkpoint
}

export function encodeSealedManifest({ manifest, signature }: SealedManifest): Uint8Array {
  return Writer.create().uint32(10).bytes(manifest).uint32(18).bytes(signature).finish()
}

/** @throws PeerError `MANIFEST_MALFORMED` */
export function decodeSealedManifest(octets: Uint8Array): SealedManifest {
  if (octets.length > manifestOctetsMax)
    throw new PeerError(fault, `${octets.length} octets, limit ${manifestOctetsMax}`)
  const sealed: SealedManifest = { manifest: new Uint8Array(0), signature: new Uint8Array(0) }
  decodeMessage(octets, fault, (field, reader, wire) => {
    expectWire(wire, 2, fault)
    if (field === 1) sealed.manifest = reader.bytes()
    else if (field === 2) sealed.signature = reader.bytes()
    else return false
    return true
  })
  return sealed
}
