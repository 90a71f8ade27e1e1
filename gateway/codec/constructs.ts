import { PeerError } from '../errors.ts'
import { type Budget, type Data, dataBudget, decodeData, writeData } from './axdr.ts'
import { decodeLength, encodeLength, type OctetReader, type OctetWriter, octetsMax } from './octets.ts'

/** Items of one list in an APDU, the most: a request for each object of a large meter fits. */
export const listMax = 4_096

/** An alternative or a field that the APDU does not have. @param offset where its tag lies */
export function unknownChoice(what: string, tag: number, offset: number): PeerError {
  return new PeerError('APDU_CHOICE', `${what} has no alternative ${tag}`, { offset })
}

/** One of the alternatives that `table` names by tag. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED` */
export function decodeChoice<T>(reader: OctetReader, what: string, table: ReadonlyMap<number, T>): T {
  const offset = reader.offset
  const tag = reader.uint(1)
  const found = table.get(tag)
  if (found === undefined) throw unknownChoice(what, tag, offset)
  return found
}

/** The tag of a choice by its name, back to front of what `decodeChoice` reads. */
export function choices<const T extends Readonly<Record<string, number>>>(table: T): ReadonlyMap<number, keyof T> {
  return new Map(Object.entries(table).map(([name, tag]) => [tag, name]))
}

/** A BOOLEAN: any octet but 0 is true. @see IEC 61334-6 */
export function decodeBoolean(reader: OctetReader): boolean {
  return reader.uint(1) !== 0
}

/** A BOOLEAN as 00 or 01. */
export function writeBoolean(writer: OctetWriter, value: boolean): void {
  writer.uint(1, value ? 1 : 0)
}

/**
 * An OPTIONAL: 00, or 01 and the value.
 * @throws PeerError `DATA_VALUE` for any other flag, and as `decode`
 * @see IEC 61334-6
 */
export function decodeOptional<T>(reader: OctetReader, decode: (reader: OctetReader) => T): T | undefined {
  const offset = reader.offset
  const flag = reader.uint(1)
  if (flag > 1) throw new PeerError('DATA_VALUE', `an optional value's flag is 0 or 1, not ${flag}`, { offset })
  return flag === 0 ? undefined : decode(reader)
}

/** @see decodeOptional */
export function writeOptional<T>(
  writer: OctetWriter,
  value: T | undefined,
  write: (writer: OctetWriter, value: T) => void,
): void {
  writeBoolean(writer, value !== undefined)
  if (value !== undefined) write(writer, value)
}

/**
 * A SEQUENCE OF: a count and as many items, each of an octet at least.
 * @throws PeerError `DATA_COUNT` beyond `listMax` or what the octets can hold, and as `decode`
 */
export function decodeList<T>(reader: OctetReader, decode: (reader: OctetReader) => T): T[] {
  const offset = reader.offset
  const count = decodeLength(reader, 0xffffffff)
  if (count > listMax) throw new PeerError('DATA_COUNT', `${count} items, limit ${listMax}`, { offset })
  if (count > reader.remaining) {
    throw new PeerError('DATA_COUNT', `${count} items in ${reader.remaining} octets`, { offset })
  }
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(decode(reader))
  return items
}

/** @see decodeList */
export function writeList<T>(
  writer: OctetWriter,
  items: readonly T[],
  write: (writer: OctetWriter, item: T) => void,
): void {
  encodeLength(writer, items.length)
  for (const item of items) write(writer, item)
}

/** An OCTET STRING as a view. @throws PeerError `APDU_LENGTH`, `APDU_TRUNCATED` */
export function decodeOctets(reader: OctetReader): Uint8Array {
  return reader.octets(decodeLength(reader, octetsMax))
}

/** @see decodeOctets */
export function writeOctets(writer: OctetWriter, octets: Uint8Array): void {
  encodeLength(writer, octets.length)
  writer.octets(octets)
}

/** A SEQUENCE OF Data; all of them share one budget of elements. */
export function decodeDataList(reader: OctetReader, budget: Budget = dataBudget()): Data[] {
  return decodeList(reader, (reader) => decodeData(reader, budget))
}

/** @see decodeDataList */
export function writeDataList(writer: OctetWriter, list: readonly Data[]): void {
  writeList(writer, list, writeData)
}
