import { encodeDateTime } from '../codec/datetime.ts'
import type { AttributeDescriptor, SelectedAttribute } from '../codec/descriptor.ts'
import { parseObis } from '../codec/obis.ts'
import type { GetResult } from '../codec/results.ts'
import type { CaptureColumn, SelectiveAccess } from '../codec/selective-access.ts'
import { classOf, descriptor, elementsOf } from './push.ts'

/** What an operator wants to know of a meter. */
export interface Wanted {
  attributes: readonly AttributeDescriptor[]
  /** rows of a profile's buffer whose clock lies within, seconds since 1970-01-01T00:00Z, both inclusive */
  range: { from: number; to: number } | undefined
}

/** An attribute that was asked for, and what the meter said. */
export interface Got extends AttributeDescriptor {
  result: GetResult
}

/** Attributes read for one request, the most: 16 profiles of a few columns, or one of many. */
export const getsMax = 96

/**
 * What to read next: first what was asked for, in its order, then what is needed to make sense of it: a register's
 * scaler_unit, a buffer's capture objects and period, and the scaler_unit of each register in its columns. Each is asked
 * for once, and nothing beside what the meter refused.
 * @returns `undefined` when all is there, or `getsMax` were asked for
 * @see Blue Book, Register, Extended register, Demand register, Profile generic
 */
export function nextToRead({ attributes, range }: Wanted, got: readonly Got[]): SelectedAttribute | undefined {
  if (got.length >= getsMax) return undefined
  const asked = new Set(got.map(nameOf))
  const wanted = [...attributes, ...got.flatMap(besides)].find((one) => !asked.has(nameOf(one)))
  if (wanted === undefined) return undefined
  const isBuffer = wanted.classId === classOf.profile && wanted.attribute === 2
  return { ...wanted, selection: isBuffer && range !== undefined ? byClock(range) : undefined }
}

function nameOf({ classId, obis, attribute }: AttributeDescriptor): string {
  return `${classId} ${obis} ${attribute}`
}

/** What is read beside an attribute that the meter gave. */
function besides({ classId, obis, attribute, result }: Got): AttributeDescriptor[] {
  if (result.kind === 'error') return []
  if (classId === classOf.profile && attribute === 2) {
    return [3, 4].map((beside) => ({ classId, obis, attribute: beside }))
  }
  if (classId === classOf.profile && attribute === 3) {
    return elementsOf(result.data).flatMap((column) => scalerOf(descriptor(column, 4)))
  }
  return scalerOf({ classId, obis, attribute })
}

/** Where the scaler and unit of a value stand. */
const scalers: ReadonlyMap<number, { values: readonly number[]; scaler: number }> = new Map([
  [classOf.register, { values: [2], scaler: 3 }],
  [classOf.extendedRegister, { values: [2], scaler: 3 }],
  [classOf.demandRegister, { values: [2, 3], scaler: 4 }],
])

function scalerOf(value: AttributeDescriptor | undefined): AttributeDescriptor[] {
  const places = value && scalers.get(value.classId)
  if (value === undefined || places === undefined || !places.values.includes(value.attribute)) return []
  return [{ classId: value.classId, obis: value.obis, attribute: places.scaler }]
}

/** The column that a range is over. @see Blue Book, Profile generic, range_descriptor */
const clockColumn: CaptureColumn = { classId: classOf.clock, obis: parseObis('0-0:1.0.0'), attribute: 2, dataIndex: 0 }

function byClock({ from, to }: { from: number; to: number }): SelectiveAccess {
  const time = (seconds: number) => ({ type: 'octet-string', octets: encodeDateTime(seconds) }) as const
  return { kind: 'range', restricting: clockColumn, from: time(from), to: time(to), selected: [] }
}
