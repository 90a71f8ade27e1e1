import type { Data } from '../codec/axdr.ts'
import { decodeObis, logicalNameOctets, parseObis } from '../codec/obis.ts'
import { PeerError } from '../errors.ts'
import type { Obis } from '../model.ts'

/** How a register's integer is to be read. @see Blue Book, Register, scaler_unit */
export interface ScalerUnit {
  scaler: number
  unit: number
}

/** One value of a push, with whatever the meter told of it. */
export interface PushedValue {
  /** `undefined` where the value came without a name: only its place tells what it is */
  obis: Obis | undefined
  classId: number | undefined
  attribute: number | undefined
  data: Data
  scalerUnit: ScalerUnit | undefined
  /** of an extended or demand register, where they were pushed beside the value */
  status?: Data
  captureTime?: Data
}

/** An attribute that the push object list names, and its data. @see Blue Book, Push setup, push_object_list */
export interface PushObject {
  classId: number
  obis: Obis
  attribute: number
  data: Data
}

export const classOf = {
  data: 1,
  register: 3,
  extendedRegister: 4,
  demandRegister: 5,
  profile: 7,
  clock: 8,
  push: 40,
} as const

/** Media of the first OBIS group end at 15, so that text is not taken for a name. @see IEC 62056-61, value group A */
const mediumMax = 15
const textName = /^\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(\*\d{1,3})?$/
const dottedName = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3}\.\d{1,3}\.\d{1,3})\.(\d{1,3})$/

/**
 * The attributes of a push that carries its own object list, the list itself left out.
 * @returns `undefined` where the body holds no such list
 * @throws PeerError `PUSH_FORM` when list and data do not go together
 */
export function pushObjects(body: Data): PushObject[] | undefined {
  const elements = elementsOf(body)
  const lists: { at: number; entries: Descriptor[] }[] = []
  for (let at = 0; at < elements.length; at++) {
    const entries = descriptorList(elements[at]!)
    if (entries !== undefined) lists.push({ at, entries })
  }
  if (lists.length === 0) return undefined
  // Capture objects look alike: the list is the one that names itself, else the one that goes with the data.
  const own = lists.find(({ at, entries }) => namesItself(entries, at, elements.length))
  if (own !== undefined) return withData(own.entries.toSpliced(own.at, 1), elements, own.at)
  const beside = lists.find(({ entries }) => entries.length === elements.length - 1)
  if (beside !== undefined) return withData(beside.entries, elements, beside.at)
  const wrapped = lists.find(({ at, entries }) => elements.length === 2 && isAsLong(elements[1 - at]!, entries))
  if (wrapped !== undefined)
    return withData(wrapped.entries, [elements[wrapped.at]!, ...elementsOf(elements[1 - wrapped.at]!)], 0)
  if (elements.length === 1 && holdsValues(elements[0]!)) return undefined
  throw new PeerError('PUSH_FORM', 'the object list does not go with the data')
}

/** The push setup that a body names, in its object list or as one of its objects. */
export function pushSetup(body: Data): Obis | undefined {
  const entries = [...elementsOf(body), ...elementsOf(body).flatMap(elementsOf)]
  const described = [...entries, ...entries.flatMap(elementsOf)].map((entry) => descriptor(entry))
  return described.find((entry) => entry?.classId === classOf.push)?.obis
}

type Descriptor = Omit<PushObject, 'data'>

/** Attributes whose values are of the type that a data index has: an index says 0 but where a part is meant. */
function holdsValues(list: Data): boolean {
  return elementsOf(list).some((entry) => {
    const last = elementsOf(entry)[3]
    return last?.type === 'long-unsigned' && last.value !== 0
  })
}

/** The data in a list of their own beside the object list. */
function isAsLong(data: Data, entries: readonly Descriptor[]): boolean {
  return elementsOf(data).length === entries.length
}

function namesItself(entries: readonly Descriptor[], at: number, length: number): boolean {
  const own = entries[at]
  return entries.length === length && own?.classId === classOf.push && own.attribute === 2
}

/** @param list where it stands among the elements, whose others are the data */
function withData(entries: readonly Descriptor[], elements: readonly Data[], list: number): PushObject[] {
  return entries.map(({ classId, obis, attribute }, i) => {
    return { classId, obis, attribute, data: elements[i < list ? i : i + 1]! }
  })
}

/** The descriptors of a list that holds nothing else. */
function descriptorList(data: Data): Descriptor[] | undefined {
  const entries: Descriptor[] = []
  for (const entry of elementsOf(data)) {
    const described = descriptor(entry, 4)
    if (described === undefined) return undefined
    entries.push(described)
  }
  return entries.length > 0 ? entries : undefined
}

/** `{ class, logical name, attribute, … }`. @param least elements, 4 where a data index must follow */
export function descriptor(data: Data, least: 3 | 4 = 3): Descriptor | undefined {
  if (data.type !== 'structure' || data.elements.length < least) return undefined
  const { elements } = data
  const [classId, name, attribute, index] = [elements[0], elements[1], elements[2], elements[3]]
  if (classId?.type !== 'long-unsigned' || attribute?.type !== 'integer') return undefined
  if (name?.type !== 'octet-string' || name.octets.length !== logicalNameOctets) return undefined
  if (index !== undefined && index.type !== 'long-unsigned') return undefined
  return { classId: classId.value, obis: decodeObis(name.octets), attribute: attribute.value }
}

/** The elements of what has some, none of what has not. */
export function elementsOf(data: Data): readonly Data[] {
  return data.type === 'array' || data.type === 'structure' || data.type === 'compact-array' ? data.elements : []
}

/** `{ integer scaler, enum unit }`, in either order. */
export function scalerUnit(data: Data | undefined): ScalerUnit | undefined {
  if (data?.type !== 'structure' || data.elements.length !== 2) return undefined
  return pair(data.elements[0], data.elements[1]) ?? pair(data.elements[1], data.elements[0])
}

function pair(scaler: Data | undefined, unit: Data | undefined): ScalerUnit | undefined {
  if (scaler?.type !== 'integer' || unit?.type !== 'enum') return undefined
  return { scaler: scaler.value, unit: unit.value }
}

/**
 * What a push without an object list holds, in wire order: names and values side by side in one list, or in a
 * structure of their own each, with or without scaler and unit, or behind an attribute descriptor.
 */
export function listedValues(body: Data): PushedValue[] {
  const elements = elementsOf(body)
  if (elements.length === 0) return [unnamed(body)]
  const attribute = inlineAttribute(body)
  if (attribute !== undefined) return [attribute]
  const values: PushedValue[] = []
  for (let i = 0; i < elements.length; ) {
    const { taken, found } = groupAt(elements, i)
    for (const value of found) values.push(value)
    i += taken
  }
  return values
}

/** `{ class, logical name, attribute, value }`, or with a data index before the value. */
function inlineAttribute(body: Data): PushedValue | undefined {
  const elements = elementsOf(body)
  if (body.type !== 'structure' || elements.length > 6 || elements[0]?.type !== 'long-unsigned') return undefined
  const hasIndex = elements[3]?.type === 'long-unsigned' && elements.length - (isScaleLast(elements) ? 1 : 0) > 4
  const index = hasIndex ? 4 : 3
  const [data, described] = [elements[index], descriptorAt(elements, 0)]
  return data && described && { ...described, data, scalerUnit: scalerUnit(elements[index + 1]) }
}

function isScaleLast(elements: readonly Data[]): boolean {
  return scalerUnit(elements.at(-1)) !== undefined
}

function descriptorAt(elements: readonly Data[], at: number): Descriptor | undefined {
  return descriptor({ type: 'structure', elements: elements.slice(at, at + 3) })
}

/** Class, logical name, attribute and value again and again in one list, perhaps with scaler and unit behind each. */
function flatAttribute(elements: readonly Data[], at: number): Group | undefined {
  const data = elements[at + 3]
  const described = data && descriptorAt(elements, at)
  if (described === undefined) return undefined
  const scale = scalerUnit(elements[at + 4])
  return { taken: scale === undefined ? 4 : 5, found: [{ ...described, data: data!, scalerUnit: scale }] }
}

interface Group {
  /** elements */
  taken: number
  found: readonly PushedValue[]
}

function groupAt(elements: readonly Data[], at: number): Group {
  const element = elements[at]!
  if (element.type === 'long-unsigned') {
    const attribute = flatAttribute(elements, at)
    if (attribute !== undefined) return attribute
  }
  const name = nameOf(element)
  if (name !== undefined && at + 1 < elements.length && !isTitle(elements, at)) return namedGroup(name, elements, at)
  if (element.type === 'null-data') return { taken: 1, found: [] } // a phase that the meter does not have
  const described = descriptor(element)
  const isPair = elements.length === 2 && at === 0 && descriptorAt(elementsOf(elements[1]!), 0) === undefined
  if (described !== undefined && isPair) {
    return { taken: 2, found: [{ ...described, data: elements[1]!, scalerUnit: undefined }] }
  }
  return { taken: 1, found: elementsOf(element).length > 0 ? listedValues(element) : [unnamed(element)] }
}

/** A name in front of names and values: that of the push itself. */
function isTitle(elements: readonly Data[], at: number): boolean {
  const [second, third] = [elements[at + 1], elements[at + 2]]
  if (at !== 0 || second === undefined || third === undefined || nameOf(second) === undefined) return false
  return nameOf(third) === undefined && third.type !== 'null-data' && elementsOf(third).length === 0
}

/** Name, value, scaler and unit: the last two in a structure before or behind the value, plain behind it, or missing. */
function namedGroup(obis: Obis, elements: readonly Data[], at: number): Group {
  const [first, second, third] = [elements[at + 1], elements[at + 2], elements[at + 3]]
  const before = second === undefined ? undefined : scalerUnit(first)
  if (before !== undefined) return { taken: 3, found: [named(obis, second!, before)] }
  const inner = elementsOf(first!)
  const innerUnit =
    inner.length === 2 ? scalerUnit(inner[1]) : inner.length === 3 ? pair(inner[1], inner[2]) : undefined
  if (innerUnit !== undefined) return { taken: 2, found: [named(obis, inner[0]!, innerUnit)] }
  const nested = inner.length > 0 ? listedValues(first!) : []
  if (nested.some((value) => value.obis !== undefined)) return { taken: 2, found: nested }
  const behind = scalerUnit(second)
  if (behind !== undefined) return { taken: 3, found: [named(obis, first!, behind)] }
  const plain = pair(second, third)
  return { taken: plain === undefined ? 2 : 4, found: [named(obis, first!, plain)] }
}

function named(obis: Obis, data: Data, scalerUnit: ScalerUnit | undefined): PushedValue {
  return { obis, classId: undefined, attribute: undefined, data, scalerUnit }
}

function unnamed(data: Data): PushedValue {
  return { obis: undefined, classId: undefined, attribute: undefined, data, scalerUnit: undefined }
}

function nameOf(data: Data): Obis | undefined {
  if (data.type !== 'octet-string' && data.type !== 'visible-string') return undefined
  const { octets } = data
  if (data.type === 'octet-string' && octets.length === logicalNameOctets) {
    return octets[0]! <= mediumMax ? decodeObis(octets) : undefined
  }
  if (octets.length > 24) return undefined
  const text = String.fromCharCode(...octets).replace(dottedName, '$1-$2:$3*$4')
  return textName.test(text) && text.split(/\D/).every((group) => Number(group) <= 255) ? parseObis(text) : undefined
}

/** The scaler and unit of each register whose attribute 3 was pushed with it. */
export function pushedScalers(objects: readonly PushObject[]): ReadonlyMap<Obis, ScalerUnit> {
  const scalers = new Map<Obis, ScalerUnit>()
  for (const { classId, obis, attribute, data } of objects) {
    if (!isScalerUnit(classId, attribute)) continue
    const found = scalerUnit(data)
    if (found === undefined) throw new PeerError('PUSH_FORM', `${obis}: its scaler_unit is not { integer, enum }`)
    scalers.set(obis, found)
  }
  return scalers
}

/** @see Blue Book: scaler_unit is attribute 3 of Register and Extended register, 4 of Demand register */
export function isScalerUnit(classId: number, attribute: number): boolean {
  if (classId === classOf.demandRegister) return attribute === 4
  return (classId === classOf.register || classId === classOf.extendedRegister) && attribute === 3
}
