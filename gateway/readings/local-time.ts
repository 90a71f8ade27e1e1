import { type CosemDateTime, clockStatus, decodeDateTime, isDoubtful, utcSeconds } from '../codec/datetime.ts'
import { PeerError } from '../errors.ts'
import { quality } from '../model.ts'

/** How a meter's clock lies to UTC where its time does not say so. */
export interface MeterClock {
  /** IANA name */
  zone: string
  /** `kept`: a clear daylight saving bit means standard time; `ignored`: it says nothing. A set bit always counts. */
  daylightBit: 'kept' | 'ignored'
}

/** A point in time, and `quality.clockDoubtful` or 0. */
export interface Point {
  /** seconds since 1970-01-01T00:00Z */
  end: number
  doubtful: number
}

/**
 * A point in time from the twelve octets of a date-time. How it lies to UTC is told by its deviation, else by its
 * daylight saving bit, else by the zone. In the hour that comes twice the order tells: what does not follow `before`
 * is of the second; without a `before` the first is taken and marked doubtful.
 * @param before seconds since 1970-01-01T00:00Z, of what came before in the same buffer
 * @throws PeerError `PUSH_TIME` for what tells no point in time since 1970, and for an hour that the zone leaves out
 */
export function pointInTime(octets: Uint8Array, clock?: MeterClock, before?: number): Point {
  try {
    const time = decodeDateTime(octets)
    const { end, isGuess } = resolved(time, clock, before)
    if (end === undefined || end < 0) throw new PeerError('PUSH_TIME', 'a clock that tells no point in time since 1970')
    return { end, doubtful: isGuess || isDoubtful(time) ? quality.clockDoubtful : 0 }
  } catch (cause) {
    if (!(cause instanceof PeerError) || cause.code === 'PUSH_TIME') throw cause
    throw new PeerError('PUSH_TIME', cause.message, { cause })
  }
}

/** Seconds since 1970-01-01T00:00Z by the zone alone, `undefined` without one and where it tells no single point. */
export function zonedSeconds(octets: Uint8Array, clock: MeterClock | undefined): number | undefined {
  if (clock === undefined) return undefined
  try {
    const { end, isGuess } = resolved(decodeDateTime(octets), clock, undefined)
    return isGuess ? undefined : end
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

interface Resolved {
  end: number | undefined
  isGuess: boolean
}

function resolved(time: CosemDateTime, clock: MeterClock | undefined, before: number | undefined): Resolved {
  if (time.deviationMinutes !== undefined || clock === undefined) return { end: utcSeconds(time), isGuess: false }
  const local = utcSeconds({ ...time, deviationMinutes: 0 })
  if (local === undefined) return { end: undefined, isGuess: false }
  const told = toldOffset(time, clock, local)
  if (told !== undefined) return { end: local - told * 60, isGuess: false }
  const [first, second] = candidates(local, clock.zone)
  if (first === undefined) throw new PeerError('PUSH_TIME', `a local time that ${clock.zone} leaves out`)
  if (second === undefined) return { end: first, isGuess: false }
  if (before === undefined) return { end: first, isGuess: true }
  return { end: first > before ? first : second, isGuess: false }
}

/** Minutes east of UTC as the daylight saving bit tells them, `undefined` where it does not. */
function toldOffset({ year, status }: CosemDateTime, clock: MeterClock, local: number): number | undefined {
  if (status === undefined) return undefined
  const isDaylight = (status & clockStatus.daylight) !== 0
  if (!isDaylight && clock.daylightBit === 'ignored') return undefined
  const halves = [0, 6].map((month) => offsetAt(clock.zone, Date.UTC(year!, month) / 1000))
  const [standard, daylight] = [Math.min(...halves), Math.max(...halves)]
  if (standard === daylight) return offsetAt(clock.zone, local - standard * 60)
  return isDaylight ? daylight : standard
}

/** The points in time that a zone's clocks show as `local`: one, two in the hour that comes twice, none in the one left out. */
function candidates(local: number, zone: string): number[] {
  const offsets = [-86_400, 86_400].map((away) => offsetAt(zone, local + away))
  const ends = [...new Set(offsets)].map((minutes) => ({ end: local - minutes * 60, minutes }))
  const shown = ends.filter(({ end, minutes }) => offsetAt(zone, end) === minutes)
  return shown.map(({ end }) => end).sort((a, b) => a - b)
}

/** Offsets change on the quarter of an hour, so each is computed once; cleared when full. */
const offsets = new Map<string, number>()
const offsetsMax = 8_192
const formats = new Map<string, Intl.DateTimeFormat>()

/** Minutes east of UTC. @param seconds since 1970-01-01T00:00Z */
function offsetAt(zone: string, seconds: number): number {
  const quarter = Math.floor(seconds / 900)
  const key = `${zone} ${quarter}`
  const known = offsets.get(key)
  if (known !== undefined) return known
  if (offsets.size >= offsetsMax) offsets.clear()
  const minutes = computedOffset(zone, quarter * 900)
  offsets.set(key, minutes)
  return minutes
}

function computedOffset(zone: string, seconds: number): number {
  const parts = formatOf(zone).formatToParts(seconds * 1000)
  const name = parts.find(({ type }) => type === 'timeZoneName')!.value
  const [, sign, hours, minutes] = /^GMT(?:([+-])(\d{2}):(\d{2}))?/.exec(name)!
  const size = Number(hours ?? 0) * 60 + Number(minutes ?? 0)
  return sign === '-' ? -size : size
}

function formatOf(zone: string): Intl.DateTimeFormat {
  const format = formats.get(zone) ?? new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
  formats.set(zone, format)
  return format
}

/** Whether the runtime knows a zone by this IANA name. */
export function isTimeZone(name: string): boolean {
  return /^[A-Za-z]/.test(name) && timeZoneHolds(name)
}

function timeZoneHolds(name: string): boolean {
  try {
    formatOf(name)
    return true
  } catch (fault) {
    if (fault instanceof RangeError) return false
    throw fault
  }
}
