import { afterAll, describe, expect, test } from 'vitest'
import { Coverage } from './coverage.ts'
import { execute } from './execute.ts'
import { fuzz } from './fuzz.ts'
import { Mutator } from './mutate.ts'
import { shrink } from './shrink.ts'
import { allocationFree, millisecondsMax } from './target.ts'

const coverage = new Coverage((url) => url.includes('planted.ts'))
const { planted } = await import('./planted.ts') // after the counters are on
afterAll(() => coverage.close())

describe('the fuzzer', () => {
  test('finds what was planted behind three octets, and cuts it down to four', async () => {
    const { findings } = await fuzz(planted, { seconds: 3, seed: 1, corpus: [], coverage })
    const found = new Map(findings.map(({ kind, octets }) => [kind, Buffer.from(octets).toString('hex')]))
    expect(Object.fromEntries(found)).toEqual({ exception: 'db774a80', property: 'db774a81' })
  })

  test('is led by coverage: as many inputs at random do not pass two checks', () => {
    const mutator = new Mutator(1, planted.octetsMax, [])
    let deep = 0
    for (let i = 0; i < 100_000; i++) {
      const [tag, length, third] = mutator.octets(planted.seeds()[0]!)
      if (tag === 0xdb && length === 0x77 && third === 0x4a) deep++
    }
    expect(deep).toBe(0)
  })

  test('draws the same inputs from the same seed', () => {
    const draw = (seed: number): string[] => {
      const mutator = new Mutator(seed, 64, [Uint8Array.of(1, 2, 3, 4, 5)])
      return Array.from({ length: 50 }, () => Buffer.from(mutator.octets(Uint8Array.of(9, 8, 7))).toString('hex'))
    }
    expect(draw(7)).toEqual(draw(7))
    expect(draw(7)).not.toEqual(draw(8))
  })

  test('never goes beyond the octets that a target takes', () => {
    const mutator = new Mutator(3, 40, [new Uint8Array(40)])
    let octets: Uint8Array = new Uint8Array(40)
    for (let i = 0; i < 5_000; i++) {
      octets = mutator.octets(octets)
      expect(octets.length).toBeLessThanOrEqual(40)
    }
  })
})

describe('an input that is taken', () => {
  const octets = Uint8Array.of(1)

  test('is a finding where it takes longer than its octets allow', async () => {
    const spin = (): string => {
      const began = performance.now()
      while (performance.now() - began < 2 * millisecondsMax);
      return 'read'
    }
    expect(await execute({ ...planted, run: spin }, octets)).toMatchObject({ kind: 'slow' })
  })

  test('is a finding where it takes more memory than its octets allow', async () => {
    const held: Uint8Array[] = []
    const allocate = (): string => `${held.push(new Uint8Array(8 * allocationFree))}`
    expect(await execute({ ...planted, run: allocate }, octets)).toMatchObject({ kind: 'large' })
  })
})

test('shrinking keeps what holds and drops the rest', async () => {
  const octets = Uint8Array.from({ length: 300 }, (_, i) => (i === 211 ? 0x42 : 0x13))
  const short = await shrink(octets, async (candidate) => candidate.includes(0x42))
  expect([...short]).toEqual([0x42])
})
