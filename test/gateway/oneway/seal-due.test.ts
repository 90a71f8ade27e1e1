import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isSealDue } from '#gateway/oneway/seal.ts'

const limits = { octets: 1_000, waitMs: 500 }

describe('a batch is sealed', () => {
  test('when enough is there for one, or when the first has waited long enough, and never when nothing is there', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2_000 }), fc.nat({ max: 1_000 }), (octets, waited) => {
        const due = isSealDue({ octets, sinceMs: 10_000 }, limits, 10_000 + waited)
        expect(due).toBe(octets > 0 && (octets >= 1_000 || waited >= 500))
      }),
    )
  })

  test('also by a clock that was set back: what waits does not wait for it', () => {
    expect(isSealDue({ octets: 1, sinceMs: 10_000 }, limits, 9_999)).toBe(true)
  })
})
