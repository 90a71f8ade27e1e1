import { Received } from '#gateway/oneway/gaps.ts'
import { addRanges, receivedRanges } from './ranges.ts'
import type { Range } from './sink.ts'

/** Which sequences of which streams a sink holds; its size grows with the gaps and not with the history. */
export class Position {
  readonly #streams = new Map<number, Received>()

  add(epoch: number, sequence: number): void {
    this.#stream(epoch).add(sequence)
  }

  addAll(epoch: number, ranges: readonly Range[]): void {
    addRanges(this.#stream(epoch), ranges)
  }

  has(epoch: number, sequence: number): boolean {
    return this.#streams.get(epoch)?.has(sequence) ?? false
  }

  held(epoch: number): Range[] {
    const stream = this.#streams.get(epoch)
    return stream === undefined ? [] : receivedRanges(stream)
  }

  epochs(): number[] {
    return [...this.#streams.keys()].sort((a, b) => a - b)
  }

  #stream(epoch: number): Received {
    const known = this.#streams.get(epoch) ?? new Received()
    this.#streams.set(epoch, known)
    return known
  }
}
