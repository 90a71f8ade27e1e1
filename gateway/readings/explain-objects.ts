import type { Data } from '../codec/axdr.ts'
import { PeerError } from '../errors.ts'
import type { Obis } from '../model.ts'
import { type ExplainedValue, explainedValue, timeText } from './explain.ts'
import type { MeterClock } from './local-time.ts'
import { knownUnit, type MeterProfile } from './meter-profile.ts'
import { obisName } from './obis-names.ts'
import { type Profile, pushedProfiles } from './profile.ts'
import { classOf, elementsOf, type PushObject, pushedScalers, type ScalerUnit } from './push.ts'
import { isScaled } from './registers.ts'

/** A value that a meter was asked for. */
export interface ReadValue extends ExplainedValue {
  /** what its code stands for, `null` where no code like it is known */
  name: string | null
  /** of a profile's row its clock, of a clock what it says; `null` for what tells none */
  time: string | null
}

interface Known {
  objects: readonly PushObject[]
  scalers: ReadonlyMap<Obis, ScalerUnit>
  profile: MeterProfile | undefined
}

/**
 * What a meter answered, value by value; a profile's buffer row by row, with what null-data stands for.
 * @param objects first those that are wanted, then what was read beside to make sense of them
 * @param wanted how many
 * @throws PeerError `PUSH_FORM`, `DATA_VALUE`
 */
export function explainObjects(objects: readonly PushObject[], wanted: number, profile?: MeterProfile): ReadValue[] {
  const known = { objects, scalers: pushedScalers(objects), profile }
  return objects.slice(0, wanted).flatMap((object) => explainOne(object, known))
}

function explainOne(object: PushObject, { objects, scalers, profile }: Known): ReadValue[] {
  const buffer = object.classId === classOf.profile && object.attribute === 2 ? object.obis : undefined
  if (buffer !== undefined && hasColumns(buffer, objects, profile)) {
    const beside = objects.filter(({ obis, attribute }) => obis === buffer && attribute !== 2)
    const [table] = pushedProfiles([object, ...beside], profile)
    return rowValues(table!, { objects, scalers, profile })
  }
  const scalerUnit = isScaled(object) ? (scalers.get(object.obis) ?? knownUnit(profile, object.obis)) : undefined
  const isClock = object.classId === classOf.clock && object.attribute === 2
  const time = isClock ? textOf(object.data, profile?.clock) : null
  return [{ ...explainedValue({ ...object, scalerUnit }), name: obisName(object.obis) ?? null, time }]
}

function hasColumns(buffer: Obis, objects: readonly PushObject[], profile: MeterProfile | undefined): boolean {
  const isPushed = objects.some(
    ({ classId, obis, attribute }) => classId === classOf.profile && obis === buffer && attribute === 3,
  )
  return isPushed || (profile?.buffers.some(({ code }) => code === buffer) ?? false)
}

/** Null-data is the value of the row before, and in the clock's column a period later. @see Blue Book, Profile generic */
function rowValues({ columns, rows, capturePeriod }: Profile, { scalers, profile }: Known): ReadValue[] {
  let before: readonly Data[] = []
  let time: string | null = null
  return rows.flatMap((row) => {
    const told = elementsOf(row)
    if (told.length !== columns.length) throw new PeerError('PUSH_FORM', `a row is not ${columns.length} columns`)
    const cells = told.map((cell, i) => (cell.type === 'null-data' ? (before[i] ?? cell) : cell))
    const clock = columns.findIndex(({ kind }) => kind === 'clock')
    if (clock >= 0) time = nextTime(told[clock]!, time, { capturePeriod, clock: profile?.clock })
    before = cells
    return columns.flatMap(({ classId, obis, attribute, kind }, i): ReadValue[] => {
      if (kind === 'clock') return []
      const scalerUnit = kind === 'value' ? (scalers.get(obis) ?? knownUnit(profile, obis)) : undefined
      const value = explainedValue({ classId, obis, attribute, data: cells[i]!, scalerUnit })
      return [{ ...value, name: obisName(obis) ?? null, time }]
    })
  })
}

interface Period {
  /** seconds, 0 where none was told */
  capturePeriod: number
  clock: MeterClock | undefined
}

function nextTime(cell: Data, before: string | null, { capturePeriod, clock }: Period): string | null {
  if (cell.type !== 'null-data') return textOf(cell, clock)
  if (before === null || capturePeriod === 0) return null
  const isUtc = before.endsWith('Z')
  const next = new Date(Date.parse(isUtc ? before : `${before}Z`) + capturePeriod * 1000).toISOString()
  return next.replace('.000Z', 'Z').slice(0, isUtc ? undefined : -1)
}

/** Seconds since 1970-01-01T00:00Z are a time too: double-long-unsigned in some meters. */
function textOf(data: Data, clock: MeterClock | undefined): string | null {
  if (data.type === 'double-long-unsigned') return new Date(data.value * 1000).toISOString().replace('.000Z', 'Z')
  if (data.type !== 'octet-string' && data.type !== 'date-time') return null
  return timeText(data.octets, clock)
}
