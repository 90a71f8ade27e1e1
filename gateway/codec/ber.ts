import { PeerError } from '../errors.ts'
import { unknownChoice } from './constructs.ts'
import { decodeLength, encodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** How the contents of one BER field are read and written; what it leaves unread is a fault. */
export interface Ber<T> {
  decode(reader: OctetReader): T
  write(writer: OctetWriter, value: T): void
}

/** A BER field with its identifier octet. */
export interface Field<T> extends Ber<T> {
  tag: number
}

/** A field for each property, in the order in which they travel. */
export type Fields<T> = { readonly [K in keyof T]-?: Field<NonNullable<T[K]>> }

/** Bits are counted from the most significant of the first octet. */
export interface BitString {
  bits: number
  octets: Uint8Array
}

/**
 * The fields of a SEQUENCE behind its tag, each at most once and in their order.
 * @param what the name of the SEQUENCE, for faults
 * @throws PeerError `APDU_CHOICE` for a field that is unknown or out of order, `APDU_TRAILING` for octets left in
 *   one, `APDU_TRUNCATED`, `APDU_LENGTH`, and as the fields
 * @see ITU-T X.690, 8
 */
export function decodeFields<T extends object>(reader: OctetReader, what: string, fields: Fields<T>): Partial<T> {
  const ordered = Object.entries(fields) as [keyof T, Field<T[keyof T]>][]
  const contents = reader.inner(decodeLength(reader, octetsMax))
  const found: Partial<T> = {}
  let next = 0
  while (contents.remaining > 0) {
    const offset = contents.offset
    const tag = contents.uint(1)
    const at = ordered.findIndex(([, field], i) => i >= next && field.tag === tag)
    if (at < 0) throw unknownChoice(`${what}, at this place,`, tag, offset)
    const [name, field] = ordered[at]!
    found[name] = whole(contents, field)
    next = at + 1
  }
  return found
}

/** With its length. Fields that are `undefined` are left out. */
export function writeFields<T extends object>(writer: OctetWriter, values: T, fields: Fields<T>): void {
  const contents = new OctetWriter()
  for (const [name, field] of Object.entries(fields) as [keyof T, Field<T[keyof T]>][]) {
    if (values[name] !== undefined) writeField(contents, field, values[name])
  }
  const octets = contents.finish()
  encodeLength(writer, octets.length)
  writer.octets(octets)
}

function whole<T>(reader: OctetReader, { decode }: Ber<T>): T {
  const contents = reader.inner(decodeLength(reader, octetsMax))
  const value = decode(contents)
  contents.end()
  return value
}

function writeField<T>(writer: OctetWriter, { tag, write }: Field<T>, value: T): void {
  const contents = new OctetWriter()
  write(contents, value)
  const octets = contents.finish()
  encodeLength(writer.uint(1, tag), octets.length)
  writer.octets(octets)
}

/** A field in a field: explicit tagging. */
export function explicit<T>(inner: Field<T>): Ber<T> {
  return {
    decode(reader) {
      const offset = reader.offset
      const tag = reader.uint(1)
      if (tag !== inner.tag) throw unknownChoice('a field', tag, offset)
      return whole(reader, inner)
    },
    write: (writer, value) => writeField(writer, inner, value),
  }
}

/** One field of several, told apart by their tags. */
export function alternatives<K extends string, T>(tags: Readonly<Record<K, number>>, inner: Ber<T>): Ber<[K, T]> {
  return {
    decode(reader) {
      const offset = reader.offset
      const tag = reader.uint(1)
      const kind = (Object.keys(tags) as K[]).find((kind) => tags[kind] === tag)
      if (kind === undefined) throw unknownChoice('a field', tag, offset)
      return [kind, whole(reader, inner)]
    },
    write: (writer, [kind, value]) => writeField(writer, { ...inner, tag: tags[kind] }, value),
  }
}

export const berOctets: Ber<Uint8Array> = {
  decode: (reader) => reader.rest(),
  write: (writer, octets) => {
    writer.octets(octets)
  },
}

const integerOctetsMax = 4

/** Two's complement of at most four octets; written in the fewest. */
export const berInteger: Ber<number> = {
  decode(reader) {
    const { offset, remaining } = reader
    if (remaining === 0 || remaining > integerOctetsMax) {
      throw new PeerError('APDU_LENGTH', `an integer of ${remaining} octets, 1 to 4 are taken`, { offset })
    }
    let value = reader.int(1)
    while (reader.remaining > 0) value = value * 256 + reader.uint(1)
    return value
  },
  write(writer, value) {
    const width = [1, 2, 3].find((width) => value >= -(256 ** width / 2) && value < 256 ** width / 2)
    if (width === undefined) writer.int(4, value)
    else writer.uint(width as 1 | 2 | 3, value < 0 ? value + 256 ** width : value)
  },
}

export const berBitString: Ber<BitString> = {
  decode(reader) {
    const offset = reader.offset
    const unused = reader.uint(1)
    const octets = reader.rest()
    if (unused > 7 || unused > octets.length * 8) {
      throw new PeerError('DATA_VALUE', `${unused} unused bits in ${octets.length} octets`, { offset })
    }
    return { bits: octets.length * 8 - unused, octets }
  },
  write(writer, { bits, octets }) {
    writer.uint(1, octets.length * 8 - bits).octets(octets)
  },
}
