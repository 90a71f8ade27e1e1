import { createSecretKey } from 'node:crypto'
import type { LinkKey } from '#gateway/oneway/mac.ts'

/** What both ends of the bench agree on: the key, and what objects hold, so that the receiving end can tell a wrong octet. */
export const key: LinkKey = { id: 0, key: createSecretKey(Buffer.alloc(32, 7)) }
export const epoch = 1
export const plannedLoss = 0.1
/** As the forwarder: octets sent at once, the most, and the shortest pause between two turns. */
export const burstOctetsMax = 131_072
export const turnMs = 1

/** When it came into being by `Date.now`, as a double; the rest is the same in all objects of a length. */
const headOctets = 8

export function newObject(octets: number): Buffer {
  const object = Buffer.alloc(octets)
  for (let at = 0, state = 1; at < octets; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    object[at] = state >>> 24
  }
  return object
}

export function stamp(object: Buffer, createdAtMs: number): void {
  object.writeDoubleBE(createdAtMs, 0)
}

export function stampOf(object: Buffer): number {
  return object.readDoubleBE(0)
}

export function isIntact(object: Buffer, like: Buffer): boolean {
  return object.subarray(headOctets).equals(like.subarray(headOctets))
}
