/**
 * The two inner loops of both codes, sixteen octets a step, in WebAssembly: no engine makes SIMD of a loop in TypeScript, and
 * Reed-Solomon needs it (a product is two look-ups of sixteen lanes each, `i8x16.swizzle`, instead of sixteen of one).
 * The module is assembled here, instruction by instruction, so that its octets can be read and checked.
 *
 * There is one memory a thread, lent to one computation at a time: `reserve` forgets what was there.
 * @see WebAssembly Core Specification 2.0, 5.4 and 5.5
 */
import { product } from './field.ts'

/** What Node's types lack. */
interface WebAssemblyNamespace {
  Memory: new (limits: { initial: number; maximum: number }) => { buffer: ArrayBuffer; grow(pages: number): number }
  Module: new (octets: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: Record<'add' | 'multiplyAdd', Kernel> }
}
type Kernel = (to: number, from: number, octets: number, tables: number) => void

const pageOctets = 65_536
/** Of the memory, the most: an object of 8 MiB with its repair symbols, three times over. */
export const kernelOctetsMax = 100_663_296
const laneOctets = 16

const i32 = 0x7f
const [to, from, octets, tables, low, high, value] = [0, 1, 2, 3, 4, 5, 6] as const
const get = (local: number): number[] => [0x20, local]
const set = (local: number): number[] => [0x21, local]
const constant = (number: number): number[] => [0x41, number] // below 64: one octet of LEB128
const simd = (opcode: number): number[] => (opcode < 0x80 ? [0xfd, opcode] : [0xfd, opcode, 0x01])
const load = (offset = 0): number[] => [...simd(0x00), 0x04, offset] // v128.load, aligned to 2^4
const store = [...simd(0x0b), 0x04, 0x00]
const xor = simd(0x51)
const and = simd(0x4e)
const swizzle = simd(0x0e)
const splat = simd(0x0f)
const shiftRight = simd(0x6d)
const advance = (local: number): number[] => [...get(local), ...constant(laneOctets), 0x6a, ...set(local)]

/** loop: `step`; both pointers sixteen on, the count sixteen less; again while there are octets */
const eachLane = (step: readonly number[]): number[] => [
  ...[0x03, 0x40, ...step, ...advance(to), ...advance(from)],
  ...[...get(octets), ...constant(laneOctets), 0x6b, 0x22, octets, 0x0d, 0x00, 0x0b],
]

/** to ^= from */
const add = eachLane([...get(to), ...get(to), ...load(), ...get(from), ...load(), ...xor, ...store])

/** to ^= low[from & 15] ^ high[from >> 4], with the tables of one factor at `tables` */
const multiplyAdd = [
  ...[...get(tables), ...load(), ...set(low), ...get(tables), ...load(laneOctets), ...set(high)],
  ...eachLane([
    ...[...get(from), ...load(), ...set(value), ...get(to), ...get(to), ...load()],
    ...[...get(low), ...get(value), ...constant(15), ...splat, ...and, ...swizzle, ...xor],
    ...[...get(high), ...get(value), ...constant(4), ...shiftRight, ...swizzle, ...xor, ...store],
  ]),
]

function assemble(): Uint8Array {
  const vector = (parts: readonly (readonly number[])[]): number[] => [parts.length, ...parts.flat()]
  const sized = (body: readonly number[]): number[] => [(body.length & 0x7f) | 0x80, body.length >> 7, ...body]
  const section = (id: number, parts: readonly (readonly number[])[]): number[] => [id, ...sized(vector(parts))]
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)]
  const body = (code: readonly number[]): number[] => sized([1, 3, 0x7b, ...code, 0x0b]) // three v128 locals
  const maximum = kernelOctetsMax / pageOctets
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [[0x60, 4, i32, i32, i32, i32, 0]]), // type 0: four i32, no result
    ...section(2, [[...name('e'), ...name('m'), 0x02, 0x01, 1, (maximum & 0x7f) | 0x80, maximum >> 7]]),
    ...section(3, [[0], [0]]),
    ...section(7, [
      [...name('add'), 0x00, 0],
      [...name('multiplyAdd'), 0x00, 1],
    ]),
    ...section(10, [body(add), body(multiplyAdd)]),
  ])
}

/** For each factor 0 to 255 its products with 0 to 15 and with 0, 16, … 240, at the beginning of the memory. */
const tablesOctets = 256 * 32

const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyNamespace }
const memory = new wasm.Memory({ initial: 1, maximum: kernelOctetsMax / pageOctets })
const { exports: kernel } = new wasm.Instance(new wasm.Module(assemble()), { e: { m: memory } })
fillTables(new Uint8Array(memory.buffer))

function fillTables(view: Uint8Array): void {
  for (let factor = 0; factor < 256; factor++) {
    for (let nibble = 0; nibble < laneOctets; nibble++) {
      view[factor * 32 + nibble] = product(factor, nibble)
      view[factor * 32 + laneOctets + nibble] = product(factor, nibble << 4)
    }
  }
}

/** Octets from one symbol to the next: rounded up to whole lanes. */
export function strideOf(symbolOctets: number): number {
  return Math.ceil(symbolOctets / laneOctets) * laneOctets
}

/**
 * The memory, at least `octets` of it, with whatever was in it before; valid until the next call.
 * @param octets 1 to `kernelOctetsMax` - 8192: the caller's limits see to it
 */
export function reserve(octets: number): Uint8Array {
  const missing = tablesOctets + octets - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / pageOctets))
  return new Uint8Array(memory.buffer, tablesOctets, octets)
}

/** The memory for `slots` symbols: those of `symbols`, which lie one after the other, each padded to its stride; zeros behind. */
export function layOut(symbols: Uint8Array, symbolOctets: number, slots: number): Uint8Array {
  const stride = strideOf(symbolOctets)
  const view = reserve(slots * stride).fill(0)
  for (let from = 0, at = 0; from < symbols.length; from += symbolOctets, at += stride) {
    view.set(symbols.subarray(from, from + symbolOctets), at)
  }
  return view
}

/** `to` ^= `from`: offsets into what `reserve` gave, `octets` a multiple of 16 and not 0. */
export function addSymbol(to: number, from: number, octets: number): void {
  kernel.add(tablesOctets + to, tablesOctets + from, octets, 0)
}

/** `to` ^= `factor` · `from` over GF(2^8), as `addSymbol`. @param factor 0 to 255 */
export function addProduct(to: number, from: number, octets: number, factor: number): void {
  kernel.multiplyAdd(tablesOctets + to, tablesOctets + from, octets, factor * 32)
}
