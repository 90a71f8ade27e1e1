import { PeerError } from '../errors.ts'
import { OctetWriter } from './octets.ts'

/** A COSEM date-time; what the sender left unspecified is `undefined`. @see Blue Book, date and time formats */
export interface CosemDateTime {
  year: number | undefined
  /** 1 to 12, or 253, 254: end and begin of daylight saving */
  month: number | undefined
  /** 1 to 31, or 253, 254: second last and last day of the month */
  day: number | undefined
  /** 1 is Monday, 7 Sunday */
  weekday: number | undefined
  hour: number | undefined
  minute: number | undefined
  second: number | undefined
  hundredths: number | undefined
  /** minutes from local time to UTC: Central European Time is -60 */
  deviationMinutes: number | undefined
  /** bits of `clockStatus` */
  status: number | undefined
}

/** Octets of a date-time. */
export const dateTimeOctets = 12

/** @see Blue Book, clock_status */
export const clockStatus = {
  invalid: 0x01,
  doubtful: 0x02,
  differentBase: 0x04,
  badStatus: 0x08,
  daylight: 0x80,
} as const

/** Time zones lie within 14 hours of UTC. */
const deviationMinutesMax = 840
const unspecifiedYear = 0xffff
const unspecifiedDeviation = -0x8000

/**
 * @param octets twelve of them
 * @throws PeerError `DATA_VALUE`
 * @see Blue Book, date and time formats
 */
export function decodeDateTime(octets: Uint8Array, offset = 0): CosemDateTime {
  if (octets.length !== dateTimeOctets) {
    throw new PeerError('DATA_VALUE', `${octets.length} octets, a date-time has ${dateTimeOctets}`, { offset })
  }
  const year = (octets[0]! << 8) | octets[1]!
  return {
    year: year === unspecifiedYear ? undefined : year,
    month: field(octets, 2, months, offset),
    day: field(octets, 3, days, offset),
    weekday: field(octets, 4, weekdays, offset),
    hour: field(octets, 5, hours, offset),
    minute: field(octets, 6, minutes, offset),
    second: field(octets, 7, seconds, offset),
    hundredths: field(octets, 8, hundredths, offset),
    deviationMinutes: deviation(octets, offset),
    status: field(octets, 11, statuses, offset),
  }
}

/** What a field may hold, besides FF; months and days have two values more, 253 and 254. */
interface Bounds {
  name: string
  min: number
  max: number
  more: boolean
}

const months: Bounds = { name: 'month', min: 1, max: 12, more: true }
const days: Bounds = { name: 'day', min: 1, max: 31, more: true }
const weekdays: Bounds = { name: 'weekday', min: 1, max: 7, more: false }
const hours: Bounds = { name: 'hour', min: 0, max: 23, more: false }
const minutes: Bounds = { name: 'minute', min: 0, max: 59, more: false }
const seconds: Bounds = { name: 'second', min: 0, max: 59, more: false }
const hundredths: Bounds = { name: 'hundredths', min: 0, max: 99, more: false }
const statuses: Bounds = { name: 'clock status', min: 0, max: 254, more: false }

function field(octets: Uint8Array, at: number, bounds: Bounds, base: number): number | undefined {
  const value = octets[at]!
  if (value >= bounds.min && value <= bounds.max) return value
  if (value === 0xff) return undefined
  if (bounds.more && value >= 253) return value
  throw new PeerError('DATA_VALUE', `${bounds.name} ${value}`, { offset: base + at })
}

const deviationAt = 9

function deviation(octets: Uint8Array, base: number): number | undefined {
  const value = ((octets[deviationAt]! << 24) | (octets[deviationAt + 1]! << 16)) >> 16
  if (value === unspecifiedDeviation) return undefined
  if (Math.abs(value) <= deviationMinutesMax) return value
  throw new PeerError('DATA_VALUE', `deviation ${value} minutes`, { offset: base + deviationAt })
}

/**
 * Seconds since 1970-01-01T00:00Z, hundredths dropped. `undefined` where date, hour, minute, second or deviation
 * is unspecified: local time alone is not a point in time.
 * @throws PeerError `DATA_VALUE` for a day the month does not have
 */
export function utcSeconds(time: CosemDateTime): number | undefined {
  const { year, month, day, hour, minute, second, deviationMinutes } = time
  if (year === undefined || month === undefined || day === undefined || month > 12 || day > 31) return undefined
  if (hour === undefined || minute === undefined || second === undefined || deviationMinutes === undefined)
    return undefined
  if (day > daysIn(year, month)) throw new PeerError('DATA_VALUE', `no day ${day} in month ${month} of ${year}`)
  return daysUntil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second + deviationMinutes * 60
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
/** Days of the year before each month begins, in a year that is no leap year. */
const daysBefore: readonly number[] = monthDays.map((_, month) => monthDays.slice(0, month).reduce((a, b) => a + b, 0))

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

function daysIn(year: number, month: number): number {
  return month === 2 && isLeap(year) ? 29 : monthDays[month - 1]!
}

/** Days from 1970-01-01 in the Gregorian calendar, as `Date` counts them, which would cost a date an interval. */
function daysUntil(year: number, month: number, day: number): number {
  const before = year - 1
  const leaps = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400)
  const leapDay = month > 2 && isLeap(year) ? 1 : 0
  return before * 365 + leaps + daysBefore[month - 1]! + leapDay + day - daysToEpoch
}

/** From the first of January of year 1 to that of 1970, and the day that a month begins to count with. */
const daysToEpoch = 719_163

/** Whether the meter itself does not vouch for its clock. */
export function isDoubtful({ status }: CosemDateTime): boolean {
  return status !== undefined && (status & (clockStatus.invalid | clockStatus.doubtful)) !== 0
}

/**
 * A point in time in UTC, deviation 0, hundredths 0.
 * @param seconds since 1970-01-01T00:00Z, year 1 to 9999
 * @param status bits of `clockStatus`
 */
export function encodeDateTime(seconds: number, status = 0): Uint8Array {
  const date = new Date(seconds * 1000)
  return new OctetWriter()
    .uint(2, date.getUTCFullYear())
    .uint(1, date.getUTCMonth() + 1)
    .uint(1, date.getUTCDate())
    .uint(1, date.getUTCDay() || 7)
    .uint(1, date.getUTCHours())
    .uint(1, date.getUTCMinutes())
    .uint(1, date.getUTCSeconds())
    .uint(1, 0)
    .int(2, 0)
    .uint(1, status)
    .finish()
}
