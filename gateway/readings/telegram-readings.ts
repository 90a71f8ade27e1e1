import { PeerError } from '../errors.ts'
import { type ExactInteger, type MeterId, type Obis, quality } from '../model.ts'
import { type Point, pointInTime } from './local-time.ts'
import { isNoReading, type MeterProfile } from './meter-profile.ts'
import { channelsMax, type StatusSeries } from './profile.ts'
import type { ScalerUnit } from './push.ts'
import { readTelegram, type TelegramValue, timestampOctets } from './telegram.ts'
import { unitCode } from './units.ts'

/**
 * What a P1 telegram says, as readings: each measured value a series of one, ending at its time of capture where the line
 * tells one (M-Bus meters, maximum demand), else at the telegram's own. Texts, limits and lists of past events are none.
 * @param profile whose zone says how the telegram's times lie to UTC; without one there are no readings
 * @returns in the order of the lines
 * @throws PeerError `PUSH_FORM`, `PUSH_TIME`, `PUSH_VALUE` for a unit that is not known
 * @see DSMR P1 companion standard 5.0.2, 6.2; e-MUCS-P1 (Belgium)
 */
export function interpretTelegram(octets: Uint8Array, meter: MeterId, profile?: MeterProfile): StatusSeries[] {
  const values = readTelegram(octets)
  const clock = values.find(({ obis }) => obis === '0-0:1.0.0')?.value
  const measured = values.filter((value) => value.unit !== null && isChannel(value.obis, profile))
  if (measured.length === 0) throw new PeerError('PUSH_FORM', 'no measured values')
  if (measured.length > channelsMax)
    throw new PeerError('PUSH_FORM', `${measured.length} channels, limit ${channelsMax}`)
  if (new Set(measured.map(({ obis }) => obis)).size < measured.length) {
    throw new PeerError('PUSH_FORM', 'one channel twice')
  }
  return measured.map((value) => {
    const { end, doubtful } = timeOf(value.captured ?? clock, profile)
    return { meter, obis: value.obis, ...scaled(value), ends: [end], values: [exact(value)], qualities: [doubtful] }
  })
}

/** Not of the port itself (its limiter, its logs), no list, and nothing that the profile says is none. */
function isChannel(obis: Obis, profile: MeterProfile | undefined): boolean {
  const isOther = obis.startsWith('0-0:') || /:9[4689]\./.test(obis)
  return !isOther && !(profile !== undefined && isNoReading(profile, obis))
}

/** `S` and `W` always tell daylight saving in a telegram, whatever the meter's clock does elsewhere. */
function timeOf(text: unknown, profile: MeterProfile | undefined): Point {
  if (typeof text !== 'string' || !/^\d{12}[SW]?$/.test(text)) {
    throw new PeerError('PUSH_TIME', 'neither the line nor the telegram tells the time')
  }
  if (profile?.clock === undefined) throw new PeerError('PUSH_TIME', 'no zone is known for the times of this telegram')
  const daylightBit = text.length === 13 ? 'kept' : profile.clock.daylightBit
  const point = pointInTime(timestampOctets(text), { ...profile.clock, daylightBit })
  return { end: point.end, doubtful: point.doubtful & quality.clockDoubtful }
}

const prefixes: Readonly<Record<string, number>> = { m: -3, '': 0, k: 3, M: 6, G: 9 }
/** Units as telegrams spell them. */
const spellings: Readonly<Record<string, ScalerUnit>> = {
  m3: { scaler: 0, unit: 13 },
  dm3: { scaler: 0, unit: 19 },
}

function scaled({ obis, scaler, unit }: TelegramValue): ScalerUnit {
  const told = spellings[unit!] ?? prefixed(unit!)
  if (told === undefined) throw new PeerError('PUSH_VALUE', `${obis}: the unit '${unit}' is not known`)
  return { scaler: (scaler ?? 0) + told.scaler, unit: told.unit }
}

/** A symbol of the Blue Book, or one with a prefix: `min` is minutes and not a thousandth of an inch. */
function prefixed(text: string): ScalerUnit | undefined {
  const whole = /^\d/.test(text) ? undefined : unitCode(text)
  if (whole !== undefined) return { scaler: 0, unit: whole }
  const [first, rest] = [text.slice(0, 1), text.slice(1)]
  const unit = /^[A-Z]/i.test(rest) ? unitCode(rest) : undefined
  const power = Object.hasOwn(prefixes, first) ? prefixes[first] : undefined
  return unit === undefined || power === undefined ? undefined : { scaler: power, unit }
}

function exact({ value }: TelegramValue): ExactInteger {
  return typeof value === 'number' ? value : BigInt(value)
}
