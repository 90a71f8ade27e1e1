import { PeerError } from '../errors.ts'
import { type ExactInteger, type Series, seriesLengthMax, systemTitle } from '../model.ts'
import { decodeObis, encodeObis, logicalNameOctets } from './obis.ts'
import { count, decodeMessage, expectWire, type Reader, signed, toLong, Writer } from './protobuf.ts'

/** Readings as the ledger let them through: each says which correction it is. */
export interface SealedSeries extends Series {
  /** 0: the first value of this reading; n: its nth correction, 0 to 255 */
  revisions: number[]
}

/** What is signed: it stands for every series of the batch through `root`, and for every batch before by `previous`. */
export interface BatchHeader {
  /** drawn when a gateway is installed: tells its stream from any before */
  epoch: number
  /** from 1, without gaps */
  sequence: number
  createdAtMs: number
  /** SHA-256 of the encoded header before; empty in the first */
  previous: Uint8Array
  seriesCount: number
  readingCount: number
  /** Merkle tree hash over the encoded series, 32 octets. @see RFC 9162, 2.1.1 */
  root: Uint8Array
}

export interface SealedBatch {
  /** encoded `BatchHeader`, the octets that are signed */
  header: Uint8Array
  /** CMS SignedData, detached, DER */
  signature: Uint8Array
  /** encoded series, the leaves */
  series: Uint8Array[]
}

/** Octets of a sealed batch, the most that a receiver takes. */
export const batchOctetsMax = 8_388_608
/** Series in one, the most: a mebibyte of the shortest gives half as many. */
export const batchSeriesMax = 65_536
/** Last second of the year 9999: what lies beyond has no date that others read. */
export const endSecondsMax = 253_402_300_799

const fault = 'BATCH_MALFORMED'

/** Canonical: `encodeSeries(decodeSeries(x))` is x, or x is refused. */
export function encodeSeries(series: SealedSeries): Uint8Array {
  const writer = Writer.create()
  writer.uint32(10).bytes(Buffer.from(series.meter, 'hex'))
  writer.uint32(18).bytes(encodeObis(series.obis))
  if (series.scaler !== 0) writer.uint32(24).sint32(series.scaler)
  if (series.unit !== 0) writer.uint32(32).uint32(series.unit)
  writer.uint32(42).fork()
  let before = 0
  for (const end of series.ends) {
    writer.uint64(end - before)
    before = end
  }
  writer.ldelim().uint32(50).fork()
  for (const value of series.values) writer.sint64(toLong(value))
  writer.ldelim()
  packed(writer, 58, series.qualities)
  packed(writer, 66, series.revisions)
  return writer.finish()
}

/** All zero is the default, and left out. */
function packed(writer: Writer, tag: number, values: readonly number[]): void {
  if (values.every((value) => value === 0)) return
  writer.uint32(tag).fork()
  for (const value of values) writer.uint32(value)
  writer.ldelim()
}

/** @throws PeerError `BATCH_MALFORMED` */
export function decodeSeries(octets: Uint8Array): SealedSeries {
  let meter = new Uint8Array(0)
  let obis = new Uint8Array(0)
  let scaler = 0
  let unit = 0
  let [ends, values, qualities, revisions]: [number[], ExactInteger[], number[], number[]] = [[], [], [], []]
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field === 3 || field === 4) expectWire(wire, 0, fault)
    else expectWire(wire, 2, fault)
    if (field === 1) meter = reader.bytes() as Uint8Array<ArrayBuffer>
    else if (field === 2) obis = reader.bytes() as Uint8Array<ArrayBuffer>
    else if (field === 3) scaler = reader.sint32()
    else if (field === 4) unit = reader.uint32()
    else if (field === 5) ends = unpack(reader, () => count(reader.uint64(), fault))
    else if (field === 6) values = unpack(reader, () => signed(reader.sint64()))
    else if (field === 7) qualities = unpack(reader, () => reader.uint32())
    else if (field === 8) revisions = unpack(reader, () => reader.uint32())
    else return false
    return true
  })
  if (meter.length !== 8 || obis.length !== logicalNameOctets) throw new PeerError(fault, 'a series without a name')
  for (let i = 1; i < ends.length; i++) ends[i]! += ends[i - 1]!
  const lists = { ends, values, qualities: filled(qualities, ends), revisions: filled(revisions, ends) }
  const series: SealedSeries = { meter: systemTitle(meter), obis: decodeObis(obis), scaler, unit, ...lists }
  if (!wellFormed(series) || !Buffer.from(encodeSeries(series)).equals(octets)) {
    throw new PeerError(fault, 'a series that is not canonical')
  }
  return series
}

function unpack<T>(reader: Reader, one: () => T): T[] {
  const end = reader.uint32() + reader.pos
  if (end > reader.len) throw new PeerError(fault, 'a list beyond its message', { offset: reader.pos })
  const list: T[] = []
  while (reader.pos < end) list.push(one())
  return list
}

function filled(list: number[], ends: readonly number[]): number[] {
  return list.length === 0 ? ends.map(() => 0) : list
}

function wellFormed({ scaler, unit, ends, values, qualities, revisions }: SealedSeries): boolean {
  const { length } = ends
  return (
    scaler >= -128 &&
    scaler <= 127 &&
    unit <= 255 &&
    revisions.every((revision) => revision <= 255) &&
    length >= 1 &&
    length <= seriesLengthMax &&
    [values, qualities, revisions].every((list) => list.length === length) &&
    ends.at(-1)! <= endSecondsMax
  )
}

export function encodeHeader(header: BatchHeader): Uint8Array {
  const writer = Writer.create()
  if (header.epoch !== 0) writer.uint32(8).uint32(header.epoch)
  if (header.sequence !== 0) writer.uint32(16).uint64(header.sequence)
  if (header.createdAtMs !== 0) writer.uint32(24).uint64(header.createdAtMs)
  if (header.previous.length > 0) writer.uint32(34).bytes(header.previous)
  if (header.seriesCount !== 0) writer.uint32(40).uint32(header.seriesCount)
  if (header.readingCount !== 0) writer.uint32(48).uint32(header.readingCount)
  if (header.root.length > 0) writer.uint32(58).bytes(header.root)
  return writer.finish()
}

/** @throws PeerError `BATCH_MALFORMED`, also when the octets are not canonical */
export function decodeHeader(octets: Uint8Array): BatchHeader {
  const empty = new Uint8Array(0)
  const header = {
    epoch: 0,
    sequence: 0,
    createdAtMs: 0,
    previous: empty,
    seriesCount: 0,
    readingCount: 0,
    root: empty,
  }
  decodeMessage(octets, fault, (field, reader, wire) => {
    expectWire(wire, field === 4 || field === 7 ? 2 : 0, fault)
    if (field === 1) header.epoch = reader.uint32()
    else if (field === 2) header.sequence = count(reader.uint64(), fault)
    else if (field === 3) header.createdAtMs = count(reader.uint64(), fault)
    else if (field === 4) header.previous = reader.bytes() as typeof empty
    else if (field === 5) header.seriesCount = reader.uint32()
    else if (field === 6) header.readingCount = reader.uint32()
    else if (field === 7) header.root = reader.bytes() as typeof empty
    else return false
    return true
  })
  const previousOctets = header.sequence === 1 ? 0 : 32
  const whole = header.root.length === 32 && header.previous.length === previousOctets && header.sequence > 0
  if (!whole || !Buffer.from(encodeHeader(header)).equals(octets)) {
    throw new PeerError(fault, 'a batch header that is not canonical')
  }
  return header
}

export function encodeSealedBatch({ header, signature, series }: SealedBatch): Uint8Array {
  const writer = Writer.create()
  writer.uint32(10).bytes(header).uint32(18).bytes(signature)
  for (const leaf of series) writer.uint32(26).bytes(leaf)
  return writer.finish()
}

/** @throws PeerError `BATCH_MALFORMED` */
export function decodeSealedBatch(octets: Uint8Array): SealedBatch {
  if (octets.length > batchOctetsMax) throw new PeerError(fault, `${octets.length} octets, limit ${batchOctetsMax}`)
  const batch: SealedBatch = { header: new Uint8Array(0), signature: new Uint8Array(0), series: [] }
  decodeMessage(octets, fault, (field, reader, wire) => {
    expectWire(wire, 2, fault)
    if (field === 1) batch.header = reader.bytes()
    else if (field === 2) batch.signature = reader.bytes()
    else if (field === 3) {
      if (batch.series.length >= batchSeriesMax) throw new PeerError(fault, `over ${batchSeriesMax} series`)
      batch.series.push(reader.bytes())
    } else return false
    return true
  })
  return batch
}

/**
 * Whether a series can be remembered and sealed: values of 64 bits, signed, and ends that have a date. What a meter sends
 * may be wider, and must be refused before it takes effect.
 */
export function fits({ ends, values }: Series): boolean {
  return (
    ends.every((end) => end >= 0 && end <= endSecondsMax) &&
    values.every((value) => typeof value === 'number' || BigInt.asIntN(64, value) === value)
  )
}

/** Readings in all of them. */
export function readingCount(series: readonly Series[]): number {
  return series.reduce((sum, { ends }) => sum + ends.length, 0)
}
