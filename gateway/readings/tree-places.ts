import { isData } from '../codec/axdr.ts'
import { decodeObis, logicalNameOctets } from '../codec/obis.ts'
import type { Span, Trace } from '../codec/trace.ts'

export type Fields = Readonly<Record<string, unknown>>

/** Where fields were read: by the object or list that has them, and their name or index. */
export type Places = ReadonlyMap<object, ReadonlyMap<string, Span>>

/** Fields as they follow each other in the octets: of an object, of lists and objects in it, without `apdu`. */
export function wireOrder(fields: Fields): string[] {
  const keys = Object.keys(fields).filter((key) => key !== 'apdu' && fields[key] !== undefined)
  return keys.toSorted((a, b) => Number(isChoice(b)) - Number(isChoice(a))) // a choice is read first
}

/** The names of what selects the form of the fields that follow: read as a number, kept as a word. */
export function isChoice(key: string): boolean {
  return key === 'choice' || key === 'kind'
}

/** Anything that a decoder read of its own: a number or a logical name. */
interface Read extends Span {
  value: unknown
}

/** A field whose place is sought. */
interface Sought {
  owner: object
  key: string
  value: unknown
}

/**
 * Finds where a decoder read the numbers, choices and logical names of an APDU.
 *
 * The decoder says what it read where, not into which field; counts, lengths and flags lie between. Octets and data are
 * known by identity and part the reads into stretches. Within one, the fields are laid over the reads in order, once as
 * early and once as late as they fit: where both agree, there is no other place, else the field has none here.
 * Time is linear in fields and reads.
 * @param from behind the tag
 */
export function placesOf(fields: Fields, trace: Trace, from: number): Places {
  return new Finder(trace, from).find(fields)
}

class Finder {
  readonly #trace: Trace
  readonly #reads: readonly Read[]
  readonly #places = new Map<object, Map<string, Span>>()
  #next = 0
  #sought: Sought[] = []
  /** where the stretch begins */
  #from: number

  constructor(trace: Trace, from: number) {
    this.#trace = trace
    this.#from = from
    this.#reads = [...trace.numbers.values(), ...logicalNames(trace)].sort((a, b) => a.start - b.start)
  }

  find(fields: Fields): Places {
    this.#object(fields)
    this.#settle(Number.POSITIVE_INFINITY)
    return this.#places
  }

  #object(fields: Fields): void {
    for (const key of wireOrder(fields)) this.#value(fields, key, fields[key])
  }

  #value(owner: object, key: string, value: unknown): void {
    if (value instanceof Uint8Array || isData(value)) this.#anchor(value)
    else if (Array.isArray(value)) for (const [i, one] of value.entries()) this.#value(value, `[${i}]`, one)
    else if (typeof value === 'object' && value !== null) this.#object(value as Fields)
    else if (typeof value === 'number' || typeof value === 'bigint' || isChoice(key) || key === 'obis') {
      this.#sought.push({ owner, key, value })
    }
  }

  /** Octets or data, whose place is known: what was sought before lies before. */
  #anchor(value: object): void {
    const span = this.#trace.spans.get(value)
    if (span === undefined || span.start < this.#from) return
    this.#settle(span.start)
    this.#from = span.end
  }

  #settle(end: number): void {
    const stretch: Read[] = []
    for (; this.#next < this.#reads.length && this.#reads[this.#next]!.start < end; this.#next++) {
      if (this.#reads[this.#next]!.start >= this.#from) stretch.push(this.#reads[this.#next]!)
    }
    const early = laid(this.#sought, stretch)
    const late = laid(this.#sought.toReversed(), stretch.toReversed())?.reverse()
    for (const [i, { owner, key }] of this.#sought.entries()) {
      const read = early?.[i]
      if (read !== undefined && read === late?.[i]) this.#place(owner, key, read)
    }
    this.#sought = []
  }

  #place(owner: object, key: string, { start, end }: Span): void {
    const places = this.#places.get(owner)
    if (places === undefined) this.#places.set(owner, new Map([[key, { start, end }]]))
    else places.set(key, { start, end })
  }
}

/** Each field on the first read that fits behind the one before; `undefined` when they do not all fit. */
function laid(sought: readonly Sought[], reads: readonly Read[]): Read[] | undefined {
  const found: Read[] = []
  let at = 0
  for (const { key, value } of sought) {
    while (at < reads.length && !isChoice(key) && reads[at]!.value !== value) at++
    const read = reads[at++]
    if (read === undefined) return undefined
    found.push(read)
  }
  return found
}

function logicalNames({ spans }: Trace): Read[] {
  const found: Read[] = []
  for (const [octets, span] of spans) {
    const isName = octets instanceof Uint8Array && octets.length === logicalNameOctets
    if (isName) found.push({ ...span, value: decodeObis(octets) })
  }
  return found
}
