import type { DataNotification } from '../codec/notification.ts'
import { PeerError } from '../errors.ts'
import type { MeterId, Obis, Series } from '../model.ts'
import { channelsMax, clockOf, integerOf, pointInTime, profileSeries, pushedProfiles } from './profile.ts'
import {
  classOf,
  isScalerUnit,
  listedValues,
  type PushedValue,
  type PushObject,
  pushedScalers,
  pushObjects,
} from './push.ts'

/**
 * What a push says, as readings: each profile column a series, or each register a series of one. Texts, clocks and
 * abstract data are no readings and are passed over; a quantity whose unit is not told is a fault of the whole
 * push, for half of one must not pass for all of it.
 * @returns in wire order; at most `channelsMax` series of at most `seriesLengthMax` rows
 * @throws PeerError `PUSH_FORM`, `PUSH_TIME`, `PUSH_VALUE`
 */
export function interpret(notification: DataNotification, meter: MeterId): Series[] {
  const objects = pushObjects(notification.body)
  if (objects === undefined) return registerSeries(notification, listedValues(notification.body), meter)
  const profiles = pushedProfiles(objects)
  if (profiles.length === 0) return registerSeries(notification, objectValues(objects), meter)
  const beside = objectValues(objects.filter(({ classId }) => classId !== classOf.profile))
  const registers = beside.some(isQuantity) ? registerSeries(notification, beside, meter) : []
  return bounded([...registers, ...profiles.flatMap((profile) => profileSeries(profile, objects, meter))])
}

/** The values of a push with an object list; lists and scalers serve to read the others and are left out. */
export function objectValues(objects: readonly PushObject[]): PushedValue[] {
  const scalers = pushedScalers(objects)
  const values = objects.filter(({ classId, attribute }) => !isScalerUnit(classId, attribute))
  return values.flatMap((object) => {
    if (object.attribute !== 0)
      return [{ ...object, scalerUnit: scaled(object) ? scalers.get(object.obis) : undefined }]
    const { classId, data } = object // attribute 0 stands for all: logical name, value, scaler and unit
    return listedValues(data).map((value) => ({ ...value, classId, attribute: 2 }))
  })
}

/** The attributes that the scaler is for: value, and in a demand register both averages. */
function scaled({ classId, attribute }: Pick<PushedValue, 'classId' | 'attribute'>): boolean {
  return attribute === 2 || (classId === classOf.demandRegister && attribute === 3)
}

function registerSeries(notification: DataNotification, values: readonly PushedValue[], meter: MeterId): Series[] {
  const registers = values.filter(isQuantity)
  if (registers.length === 0) throw new PeerError('PUSH_FORM', 'no registers')
  const { end, doubtful } = timeOf(notification, values)
  const series = registers.map(({ obis, data, scalerUnit }): Series => {
    const value = integerOf(data)
    if (value === undefined) throw new PeerError('PUSH_VALUE', `${obis}: no integer but ${data.type}`)
    if (scalerUnit === undefined) throw new PeerError('PUSH_VALUE', `${obis}: its unit is not told`)
    return { meter, obis, ...scalerUnit, ends: [end], values: [value], qualities: [doubtful] }
  })
  return bounded(series)
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
    classId === undefined ? !obis.startsWith('0-') : registerClasses.has(classId) && scaled({ classId, attribute })
  return isNumber && holdsQuantity
}

/** The clock object's time where one was pushed and tells a point in time, else the notification's. */
function timeOf({ dateTime }: DataNotification, values: readonly PushedValue[]): { end: number; doubtful: number } {
  const clock = values.find(({ obis }) => obis !== undefined && /^\d+-\d+:1\.0\.0$/.test(obis) && obis.startsWith('0-'))
  if (clock !== undefined) {
    try {
      return clockOf(clock.data)
    } catch (fault) {
      if (!(fault instanceof PeerError) || dateTime === undefined) throw fault
    }
  }
  if (dateTime === undefined) throw new PeerError('PUSH_TIME', 'neither the notification nor a clock tells the time')
  return pointInTime(dateTime)
}

function bounded(series: Series[]): Series[] {
  if (series.length > channelsMax) throw new PeerError('PUSH_FORM', `${series.length} channels, limit ${channelsMax}`)
  if (new Set(series.map(({ obis }) => obis)).size < series.length)
    throw new PeerError('PUSH_FORM', 'one channel twice')
  return series
}
