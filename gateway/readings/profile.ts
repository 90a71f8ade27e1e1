import type { Data } from '../codec/axdr.ts'
import { PeerError } from '../errors.ts'
import { type ExactInteger, type MeterId, type Obis, type Series, seriesLengthMax } from '../model.ts'
import { type MeterClock, type Point, pointInTime } from './local-time.ts'
import { knownUnit, type MeterProfile, statusQuality } from './meter-profile.ts'
import { type Column, column } from './profile-columns.ts'
import { classOf, descriptor, elementsOf, type PushObject, pushedScalers } from './push.ts'

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

/** A row under way: what null-data refers back to. @see Blue Book, Profile generic, buffer, null-data compression */
interface Row {
  end: number | undefined
  doubtful: number
  status: Status
  values: (ExactInteger | undefined)[]
}

interface Step {
  before: Row
  reader: Reader
}

/** A status and what it means. */
export interface Status {
  raw: RawStatus
  quality: number
}

export const noStatus: Status = { raw: null, quality: 0 }

/**
 * One series for each value column, in the order of the columns; none where the buffer is empty.
 * @throws PeerError `PUSH_FORM`, `PUSH_TIME`, `PUSH_VALUE`
 */
export function profileSeries(profile: Profile, objects: readonly PushObject[], reader: Reader): StatusSeries[] {
  const { columns, rows } = profile
  if (rows.length > seriesLengthMax) throw new PeerError('PUSH_FORM', `${rows.length} rows, limit ${seriesLengthMax}`)
  const series = emptySeries(columns, objects, reader)
  let row: Row = { end: undefined, doubtful: 0, status: noStatus, values: series.map(() => undefined) }
  for (const data of rows) {
    row = nextRow(profile, data, { before: row, reader })
    for (let channel = 0; channel < series.length; channel++) {
      const { ends, values, qualities, statuses } = series[channel]!
      ends.push(row.end!)
      values.push(row.values[channel]!)
      qualities.push(row.status.quality | row.doubtful)
      statuses?.push(row.status.raw)
    }
  }
  return rows.length === 0 ? [] : series
}

function emptySeries(columns: readonly Column[], objects: readonly PushObject[], reader: Reader): StatusSeries[] {
  const channels = columns.filter(({ kind }) => kind === 'value')
  const other = columns.find(({ kind }) => kind === 'other')
  if (other !== undefined) throw new PeerError('PUSH_FORM', `a column of class ${other.classId}, ${other.obis}`)
  if (channels.length === 0 || channels.length > channelsMax) {
    throw new PeerError('PUSH_FORM', `${channels.length} value columns, 1 to ${channelsMax} are taken`)
  }
  if (columns.filter(({ kind }) => kind === 'clock').length !== 1)
    throw new PeerError('PUSH_FORM', 'not one clock column')
  if (repeatsChannel(channels)) {
    throw new PeerError('PUSH_FORM', 'two columns of one name')
  }
  const { meter, profile } = reader
  const scalers = pushedScalers(objects)
  const statuses = profile !== undefined && columns.some(({ kind }) => kind === 'status')
  return channels.map(({ obis }) => {
    const scale = scalers.get(obis) ?? knownUnit(profile, obis)
    if (scale === undefined) throw new PeerError('PUSH_VALUE', `${obis}: no scaler_unit was pushed`)
    return { meter, obis, ...scale, ends: [], values: [], qualities: [], ...(statuses ? { statuses: [] } : {}) }
  })
}

/** Few are compared faster than put into a set. @param channels `channelsMax`, the most */
export function repeatsChannel(channels: readonly { obis: Obis }[]): boolean {
  return channels.some(({ obis }, i) => channels.findIndex((other) => other.obis === obis) !== i)
}

function nextRow({ columns, capturePeriod }: Profile, data: Data, { before, reader }: Step): Row {
  const cells = data.type === 'structure' ? data.elements : []
  if (cells.length !== columns.length) throw new PeerError('PUSH_FORM', `a row is not ${columns.length} columns`)
  const row: Row = { end: before.end, doubtful: before.doubtful, status: before.status, values: [] }
  for (let i = 0; i < columns.length; i++) {
    const { kind, obis } = columns[i]!
    const cell = cells[i]!
    if (kind === 'value') row.values.push(cellValue(cell, before.values[row.values.length]))
    else if (cell.type === 'null-data') {
      if (kind === 'clock') row.end = nextEnd(before.end, capturePeriod)
    } else if (kind === 'clock') moveClock(row, cell, reader)
    else row.status = statusOf(cell, obis, reader.profile)
  }
  if (before.end !== undefined && row.end! <= before.end) throw new PeerError('PUSH_TIME', 'rows run backward')
  return row
}

/** Null-data in the clock's column: a period after the row before. */
function nextEnd(before: number | undefined, capturePeriod: number): number {
  if (before !== undefined && capturePeriod !== 0) return before + capturePeriod
  throw new PeerError('PUSH_TIME', 'a row without a clock, and no row before it or no capture period')
}

function moveClock(row: Row, cell: Data, { profile }: Reader): void {
  const { end, doubtful } = clockOf(cell, profile?.clock, row.end)
  row.end = end
  row.doubtful = doubtful
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
