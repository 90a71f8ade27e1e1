import type { Data } from '../codec/axdr.ts'
import { type CosemDateTime, decodeDateTime, isDoubtful, utcSeconds } from '../codec/datetime.ts'
import { PeerError } from '../errors.ts'
import { type ExactInteger, type MeterId, type Obis, quality, type Series, seriesLengthMax } from '../model.ts'
import { classOf, descriptor, elementsOf, type PushObject, pushedScalers } from './push.ts'

/** Value columns of one profile. */
export const channelsMax = 64

/** What a column of the buffer holds, as the capture objects say. */
export interface Column {
  kind: 'clock' | 'status' | 'value' | 'other'
  classId: number
  obis: Obis
  attribute: number
}

/** A pushed profile: its columns, rows and period. @see Blue Book, Profile generic */
export interface Profile {
  columns: readonly Column[]
  rows: readonly Data[]
  /** seconds, 0 where none was told */
  capturePeriod: number
}

const statusName = /^0-\d+:96\.10\.\d+(\*\d+)?$/
const clockDoubtful = quality.clockDoubtful
const meterStatus = quality.meterStatus

/**
 * The profiles whose buffer is among the pushed objects.
 * @throws PeerError `PUSH_FORM`
 */
export function pushedProfiles(objects: readonly PushObject[]): Profile[] {
  const buffers = objects.filter(({ classId, attribute }) => classId === classOf.profile && attribute === 2)
  return buffers.map(({ obis, data }) => {
    if (data.type !== 'array' && data.type !== 'compact-array') throw new PeerError('PUSH_FORM', `${obis}: no array`)
    const columns = columnsOf(obis, profileAttribute(objects, obis, 3))
    return { columns, rows: data.elements, capturePeriod: periodOf(profileAttribute(objects, obis, 4)) }
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
    return { ...captured, kind: kindOf(captured) }
  })
}

function kindOf({ classId, obis, attribute }: Omit<PushObject, 'data'>): Column['kind'] {
  if (classId === classOf.clock && attribute === 2) return 'clock'
  if (classId === classOf.data && attribute === 2 && statusName.test(obis)) return 'status'
  const register = [classOf.register, classOf.extendedRegister].some((known) => known === classId) && attribute === 2
  const demand = classId === classOf.demandRegister && (attribute === 2 || attribute === 3)
  return register || demand ? 'value' : 'other'
}

/** A row under way: what null-data refers back to. @see Blue Book, Profile generic, buffer, null-data compression */
interface Row {
  end: number | undefined
  doubtful: number
  status: number
  values: (ExactInteger | undefined)[]
}

/**
 * One series for each value column, in the order of the columns; none where the buffer is empty.
 * @throws PeerError `PUSH_FORM`, `PUSH_TIME`, `PUSH_VALUE`
 */
export function profileSeries(profile: Profile, objects: readonly PushObject[], meter: MeterId): Series[] {
  const { columns, rows } = profile
  if (rows.length > seriesLengthMax) throw new PeerError('PUSH_FORM', `${rows.length} rows, limit ${seriesLengthMax}`)
  const series = emptySeries(columns, objects, meter)
  let row: Row = { end: undefined, doubtful: 0, status: 0, values: series.map(() => undefined) }
  for (const data of rows) {
    row = nextRow(profile, data, row)
    for (const [i, { ends, values, qualities }] of series.entries()) {
      ends.push(row.end!)
      values.push(row.values[i]!)
      qualities.push(row.status | row.doubtful)
    }
  }
  return rows.length === 0 ? [] : series
}

function emptySeries(columns: readonly Column[], objects: readonly PushObject[], meter: MeterId): Series[] {
  const channels = columns.filter(({ kind }) => kind === 'value')
  const other = columns.find(({ kind }) => kind === 'other')
  if (other !== undefined) throw new PeerError('PUSH_FORM', `a column of class ${other.classId}, ${other.obis}`)
  if (channels.length === 0 || channels.length > channelsMax) {
    throw new PeerError('PUSH_FORM', `${channels.length} value columns, 1 to ${channelsMax} are taken`)
  }
  if (columns.filter(({ kind }) => kind === 'clock').length !== 1)
    throw new PeerError('PUSH_FORM', 'not one clock column')
  if (new Set(channels.map(({ obis }) => obis)).size < channels.length) {
    throw new PeerError('PUSH_FORM', 'two columns of one name')
  }
  const scalers = pushedScalers(objects)
  return channels.map(({ obis }) => {
    const scale = scalers.get(obis)
    if (scale === undefined) throw new PeerError('PUSH_VALUE', `${obis}: no scaler_unit was pushed`)
    return { meter, obis, ...scale, ends: [], values: [], qualities: [] }
  })
}

function nextRow({ columns, capturePeriod }: Profile, data: Data, before: Row): Row {
  const cells = data.type === 'structure' ? data.elements : []
  if (cells.length !== columns.length) throw new PeerError('PUSH_FORM', `a row is not ${columns.length} columns`)
  const row: Row = { ...before, values: [...before.values] }
  let channel = 0
  for (const [i, { kind }] of columns.entries()) {
    const cell = cells[i]!
    if (kind === 'clock') moveClock(row, cell, capturePeriod)
    else if (kind === 'status') row.status = statusOf(cell, before.status)
    else {
      row.values[channel] = cellValue(cell, before.values[channel])
      channel++
    }
  }
  if (before.end !== undefined && row.end! <= before.end) throw new PeerError('PUSH_TIME', 'rows run backward')
  return row
}

function moveClock(row: Row, cell: Data, capturePeriod: number): void {
  if (cell.type === 'null-data') {
    if (row.end === undefined || capturePeriod === 0) {
      throw new PeerError('PUSH_TIME', 'a row without a clock, and no row before it or no capture period')
    }
    row.end += capturePeriod
    return
  }
  const { end, doubtful } = clockOf(cell)
  row.end = end
  row.doubtful = doubtful
}

function statusOf(cell: Data, before: number): number {
  switch (cell.type) {
    case 'null-data':
      return before
    case 'unsigned':
    case 'long-unsigned':
    case 'double-long-unsigned':
    case 'enum':
      return cell.value === 0 ? 0 : meterStatus
    case 'bit-string':
    case 'octet-string':
      return cell.octets.every((octet) => octet === 0) ? 0 : meterStatus
    default:
      throw new PeerError('PUSH_FORM', `a status of type ${cell.type}`)
  }
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
 * A point in time from a clock value, with `quality.clockDoubtful` where the meter does not vouch for it.
 * @throws PeerError `PUSH_TIME`
 */
export function clockOf(cell: Data): { end: number; doubtful: number } {
  if (cell.type !== 'octet-string' && cell.type !== 'date-time')
    throw new PeerError('PUSH_TIME', `a clock of type ${cell.type}`)
  return pointInTime(cell.octets)
}

/** The same from the twelve octets. @throws PeerError `PUSH_TIME` */
export function pointInTime(octets: Uint8Array): { end: number; doubtful: number } {
  let time: CosemDateTime
  let end: number | undefined
  try {
    time = decodeDateTime(octets)
    end = utcSeconds(time)
  } catch (cause) {
    if (!(cause instanceof PeerError)) throw cause
    throw new PeerError('PUSH_TIME', cause.message, { cause })
  }
  if (end === undefined || end < 0) throw new PeerError('PUSH_TIME', 'a clock that tells no point in time since 1970')
  return { end, doubtful: isDoubtful(time) ? clockDoubtful : 0 }
}
