import { isData } from '../codec/axdr.ts'
import { conformanceNames } from '../codec/initiate.ts'
import { actionResult, codeName, dataAccessResult } from '../codec/results.ts'
import type { Span, Trace } from '../codec/trace.ts'
import type { Obis } from '../model.ts'
import { attributeName, className } from './class-names.ts'
import { hex, node, type TreeNode } from './tree.ts'
import { attributeWords, dataNode, type Meanings, meaningsOf, obisWords } from './tree-data.ts'
import { type Fields, type Places, placesOf, wireOrder } from './tree-places.ts'
import { dateTimeWords, invokeWords, longInvokeWords, printable, securityWords, titleWords } from './words.ts'

/**
 * Any decoded APDU as nodes, field by field in wire order, without knowing which one it is: an APDU that is added to
 * the codec is shown without a line here. Offsets are those at which the decoder itself read the value, where there
 * is but one such place.
 */
export class FieldTree {
  readonly #trace: Trace
  readonly #meanings: Meanings
  readonly #places: Places
  readonly #fields: Fields

  /** @param fields of the APDU @param from behind its tag */
  constructor(fields: Fields, trace: Trace, { meanings, from }: { meanings: Meanings; from: number }) {
    this.#fields = fields
    this.#trace = trace
    this.#meanings = meanings
    this.#places = placesOf(fields, trace, from)
  }

  nodes(): TreeNode[] {
    return this.#object(this.#fields)
  }

  #object(fields: Fields): TreeNode[] {
    const meanings = pairedMeanings(fields)
    return wireOrder(fields).map((key) => this.#field(fields, key, { value: fields[key], beside: fields, meanings }))
  }

  #field(owner: object, key: string, { value, beside, meanings }: Field): TreeNode {
    if (value instanceof Uint8Array) return this.#octets(key, value)
    if (isData(value)) return dataNode(key, value, this.#trace, meanings.size > 0 ? meanings : this.#meanings)
    if (Array.isArray(value)) {
      const children = value.map((one, i) => this.#field(value, `[${i}]`, { value: one, beside, meanings }))
      return node(key, { meaning: value.length === 0 ? 'none' : null, children })
    }
    if (typeof value === 'object' && value !== null) {
      const fields = value as Fields
      return node(key, { meaning: describedWords(fields), children: this.#object(fields) })
    }
    return node(key, {
      ...place(this.#places.get(owner)?.get(key)),
      value: typeof value === 'bigint' ? value.toString() : (value as number | string | boolean),
      meaning: scalarWords(key, value, { apdu: this.#fields.apdu, classId: beside.classId }) ?? null,
    })
  }

  #octets(key: string, octets: Uint8Array): TreeNode {
    const meaning = octets.length === 0 ? 'none' : octetWords(key, octets)
    return node(key, { ...place(this.#trace.spans.get(octets)), value: hex(octets), meaning: meaning ?? null })
  }
}

/** A value with the object that it is in, or that the list is in that it is in, and what that object says of data. */
interface Field {
  value: unknown
  beside: Fields
  meanings: Meanings
}

function place(span: Span | undefined): Pick<TreeNode, 'offset' | 'octets'> {
  return { offset: span?.start ?? null, octets: span === undefined ? null : span.end - span.start }
}

/** Data beside the attribute that it is of. */
function pairedMeanings({ attribute, data }: Fields): Meanings {
  if (!isDescriptor(attribute) || !isData(data)) return new Map()
  return meaningsOf([{ ...attribute, data, scalerUnit: undefined }])
}

interface Descriptor {
  classId: number
  obis: Obis
  attribute: number
}

function isDescriptor(value: unknown): value is Descriptor {
  if (typeof value !== 'object' || value === null) return false
  const { classId, obis, attribute } = value as Fields
  return typeof classId === 'number' && typeof obis === 'string' && typeof attribute === 'number'
}

function describedWords(fields: Fields): string | null {
  if (isDescriptor(fields)) return attributeWords(fields)
  const { classId, obis, method } = fields
  if (typeof classId !== 'number' || typeof obis !== 'string' || typeof method !== 'number') return null
  return `${className(classId)} ${obisWords(obis as Obis)}: method ${method}`
}

const titles: ReadonlySet<string> = new Set(['systemTitle', 'originator', 'recipient'])

function octetWords(key: string, octets: Uint8Array): string | undefined {
  if (titles.has(key)) return titleWords(octets)
  if (key === 'dateTime' || key === 'time') return dateTimeWords(octets)
  return key === 'content' || key === 'block' ? `${octets.length} octets` : printable(octets)
}

/** @see IEC 62056-5-3, Association-result */
const associationResults = ['accepted', 'rejected permanently', 'rejected for now'] as const

function resultWords(apdu: unknown, code: number): string | undefined {
  if (apdu === 'aare') return associationResults[code]
  return codeName(typeof apdu === 'string' && apdu.startsWith('action') ? actionResult : dataAccessResult, code)
}

function scalarWords(
  key: string,
  value: unknown,
  { apdu, classId }: { apdu: unknown; classId: unknown },
): string | undefined {
  if (key === 'obis') return obisWords(value as Obis)
  if (typeof value !== 'number') return undefined
  switch (key) {
    case 'securityControl':
      return securityWords(value)
    case 'longInvokeId':
      return longInvokeWords(value)
    case 'invokeId':
      return invokeWords(value)
    case 'conformance':
      return conformanceNames(value).join(', ') || 'nothing'
    case 'result':
      return resultWords(apdu, value)
    case 'classId':
      return className(value)
    case 'attribute':
      return typeof classId === 'number' ? attributeName(classId, value) : undefined
    default:
      return undefined
  }
}
