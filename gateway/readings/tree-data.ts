import type { Data } from '../codec/axdr.ts'
import { decodeObis, logicalNameOctets } from '../codec/obis.ts'
import type { Trace } from '../codec/trace.ts'
import type { Obis } from '../model.ts'
import { attributeName, className } from './class-names.ts'
import { obisName } from './obis-names.ts'
import { integerOf } from './profile.ts'
import { descriptor, elementsOf, type PushedValue, type ScalerUnit, scalerUnit } from './push.ts'
import { hex, node, type TreeNode } from './tree.ts'
import { scaledText, unitQuantity, unitSymbol } from './units.ts'
import { dateTimeWords, printable } from './words.ts'

/** What values mean beyond their own form, by identity: names, attributes and units that a push tells of them. */
export type Meanings = ReadonlyMap<Data, string>

/** One value and all under it. */
export function dataNode(name: string, data: Data, trace: Trace, meanings: Meanings): TreeNode {
  const span = trace.spans.get(data)
  return node(name, {
    offset: span?.start ?? null,
    octets: span === undefined ? null : span.end - span.start,
    type: typeText(data),
    value: plainValue(data),
    meaning: meanings.get(data) ?? shapeWords(data) ?? null,
    children: elementsOf(data).map((element, i) => dataNode(`[${i}]`, element, trace, meanings)),
  })
}

function typeText(data: Data): string {
  const elements = elementsOf(data)
  if (data.type === 'bit-string') return `bit-string of ${data.bits}`
  return 'elements' in data ? `${data.type} of ${elements.length}` : data.type
}

function plainValue(data: Data): TreeNode['value'] {
  if ('octets' in data) {
    const isText = data.type === 'visible-string' || data.type === 'utf8-string'
    return isText ? `'${new TextDecoder().decode(data.octets)}'` : hex(data.octets)
  }
  if (!('value' in data)) return null
  return typeof data.value === 'bigint' && !Number.isSafeInteger(Number(data.value))
    ? data.value.toString()
    : typeof data.value === 'bigint'
      ? Number(data.value)
      : data.value
}

/** What a value looks like, whoever sent it. */
function shapeWords(data: Data): string | undefined {
  if (data.type === 'octet-string') return octetWords(data.octets)
  if (data.type === 'date-time') return dateTimeWords(data.octets)
  const scale = scalerUnit(data)
  if (scale !== undefined) return scaleWords(scale)
  const named = descriptor(data)
  return named === undefined ? undefined : attributeWords(named)
}

/** Media of the first OBIS group end at 15. */
const mediumMax = 15
const yearsLikely: readonly [number, number] = [1970, 2199]
const yearUnspecified = 0xffff

function octetWords(octets: Uint8Array): string | undefined {
  if (octets.length === logicalNameOctets && octets[0]! <= mediumMax) return obisWords(decodeObis(octets))
  if (octets.length === 12) {
    const year = octets[0]! * 256 + octets[1]!
    const isLikely = year === yearUnspecified || (year >= yearsLikely[0] && year <= yearsLikely[1])
    if (isLikely) return dateTimeWords(octets) ?? printable(octets)
  }
  return printable(octets)
}

/** `1-0:1.8.0 active energy import, total`. */
export function obisWords(obis: Obis): string {
  const name = obisName(obis)
  return name === undefined ? obis : `${obis} ${name}`
}

/** `Register 1-0:1.8.0 active energy import, total: value`. */
export function attributeWords(at: { classId: number; obis: Obis; attribute: number }): string {
  return `${className(at.classId)} ${obisWords(at.obis)}: ${attributeName(at.classId, at.attribute)}`
}

function scaleWords({ scaler, unit }: ScalerUnit): string {
  const quantity = unitQuantity(unit)
  return `times 10^${scaler}, ${unitSymbol(unit) ?? 'no unit'}${quantity === undefined ? '' : ` (${quantity})`}`
}

/** The meaning of each value that a push names. */
export function meaningsOf(values: readonly PushedValue[]): Meanings {
  return new Map(
    values.flatMap((value): [Data, string][] => {
      const words = pushedWords(value)
      return words === undefined ? [] : [[value.data, words]]
    }),
  )
}

function pushedWords({ obis, classId, attribute, data, scalerUnit: scale }: PushedValue): string | undefined {
  if (obis === undefined) return undefined
  const isNamed = classId !== undefined && attribute !== undefined
  const name = isNamed ? attributeWords({ classId, obis, attribute }) : obisWords(obis)
  const value = scale === undefined ? undefined : scaledWords(data, scale)
  const said = value ?? shapeWords(data)
  return said === undefined ? name : `${name} = ${said}`
}

function scaledWords(data: Data, { scaler, unit }: ScalerUnit): string | undefined {
  const value = integerOf(data)
  if (value === undefined) return undefined
  const symbol = unitSymbol(unit)
  return scaledText(value, scaler) + (symbol === null ? '' : ` ${symbol}`)
}
