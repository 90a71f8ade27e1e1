import type { Data } from '../codec/axdr.ts'
import { PeerError } from '../errors.ts'
import { type ExactInteger, type MeterId, type Obis, type Series, seriesLengthMax } from '../model.ts'
import { type MeterClock, type Point, pointInTime } from './local-time.ts'
import { knownUnit, type MeterProfile, statusQuality } from './meter-profile.ts'
import { type Column, column } from './profile-columns.ts'
import { classOf, descriptor, elementsOf, type PushObject, pushedScalers, type ScalerUnit } from './push.ts'

/** Value columns of one profile. */
export const channelsMax = 64

/** A pushed profile: its columns, rows and period. @see Blue Book, Profile generic */
export interface Profile {
  columns: readonly Column[]
  rows: readonly Data[]
  /** seconds, 0 where none was told */
  capturePeriod: number
}

/**
 * The profiles whose buffer is among the objects. Capture objects and period are those beside it, else those that the
 * meter's profile knows.
 * @throws PeerError `PUSH_FORM`
 */
export function pushedProfiles(objects: readonly PushObject[], meterProfile?: MeterProfile): Profile[] {
  const buffers = objects.filter(({ classId, attribute }) => classId === classOf.profile && attribute === 2)
  return buffers.map(({ obis, data }) => {
    if (data.type !== 'array' && data.type !== 'compact-array') throw new PeerError('PUSH_FORM', `${obis}: no array`)
    const known = meterProfile?.buffers.find(({ code }) => code === obis)
    const captured = profileAttribute(objects, obis, 3)
    const columns = captured === undefined && known !== undefined ? known.columns : columnsOf(obis, captured)
    const capturePeriod = periodOf(profileAttribute(objects, obis, 4)) || (known?.capturePeriod ?? 0)
    return { columns, rows: data.elements, capturePeriod }
  })
}

function profileAttribute(objects: readonly PushObject[], obis: Obis, attribute: number): Data | undefined {
  return objects.find((o) => o.classId === classOf.profile && o.obis === obis && o.attribute === attribute)?.data
}

function periodOf(data: Data | undefined): number {
  return data?.type === 'double-long-unsigned' ? data.value : 0
}

function columnsOf(profile: Obis, data: Data | undefined): Column[] {
  if (data === undefined) throw new PeerError('PUSH_FORM', `${profile}: its capture objects were not pushed`)
  return elementsOf(data).map((entry) => {
    const captured = descriptor(entry, 4)
    if (captured === undefined) throw new PeerError('PUSH_FORM', `${profile}: a capture object is no descriptor`)
    return column(captured)
  })
}

/** Who a buffer is read for, and what is known of the meter beyond it. */
export interface Reader {
  meter: MeterId
  profile: MeterProfile | undefined
}

/** A status as it was sent: a number, or the hex of octets or bits; `null` where none was. */
export type RawStatus = number | string | null

/** Readings with the status that each was sent with; the quality is what it means. Only where a profile was given. */
export interface StatusSeries extends Series {
  statuses?: RawStatus[]
}

/** A status and what it means. */
export interface Status {
  raw: RawStatus
  quality: number
}

export const noStatus: Status = { raw: null, quality: 0 }

/** What is the same for all rows of a buffer, and for all buffers that come with the same capture objects and scalers. */
export interface Layout {
  columns: readonly Column[]
  /** seconds, 0 where none was told */
  capturePeriod: number
  /** of the value columns, in their order; 1 to `channelsMax` */
  channels: readonly (ScalerUnit & { obis: Obis })[]
  /** a status column, and a meter profile that says what it means */
  hasStatuses: boolean
}

/**
 * One series for each value column, in the order of the columns; none where the buffer is empty.
 * @throws PeerError `PUSH_FORM`, `PUSH_TIME`, `PUSH_VALUE`
 */
export function profileSeries(profile: Profile, objects: readonly PushObject[], reader: Reader): StatusSeries[] {
  const { rows } = profile
  if (rows.length > seriesLengthMax) throw new PeerError('PUSH_FORM', `${rows.length} rows, limit ${seriesLengthMax}`)
  const layout = layoutOf(profile, pushedScalers(objects), reader.profile)
  const filling = fillingOf(layout, reader, rows.length)
  for (const row of rows) takeRow(layout, row, filling)
  return rows.length === 0 ? [] : filling.series
}

/** @throws PeerError `PUSH_FORM`, `PUSH_VALUE` */
export function layoutOf(
  { columns, capturePeriod }: Omit<Profile, 'rows'>,
  scalers: ReadonlyMap<Obis, ScalerUnit>,
  profile: MeterProfile | undefined,
): Layout {
  const values = valueColumns(columns)
  const channels = values.map(({ obis }) => {
    const scale = scalers.get(obis) ?? knownUnit(profile, obis)
    if (scale === undefined) throw new PeerError('PUSH_VALUE', `${obis}: no scaler_unit was pushed`)
    return { obis, scaler: scale.scaler, unit: scale.unit }
  })
  const hasStatuses = profile !== undefined && columns.some(({ kind }) => kind === 'status')
  return { columns, capturePeriod, channels, hasStatuses }
}

function valueColumns(columns: readonly Column[]): Column[] {
  const values = columns.filter(({ kind }) => kind === 'value')
  const other = columns.find(({ kind }) => kind === 'other')
  if (other !== undefined) throw new PeerError('PUSH_FORM', `a column of class ${other.classId}, ${other.obis}`)
  if (values.length === 0 || values.length > channelsMax) {
    throw new PeerError('PUSH_FORM', `${values.length} value columns, 1 to ${channelsMax} are taken`)
  }
  if (columns.filter(({ kind }) => kind === 'clock').length !== 1)
    throw new PeerError('PUSH_FORM', 'not one clock column')
  if (repeatsChannel(values)) throw new PeerError('PUSH_FORM', 'two columns of one name')
  return values
}

/** Series under way, and what null-data refers back to. @see Blue Book, Profile generic, buffer, null-data compression */
export interface Filling {
  readonly series: StatusSeries[]
  readonly profile: MeterProfile | undefined
  /** which one is read, from 0 */
  row: number
  end: number | undefined
  doubtful: number
  status: Status
}

/**
 * Before the first row.
 * @param rows for which room is made, since a list that grows makes room for 17 at once; 0 where nobody knows
 */
export function fillingOf({ channels, hasStatuses }: Layout, { meter, profile }: Reader, rows: number): Filling {
  const series: StatusSeries[] = []
  for (const { obis, scaler, unit } of channels) {
    const [ends, values, qualities] = [room<number>(rows), room<ExactInteger>(rows), room<number>(rows)]
    const one = { meter, obis, scaler, unit, ends, values, qualities }
    series.push(hasStatuses ? { ...one, statuses: room(rows) } : one)
  }
  return { series, profile, row: 0, end: undefined, doubtful: 0, status: noStatus }
}

function room<T>(length: number): T[] {
  return new Array<T>(length)
}

/** Few are compared faster than put into a set. @param channels `channelsMax`, the most */
export function repeatsChannel(channels: readonly { obis: Obis }[]): boolean {
  return channels.some(({ obis }, i) => channels.findIndex((other) => other.obis === obis) !== i)
}

function takeRow({ columns, capturePeriod }: Layout, row: Data, filling: Filling): void {
  const cells = row.type === 'structure' ? row.elements : []
  if (cells.length !== columns.length) throw new PeerError('PUSH_FORM', `a row is not ${columns.length} columns`)
  const before = filling.end
  let channel = 0
  for (let i = 0; i < columns.length; i++) {
    const { kind, obis } = columns[i]!
    const cell = cells[i]!
    if (kind === 'value') {
      const { values } = filling.series[channel++]!
      values[filling.row] = cellValue(cell, filling.row === 0 ? undefined : values[filling.row - 1])
    } else if (cell.type === 'null-data') {
      if (kind === 'clock') filling.end = nextEnd(before, capturePeriod)
    } else if (kind === 'clock') moveClock(filling, cell)
    else filling.status = statusOf(cell, obis, filling.profile)
  }
  if (before !== undefined && filling.end! <= before) throw new PeerError('PUSH_TIME', 'rows run backward')
  endRow(filling)
}

/** Its values are in the series; time and quality follow. */
export function endRow(filling: Filling): void {
  const { series, end, doubtful, status } = filling
  const row = filling.row++
  for (const { ends, qualities, statuses } of series) {
    ends[row] = end!
    qualities[row] = status.quality | doubtful
    if (statuses !== undefined) statuses[row] = status.raw
  }
}

/** Null-data in the clock's column: a period after the row before. @throws PeerError `PUSH_TIME` */
export function nextEnd(before: number | undefined, capturePeriod: number): number {
  if (before !== undefined && capturePeriod !== 0) return before + capturePeriod
  throw new PeerError('PUSH_TIME', 'a row without a clock, and no row before it or no capture period')
}

function moveClock(filling: Filling, cell: Data): void {
  const { end, doubtful } = clockOf(cell, filling.profile?.clock, filling.end)
  filling.end = end
  filling.doubtful = doubtful
}

/** A status word's bits count from the least significant of its last octet. @throws PeerError `PUSH_FORM` */
export function statusOf(cell: Data, obis: Obis, profile: MeterProfile | undefined): Status {
  switch (cell.type) {
    case 'unsigned':
    case 'long-unsigned':
    case 'double-long-unsigned':
    case 'enum':
      return { raw: cell.value, quality: statusQuality(profile, obis, cell.value) }
    case 'bit-string':
    case 'octet-string': {
      const raw = Buffer.from(cell.octets.buffer, cell.octets.byteOffset, cell.octets.length).toString('hex')
      return { raw, quality: statusQuality(profile, obis, wordOf(cell.octets)) }
    }
    default:
      throw new PeerError('PUSH_FORM', `a status of type ${cell.type}`)
  }
}

/** 31 bits from the end; one beyond them counts as the highest, so that no bit goes unseen. */
function wordOf(octets: Uint8Array): number {
  const low = octets.subarray(-4).reduce((word, octet) => word * 256 + octet, 0)
  const isBeyond = low > 0x7fffffff || octets.subarray(0, -4).some((octet) => octet !== 0)
  return isBeyond ? (low & 0x7fffffff) | 0x40000000 : low
}

function cellValue(cell: Data, before: ExactInteger | undefined): ExactInteger {
  const value = cell.type === 'null-data' ? before : integerOf(cell)
  if (value === undefined) throw new PeerError('PUSH_VALUE', `no integer but ${cell.type}`)
  return value
}

/** The integer that a register holds, `undefined` where it holds something else. */
export function integerOf(data: Data): ExactInteger | undefined {
  switch (data.type) {
    case 'integer':
    case 'long':
    case 'double-long':
    case 'unsigned':
    case 'long-unsigned':
    case 'double-long-unsigned':
      return data.value
    case 'long64':
    case 'long64-unsigned': {
      const number = Number(data.value)
      return Number.isSafeInteger(number) ? number : data.value
    }
    default:
      return undefined
  }
}

/**
 * A point in time from a clock value. @param before of the row before
 * @throws PeerError `PUSH_TIME`
 */
export function clockOf(cell: Data, clock?: MeterClock, before?: number): Point {
  if (cell.type !== 'octet-string' && cell.type !== 'date-time')
    throw new PeerError('PUSH_TIME', `a clock of type ${cell.type}`)
  return pointInTime(cell.octets, clock, before)
}
