import type { ActionOutcome } from '#gateway/codec/action.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { clockStatus, decodeDateTime, encodeDateTime, utcSeconds } from '#gateway/codec/datetime.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { dataAccessResult } from '#gateway/codec/results.ts'
import { PeerError } from '#gateway/errors.ts'
import type { Obis } from '#gateway/model.ts'
import { type CosemObject, cosemObject, integer, octetString, outcome, unsigned, whole } from './cosem-object.ts'
import { localOffsetSeconds } from './local-time.ts'

/** A meter's clock in Brussels: it can be set, and its summer time switched off. */
export interface MeterClock {
  /** seconds since 1970-01-01T00:00Z, as the clock has them */
  time: () => number
  /** moves the clock by these seconds */
  shift: (seconds: number) => void
  daylight: boolean
}

/** Moves of the clock are told, with the time before and behind. */
export type OnMoved = (before: number, after: number) => void

export const clockName: Obis = parseObis('0-0:1.0.0')
export const clockClass = 8
const standardOffsetSeconds = 3_600
const summerOffsetSeconds = 7_200
const deviationAt = 9
/** What a clock is set to lies between these years: beyond them is no meter's life. */
const years = { min: 2000, max: 2099 } as const
const shiftSecondsMax = 900
const quarterSeconds = 900
const minuteSeconds = 60

/** @param now seconds since 1970-01-01T00:00Z */
export function meterClock(now: () => number, onMoved: OnMoved = () => {}): MeterClock {
  let offset = 0
  const clock: MeterClock = {
    daylight: true,
    time: () => now() + offset,
    shift(seconds) {
      const before = clock.time()
      offset += seconds
      onMoved(before, clock.time())
    },
  }
  return clock
}

/** Local time with its deviation, and with the daylight bit in summer. @param seconds since 1970-01-01T00:00Z */
export function localDateTime(seconds: number, daylight = true): Uint8Array {
  const whole = Math.floor(seconds)
  const offset = daylight ? localOffsetSeconds(whole) : standardOffsetSeconds
  const octets = Buffer.from(encodeDateTime(whole + offset, offset > standardOffsetSeconds ? clockStatus.daylight : 0))
  octets.writeInt16BE(-offset / 60, deviationAt)
  return Uint8Array.from(octets)
}

/**
 * A point in time; without a deviation it is local, and where the hour comes twice its first.
 * @returns seconds since 1970-01-01T00:00Z, `undefined` for one with a wildcard, or of another type
 */
export function timeOf(data: Data, daylight = true): number | undefined {
  if (data.type !== 'octet-string' && data.type !== 'date-time') return undefined
  try {
    const time = decodeDateTime(data.octets)
    if (time.deviationMinutes !== undefined) return utcSeconds(time)
    const local = utcSeconds({ ...time, deviationMinutes: 0 })
    if (local === undefined) return undefined
    const isSummer = daylight && localOffsetSeconds(local - summerOffsetSeconds) === summerOffsetSeconds
    return local - (isSummer ? summerOffsetSeconds : standardOffsetSeconds)
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

/** Last Sunday of March at two and of October at three, on the wall before the change. @see Blue Book, daylight_savings_begin */
const daylightBegin = Buffer.from('ffff03fe0702000000ffc400', 'hex')
const daylightEnd = Buffer.from('ffff0afe0703000000ff8880', 'hex')

/** @see Blue Book, Clock (class 8) */
export function clockObject(clock: MeterClock): CosemObject {
  const deviates = (): boolean => clock.daylight && localOffsetSeconds(Math.floor(clock.time())) > standardOffsetSeconds
  return cosemObject(
    [clockClass, 0, clockName],
    {
      2: {
        ...whole(() => octetString(localDateTime(clock.time(), clock.daylight))),
        write: (data) => set(clock, data),
      },
      3: whole(() => ({ type: 'long', value: -standardOffsetSeconds / 60 })),
      4: whole(() => unsigned(deviates() ? clockStatus.daylight : 0)),
      5: whole(() => octetString(daylightBegin)),
      6: whole(() => octetString(daylightEnd)),
      7: whole(() => integer((summerOffsetSeconds - standardOffsetSeconds) / 60)),
      8: {
        ...whole(() => ({ type: 'boolean', value: clock.daylight })),
        write: (data) => {
          if (data.type !== 'boolean') return dataAccessResult['type-unmatched']
          clock.daylight = data.value
          return dataAccessResult.success
        },
      },
      9: whole(() => ({ type: 'enum', value: 1 })), // its own crystal
    },
    {
      1: (data) => adjust(clock, quarterSeconds, data),
      2: (data) => adjust(clock, quarterSeconds, data),
      3: (data) => adjust(clock, minuteSeconds, data),
      4: undefined,
      5: undefined,
      6: (data) => shift(clock, data),
    },
  )
}

function set(clock: MeterClock, data: Data): number {
  const time = timeOf(data, clock.daylight)
  if (time === undefined) return dataAccessResult['type-unmatched']
  const year = new Date(time * 1000).getUTCFullYear()
  if (!(year >= years.min && year <= years.max)) return dataAccessResult['other-reason']
  clock.shift(time - clock.time())
  return dataAccessResult.success
}

/** To the nearest whole period; the parameter is an integer 0 in the Blue Book, and its value says nothing. */
function adjust(clock: MeterClock, periodSeconds: number, data: Data | undefined): ActionOutcome {
  if (data?.type !== 'integer') return outcome('type-unmatched')
  clock.shift(Math.round(clock.time() / periodSeconds) * periodSeconds - clock.time())
  return outcome('success')
}

function shift(clock: MeterClock, data: Data | undefined): ActionOutcome {
  if (data?.type !== 'long') return outcome('type-unmatched')
  if (Math.abs(data.value) > shiftSecondsMax) return outcome('scope-of-access-violated')
  clock.shift(data.value)
  return outcome('success')
}
