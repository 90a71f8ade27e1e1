import { random } from '#simulator/random.ts'

/** Tags, lengths and limits at which decoders decide. */
const dictionary: readonly Uint8Array[] = [
  '00', '01', '02', '09', '0c', '0f', '10', '12', '13', '16', '7e', '68', '80', '81', '82', '84', 'db', 'e0', 'ff',
  '0100', '0200', '0202', '020c', '090c', '0906', '0600000001', '090c07e8010101', '810080', '82ffff', '84ffffffff',
  '13010000', '130201', '0f00000001', 'e6e700', 'a000', 'db08', '3000', 'a003', '0603', '30', '31', 'a0', 'a3',
  '0000000000000000', 'ffffffffffffffff', '7fffffff', '80000000', '8000', '7fff', '10c00900', '4004',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))) // biome-ignore format: a table

const arithmeticMax = 35
const blockMax = 64
const stackedMax = 4

type Change = (octets: Uint8Array) => Uint8Array

/** Changes octets by a seeded generator: the same seed gives the same inputs as long as the same ones are kept. */
export class Mutator {
  readonly #random: () => number
  readonly #octetsMax: number
  /** inputs worth splicing from */
  readonly pool: Uint8Array[]

  constructor(seed: number, octetsMax: number, pool: Uint8Array[] = []) {
    this.#random = random(seed)
    this.#octetsMax = octetsMax
    this.pool = pool
  }

  /** 0 to `count` - 1. */
  pick(count: number): number {
    return Math.floor(this.#random() * count)
  }

  one<T>(list: readonly T[]): T {
    return list[this.pick(list.length)]!
  }

  /** A few changes on top of one another. */
  octets(octets: Uint8Array): Uint8Array {
    let changed = octets
    for (let left = 1 + this.pick(stackedMax); left > 0; left--) changed = this.one(this.#changes)(changed)
    return changed.length > this.#octetsMax ? changed.slice(0, this.#octetsMax) : changed
  }

  readonly #changes: readonly Change[] = [
    (octets) => this.#put(octets, (octet) => octet ^ (1 << this.pick(8))),
    (octets) => this.#put(octets, () => this.pick(256)),
    (octets) => this.#put(octets, (octet) => octet + this.pick(2 * arithmeticMax + 1) - arithmeticMax),
    (octets) => this.#put(octets, () => this.one([0x00, 0x01, 0x7f, 0x80, 0xff])),
    (octets) => this.#overwrite(octets, this.one(dictionary)),
    (octets) => this.#replace(octets, 0, this.one(dictionary)),
    (octets) => this.#replace(octets, this.#block(octets), new Uint8Array()),
    (octets) => this.#repeat(octets),
    (octets) => octets.slice(0, this.pick(octets.length + 1)),
    (octets) => this.#splice(octets),
  ]

  #put(octets: Uint8Array, change: (octet: number) => number): Uint8Array {
    if (octets.length === 0) return Uint8Array.of(this.pick(256))
    const changed = Uint8Array.from(octets) // a Buffer's slice would be the same octets
    const at = this.pick(octets.length)
    changed[at] = change(changed[at]!)
    return changed
  }

  #overwrite(octets: Uint8Array, word: Uint8Array): Uint8Array {
    if (octets.length < word.length) return word
    const changed = Uint8Array.from(octets)
    changed.set(word, this.pick(octets.length - word.length + 1))
    return changed
  }

  /** At any place `count` octets go and `word` comes. */
  #replace(octets: Uint8Array, count: number, word: Uint8Array): Uint8Array {
    const at = this.pick(octets.length - Math.min(count, octets.length) + 1)
    return Buffer.concat([octets.subarray(0, at), word, octets.subarray(at + count)])
  }

  #repeat(octets: Uint8Array): Uint8Array {
    const at = this.pick(octets.length + 1)
    const block = octets.subarray(at, at + this.#block(octets))
    const times = 1 + this.pick(this.pick(8) === 0 ? 64 : 3)
    return Buffer.concat([octets.subarray(0, at), ...Array<Uint8Array>(times).fill(block), octets.subarray(at)])
  }

  #block(octets: Uint8Array): number {
    return 1 + this.pick(Math.min(blockMax, octets.length + 1))
  }

  #splice(octets: Uint8Array): Uint8Array {
    if (this.pool.length === 0) return octets
    const other = this.one(this.pool)
    return Buffer.concat([
      octets.subarray(0, this.pick(octets.length + 1)),
      other.subarray(this.pick(other.length + 1)),
    ])
  }
}
