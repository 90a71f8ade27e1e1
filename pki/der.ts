import { PkiError } from './errors.ts'

/** Identifier octets: universal tags, and `context(n)` for `[n]`. @see X.690, 8.1.2 */
export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** `[n]`, constructed. */
export const context = (number: number): number => 0xa0 | number
/** `[n] IMPLICIT` of a primitive type. */
export const contextPrimitive = (number: number): number => 0x80 | number

/** One TLV: both `content` and `octets` (header included) are views on what was read. */
export interface Element {
  tag: number
  content: Uint8Array
  octets: Uint8Array
}

function malformed(why: string): PkiError {
  return new PkiError('DER_MALFORMED', why)
}

/**
 * Reads DER and nothing laxer: definite minimal lengths, one-octet identifiers, no octet left over.
 * Depth is bounded by the callers, none of which recurses.
 * @see X.690, 10 (distinguished encoding rules)
 */
export class DerReader {
  readonly #octets: Uint8Array
  #at = 0

  constructor(octets: Uint8Array) {
    this.#octets = octets
  }

  get done(): boolean {
    return this.#at === this.#octets.length
  }

  /** The next identifier octet, `undefined` at the end. */
  peek(): number | undefined {
    return this.#octets[this.#at]
  }

  /** @throws PkiError `DER_MALFORMED` */
  next(): Element {
    const start = this.#at
    const identifier = this.#octet()
    if ((identifier & 0x1f) === 0x1f) throw malformed('an identifier of more than one octet')
    const length = this.#length()
    const end = this.#at + length
    if (end > this.#octets.length) throw malformed(`${length} octets announced, ${this.#octets.length - this.#at} left`)
    const content = this.#octets.subarray(this.#at, end)
    this.#at = end
    return { tag: identifier, content, octets: this.#octets.subarray(start, end) }
  }

  /** @throws PkiError `DER_MALFORMED` when the next element is of another type */
  take(expected: number): Element {
    const found = this.peek()
    if (found !== expected)
      throw malformed(`tag 0x${expected.toString(16)} expected, not ${found?.toString(16) ?? 'the end'}`)
    return this.next()
  }

  /** The next element if it is of this type. @throws PkiError `DER_MALFORMED` */
  optional(expected: number): Element | undefined {
    return this.peek() === expected ? this.next() : undefined
  }

  /** A reader of the content of the next element. @throws PkiError `DER_MALFORMED` */
  enter(expected: number): DerReader {
    return new DerReader(this.take(expected).content)
  }

  /** @throws PkiError `DER_MALFORMED` when octets are left */
  end(): void {
    if (!this.done) throw malformed(`${this.#octets.length - this.#at} octets left over`)
  }

  #octet(): number {
    const octet = this.#octets[this.#at]
    if (octet === undefined) throw malformed('the octets end early')
    this.#at += 1
    return octet
  }

  #length(): number {
    const first = this.#octet()
    if (first < 0x80) return first
    const width = first & 0x7f
    if (width === 0 || width > 4) throw malformed('a length that is indefinite or over four octets')
    let length = 0
    for (let index = 0; index < width; index += 1) length = length * 256 + this.#octet()
    if (length < 0x80 || length < 256 ** (width - 1)) throw malformed('a length with more octets than it needs')
    return length
  }
}

/** The one element that these octets are. @throws PkiError `DER_MALFORMED` */
export function only(octets: Uint8Array, expected: number): Element {
  const reader = new DerReader(octets)
  const element = reader.take(expected)
  reader.end()
  return element
}

/** An object identifier as dotted numbers. @throws PkiError `DER_MALFORMED` @see X.690, 8.19 */
export function decodeOid({ content }: Element): string {
  if (content.length === 0 || content.length > 64) throw malformed('an object identifier of 0 or over 64 octets')
  const arcs: bigint[] = []
  let arc = 0n
  let fresh = true
  for (const octet of content) {
    if (fresh && octet === 0x80) throw malformed('an arc with a leading zero')
    arc = (arc << 7n) | BigInt(octet & 0x7f)
    fresh = (octet & 0x80) === 0
    if (!fresh) continue
    arcs.push(arc)
    arc = 0n
  }
  if (!fresh) throw malformed('an object identifier that ends within an arc')
  const first = arcs[0]! < 80n ? arcs[0]! / 40n : 2n
  return [first, arcs[0]! - first * 40n, ...arcs.slice(1)].join('.')
}

/** The content octets of an INTEGER, checked to be the shortest. @throws PkiError `DER_MALFORMED` */
export function integerOctets({ content }: Element): Uint8Array {
  const [first, second] = content
  if (first === undefined) throw malformed('an integer of no octets')
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw malformed('an integer with more octets than it needs')
  }
  return content
}

/** A whole number, 0 to 2^31-1. @throws PkiError `DER_MALFORMED` */
export function decodeSmall(element: Element): number {
  const octets = integerOctets(element)
  if (octets.length > 4 || octets[0]! >= 0x80) throw malformed('a number outside 0 to 2147483647')
  return octets.reduce((sum, octet) => sum * 256 + octet, 0)
}

/** @throws PkiError `DER_MALFORMED` unless 0x00 or 0xff. @see X.690, 11.1 */
export function decodeBoolean({ content }: Element): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw malformed('a boolean neither 00 nor ff')
  return content[0] === 0xff
}

/** The octets of a BIT STRING of whole octets. @throws PkiError `DER_MALFORMED` */
export function decodeBits({ content }: Element): Uint8Array {
  if (content[0] !== 0) throw malformed('a bit string that is not whole octets')
  return content.subarray(1)
}

/** Printable ASCII text, at most 1,024 octets. @throws PkiError `DER_MALFORMED` */
export function decodeAscii({ content }: Element): string {
  if (content.length > 1_024 || content.some((octet) => octet < 0x20 || octet > 0x7e)) {
    throw malformed('text that is not printable ASCII or over 1024 octets')
  }
  return Buffer.from(content).toString('latin1')
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of a UTF8String, PrintableString or IA5String, 1 to 1,024 octets. @throws PkiError `DER_MALFORMED` */
export function decodeText(element: Element): string {
  const { tag: form, content } = element
  if (content.length === 0) throw malformed('text of no octets')
  if (form === tag.printableString) {
    const value = decodeAscii(element)
    if (!/^[A-Za-z0-9 '()+,./:=?-]*$/.test(value)) throw malformed('a PrintableString with other characters')
    return value
  }
  if (form === tag.ia5String) return decodeAscii(element)
  if (form !== tag.utf8String || content.length > 1_024) throw malformed('no text, or over 1024 octets of it')
  try {
    return utf8.decode(content)
  } catch (cause) {
    throw new PkiError('DER_MALFORMED', 'a UTF8String that is not UTF-8', { cause })
  }
}

/**
 * UTCTime or GeneralizedTime in the one form a certificate may use: whole seconds, `Z`.
 * @returns seconds since 1970-01-01T00:00Z
 * @throws PkiError `DER_MALFORMED`
 * @see RFC 5280, 4.1.2.5
 */
export function decodeTime(element: Element): number {
  const text = decodeAscii(element)
  const short = element.tag === tag.utcTime
  if (!short && element.tag !== tag.generalizedTime) throw malformed('neither UTCTime nor GeneralizedTime')
  if (!(short ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw malformed(`'${text}' is not a time in whole seconds UTC`)
  const digits = short ? (Number(text.slice(0, 2)) < 50 ? '20' : '19') + text : text
  const iso = digits.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const time = Date.parse(iso)
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw malformed(`'${text}' is no moment`)
  return time / 1_000
}

/** One TLV of the parts, in their order. */
export function encode(identifier: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Uint8Array.of(identifier), encodeLength(length), ...parts])
}

function encodeLength(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length)
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Uint8Array.of(0x80 | octets.length, ...octets)
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => encode(tag.sequence, ...parts)

/** SET OF in DER order; `identifier` for an implicit tag. @see X.690, 11.6 */
export function setOf(parts: readonly Uint8Array[], identifier: number = tag.set): Uint8Array {
  return encode(identifier, ...parts.toSorted(Buffer.compare))
}

/** A non-negative INTEGER: leading zeros cleared, one put back where the top bit is set. */
export function integer(value: number | Uint8Array): Uint8Array {
  const octets = typeof value === 'number' ? Buffer.from(value.toString(16).padStart(16, '0'), 'hex') : value
  const start = octets.findIndex((octet) => octet !== 0)
  const magnitude = start === -1 ? Uint8Array.of(0) : octets.subarray(start)
  return magnitude[0]! >= 0x80 ? encode(tag.integer, Uint8Array.of(0), magnitude) : encode(tag.integer, magnitude)
}

/** Dotted numbers to an OBJECT IDENTIFIER; arcs of any size, as under 2.25. */
export function oid(text: string): Uint8Array {
  const [first, second, ...rest] = text.split('.').map(BigInt)
  const octets = [first! * 40n + second!, ...rest].flatMap(base128)
  return encode(tag.oid, Uint8Array.from(octets))
}

function base128(arc: bigint): number[] {
  const octets = [Number(arc & 0x7fn)]
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) octets.unshift(0x80 | Number(rest & 0x7fn))
  return octets
}

export const boolean = (value: boolean): Uint8Array => encode(tag.boolean, Uint8Array.of(value ? 0xff : 0))
export const octetString = (octets: Uint8Array): Uint8Array => encode(tag.octetString, octets)
export const bitString = (octets: Uint8Array): Uint8Array => encode(tag.bitString, Uint8Array.of(0), octets)
export const text = (identifier: number, value: string): Uint8Array => encode(identifier, Buffer.from(value, 'utf8'))

/** A named bit list: bit 0 first, trailing zeros cut. @see X.690, 11.2.2 */
export function bitList(bits: readonly number[]): Uint8Array {
  const last = Math.max(...bits)
  const octets = new Uint8Array(Math.floor(last / 8) + 1)
  for (const bit of bits) octets[Math.floor(bit / 8)]! |= 0x80 >> (bit % 8)
  return encode(tag.bitString, Uint8Array.of(7 - (last % 8)), octets)
}

/** UTCTime before 2050, GeneralizedTime after. @param seconds since 1970, cut to whole ones @see RFC 5280, 4.1.2.5 */
export function time(seconds: number): Uint8Array {
  const digits = `${new Date(Math.floor(seconds) * 1_000).toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`
  return digits < '2050' ? text(tag.utcTime, digits.slice(2)) : text(tag.generalizedTime, digits)
}
