import { isData } from '../codec/axdr.ts'
import { conformanceNames } from '../codec/initiate.ts'
import { actionResult, codeName, dataAccessResult } from '../codec/results.ts'
import type { Span, Trace } from '../codec/trace.ts'
import type { Obis } from '../model.ts'
import { attributeName, className } from './class-names.ts'
import { hex, node, type TreeNode } from './tree.ts'
import { attributeWords, dataNode, type Meanings, meaningsOf, obisWords } from './tree-data.ts'
import { dateTimeWords, invokeWords, longInvokeWords, printable, securityWords, titleWords } from './words.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Any decoded APDU as nodes, field by field in wire order, without knowing which one it is: an APDU that is added to
 * the codec is shown without a line here. Offsets are those at which the decoder itself read the value.
 */
export class FieldTree {
  readonly #trace: Trace
  readonly #meanings: Meanings
  readonly #places = new Map<number | bigint, readonly [Span | undefined, Span]>()
  #apdu = ''
  /** behind the last field whose place is known */
  #cursor: number

  /** @param cursor behind the tag */
  constructor(trace: Trace, meanings: Meanings, cursor: number) {
    this.#trace = trace
    this.#meanings = meanings
    this.#cursor = cursor
  }

  /** @param fields of an APDU or of an object in one; `apdu` itself is left out */
  nodes(fields: Fields): TreeNode[] {
    if (typeof fields.apdu === 'string') this.#apdu = fields.apdu
    const keys = Object.keys(fields).filter((key) => key !== 'apdu' && fields[key] !== undefined)
    const order = keys.toSorted((a, b) => Number(isChoice(b)) - Number(isChoice(a))) // a choice is read first
    const meanings = pairedMeanings(fields)
    return order.map((key) => this.#field(key, fields[key], fields, meanings))
  }

  #field(key: string, value: unknown, beside: Fields, paired: Meanings): TreeNode {
    if (value instanceof Uint8Array) return this.#octets(key, value)
    if (isData(value)) {
      const found = dataNode(key, value, this.#trace, paired.size > 0 ? paired : this.#meanings)
      if (found.offset !== null) this.#cursor = found.offset + found.octets!
      return found
    }
    if (Array.isArray(value)) {
      const meaning = value.length === 0 ? 'none' : null
      return node(key, { meaning, children: value.map((one, i) => this.#field(`[${i}]`, one, beside, paired)) })
    }
    if (typeof value === 'object' && value !== null) {
      const fields = value as Fields
      return node(key, { meaning: describedWords(fields), children: this.nodes(fields) })
    }
    return this.#scalar(key, value, beside)
  }

  #octets(key: string, octets: Uint8Array): TreeNode {
    const span = this.#trace.spans.get(octets)
    if (span !== undefined) this.#cursor = span.end
    const meaning = octets.length === 0 ? 'none' : octetWords(key, octets)
    return node(key, { ...place(span), value: hex(octets), meaning: meaning ?? null })
  }

  #scalar(key: string, value: unknown, beside: Fields): TreeNode {
    const span = this.#spanOf(key, value)
    if (span !== undefined) this.#cursor = span.end
    const plain = typeof value === 'bigint' ? value.toString() : (value as number | string | boolean)
    return node(key, {
      ...place(span),
      value: plain,
      meaning: scalarWords(key, value, { apdu: this.#apdu, classId: beside.classId }) ?? null,
    })
  }

  /**
   * Where the decoder read a number: next to the field before, else at the only place behind it with this value.
   * A small value is too common to be searched for, and keeps no offset.
   */
  #spanOf(key: string, value: unknown): Span | undefined {
    const next = this.#trace.numbers.get(this.#cursor)
    if (isChoice(key)) return next
    if (key === 'obis') return this.#trace.strings.get(this.#cursor)
    if (typeof value !== 'number' && typeof value !== 'bigint') return undefined
    if (next?.value === value) return next
    if (value < rareFrom) return undefined
    const [before, last] = this.#lastPlaces(value)
    const isOnly = last !== undefined && last.start > this.#cursor && (before?.start ?? -1) <= this.#cursor
    return isOnly ? last : undefined
  }

  /** The last two places where a value was read; gathered once, so that a long list stays linear. */
  #lastPlaces(value: number | bigint): readonly [Span | undefined, Span | undefined] {
    if (this.#places.size === 0) {
      for (const read of [...this.#trace.numbers.values()].sort((a, b) => a.start - b.start)) {
        this.#places.set(read.value, [this.#places.get(read.value)?.[1], read])
      }
    }
    return this.#places.get(value) ?? [undefined, undefined]
  }
}

/** Choices, counts and small enumerations lie below. */
const rareFrom = 16

function isChoice(key: string): boolean {
  return key === 'choice' || key === 'kind'
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

function resultWords(apdu: string, code: number): string | undefined {
  if (apdu === 'aare') return associationResults[code]
  return codeName(apdu.startsWith('action') ? actionResult : dataAccessResult, code)
}

function scalarWords(
  key: string,
  value: unknown,
  { apdu, classId }: { apdu: string; classId: unknown },
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
