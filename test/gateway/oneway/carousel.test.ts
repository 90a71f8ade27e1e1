import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Carousel } from '#gateway/oneway/carousel.ts'

const carousel = (restMs: number, objectsMax = 1_000): Carousel => new Carousel({ restMs, objectsMax })

describe('the carousel', () => {
  test('brings round what was sent longest ago, each as often, and counts its rounds', () => {
    const rounds = carousel(10)
    for (const [at, sequence] of [7, 3, 5].entries()) rounds.add(sequence, at)
    const order: string[] = []
    for (let now = 100; order.length < 7; now++) {
      const turn = rounds.next(now)
      if (turn === undefined) continue
      order.push(`${turn.sequence}/${turn.rounds}`)
      rounds.add(turn.sequence, now, turn.rounds + 1)
    }
    expect(order).toEqual(['7/0', '3/0', '5/0', '7/1', '3/1', '5/1', '7/2'])
  })

  test('leaves each object its rest, however small the backlog and however often it is asked', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.nat({ max: 30 }), { maxLength: 200 }),
        (restMs, objects, waits) => {
          const rounds = carousel(restMs)
          const last = new Map<number, number>()
          for (let sequence = 1; sequence <= objects; sequence++) {
            rounds.add(sequence, 0)
            last.set(sequence, 0)
          }
          let now = 0
          for (const wait of waits) {
            now += wait
            const due = rounds.dueAt(now)
            const turn = rounds.next(now)
            expect(turn !== undefined).toBe(due <= now)
            if (turn === undefined) continue
            expect(now - last.get(turn.sequence)!).toBeGreaterThanOrEqual(restMs)
            expect(last.get(turn.sequence)).toBe(Math.min(...last.values()))
            last.set(turn.sequence, now)
            rounds.add(turn.sequence, now, turn.rounds + 1)
          }
          expect(rounds.size).toBe(objects)
        },
      ),
    )
  })

  test('holds no more than its bound: the one sent longest ago goes round no more', () => {
    const rounds = carousel(0, 3)
    for (let sequence = 1; sequence <= 5; sequence++) rounds.add(sequence, sequence)
    expect(rounds.size).toBe(3)
    expect([rounds.next(9), rounds.next(9), rounds.next(9), rounds.next(9)].map((turn) => turn?.sequence)).toEqual([
      3,
      4,
      5,
      undefined,
    ])
  })

  test('what is taken off does not come round, and an empty one is never due', () => {
    const rounds = carousel(0)
    rounds.add(1, 0)
    rounds.remove(1)
    expect([rounds.dueAt(1e9), rounds.next(1e9)]).toEqual([Number.POSITIVE_INFINITY, undefined])
  })

  test('a clock that is set back by a year makes it rest once more, and not for a year', () => {
    const rounds = carousel(1_000)
    rounds.add(1, 1e11)
    expect(rounds.next(5_000)).toBeUndefined()
    expect(rounds.next(6_000)?.sequence).toBe(1)
  })
})
