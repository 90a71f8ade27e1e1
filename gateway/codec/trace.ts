import { OctetReader } from './octets.ts'

/** Where a value lies: from its first octet (its tag) to behind its last, in what offsets count. */
export interface Span {
  start: number
  end: number
}

/** A number as it was read. */
export interface NumberRead extends Span {
  value: number | bigint
}

/** What a `TracedReader` saw: the same decoders, so that an explanation cannot disagree with what is done. */
export class Trace {
  /** spans of decoded values, by identity */
  readonly spans: Map<object, Span> = new Map()
  /** numbers by their first octet; a second reading of the same octets replaces the first */
  readonly numbers: Map<number, NumberRead> = new Map()
  /** octets by their first */
  readonly strings: Map<number, Span> = new Map()

  /** Opens octets as `decodeApdu` asks for them. */
  readonly open = (octets: Uint8Array, base: number): OctetReader => new TracedReader(octets, base, this)
}

/** An `OctetReader` that remembers what was found where. */
export class TracedReader extends OctetReader {
  readonly #trace: Trace

  constructor(octets: Uint8Array, base: number, trace: Trace) {
    super(octets, base)
    this.#trace = trace
  }

  override uint(width: 1 | 2 | 3 | 4 | 5 | 6): number {
    return this.#number(super.uint(width), width)
  }

  override int(width: 1 | 2 | 4): number {
    return this.#number(super.int(width), width)
  }

  override uint64(): bigint {
    return this.#number(super.uint64(), 8)
  }

  override int64(): bigint {
    return this.#number(super.int64(), 8)
  }

  override octets(count: number): Uint8Array {
    const start = this.offset
    const octets = super.octets(count)
    const span = { start, end: this.offset }
    this.#trace.spans.set(octets, span)
    this.#trace.strings.set(start, span)
    return octets
  }

  override inner(count: number): OctetReader {
    const base = this.offset
    return new TracedReader(super.octets(count), base, this.#trace)
  }

  override found(value: object, start: number): void {
    this.#trace.spans.set(value, { start, end: this.offset })
  }

  #number<T extends number | bigint>(value: T, width: number): T {
    const start = this.offset - width
    this.#trace.numbers.set(start, { value, start, end: start + width })
    return value
  }
}
