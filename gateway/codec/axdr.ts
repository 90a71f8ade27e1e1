import { PeerError } from '../errors.ts'
import { decodeLength, encodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** The A-XDR types that hold one number of at most 32 bits, with tag and width in octets. */
const numbers = {
  'double-long': { tag: 5, width: 4, signed: true },
  'double-long-unsigned': { tag: 6, width: 4, signed: false },
  bcd: { tag: 13, width: 1, signed: false },
  integer: { tag: 15, width: 1, signed: true },
  long: { tag: 16, width: 2, signed: true },
  unsigned: { tag: 17, width: 1, signed: false },
  'long-unsigned': { tag: 18, width: 2, signed: false },
  enum: { tag: 22, width: 1, signed: false },
  'delta-integer': { tag: 28, width: 1, signed: true },
  'delta-long': { tag: 29, width: 2, signed: true },
  'delta-double-long': { tag: 30, width: 4, signed: true },
  'delta-unsigned': { tag: 31, width: 1, signed: false },
  'delta-long-unsigned': { tag: 32, width: 2, signed: false },
  'delta-double-long-unsigned': { tag: 33, width: 4, signed: false },
} as const
/** Octets behind a length. */
const strings = { 'octet-string': 9, 'visible-string': 10, 'utf8-string': 12 } as const
/** Octets of fixed width; `datetime.ts` reads them. */
const times = { 'date-time': { tag: 25, width: 12 }, date: { tag: 26, width: 5 }, time: { tag: 27, width: 4 } } as const
const wides = { long64: 20, 'long64-unsigned': 21 } as const
const floats = { float32: { tag: 23, width: 4 }, float64: { tag: 24, width: 8 } } as const
const empties = { 'null-data': 0, 'dont-care': 255 } as const

type NumberType = keyof typeof numbers
type StringType = keyof typeof strings
type TimeType = keyof typeof times
type WideType = keyof typeof wides
type FloatType = keyof typeof floats
type EmptyType = keyof typeof empties
type SimpleType = NumberType | StringType | TimeType | WideType | FloatType | EmptyType | 'boolean' | 'bit-string'

/** A COSEM `Data` value. 32 bits and below are numbers, 64 bits are bigints. @see IEC 62056-5-3, Data */
export type Data =
  | { type: EmptyType }
  | { type: 'array' | 'structure'; elements: Data[] }
  | { type: 'boolean'; value: boolean }
  /** `bits` are counted from the most significant bit of the first octet */
  | { type: 'bit-string'; bits: number; octets: Uint8Array }
  | { type: NumberType; value: number }
  | { type: WideType; value: bigint }
  | { type: FloatType; value: number }
  | { type: StringType | TimeType; octets: Uint8Array }
  | { type: 'compact-array'; description: TypeDescription; elements: Data[] }

/** What each element of a compact-array is; its elements travel without tags. */
export type TypeDescription =
  | { type: SimpleType }
  | { type: 'array'; count: number; element: TypeDescription }
  | { type: 'structure'; elements: TypeDescription[] }

/** Arrays in structures in arrays: no meter goes beyond 6. */
export const depthMax = 16

/** Elements in one value, all levels together: what a plain value of as many octets may hold. */
export const elementsMax = 131_072

/** Elements that an octet of a compact-array may stand for: those of type null-data have none of their own. */
export const elementsPerOctetMax = 16

const typeOf = new Map<number, SimpleType | 'array' | 'structure' | 'compact-array'>([
  [1, 'array'],
  [2, 'structure'],
  [3, 'boolean'],
  [4, 'bit-string'],
  [19, 'compact-array'],
  ...[numbers, times, floats].flatMap((table) =>
    Object.entries(table).map(([type, { tag }]) => [tag, type as SimpleType] as const),
  ),
  ...[strings, wides, empties].flatMap((table) =>
    Object.entries(table).map(([type, tag]) => [tag, type as SimpleType] as const),
  ),
])
const tagOf = new Map([...typeOf].map(([tag, type]) => [type as string, tag]))
/** What a tag announces, by the tag; `number` where it is one of at most 32 bits, which most values are. */
const kinds: readonly (Kind | undefined)[] = Array.from({ length: 256 }, (_, tag) => {
  const type = typeOf.get(tag)
  return type && { type, number: type in numbers ? numbers[type as NumberType] : undefined }
})

/** Tells a `Data` value from other objects: by its type. */
export function isData(value: unknown): value is Data {
  if (typeof value !== 'object' || value === null || !('type' in value)) return false
  return typeof value.type === 'string' && tagOf.has(value.type)
}

interface Kind {
  type: SimpleType | 'array' | 'structure' | 'compact-array'
  number: { width: 1 | 2 | 4; signed: boolean } | undefined
}

/** What is left to spend on one value or one APDU: work stays linear in octets however deep a compact-array nests. */
export interface Budget {
  elements: number
}

/** A whole one: values that travel in one APDU share it. */
export function dataBudget(): Budget {
  return { elements: elementsMax }
}

/**
 * One tagged value.
 * @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_TYPE`, `DATA_DEPTH`, `DATA_COUNT`, `DATA_VALUE`
 * @see IEC 62056-5-3, Data; IEC 61334-6
 */
export function decodeData(reader: OctetReader, budget: Budget = dataBudget()): Data {
  return decodeTagged(reader, 0, budget)
}

function decodeTagged(reader: OctetReader, depth: number, budget: Budget): Data {
  const start = reader.offset
  const data = decodeAnyTagged(reader, depth, budget)
  reader.found(data, start)
  return data
}

function decodeAnyTagged(reader: OctetReader, depth: number, budget: Budget): Data {
  spend(reader, depth, budget)
  const { type, number } = decodeKind(reader)
  if (number !== undefined) return { type: type as NumberType, value: numberOf(reader, number) }
  if (type === 'compact-array') return decodeCompactArray(reader, depth, budget)
  if (type !== 'array' && type !== 'structure') return decodeSimple(reader, type)
  const count = decodeCount(reader)
  const elements: Data[] = count <= smallCount ? new Array(count) : []
  for (let i = 0; i < count; i++) elements[i] = decodeTagged(reader, depth + 1, budget)
  return { type, elements }
}

/** A list that grows takes room for 17 at its first element; most hold two to six. */
const smallCount = 16

function spend(reader: OctetReader, depth: number, budget: Budget): void {
  if (depth > depthMax) throw new PeerError('DATA_DEPTH', `nested beyond ${depthMax}`, { offset: reader.offset })
  if (budget.elements-- === 0)
    throw new PeerError('DATA_COUNT', 'more elements than are taken', { offset: reader.offset })
}

function decodeKind(reader: OctetReader): Kind {
  const offset = reader.offset
  const tag = reader.uint(1)
  const kind = kinds[tag]
  if (kind === undefined) throw new PeerError('DATA_TYPE', `no data type has tag ${tag}`, { offset })
  return kind
}

/** Each tagged element has an octet at least, so a count beyond what is left is refused before anything is kept. */
function decodeCount(reader: OctetReader): number {
  const offset = reader.offset
  const count = decodeLength(reader, 0xffffffff)
  if (count > reader.remaining) {
    throw new PeerError('DATA_COUNT', `${count} elements in ${reader.remaining} octets`, { offset })
  }
  return count
}

function decodeSimple(reader: OctetReader, type: SimpleType): Data {
  switch (type) {
    case 'null-data':
    case 'dont-care':
      return { type }
    case 'boolean':
      return { type, value: reader.uint(1) !== 0 }
    case 'bit-string':
      return decodeBitString(reader)
    case 'octet-string':
    case 'visible-string':
    case 'utf8-string':
      return { type, octets: reader.octets(decodeLength(reader, octetsMax)) }
    case 'date-time':
    case 'date':
    case 'time':
      return { type, octets: reader.octets(times[type].width) }
    case 'long64':
      return { type, value: reader.int64() }
    case 'long64-unsigned':
      return { type, value: reader.uint64() }
    case 'float32':
    case 'float64':
      return { type, value: reader.float(floats[type].width) }
    default:
      return { type, value: numberOf(reader, numbers[type]) }
  }
}

function numberOf(reader: OctetReader, { width, signed }: { width: 1 | 2 | 4; signed: boolean }): number {
  return signed ? reader.int(width) : reader.uint(width)
}

function decodeBitString(reader: OctetReader): Data {
  const bits = decodeLength(reader, octetsMax)
  return { type: 'bit-string', bits, octets: reader.octets(Math.ceil(bits / 8)) }
}

function decodeCompactArray(reader: OctetReader, depth: number, budget: Budget): Data {
  const description = decodeDescription(reader, depth + 1, budget)
  const length = decodeLength(reader, octetsMax)
  const contents = reader.inner(length)
  const granted = Math.min(budget.elements, elementsPerOctetMax * length)
  const within: Budget = { elements: granted }
  const elements: Data[] = []
  while (contents.remaining > 0) {
    const before = contents.offset
    elements.push(decodeDescribed(contents, description, depth + 1, within))
    if (contents.offset === before) {
      throw new PeerError('DATA_COUNT', 'elements without octets cannot be counted', { offset: before })
    }
  }
  budget.elements -= granted - within.elements
  return { type: 'compact-array', description, elements }
}

function decodeDescription(reader: OctetReader, depth: number, budget: Budget): TypeDescription {
  spend(reader, depth, budget)
  const offset = reader.offset
  const { type } = decodeKind(reader)
  if (type === 'compact-array') throw new PeerError('DATA_TYPE', 'a compact-array in a compact-array', { offset })
  if (type === 'array') {
    const count = reader.uint(2)
    return { type, count, element: decodeDescription(reader, depth + 1, budget) }
  }
  if (type !== 'structure') return { type }
  const count = decodeCount(reader)
  const elements: TypeDescription[] = []
  for (let i = 0; i < count; i++) elements.push(decodeDescription(reader, depth + 1, budget))
  return { type, elements }
}

function decodeDescribed(reader: OctetReader, description: TypeDescription, depth: number, budget: Budget): Data {
  const start = reader.offset
  const data = decodeUntagged(reader, description, depth, budget)
  reader.found(data, start)
  return data
}

function decodeUntagged(reader: OctetReader, description: TypeDescription, depth: number, budget: Budget): Data {
  spend(reader, depth, budget)
  if (description.type === 'array') {
    const elements: Data[] = []
    for (let i = 0; i < description.count; i++) {
      elements.push(decodeDescribed(reader, description.element, depth + 1, budget))
    }
    return { type: 'array', elements }
  }
  if (description.type !== 'structure') return decodeSimple(reader, description.type)
  const elements = description.elements.map((element) => decodeDescribed(reader, element, depth + 1, budget))
  return { type: 'structure', elements }
}

/** One tagged value in octets. What it is given is ours: a number out of range is a `RangeError`. */
export function encodeData(data: Data): Uint8Array {
  const writer = new OctetWriter()
  writeData(writer, data)
  return writer.finish()
}

/** One tagged value behind what was written before. */
export function writeData(writer: OctetWriter, data: Data): void {
  writer.uint(1, tagOf.get(data.type)!)
  if (data.type === 'compact-array') {
    writeDescription(writer, data.description)
    const contents = new OctetWriter()
    for (const element of data.elements) writeUntagged(contents, element)
    writeOctets(writer, contents.finish())
  } else if (data.type === 'array' || data.type === 'structure') {
    encodeLength(writer, data.elements.length)
    for (const element of data.elements) writeData(writer, element)
  } else writeUntagged(writer, data)
}

function writeDescription(writer: OctetWriter, description: TypeDescription): void {
  writer.uint(1, tagOf.get(description.type)!)
  if (description.type === 'array') {
    writer.uint(2, description.count)
    writeDescription(writer, description.element)
  } else if (description.type === 'structure') {
    encodeLength(writer, description.elements.length)
    for (const element of description.elements) writeDescription(writer, element)
  }
}

function writeOctets(writer: OctetWriter, octets: Uint8Array): void {
  encodeLength(writer, octets.length)
  writer.octets(octets)
}

function writeUntagged(writer: OctetWriter, data: Data): void {
  switch (data.type) {
    case 'null-data':
    case 'dont-care':
      break
    case 'array':
    case 'structure':
    case 'compact-array':
      for (const element of data.elements) writeUntagged(writer, element)
      break
    case 'boolean':
      writer.uint(1, data.value ? 1 : 0)
      break
    case 'bit-string':
      encodeLength(writer, data.bits)
      writer.octets(data.octets)
      break
    case 'octet-string':
    case 'visible-string':
    case 'utf8-string':
      writeOctets(writer, data.octets)
      break
    case 'date-time':
    case 'date':
    case 'time':
      writer.octets(data.octets)
      break
    case 'long64':
      writer.int64(data.value)
      break
    case 'long64-unsigned':
      writer.uint64(data.value)
      break
    case 'float32':
    case 'float64':
      writer.float(floats[data.type].width, data.value)
      break
    default:
      writeNumber(writer, data)
  }
}

function writeNumber(writer: OctetWriter, { type, value }: { type: NumberType; value: number }): void {
  const { width, signed } = numbers[type]
  if (signed) writer.int(width, value)
  else writer.uint(width, value)
}
