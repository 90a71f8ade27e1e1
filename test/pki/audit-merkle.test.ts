import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  consistencyPath,
  Frontier,
  inclusionPath,
  leafHash,
  type NodeReader,
  nodePosition,
  nodesBefore,
  provesConsistency,
  provesInclusion,
} from '#pki/audit/merkle.ts'

/** The definitions of RFC 9162, 2.1, word for word: slow, recursive, and sharing nothing with the code under test. */
type Octets = Buffer
const sha256 = (...parts: Octets[]): Octets => parts.reduce((h, part) => h.update(part), createHash('sha256')).digest()
function k(n: number): number {
  let power = 1
  while (2 * power < n) power *= 2
  return power
}
function mth(d: readonly Octets[]): Octets {
  if (d.length === 0) return sha256()
  if (d.length === 1) return sha256(Buffer.of(0), d[0]!)
  return sha256(Buffer.of(1), mth(d.slice(0, k(d.length))), mth(d.slice(k(d.length))))
}
function path(m: number, d: readonly Octets[]): Octets[] {
  if (d.length === 1) return []
  const cut = k(d.length)
  return m < cut
    ? [...path(m, d.slice(0, cut)), mth(d.slice(cut))]
    : [...path(m - cut, d.slice(cut)), mth(d.slice(0, cut))]
}
function subproof(m: number, d: readonly Octets[], b: boolean): Octets[] {
  if (m === d.length) return b ? [] : [mth(d)]
  const cut = k(d.length)
  return m <= cut
    ? [...subproof(m, d.slice(0, cut), b), mth(d.slice(cut))]
    : [...subproof(m - cut, d.slice(cut), false), mth(d.slice(0, cut))]
}

const most = 300
const leaves = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`leaf ${index}`))

interface Tree {
  read: NodeReader
  frontier: Frontier
  roots: Uint8Array[]
}

/** Appended one by one; `stored` is what a log's file would hold. */
function grow(size: number): Tree {
  const stored: Uint8Array[] = []
  const frontier = new Frontier()
  const roots = [frontier.root()]
  for (const leaf of leaves.slice(0, size)) {
    stored.push(...frontier.append(leafHash(leaf)))
    roots.push(frontier.root())
  }
  expect(stored.length).toBe(nodesBefore(size))
  return { read: (level, index) => stored[nodePosition(level, index)]!, frontier, roots }
}

const tree = grow(most)
const hex = (octets: readonly Uint8Array[]): string[] => octets.map((one) => Buffer.from(one).toString('hex'))

describe('the tree', () => {
  test('has the head of the RFC for every size up to 300, and the empty one', () => {
    for (let size = 0; size <= most; size += 1)
      expect([size, ...hex([tree.roots[size]!])]).toEqual([size, ...hex([mth(leaves.slice(0, size))])])
    expect(hex([tree.roots[0]!])).toEqual(['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'])
  })

  test('has its edge back from the stored hashes at every size', () => {
    for (let size = 0; size <= most; size += 1) {
      const edge = Frontier.at(size, tree.read)
      expect([edge.size, ...hex([edge.root()])]).toEqual([size, ...hex([tree.roots[size]!])])
    }
  })

  test('proves every leaf of every size up to 300, and the verifier agrees', () => {
    for (let size = 1; size <= most; size += 1) {
      for (let index = 0; index < size; index += 1) {
        const found = inclusionPath(index, size, tree.read)
        const holds = provesInclusion({ index, size, path: found }, leafHash(leaves[index]!), tree.roots[size]!)
        if (!holds) expect([size, index]).toBe('proven')
      }
    }
  })

  test('proves the growth from every size to every later one up to 300, and the verifier agrees', () => {
    for (let second = 1; second <= most; second += 1) {
      for (let first = 1; first <= second; first += 1) {
        const found = consistencyPath(first, second, tree.read)
        const holds = provesConsistency({ first, second, path: found }, tree.roots[first]!, tree.roots[second]!)
        if (!holds) expect([first, second]).toBe('proven')
      }
    }
  })

  test('gives the paths of the RFC’s recursion', () => {
    for (let size = 1; size <= 70; size += 1) {
      const d = leaves.slice(0, size)
      for (let index = 0; index < size; index += 1) {
        expect(hex(inclusionPath(index, size, tree.read))).toEqual(hex(path(index, d)))
        expect(hex(consistencyPath(index + 1, size, tree.read))).toEqual(hex(subproof(index + 1, d, true)))
      }
    }
  })

  test('gives the paths of the RFC’s recursion at random sizes', () => {
    const large = grow(leaves.length)
    const sizes = fc
      .integer({ min: 1, max: leaves.length })
      .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 1, max: size })))
    fc.assert(
      fc.property(sizes, ([size, part]) => {
        const d = leaves.slice(0, size)
        expect(hex(inclusionPath(part - 1, size, large.read))).toEqual(hex(path(part - 1, d)))
        expect(hex(consistencyPath(part, size, large.read))).toEqual(hex(subproof(part, d, true)))
        expect(hex([large.roots[size]!])).toEqual(hex([mth(d)]))
      }),
      { numRuns: 15 },
    )
  })
})

test('a proof reads few of the stored hashes: 200 at most of 10,000', () => {
  const { read } = grow(leaves.length)
  let reads = 0
  const counting: NodeReader = (level, index) => {
    reads += 1
    return read(level, index)
  }
  for (const work of [() => inclusionPath(1_234, 4_999, counting), () => consistencyPath(2_731, 4_999, counting)]) {
    reads = 0
    work()
    expect(reads).toBeLessThan(200)
  }
})

describe('a proof', () => {
  const sizes = fc
    .integer({ min: 2, max: most })
    .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 1, max: size - 1 })))
  /** One thing about a path is otherwise: an octet, a hash more, a hash less, two hashes swapped. */
  const harms = fc.record({ kind: fc.constantFrom('octet', 'more', 'less'), at: fc.nat(), bit: fc.nat(7) })
  function harmed(
    given: readonly Uint8Array[],
    { kind, at, bit }: { kind: string; at: number; bit: number },
  ): Uint8Array[] {
    const copy: Uint8Array[] = given.map((one) => Uint8Array.from(one))
    if (kind === 'more' || copy.length === 0) copy.splice(at % (copy.length + 1), 0, leafHash(Buffer.of(at & 0xff)))
    else if (kind === 'less') copy.splice(at % copy.length, 1)
    else copy[at % copy.length]![at % 32]! ^= 1 << bit
    return copy
  }

  test('of a leaf does not hold when anything about it is otherwise', () => {
    fc.assert(
      fc.property(sizes, harms, ([size, index], harm) => {
        const given = inclusionPath(index, size, tree.read)
        const [leaf, root] = [leafHash(leaves[index]!), tree.roots[size]!]
        expect(provesInclusion({ index, size, path: harmed(given, harm) }, leaf, root)).toBe(false)
        expect(provesInclusion({ index: index - 1, size, path: given }, leaf, root)).toBe(false)
        expect(provesInclusion({ index, size, path: given }, leafHash(leaves[index - 1]!), root)).toBe(false)
        expect(provesInclusion({ index, size, path: given }, leaf, tree.roots[size - 1]!)).toBe(false)
      }),
    )
  })

  test('of growth does not hold when anything about it is otherwise', () => {
    fc.assert(
      fc.property(sizes, harms, ([second, first], harm) => {
        const given = consistencyPath(first, second, tree.read)
        const [head, later] = [tree.roots[first]!, tree.roots[second]!]
        expect(provesConsistency({ first, second, path: harmed(given, harm) }, head, later)).toBe(false)
        expect(provesConsistency({ first, second, path: given }, tree.roots[first - 1]!, later)).toBe(false)
        expect(provesConsistency({ first, second, path: given }, head, tree.roots[second - 1]!)).toBe(false)
        expect(provesConsistency({ first: second, second: first, path: given }, later, head)).toBe(false)
      }),
    )
  })

  test('of any numbers and octets gets an answer', () => {
    const digests = fc.array(fc.uint8Array({ maxLength: 33 }), { maxLength: 6 })
    fc.assert(
      fc.property(fc.double(), fc.double(), digests, (one, other, given) => {
        expect(provesInclusion({ index: one, size: other, path: given }, tree.roots[1]!, tree.roots[2]!)).toBe(false)
        expect(provesConsistency({ first: one, second: other, path: given }, tree.roots[1]!, tree.roots[2]!)).toBe(
          false,
        )
      }),
    )
  })

  test('that the empty tree begins every other needs no path', () => {
    expect(provesConsistency({ first: 0, second: 5, path: [] }, tree.roots[0]!, tree.roots[5]!)).toBe(true)
    expect(provesConsistency({ first: 0, second: 5, path: [] }, tree.roots[1]!, tree.roots[5]!)).toBe(false)
  })
})
