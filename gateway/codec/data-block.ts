import { decodeBoolean, decodeOctets, unknownChoice, writeBoolean, writeOctets } from './constructs.ts'
import type { OctetReader, OctetWriter } from './octets.ts'

/** A piece of what is too long for one APDU. @see IEC 62056-5-3, DataBlock-SA */
export interface DataBlock {
  last: boolean
  /** from 1; 0 to 2^32 - 1 can travel */
  number: number
  octets: Uint8Array
}

/** A piece, or the `dataAccessResult` that ends the transfer. @see IEC 62056-5-3, DataBlock-G */
export type GetDataBlock = DataBlock | { last: boolean; number: number; result: number }

/** @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeDataBlock(reader: OctetReader): DataBlock {
  return { last: decodeBoolean(reader), number: reader.uint(4), octets: decodeOctets(reader) }
}

/** @see decodeDataBlock */
export function writeDataBlock(writer: OctetWriter, { last, number, octets }: DataBlock): void {
  writeBoolean(writer, last)
  writer.uint(4, number)
  writeOctets(writer, octets)
}

const rawTag = 0
const resultTag = 1

/** @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeGetDataBlock(reader: OctetReader): GetDataBlock {
  const head = { last: decodeBoolean(reader), number: reader.uint(4) }
  const offset = reader.offset
  const tag = reader.uint(1)
  if (tag === rawTag) return { ...head, octets: decodeOctets(reader) }
  if (tag === resultTag) return { ...head, result: reader.uint(1) }
  throw unknownChoice('a data block', tag, offset)
}

/** @see decodeGetDataBlock */
export function writeGetDataBlock(writer: OctetWriter, block: GetDataBlock): void {
  writeBoolean(writer, block.last)
  writer.uint(4, block.number)
  if ('result' in block) writer.uint(1, resultTag).uint(1, block.result)
  else writeOctets(writer.uint(1, rawTag), block.octets)
}
