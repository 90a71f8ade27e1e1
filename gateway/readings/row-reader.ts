import { elementsMax } from '../codec/axdr.ts'
import { dateTimeOctets } from '../codec/datetime.ts'
import { PeerError } from '../errors.ts'
import { type Obis, seriesLengthMax } from '../model.ts'
import { pointInTime } from './local-time.ts'
import { statusQuality } from './meter-profile.ts'
import {
  endRow,
  type Filling,
  fillingOf,
  type Layout,
  nextEnd,
  noStatus,
  type Reader,
  type StatusSeries,
} from './profile.ts'
import type { Column } from './profile-columns.ts'

/** What cells of a row are, nearly always. @see IEC 62056-5-3, Data */
const tag = {
  nullData: 0,
  array: 1,
  structure: 2,
  doubleLong: 5,
  doubleLongUnsigned: 6,
  octetString: 9,
  integer: 15,
  long: 16,
  unsigned: 17,
  longUnsigned: 18,
  compactArray: 19,
  long64: 20,
  long64Unsigned: 21,
  enum: 22,
  dateTime: 25,
} as const

const cellTags: ReadonlySet<number> = new Set(
  Object.values(tag).filter((one) => one !== tag.array && one !== tag.structure && one !== tag.compactArray),
)

/**
 * The rows of a buffer straight from its octets: as `decodeData` and `profileSeries` find them, without values in
 * between. It knows the usual cells alone; whatever else there is, and whatever is wrong, is theirs to read or refuse.
 * @param span of the buffer, from its tag to behind its last octet
 * @returns `undefined` where they have to
 */
export function readRows(
  octets: Uint8Array,
  span: { from: number; to: number },
  { layout, reader }: { layout: Layout; reader: Reader },
): StatusSeries[] | undefined {
  try {
    return new RowReader(octets, span, { layout, reader }).read()
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

const none: Filling = { series: [], profile: undefined, row: 0, end: undefined, doubtful: 0, status: noStatus }

/** Each method tells whether it could read; what was not read whole is thrown away. */
class RowReader {
  readonly #octets: Uint8Array
  readonly #end: number
  readonly #layout: Layout
  readonly #reader: Reader
  #filling: Filling
  #at: number

  constructor(
    octets: Uint8Array,
    { from, to }: { from: number; to: number },
    { layout, reader }: { layout: Layout; reader: Reader },
  ) {
    this.#octets = octets
    this.#at = from
    this.#end = to
    this.#layout = layout
    this.#reader = reader
    this.#filling = none
  }

  read(): StatusSeries[] | undefined {
    const first = this.#octets[this.#at++]
    const isRead = first === tag.array ? this.#array() : first === tag.compactArray && this.#compactArray()
    if (!isRead || this.#at !== this.#end) return undefined
    return this.#filling.row === 0 ? [] : this.#filling.series
  }

  #array(): boolean {
    const count = this.#length()
    const octetsLeast = 2 + this.#layout.columns.length // of a row: no room is made for rows that cannot be there
    if (count === undefined || !this.#isBounded(count) || count * octetsLeast > this.#end - this.#at) return false
    this.#filling = fillingOf(this.#layout, this.#reader, count)
    for (let row = 0; row < count; row++) {
      if (!this.#isStructure() || !this.#row()) return false
    }
    return true
  }

  /**
   * The description says what each cell is, and each row is cells alone. No row is without octets, or of too few for its
   * elements: were clocks null-data, the first row would have none.
   */
  #compactArray(): boolean {
    if (!this.#isStructure()) return false
    const described = this.#at
    this.#at += this.#layout.columns.length
    for (let at = described; at < this.#at; at++) if (!cellTags.has(this.#octets[at]!)) return false
    const length = this.#length()
    if (length === undefined || this.#at + length !== this.#end) return false
    this.#filling = fillingOf(this.#layout, this.#reader, 0)
    while (this.#at < this.#end) if (!this.#row(described)) return false
    return this.#isBounded(this.#filling.row)
  }

  /** Half the elements of an APDU are left to what is around the buffer. */
  #isBounded(rows: number): boolean {
    return rows <= seriesLengthMax && rows * (this.#layout.columns.length + 1) < elementsMax / 2
  }

  /** A row's own tag and count. */
  #isStructure(): boolean {
    const at = this.#at
    this.#at += 2
    return this.#octets[at] === tag.structure && this.#octets[at + 1] === this.#layout.columns.length
  }

  /** A length of up to two octets. */
  #length(): number | undefined {
    const first = this.#octets[this.#at++]!
    if (first < 0x80) return first
    if (first === 0x81) return this.#unsigned(1)
    return first === 0x82 ? this.#unsigned(2) : undefined
  }

  /** @param described where the tags are told, `undefined` where each cell has its own */
  #row(described?: number): boolean {
    const { columns } = this.#layout
    const filling = this.#filling
    const before = filling.end
    let channel = 0
    for (let i = 0; i < columns.length; i++) {
      const column = columns[i]!
      const cell = this.#octets[described === undefined ? this.#at++ : described + i]!
      const isRead = column.kind === 'value' ? this.#value(cell, channel++) : this.#beside(cell, column, before)
      if (!isRead) return false
    }
    if (before !== undefined && filling.end! <= before) return false
    endRow(filling)
    return true
  }

  #value(cell: number, channel: number): boolean {
    const { row, series } = this.#filling
    const { values } = series[channel]!
    const value = cell === tag.nullData && row > 0 ? values[row - 1] : this.#integer(cell)
    if (value === undefined) return false
    values[row] = value
    return true
  }

  /** A clock or a status. */
  #beside(cell: number, { kind, obis }: Column, before: number | undefined): boolean {
    if (kind !== 'clock') return cell === tag.nullData || this.#status(cell, obis)
    if (cell !== tag.nullData) return this.#clock(cell)
    this.#filling.end = nextEnd(before, this.#layout.capturePeriod)
    return true
  }

  #clock(cell: number): boolean {
    if (cell === tag.octetString ? this.#octets[this.#at++] !== dateTimeOctets : cell !== tag.dateTime) return false
    const from = this.#at
    this.#at += dateTimeOctets
    if (this.#at > this.#end) return false
    const { buffer, byteOffset } = this.#octets
    const filling = this.#filling
    const time = new Uint8Array(buffer, byteOffset + from, dateTimeOctets)
    const { end, doubtful } = pointInTime(time, filling.profile?.clock, filling.end)
    filling.end = end
    filling.doubtful = doubtful
    return true
  }

  #status(cell: number, obis: Obis): boolean {
    const isNumber = cell === tag.enum || cell === tag.unsigned
    if (!isNumber && cell !== tag.longUnsigned && cell !== tag.doubleLongUnsigned) return false
    const raw = cell === tag.enum ? this.#unsigned(1) : this.#integer(cell)!
    this.#filling.status = { raw, quality: statusQuality(this.#filling.profile, obis, raw) }
    return true
  }

  #integer(cell: number): number | undefined {
    switch (cell) {
      case tag.unsigned:
        return this.#unsigned(1)
      case tag.longUnsigned:
        return this.#unsigned(2)
      case tag.doubleLongUnsigned:
        return this.#unsigned(4)
      case tag.integer:
        return (this.#unsigned(1) << 24) >> 24
      case tag.long:
        return (this.#unsigned(2) << 16) >> 16
      case tag.doubleLong:
        return this.#unsigned(4) | 0
      case tag.long64:
        return safe((this.#unsigned(4) | 0) * 2 ** 32 + this.#unsigned(4))
      case tag.long64Unsigned:
        return safe(this.#unsigned(4) * 2 ** 32 + this.#unsigned(4))
      default:
        return undefined
    }
  }

  /** Beyond the end there is nothing, which the place after the last row tells. */
  #unsigned(width: 1 | 2 | 4): number {
    const octets = this.#octets
    const end = this.#at + width
    let value = 0
    for (let at = this.#at; at < end; at++) value = (value << 8) | octets[at]!
    this.#at = end
    return value >>> 0
  }
}

/** Numbers that are exact as they are; others are bigints. */
function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined
}
