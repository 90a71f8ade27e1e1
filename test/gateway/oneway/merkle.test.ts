import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { inclusionProof, leafHash, merkleRoot, provesInclusion } from '#gateway/oneway/merkle.ts'

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')

/** The reference leaves of Certificate Transparency's own tests, and the root over the first n of them. */
const leaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(
  (leaf) => Buffer.from(leaf, 'hex'),
)
const roots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

/** RFC 9162, 2.1.1, word for word: split at the largest power of two below n. */
function byDefinition(all: readonly Uint8Array[]): Buffer {
  const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
  if (all.length === 0) return sha256()
  if (all.length === 1) return sha256(Buffer.of(0), all[0]!)
  const k = 2 ** Math.floor(Math.log2(all.length - 1))
  return sha256(Buffer.of(1), byDefinition(all.slice(0, k)), byDefinition(all.slice(k)))
}

const made = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => Buffer.from(`leaf ${i}`))
const sizes = Array.from({ length: 40 }, (_, i) => i + 1)

describe('Merkle trees', () => {
  test('the roots over 0 to 8 reference leaves are those of Certificate Transparency', () => {
    expect(roots.map((_, n) => hex(merkleRoot(leaves.slice(0, n))))).toEqual(roots)
  })

  test('the roots over 0 to 130 leaves are those of the definition', () => {
    for (let n = 0; n <= 130; n++) expect(hex(merkleRoot(made(n)))).toBe(hex(byDefinition(made(n))))
  })

  test('a leaf does not pass for an inner node', () => {
    const [left, right] = made(2).map(leafHash) as [Buffer, Buffer]
    expect(merkleRoot([Buffer.concat([left, right])])).not.toEqual(merkleRoot(made(2)))
  })

  test.for(sizes)('in a tree of %i, each leaf is proven, at its own index and no other', (count) => {
    const all = made(count)
    const root = merkleRoot(all)
    for (let index = 0; index < count; index++) {
      const path = inclusionProof(all, index)
      const proves = (leaf: Uint8Array, at = index, size = count): boolean =>
        provesInclusion(leaf, { index: at, count: size, path, root })
      expect(proves(all[index]!)).toBe(true)
      expect(sizes.filter((at) => at - 1 !== index && proves(all[index]!, at - 1))).toEqual([])
      expect(all.filter((leaf, i) => i !== index && proves(leaf))).toEqual([])
      for (const bad of [-1, count, 0.5, Number.NaN, 2 ** 53]) expect(proves(all[index]!, bad)).toBe(false)
    }
  })

  test.for(sizes)('in a tree of %i, no flipped bit of a path or a root is taken', (count) => {
    const all = made(count)
    const root = merkleRoot(all)
    const index = (count * 7) % count === 0 ? count >> 1 : (count * 7) % count
    const path = inclusionProof(all, index)
    const proves = (changes: { path?: Uint8Array[]; root?: Uint8Array }): boolean =>
      provesInclusion(all[index]!, { index, count, path, root, ...changes })
    for (let bit = 0; bit < 256; bit++) {
      expect(proves({ root: flipped(root, bit) })).toBe(false)
      for (const [i, sibling] of path.entries()) {
        expect(proves({ path: path.with(i, Buffer.from(flipped(sibling, bit))) })).toBe(false)
      }
    }
    expect(proves({ path: [...path, root] })).toBe(false)
    if (path.length > 0) expect(proves({ path: path.slice(1) })).toBe(false)
    if (path.length > 0) expect(proves({ path: path.slice(0, -1) })).toBe(false)
    if (path.length > 0) expect(proves({ path: [path[0]!.subarray(1), ...path.slice(1)] })).toBe(false)
  })
})

function flipped(octets: Uint8Array, bit: number): Buffer {
  const changed = Buffer.from(octets)
  changed[bit >> 3]! ^= 1 << (bit & 7)
  return changed
}
