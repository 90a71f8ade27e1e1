import { PeerError } from '../errors.ts'

/**
 * Reads octets in order and never beyond their end.
 * Offsets in faults count from the start of the outermost octets: `base` is where these begin in them.
 */
export class OctetReader {
  readonly #octets: Uint8Array
  readonly #base: number
  readonly #end: number
  #at: number

  /** @param from where in the octets reading begins @param to where it ends */
  constructor(octets: Uint8Array, base = 0, from = 0, to: number = octets.length) {
    this.#octets = octets
    this.#base = base
    this.#at = from
    this.#end = to
  }

  get offset(): number {
    return this.#base + this.#at
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  /** The next octet without taking it. @throws PeerError `APDU_TRUNCATED` */
  peek(): number {
    this.#need(1)
    return this.#octets[this.#at]!
  }

  /** An unsigned number, most significant octet first. @param width octets, 1 to 6 @throws PeerError `APDU_TRUNCATED` */
  uint(width: 1 | 2 | 3 | 4 | 5 | 6): number {
    return this.#number(width)
  }

  /** A two's complement number. @param width octets @throws PeerError `APDU_TRUNCATED` */
  int(width: 1 | 2 | 4): number {
    const unused = 32 - 8 * width
    return (this.#number(width) << unused) >> unused
  }

  /** Eight octets, unsigned. @throws PeerError `APDU_TRUNCATED` */
  uint64(): bigint {
    return this.#view(8).getBigUint64(0)
  }

  /** Eight octets, two's complement. @throws PeerError `APDU_TRUNCATED` */
  int64(): bigint {
    return this.#view(8).getBigInt64(0)
  }

  /** IEEE 754. @param width octets @throws PeerError `APDU_TRUNCATED` */
  float(width: 4 | 8): number {
    return width === 4 ? this.#view(4).getFloat32(0) : this.#view(8).getFloat64(0)
  }

  /** A view, not a copy. @param count octets @throws PeerError `APDU_TRUNCATED` */
  octets(count: number): Uint8Array {
    const at = this.#take(count)
    const { buffer, byteOffset } = this.#octets // a Buffer's own subarray takes twice as long
    return new Uint8Array(buffer, byteOffset + at, count)
  }

  /** The next octets as a reader of their own, whose offsets go on from here. @throws PeerError `APDU_TRUNCATED` */
  inner(count: number): OctetReader {
    const at = this.#take(count)
    return new OctetReader(this.#octets, this.#base, at, at + count)
  }

  /** A value was made of the octets from `start` to here: kept by `TracedReader`, free of cost here. */
  found(_value: object, _start: number): void {}

  /** All that is left, as a view. */
  rest(): Uint8Array {
    return this.octets(this.remaining)
  }

  /** @throws PeerError `APDU_TRAILING` when octets are left */
  end(): void {
    if (this.remaining > 0) {
      throw new PeerError('APDU_TRAILING', `${this.remaining} octets after the end`, { offset: this.offset })
    }
  }

  #need(count: number): void {
    if (count > this.remaining) {
      const message = `${count} octets needed, ${this.remaining} left`
      throw new PeerError('APDU_TRUNCATED', message, { offset: this.offset })
    }
  }

  #take(count: number): number {
    this.#need(count)
    const at = this.#at
    this.#at += count
    return at
  }

  #number(width: number): number {
    const octets = this.#octets
    const end = this.#take(width) + width
    let value = 0
    for (let at = end - width; at < end; at++) value = value * 256 + octets[at]!
    return value
  }

  /** The next octets; made for the few types that need it, for it costs more than reading a number. */
  #view(count: number): DataView {
    const at = this.#take(count)
    return new DataView(this.#octets.buffer, this.#octets.byteOffset + at, count)
  }
}

/** Makes a reader. @param base where its octets begin in what offsets of faults count */
export type OpenReader = (octets: Uint8Array, base: number) => OctetReader

export const openReader: OpenReader = (octets, base) => new OctetReader(octets, base)

/** Collects octets; what it is given is ours, so a number out of range is a `RangeError` and not a peer's fault. */
export class OctetWriter {
  #octets: Uint8Array = new Uint8Array(256)
  #view: DataView = new DataView(this.#octets.buffer)
  #length = 0

  /** @param width octets, 1 to 6 @param value 0 to 256^width - 1 */
  uint(width: 1 | 2 | 3 | 4 | 5 | 6, value: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 256 ** width)
      throw new RangeError(`${value} in ${width} octets`)
    const at = this.#grow(width)
    let rest = value
    for (let i = width - 1; i >= 0; i--) {
      this.#octets[at + i] = rest % 256
      rest = Math.floor(rest / 256)
    }
    return this
  }

  /** Two's complement. @param width octets */
  int(width: 1 | 2 | 4, value: number): this {
    const half = 256 ** width / 2
    if (value < -half || value >= half) throw new RangeError(`${value} in ${width} octets`)
    return this.uint(width, value < 0 ? value + 2 * half : value)
  }

  /** @param value 0 to 2^64 - 1 */
  uint64(value: bigint): this {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} in 8 octets`)
    const at = this.#grow(8)
    this.#view.setBigUint64(at, value)
    return this
  }

  /** @param value -2^63 to 2^63 - 1 */
  int64(value: bigint): this {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} in 8 octets`)
    return this.uint64(BigInt.asUintN(64, value))
  }

  /** IEEE 754. @param width octets */
  float(width: 4 | 8, value: number): this {
    const at = this.#grow(width)
    if (width === 4) this.#view.setFloat32(at, value)
    else this.#view.setFloat64(at, value)
    return this
  }

  octets(octets: Uint8Array): this {
    const at = this.#grow(octets.length)
    this.#octets.set(octets, at)
    return this
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#octets.slice(0, this.#length)
  }

  #grow(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#octets.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#octets.length * 2))
      larger.set(this.#octets)
      this.#octets = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }
}

/** Octets of one APDU or value, the most there can be: a length beyond it is refused, one beyond the end is truncated. */
export const octetsMax = 262_144

/**
 * An A-XDR length: one octet below 128, else 0x80 + width and then the number.
 * @param limit octets or elements, the most the caller will accept
 * @returns 0 to `limit`
 * @throws PeerError `APDU_LENGTH`, `APDU_TRUNCATED`
 * @see IEC 61334-6, length encoding
 */
export function decodeLength(reader: OctetReader, limit: number): number {
  const offset = reader.offset
  const first = reader.uint(1)
  if (first === 0x80 || first > 0x84) {
    throw new PeerError('APDU_LENGTH', `a length of ${first & 0x7f} octets, 1 to 4 are known`, { offset })
  }
  const length = first < 0x80 ? first : reader.uint((first & 0x7f) as 1 | 2 | 3 | 4)
  if (length > limit) throw new PeerError('APDU_LENGTH', `length ${length}, limit ${limit}`, { offset })
  return length
}

/** The shortest form. @param length 0 to 2^32 - 1 @see IEC 61334-6, length encoding */
export function encodeLength(writer: OctetWriter, length: number): void {
  if (length < 0x80) writer.uint(1, length)
  else {
    const width = length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4
    writer.uint(1, 0x80 + width).uint(width, length)
  }
}
