import type { Mutator } from './mutate.ts'

/** An entry that takes octets from outside, and what must hold of it whatever they are. */
export interface Target {
  name: string
  /** octets of one input, the most that is tried */
  octetsMax: number
  /** right inputs, made with our own encoders: mutation begins from them */
  seeds(): readonly Uint8Array[]
  /**
   * Takes one input.
   * @returns a word for what came of it; inputs with a new word are kept as if they had covered something
   * @throws what the entry throws: its faults are expected, anything else is a finding; `Broken` where a property fails
   */
  run(octets: Uint8Array): string | Promise<string>
  /** whether a thrown value is the fault that the entry promises */
  isFault(thrown: unknown): boolean
  /** an input changed within its form: lengths, checksums or tags made right again. May throw: then it is not used. */
  structured?(octets: Uint8Array, mutator: Mutator): Uint8Array
}

/** A property of an entry that does not hold. */
export class Broken extends Error {
  override readonly name = 'Broken'
}

/** Milliseconds for an input of up to `unitOctets`, and as many again for each further so many. */
export const millisecondsMax = 50
export const unitOctets = 4_096

/** What a decoded value may take: so much whatever its size, and so much for each of its octets. */
export const allocationFree: number = 8 * 1_024 * 1_024
export const allocationPerOctet = 4_096

/** @returns milliseconds, the most that an input of so many octets may take */
export function timeLimit(octets: number): number {
  return millisecondsMax * Math.max(1, octets / unitOctets)
}

/** @returns octets of memory, the most that an input of so many octets may take */
export function allocationLimit(octets: number): number {
  return allocationFree + allocationPerOctet * octets
}
