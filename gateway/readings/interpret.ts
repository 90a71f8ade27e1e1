import type { DataNotification } from '../codec/notification.ts'
import { PeerError } from '../errors.ts'
import type { MeterId, Obis } from '../model.ts'
import { type Point, pointInTime } from './local-time.ts'
import { checkDialects, isNoReading, knownUnit, type MeterProfile, namedList } from './meter-profile.ts'
import {
  channelsMax,
  clockOf,
  integerOf,
  noStatus,
  profileSeries,
  pushedProfiles,
  type Reader,
  repeatsChannel,
  type StatusSeries,
  statusOf,
} from './profile.ts'
import { classOf, isScalerUnit, listedValues, type PushedValue, type PushObject, pushObjects } from './push.ts'
import { finished, isScaled, objectValues } from './registers.ts'

/**
 * What a push says, as readings: each profile column a series, or each register a series of one. Texts, clocks and
 * abstract data are no readings and are passed over; a quantity whose unit is not told is a fault of the whole
 * push, for half of one must not pass for all of it.
 * @param profile what is known of the meter's family beyond its push: zone, units, places, capture objects. With one,
 *   series have the raw statuses beside their qualities, and a dialect that it does not list is refused.
 * @returns in wire order; at most `channelsMax` series of at most `seriesLengthMax` rows
 * @throws PeerError `PUSH_FORM`, `PUSH_TIME`, `PUSH_VALUE`
 */
export function interpret(notification: DataNotification, meter: MeterId, profile?: MeterProfile): StatusSeries[] {
  const reader = { meter, profile }
  if (profile !== undefined) checkDialects(notification, profile)
  const { body, dateTime } = notification
  const objects = pushObjects(body)
  if (objects !== undefined) return interpretObjects(objects, dateTime, reader)
  return registerSeries(namedList(profile, body) ?? listedValues(body), dateTime, reader)
}

/**
 * The same of attributes that were read one by one: a buffer with its capture objects, a register with its scaler.
 * @param dateTime twelve octets, the time of what has none of its own
 * @throws PeerError as `interpret`
 */
export function interpretObjects(
  objects: readonly PushObject[],
  dateTime: Uint8Array | undefined,
  reader: Reader,
): StatusSeries[] {
  const profiles = pushedProfiles(objects, reader.profile)
  if (profiles.length === 0) return registerSeries(objectValues(objects), dateTime, reader)
  const registers = besideProfiles(objects, dateTime, reader)
  return bounded([...registers, ...profiles.flatMap((profile) => profileSeries(profile, objects, reader))])
}

/** Registers pushed with profiles; most often there is nothing but the scalers of the columns. */
function besideProfiles(
  objects: readonly PushObject[],
  dateTime: Uint8Array | undefined,
  reader: Reader,
): StatusSeries[] {
  const beside = objects.filter(({ classId }) => classId !== classOf.profile)
  if (beside.every(({ classId, attribute }) => isScalerUnit(classId, attribute))) return []
  const values = objectValues(beside)
  return known(values, reader).some(isQuantity) ? registerSeries(values, dateTime, reader) : []
}

/** Values with the units that the profile knows, without those that it says are none. */
function known(values: readonly PushedValue[], { profile }: Reader): readonly PushedValue[] {
  if (profile === undefined) return values
  return values
    .filter(({ obis }) => !isNoReading(profile, obis))
    .map((value) => {
      const isValue = value.classId === undefined || isScaled(value)
      return isValue ? { ...value, scalerUnit: value.scalerUnit ?? knownUnit(profile, value.obis) } : value
    })
}

function registerSeries(
  values: readonly PushedValue[],
  dateTime: Uint8Array | undefined,
  reader: Reader,
): StatusSeries[] {
  const registers = known(finished(values), reader).filter(isQuantity)
  if (registers.length === 0) throw new PeerError('PUSH_FORM', 'no registers')
  const time = registers.some(({ captureTime }) => captureTime === undefined)
    ? timeOf(values, dateTime, reader)
    : undefined
  return bounded(registers.map((register) => oneSeries(register, time, reader)))
}

function oneSeries(
  { obis, data, scalerUnit, captureTime, status }: PushedValue & { obis: Obis },
  time: Point | undefined,
  { meter, profile }: Reader,
): StatusSeries {
  const value = integerOf(data)
  if (value === undefined) throw new PeerError('PUSH_VALUE', `${obis}: no integer but ${data.type}`)
  if (scalerUnit === undefined) throw new PeerError('PUSH_VALUE', `${obis}: its unit is not told`)
  const { end, doubtful } = captureTime === undefined ? time! : clockOf(captureTime, profile?.clock)
  const isKnown = status !== undefined && profile !== undefined // what its bits mean is the manufacturer's own
  const told = isKnown ? statusOf(status, obis, profile) : noStatus
  const { scaler, unit } = scalerUnit
  const one = { meter, obis, scaler, unit, ends: [end], values: [value], qualities: [doubtful | told.quality] }
  return isKnown ? { ...one, statuses: [told.raw] } : one
}

const registerClasses: ReadonlySet<number> = new Set([
  classOf.register,
  classOf.extendedRegister,
  classOf.demandRegister,
])

/** A measured quantity: it has a unit, or it looks as if it should. */
function isQuantity(value: PushedValue): value is PushedValue & { obis: Obis } {
  const { obis, classId, attribute, data, scalerUnit } = value
  if (data.type === 'null-data') return false // told to be absent
  if (scalerUnit !== undefined) return true
  const isNumber = integerOf(data) !== undefined || data.type === 'float32' || data.type === 'float64'
  if (obis === undefined) {
    if (isNumber) throw new PeerError('PUSH_VALUE', 'a number without a name')
    return false
  }
  const holdsQuantity =
    classId === undefined ? !obis.startsWith('0-') : registerClasses.has(classId) && isScaled({ classId, attribute })
  return isNumber && holdsQuantity
}

/** The clock object's time where one was pushed and tells a point in time, else the notification's. */
function timeOf(values: readonly PushedValue[], dateTime: Uint8Array | undefined, { profile }: Reader): Point {
  const clock = values.find(({ obis }) => obis?.startsWith('0-') && /^0-\d+:1\.0\.0$/.test(obis))
  if (clock !== undefined) {
    try {
      return clockOf(clock.data, profile?.clock)
    } catch (fault) {
      if (!(fault instanceof PeerError) || dateTime === undefined) throw fault
    }
  }
  if (dateTime === undefined) throw new PeerError('PUSH_TIME', 'neither the notification nor a clock tells the time')
  return pointInTime(dateTime, profile?.clock)
}

function bounded(series: StatusSeries[]): StatusSeries[] {
  if (series.length > channelsMax) throw new PeerError('PUSH_FORM', `${series.length} channels, limit ${channelsMax}`)
  if (repeatsChannel(series)) throw new PeerError('PUSH_FORM', 'one channel twice')
  return series
}
