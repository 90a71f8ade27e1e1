import { describe, expect, test } from 'vitest'
import { FaultyLink, type LinkFaults, reorderedByMax } from '#simulator/link-faults.ts'

const faultless: LinkFaults = { seed: 1, lossShare: 0, duplicateShare: 0, reorderShare: 0 }
const count = 20_000

/** Numbered datagrams, one a millisecond; what arrives, in order. */
function through(faults: Partial<LinkFaults>, datagrams = count): { link: FaultyLink; arrived: number[] } {
  const link = new FaultyLink({ ...faultless, ...faults })
  const arrived: number[] = []
  const note = (octets: readonly Uint8Array[]): void => {
    for (const one of octets) arrived.push(Buffer.from(one).readUInt32BE())
  }
  for (let n = 0; n < datagrams; n++) {
    const octets = Buffer.alloc(4)
    octets.writeUInt32BE(n)
    note(link.take(octets, n))
  }
  note(link.flush())
  return { link, arrived }
}

const numbers = Array.from({ length: count }, (_, n) => n)
const inOrder = (arrived: readonly number[]): number[] => arrived.toSorted((a, b) => a - b)

describe('a simulated link', () => {
  test('without faults passes everything as it is', () => {
    const { link, arrived } = through({})
    expect(arrived).toEqual(numbers)
    expect(link.counts).toMatchObject({ taken: count, passed: count, lost: 0 })
  })

  test('loses the share it is told to, others with another seed, the same with the same', () => {
    const [one, again, other] = [1, 1, 2].map((seed) => through({ lossShare: 0.1, seed }))
    expect(one!.arrived.length / count).toBeCloseTo(0.9, 1)
    expect(one!.link.counts.lost).toBe(count - one!.arrived.length)
    expect(again!.arrived).toEqual(one!.arrived)
    expect(other!.arrived).not.toEqual(one!.arrived)
  })

  test('loses bursts whole: runs of at least as many, and nothing else', () => {
    const { link, arrived } = through({ bursts: { every: 4_000, datagrams: 500 } })
    const gaps = [...arrived, count].map((n, i) => n - (arrived[i - 1] ?? -1) - 1).filter((gap) => gap > 0)
    expect(gaps.length).toBeGreaterThan(1)
    expect(gaps.slice(0, -1).every((gap) => gap >= 500)).toBe(true)
    expect(link.counts.lostInBursts).toBe(count - arrived.length)
  })

  test('brings back what it holds, each once, late by no more than it says', () => {
    const { link, arrived } = through({ reorderShare: 0.05 })
    expect(arrived).not.toEqual(numbers)
    expect(inOrder(arrived)).toEqual(numbers)
    expect(link.counts.reordered).toBeGreaterThan(count / 40)
    // Those behind it that are held themselves may come later still.
    expect(arrived.every((n, at) => at - n <= reorderedByMax)).toBe(true)
  })

  test('doubles the share it is told to, none of them a third time', () => {
    const { link, arrived } = through({ duplicateShare: 0.02 })
    expect(new Set(arrived).size).toBe(count)
    expect(arrived.length - count).toBe(link.counts.duplicated)
    expect(link.counts.duplicated / count).toBeCloseTo(0.02, 1)
    expect(inOrder(arrived).some((n, i, all) => n === all[i + 2])).toBe(false)
  })

  test('passes nothing during an outage, and everything before and after', () => {
    const { arrived } = through({ outage: { afterMs: 1_000, forMs: 600 } }, 2_000)
    expect(arrived).toEqual(numbers.slice(0, 2_000).filter((n) => n < 1_000 || n >= 1_600))
  })
})
