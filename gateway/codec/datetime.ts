import { PeerError } from '../errors.ts'
import { OctetReader, OctetWriter } from './octets.ts'

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
  const reader = new OctetReader(octets, offset)
  const year = reader.uint(2)
  return {
    year: year === unspecifiedYear ? undefined : year,
    month: field(reader, 'month', [1, 12], [253, 254]),
    day: field(reader, 'day', [1, 31], [253, 254]),
    weekday: field(reader, 'weekday', [1, 7]),
    hour: field(reader, 'hour', [0, 23]),
    minute: field(reader, 'minute', [0, 59]),
    second: field(reader, 'second', [0, 59]),
    hundredths: field(reader, 'hundredths', [0, 99]),
    deviationMinutes: deviation(reader),
    status: field(reader, 'clock status', [0, 254]),
  }
}

type Bounds = readonly [number, number]

function field(reader: OctetReader, name: string, ...allowed: readonly Bounds[]): number | undefined {
  const offset = reader.offset
  const value = reader.uint(1)
  if (value === 0xff) return undefined
  if (allowed.some(([min, max]) => value >= min && value <= max)) return value
  throw new PeerError('DATA_VALUE', `${name} ${value}`, { offset })
}

function deviation(reader: OctetReader): number | undefined {
  const offset = reader.offset
  const minutes = reader.int(2)
  if (minutes === unspecifiedDeviation) return undefined
  if (Math.abs(minutes) <= deviationMinutesMax) return minutes
  throw new PeerError('DATA_VALUE', `deviation ${minutes} minutes`, { offset })
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
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCDate() !== day) throw new PeerError('DATA_VALUE', `no day ${day} in month ${month} of ${year}`)
  return date.getTime() / 1000 + hour * 3600 + minute * 60 + second + deviationMinutes * 60
}

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
