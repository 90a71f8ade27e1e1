import { hash } from 'node:crypto'

/**
 * Merkle tree hashing. A leaf is prefixed by 0x00 and an inner node by 0x01, so that neither passes for the other.
 * @see RFC 9162, 2.1.1 to 2.1.3
 */
export type Digest = Buffer

const leafPrefix = Buffer.of(0)
const nodePrefix = Buffer.of(1)

export function leafHash(leaf: Uint8Array): Digest {
  return sha256(Buffer.concat([leafPrefix, leaf]))
}

function nodeHash(left: Digest, right: Digest): Digest {
  return sha256(Buffer.concat([nodePrefix, left, right]))
}

function sha256(octets: Uint8Array): Digest {
  return hash('sha256', octets, 'buffer')
}

/** One level up; an odd last node moves up as it is, which gives RFC 9162's left-full tree. */
function parents(level: readonly Digest[]): Digest[] {
  const above: Digest[] = []
  for (let i = 0; i + 1 < level.length; i += 2) above.push(nodeHash(level[i]!, level[i + 1]!))
  if (level.length % 2 === 1) above.push(level.at(-1)!)
  return above
}

/** @param leaves none gives the hash of the empty string, as the RFC says */
export function merkleRoot(leaves: readonly Uint8Array[]): Digest {
  if (leaves.length === 0) return sha256(new Uint8Array(0))
  let level = leaves.map(leafHash)
  while (level.length > 1) level = parents(level)
  return level[0]!
}

/** The siblings from the leaf to the root. @param index of the leaf, 0 to `leaves.length - 1` */
export function inclusionProof(leaves: readonly Uint8Array[], index: number): Digest[] {
  const path: Digest[] = []
  let level = leaves.map(leafHash)
  for (let at = index; level.length > 1; at = at >> 1) {
    const sibling = level[at ^ 1]
    if (sibling !== undefined) path.push(sibling)
    level = parents(level)
  }
  return path
}

/** @returns whether `leaf` stands at `index` among `count` leaves under `root`. @see RFC 9162, 2.1.3.2 */
export function provesInclusion(
  leaf: Uint8Array,
  { index, count, path, root }: { index: number; count: number; path: readonly Uint8Array[]; root: Uint8Array },
): boolean {
  if (!Number.isSafeInteger(index) || index < 0 || index >= count) return false
  let [at, last, node] = [index, count - 1, leafHash(leaf)]
  for (const sibling of path) {
    if (sibling.length !== 32 || last === 0) return false
    if (at % 2 === 1 || at === last) {
      node = nodeHash(Buffer.from(sibling), node)
      while (at % 2 === 0 && at !== 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
    } else {
      node = nodeHash(node, Buffer.from(sibling))
    }
    ;[at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
  }
  return last === 0 && node.equals(root)
}
