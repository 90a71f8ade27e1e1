import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Arena } from '#gateway/oneway/arena.ts'

describe('the arena', () => {
  test('gives pieces that never overlap, never more than it has, and takes them back', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ octets: fc.integer({ min: 1, max: 60 }), give: fc.nat() })), (steps) => {
        const arena = new Arena(100)
        const pieces: Uint8Array[] = []
        for (const { octets, give } of steps) {
          const piece = arena.take(octets)
          if (piece !== undefined) {
            expect(piece).toHaveLength(octets)
            pieces.push(piece)
          }
          const order = [...pieces].sort((a, b) => a.byteOffset - b.byteOffset)
          for (const [i, one] of order.entries()) {
            expect(one.byteOffset).toBeGreaterThanOrEqual(i === 0 ? 0 : order[i - 1]!.byteOffset + order[i - 1]!.length)
          }
          expect(arena.held).toBe(pieces.reduce((sum, one) => sum + one.length, 0))
          if (give % 3 === 0 && pieces.length > 0) arena.give(pieces.splice(give % pieces.length, 1)[0]!)
        }
        for (const piece of pieces) arena.give(piece)
        expect(arena.take(100)).toHaveLength(100)
      }),
    )
  })

  test('has no piece longer than the longest gap', () => {
    const arena = new Arena(100)
    const [first, middle] = [arena.take(40)!, arena.take(30)!]
    expect(arena.take(31)).toBeUndefined()
    arena.give(first)
    expect(arena.take(41)).toBeUndefined()
    expect(arena.take(40)?.byteOffset).toBe(0)
    arena.give(middle)
    expect(arena.take(60)?.byteOffset).toBe(40)
  })
})
