import { describe, expect, test } from 'vitest'
import { Backlog, retryAfterMs } from '#gateway/oneway/carrier.ts'

function inOrder(backlog: Backlog): number[] {
  const order: number[] = []
  for (let next = backlog.next(); next !== undefined; next = backlog.next()) {
    order.push(next.sequence)
    backlog.done(next.sequence)
  }
  return order
}

describe('the backlog of a carrier', () => {
  test('gives urgent batches first, each kind in the order in which it came, and each once', () => {
    const backlog = new Backlog([{ sequence: 1, sealedAtMs: 10 }])
    backlog.add({ sequence: 2, sealedAtMs: 20 })
    backlog.add({ sequence: 3, sealedAtMs: 30, urgent: true })
    backlog.add({ sequence: 1, sealedAtMs: 10 })
    backlog.add({ sequence: 3, sealedAtMs: 30 })
    expect(backlog.size).toBe(3)
    expect(inOrder(backlog)).toEqual([3, 1, 2])
  })

  test('says when the oldest was sealed, whatever goes first', () => {
    const backlog = new Backlog([{ sequence: 5, sealedAtMs: 50 }])
    backlog.add({ sequence: 6, sealedAtMs: 40, urgent: true })
    expect(backlog.oldestMs).toBe(40)
    backlog.done(6)
    expect(backlog.oldestMs).toBe(50)
    backlog.done(5)
    expect(backlog.oldestMs).toBe(Number.POSITIVE_INFINITY)
  })
})

test('a failure is retried after a second, and the pause doubles up to a minute', () => {
  expect([1, 2, 3, 7, 1_000].map(retryAfterMs)).toEqual([1_000, 2_000, 4_000, 60_000, 60_000])
})
