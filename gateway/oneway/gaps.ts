/** Sequence numbers that came, as closed ranges in order: its size grows with the gaps and not with the history. */
export class Received {
  readonly #ranges: [number, number][] = []

  has(sequence: number): boolean {
    const range = this.#ranges[this.#find(sequence)]
    return range !== undefined && range[0] <= sequence
  }

  /** @returns false when it was there already */
  add(sequence: number): boolean {
    const at = this.#find(sequence)
    const range = this.#ranges[at]
    if (range !== undefined && range[0] <= sequence) return false
    const before = this.#ranges[at - 1]
    const joinsBefore = before !== undefined && before[1] === sequence - 1
    const joinsAfter = range !== undefined && range[0] === sequence + 1
    if (joinsBefore && joinsAfter) {
      before[1] = range[1]
      this.#ranges.splice(at, 1)
    } else if (joinsBefore) before[1] = sequence
    else if (joinsAfter) range[0] = sequence
    else this.#ranges.splice(at, 0, [sequence, sequence])
    return true
  }

  /** highest that came, 0 before the first */
  get highest(): number {
    return this.#ranges.at(-1)?.[1] ?? 0
  }

  /** What is missing from 1 to the highest that came, as closed ranges. */
  gaps(): [number, number][] {
    let next = 1
    const gaps: [number, number][] = []
    for (const [from, to] of this.#ranges) {
      if (from > next) gaps.push([next, from - 1])
      next = to + 1
    }
    return gaps
  }

  /** index of the first range that ends at or after `sequence` */
  #find(sequence: number): number {
    let [low, high] = [0, this.#ranges.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle]![1] < sequence) low = middle + 1
      else high = middle
    }
    return low
  }
}
