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
    return this.missing(1, this.highest)
  }

  /** What is missing of a stretch, both ends included, as closed ranges. */
  missing(from: number, to: number): [number, number][] {
    const gaps: [number, number][] = []
    let next = from
    for (let at = this.#find(from); at < this.#ranges.length && next <= to; at += 1) {
      const [first, last] = this.#ranges[at]!
      if (first > next) gaps.push([next, Math.min(to, first - 1)])
      next = Math.max(next, last + 1)
    }
    if (next <= to) gaps.push([next, to])
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
