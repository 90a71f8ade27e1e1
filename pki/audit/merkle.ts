import { hash } from 'node:crypto'

/** 32 octets. */
export type Digest = Uint8Array

const leafPrefix = Buffer.of(0)
const nodePrefix = Buffer.of(1)

/** Octets of one hash. */
export const digestOctets = 32

/** A leaf is prefixed by 0x00 and an inner node by 0x01, so that neither passes for the other. @see RFC 9162, 2.1.1 */
export function leafHash(leaf: Uint8Array): Digest {
  return hash('sha256', Buffer.concat([leafPrefix, leaf]), 'buffer')
}

export function nodeHash(left: Digest, right: Digest): Digest {
  return hash('sha256', Buffer.concat([nodePrefix, left, right]), 'buffer')
}

/**
 * Gives the hash of the subtree over the 2^level leaves from `index`·2^level. Only whole subtrees have one: it never
 * changes once written, so a log keeps them in a file that only grows.
 */
export type NodeReader = (level: number, index: number) => Digest

/** Where a subtree's hash stands, counted in hashes, when each is written as soon as its last leaf is there. */
export function nodePosition(level: number, index: number): number {
  return nodesBefore((index + 1) * 2 ** level - 1) + level
}

/** How many hashes stand written for that many leaves: below two a leaf. */
export function nodesBefore(leaves: number): number {
  return 2 * leaves - bitsIn(leaves)
}

function bitsIn(value: number): number {
  let bits = 0
  for (let rest = value; rest > 0; rest = half(rest)) bits += rest % 2
  return bits
}

/** Sizes exceed 32 bits, so no shift operators. */
function half(value: number): number {
  return Math.floor(value / 2)
}

/** The right edge of a growing tree: at most one whole subtree of each height, from which its head follows. */
export class Frontier {
  readonly #peaks: (Digest | undefined)[] = []
  #size = 0

  /** The edge of a tree whose whole subtrees can be read. */
  static at(size: number, read: NodeReader): Frontier {
    const frontier = new Frontier()
    frontier.#size = size
    for (let level = 0, rest = size; rest > 0; level += 1, rest = half(rest)) {
      if (rest % 2 === 1) frontier.#peaks[level] = read(level, rest - 1)
    }
    return frontier
  }

  /** Leaves. */
  get size(): number {
    return this.#size
  }

  /** @returns the hashes that this leaf completes, lowest first: its own, and each subtree of which it is the last */
  append(leaf: Digest): Digest[] {
    const written = [leaf]
    let level = 0
    for (let index = this.#size; index % 2 === 1; index = half(index), level += 1) {
      written.push(nodeHash(this.#peaks[level]!, written[level]!))
      this.#peaks[level] = undefined
    }
    this.#peaks[level] = written[level]
    this.#size += 1
    return written
  }

  /** @see RFC 9162, 2.1.1 */
  root(): Digest {
    return joined(this.#peaks.filter((peak) => peak !== undefined))
  }
}

/** Whole subtrees, the lowest and rightmost first, under one head; of none, the hash of the empty string. */
function joined(peaks: readonly Digest[]): Digest {
  if (peaks.length === 0) return hash('sha256', new Uint8Array(0), 'buffer')
  return peaks.reduce((right, left) => nodeHash(left, right))
}

/** The head over leaves `from` to `to`, as the recursive definitions cut them: `from` divides by what `to - from` fills. */
function rangeRoot(from: number, to: number, read: NodeReader): Digest {
  const peaks: Digest[] = []
  let end = to
  for (let level = 0, rest = to - from; rest > 0; level += 1, rest = half(rest)) {
    if (rest % 2 === 0) continue
    end -= 2 ** level
    peaks.push(read(level, end / 2 ** level))
  }
  return joined(peaks)
}

/** The largest power of two below `count`, which is 2 or more. */
function split(count: number): number {
  let power = 1
  while (power * 2 < count) power *= 2
  return power
}

/**
 * The siblings from a leaf to the head of the first `size` leaves; reads O(log² size) hashes.
 * @param index 0 to `size - 1` @see RFC 9162, 2.1.3.1
 */
export function inclusionPath(index: number, size: number, read: NodeReader): Digest[] {
  const path: Digest[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + split(to - from)
    if (index < middle) {
      path.push(rangeRoot(middle, to, read))
      to = middle
    } else {
      path.push(rangeRoot(from, middle, read))
      from = middle
    }
  }
  return path.reverse()
}

/**
 * What shows that the tree of the first `first` leaves is the beginning of that of `second`.
 * @param first 1 to `second` @see RFC 9162, 2.1.4.1
 */
export function consistencyPath(first: number, second: number, read: NodeReader): Digest[] {
  const path: Digest[] = []
  let [from, to] = [0, second]
  while (first !== to) {
    const middle = from + split(to - from)
    if (first <= middle) {
      path.push(rangeRoot(middle, to, read))
      to = middle
    } else {
      path.push(rangeRoot(from, middle, read))
      from = middle
    }
  }
  if (from > 0) path.push(rangeRoot(from, to, read)) // else the verifier has it: it is the first head
  return path.reverse()
}

export interface Inclusion {
  index: number
  size: number
  path: readonly Digest[]
}

/** Does this leaf stand there under this head? Never throws. @param leaf its hash @see RFC 9162, 2.1.3.2 */
export function provesInclusion({ index, size, path }: Inclusion, leaf: Digest, root: Digest): boolean {
  if (!isCount(index) || !isCount(size) || index >= size) return false
  let [at, last, node] = [index, size - 1, leaf]
  for (const sibling of path) {
    if (last === 0 || sibling.length !== digestOctets) return false
    if (at % 2 === 1 || at === last) {
      node = nodeHash(sibling, node)
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)]
    } else node = nodeHash(node, sibling)
    ;[at, last] = [half(at), half(last)]
  }
  return last === 0 && equal(node, root)
}

export interface Consistency {
  first: number
  second: number
  path: readonly Digest[]
}

/**
 * Is the tree of the first head the beginning of that of the second? Never throws. The empty tree begins every other.
 * @see RFC 9162, 2.1.4.2
 */
export function provesConsistency({ first, second, path }: Consistency, head: Digest, laterHead: Digest): boolean {
  if (!isCount(first) || !isCount(second) || first > second) return false
  if (first === second) return path.length === 0 && equal(head, laterHead)
  if (first === 0) return path.length === 0 && equal(head, joined([]))
  const [seed, ...rest] = bitsIn(first) === 1 ? [head, ...path] : path
  if (seed === undefined) return false
  let [at, last, node, laterNode] = [first - 1, second - 1, seed, seed]
  while (at % 2 === 1) [at, last] = [half(at), half(last)]
  for (const sibling of rest) {
    if (last === 0 || sibling.length !== digestOctets) return false
    if (at % 2 === 1 || at === last) {
      node = nodeHash(sibling, node)
      laterNode = nodeHash(sibling, laterNode)
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)]
    } else laterNode = nodeHash(laterNode, sibling)
    ;[at, last] = [half(at), half(last)]
  }
  return last === 0 && equal(node, head) && equal(laterNode, laterHead)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function equal(a: Digest, b: Digest): boolean {
  return Buffer.compare(a, b) === 0
}
