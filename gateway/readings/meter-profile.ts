import type { Data } from '../codec/axdr.ts'
import type { DataNotification, Dialect } from '../codec/notification.ts'
import { PeerError } from '../errors.ts'
import { type Obis, quality } from '../model.ts'
import type { MeterClock } from './local-time.ts'
import { fitsPattern, type ObisPattern } from './obis-pattern.ts'
import type { Column } from './profile-columns.ts'
import { elementsOf, listedValues, type PushedValue, pushObjects, pushSetup, type ScalerUnit } from './push.ts'

/** What the pushes of one meter family do not say themselves; read from a file by `gateway/meters/parse.ts`. */
export interface MeterProfile {
  /** of the file, without its ending */
  name: string
  family: string
  match: Match
  /** `undefined` where the meter always states its deviation, or nobody knows */
  clock: MeterClock | undefined
  /** departures from the standard that are taken from this meter */
  dialects: readonly (Dialect | 'positional')[]
  units: readonly UnitRule[]
  /** numbers that are no quantities: identifiers, states */
  noReadings: readonly ObisPattern[]
  lists: readonly PositionalList[]
  buffers: readonly KnownBuffer[]
  status: readonly StatusRule[]
}

/** How a meter is told; all that is stated must hold. */
export interface Match {
  /** three letters of the system title */
  manufacturers: readonly string[] | undefined
  /** of the logical device name, or the name in front of a list */
  device: RegExp | undefined
  /** logical names of push setups */
  pushes: readonly Obis[] | undefined
}

export interface UnitRule extends ScalerUnit {
  codes: readonly ObisPattern[]
}

/** Values without names: only their place tells what they are. */
export interface PositionalList {
  /** as many as the list has elements; `undefined` for what is no object of its own */
  names: readonly (Obis | undefined)[]
}

/** A profile generic whose capture objects are not pushed with it. */
export interface KnownBuffer {
  code: Obis
  /** seconds, 0 where nobody knows */
  capturePeriod: number
  columns: readonly Column[]
}

/** What the bits of a status mean; a bit that is not listed is `quality.meterStatus`. */
export interface StatusRule {
  codes: readonly ObisPattern[]
  /** `quality` is 0 for a bit that says nothing against the value */
  bits: readonly { mask: number; quality: number }[]
}

/** The scaler and unit that a profile knows for a code. */
export function knownUnit(profile: MeterProfile | undefined, obis: Obis | undefined): ScalerUnit | undefined {
  if (obis === undefined) return undefined
  const rule = profile?.units.find(({ codes }) => codes.some((code) => fitsPattern(code, obis)))
  return rule && { scaler: rule.scaler, unit: rule.unit }
}

/** Whether a profile says that a code is no quantity. */
export function isNoReading(profile: MeterProfile | undefined, obis: Obis | undefined): boolean {
  return obis !== undefined && (profile?.noReadings.some((code) => fitsPattern(code, obis)) ?? false)
}

/** A list without names as one with names. @returns `undefined` where none of the profile's lists is as long */
export function namedList(profile: MeterProfile | undefined, body: Data): PushedValue[] | undefined {
  const elements = elementsOf(body)
  const list = profile?.lists.find(({ names }) => names.length === elements.length)
  if (list === undefined || listedValues(body).some(({ obis }) => obis !== undefined)) return undefined
  return elements.flatMap((data, i): PushedValue[] => {
    const obis = list.names[i]
    if (obis === undefined) return []
    return [{ obis, classId: undefined, attribute: undefined, data, scalerUnit: undefined }]
  })
}

/** Bits of `quality` from a status word. */
export function statusQuality(profile: MeterProfile | undefined, obis: Obis, word: number): number {
  const rule = profile?.status.find(({ codes }) => codes.some((code) => fitsPattern(code, obis)))
  if (rule === undefined) return word === 0 ? 0 : quality.meterStatus
  let [found, rest] = [0, word]
  for (const { mask, quality } of rule.bits) {
    if ((word & mask) !== 0) found |= quality
    rest &= ~mask
  }
  return rest === 0 ? found : found | quality.meterStatus
}

/** @throws PeerError `PUSH_FORM` where a push departs from the standard in a way that its meter is not known for */
export function checkDialects({ dialects }: DataNotification, profile: MeterProfile): void {
  const other = dialects.find((dialect) => !profile.dialects.includes(dialect))
  if (other !== undefined)
    throw new PeerError('PUSH_FORM', `the dialect ${other}, which ${profile.name} does not speak`)
}

/** What a push tells of who sent it. */
export interface Evidence {
  /** three letters */
  manufacturer: string | undefined
  /** texts that name the device or the list */
  names: readonly string[]
  push: Obis | undefined
}

/** @param title eight octets, where one is known */
export function evidenceOf({ body }: DataNotification, title?: Uint8Array): Evidence {
  const values = evidenceValues(body)
  const texts = values.filter(({ obis, attribute }) => obis === undefined || isName(obis, attribute))
  return {
    manufacturer: title && String.fromCharCode(...title.subarray(0, 3)),
    names: texts.flatMap(({ data }) => ('octets' in data ? [String.fromCharCode(...data.octets)] : [])),
    push: pushSetup(body),
  }
}

function evidenceValues(body: Data): readonly Omit<PushedValue, 'scalerUnit'>[] {
  try {
    return pushObjects(body) ?? listedValues(body)
  } catch (fault) {
    if (fault instanceof PeerError) return [] // a list that does not go with its data tells nothing
    throw fault
  }
}

function isName(obis: Obis, attribute: number | undefined): boolean {
  return /^0-\d+:42\.0\.0$|^\d+-\d+:0\.2\.129$/.test(obis) && (attribute === undefined || attribute === 2)
}

/**
 * The profile that fits, the one that states most where several do.
 * @returns `undefined` where none fits or two fit as well as each other: somebody must say which
 */
export function profileFor(evidence: Evidence, profiles: readonly MeterProfile[]): MeterProfile | undefined {
  const fitting = profiles.filter((profile) => fits(profile.match, evidence))
  const most = Math.max(...fitting.map(({ match }) => stated(match)))
  const [best, ...more] = fitting.filter(({ match }) => stated(match) === most)
  return more.length === 0 ? best : undefined
}

function stated({ manufacturers, device, pushes }: Match): number {
  return [manufacturers, device, pushes].filter((criterion) => criterion !== undefined).length
}

function fits(match: Match, { manufacturer, names, push }: Evidence): boolean {
  const { manufacturers, device, pushes } = match
  if (stated(match) === 0) return false
  if (manufacturers !== undefined && (manufacturer === undefined || !manufacturers.includes(manufacturer))) return false
  if (device !== undefined && !names.some((name) => device.test(name))) return false
  return pushes === undefined || (push !== undefined && pushes.includes(push))
}
