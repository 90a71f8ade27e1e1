import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Received } from '#gateway/oneway/gaps.ts'

describe('what was received', () => {
  test('is what a plain set says, in any order, with repeats', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 }), (sequences) => {
        const received = new Received()
        const plain = new Set<number>()
        for (const sequence of sequences) {
          expect(received.add(sequence)).toBe(!plain.has(sequence))
          plain.add(sequence)
        }
        const highest = Math.max(0, ...plain)
        expect(received.highest).toBe(highest)
        const all = Array.from({ length: 42 }, (_, i) => i)
        expect(all.filter((n) => received.has(n))).toEqual(all.filter((n) => plain.has(n)))
        const missing = received.gaps().flatMap(([from, to]) => all.filter((n) => n >= from && n <= to))
        expect(missing).toEqual(all.filter((n) => n >= 1 && n < highest && !plain.has(n)))
      }),
    )
  })

  test('gaps are closed ranges, apart from each other', () => {
    const received = new Received()
    for (const sequence of [2, 5, 6, 10]) received.add(sequence)
    expect(received.gaps()).toEqual([
      [1, 1],
      [3, 4],
      [7, 9],
    ])
  })

  test('an unbroken history takes one range, however long', () => {
    const received = new Received()
    for (let n = 1; n <= 100_000; n++) received.add(n)
    expect(received.gaps()).toEqual([])
    expect(received.highest).toBe(100_000)
  })

  test('sequences to 2^53 - 1 keep their neighbours apart', () => {
    const received = new Received()
    const top = Number.MAX_SAFE_INTEGER
    received.add(top)
    received.add(top - 2)
    expect([top - 3, top - 2, top - 1, top].map((n) => received.has(n))).toEqual([false, true, false, true])
    expect(received.gaps()).toEqual([
      [1, top - 3],
      [top - 1, top - 1],
    ])
  })
})
