import type { Received } from '#gateway/oneway/gaps.ts'
import type { Range } from './sink.ts'

/** What came, from its gaps: closed ranges in order. */
export function rangesOf({ highest, gaps }: { highest: number; gaps: readonly Range[] }): Range[] {
  const ranges: Range[] = []
  let next = 1
  for (const [from, to] of gaps) {
    if (from > next) ranges.push([next, from - 1])
    next = to + 1
  }
  if (next <= highest) ranges.push([next, highest])
  return ranges
}

/** The same of a `Received`. */
export function receivedRanges(received: Pick<Received, 'highest' | 'gaps'>): Range[] {
  return rangesOf({ highest: received.highest, gaps: received.gaps() })
}

/** What is in `all` and not in `less`; both in order and without overlap, and so is the result. */
export function difference(all: readonly Range[], less: readonly Range[]): Range[] {
  const left: Range[] = []
  let at = 0
  for (const [from, to] of all) {
    let next = from
    while (at < less.length && less[at]![1] < next) at++
    for (let i = at; i < less.length && less[i]![0] <= to; i++) {
      if (less[i]![0] > next) left.push([next, less[i]![0] - 1])
      next = Math.max(next, less[i]![1] + 1)
    }
    if (next <= to) left.push([next, to])
  }
  return left
}

/** What is in any of them, in whatever order they come: in order, and joined where they touch. */
export function union(...all: readonly (readonly Range[])[]): Range[] {
  const joined: [number, number][] = []
  for (const [from, to] of all.flat().sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1)
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else joined.push([from, to])
  }
  return joined
}

/** Numbers in all of them. */
export function countOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)
}

/** Adds closed ranges to what came. */
export function addRanges(received: Received, ranges: readonly Range[]): void {
  for (const [from, to] of ranges) for (let sequence = from; sequence <= to; sequence++) received.add(sequence)
}
