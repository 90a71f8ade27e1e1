import { createHash, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { BitString } from '../codec/ber.ts'
import type { InitiateRequest } from '../codec/initiate.ts'
import { conformance } from '../codec/initiate.ts'
import { parseObis } from '../codec/obis.ts'
import { PeerError } from '../errors.ts'
import type { Obis, SystemTitle } from '../model.ts'
import type { Policy } from './policy.ts'
import { gmacAnswer } from './protect.ts'
import { checkGmacAnswer } from './unprotect.ts'

/** How the two ends of an association know each other; both are given the same. @see Green Book, authentication */
export type Authentication =
  | { mechanism: 'lowest' }
  | { mechanism: 'low'; password: Uint8Array }
  | ({ mechanism: 'high-gmac' } & GmacKeys)

/** The keys of HLS mechanism 5, suite 0. */
export interface GmacKeys {
  /** this end's */
  own: SystemTitle
  /** the other end's, `undefined` takes any that is not ours */
  peer: SystemTitle | undefined
  /** encryption key, 16 octets */
  ek: KeyObject
  /** authentication key, 16 octets */
  ak: Uint8Array
}

/** Invocation counters under one key; to be stored before what was made with them leaves. */
export interface Counters {
  /** the last that we used, -1 before the first */
  sent: number
  /** the last whose tag held, -1 before the first */
  received: number
}

/** The least that an end may take: a block of a few octets would cost a turn each. Octets. */
export const pduOctetsMin = 64
/** The most that can be negotiated. */
export const pduOctetsMax = 65_535
/** Octets of a challenge. @see Green Book, 8 to 64 octets */
const challengeOctets = { min: 8, max: 64 }
/** What a block costs besides its octets: tag, choice, invoke-id, last, number, choice, length of at most three. */
export const blockHeadOctets = 12

export const dlmsVersion = 6
/** The vaa-name with logical names. */
export const logicalNameVaa = 0x0007
/** The association that is open, and its method for passes 3 and 4. @see Blue Book, Association LN (class 15) */
export const associationClass = 15
export const currentAssociation: Obis = parseObis('0-0:40.0.0')
export const replyToHls = 1

/** Bit 0 of the ACSE requirements: authentication. */
export const authenticationFunction: BitString = { bits: 2, octets: Uint8Array.of(0x80) }

/** The services that client and server here have. */
export const offeredConformance: number =
  conformance.get |
  conformance.set |
  conformance.action |
  conformance['selective-access'] |
  conformance['multiple-references'] |
  conformance['block-transfer-with-get-or-read'] |
  conformance['block-transfer-with-set-or-write'] |
  conformance['block-transfer-with-action']

/** What a client proposes. @param receivePduOctetsMax `pduOctetsMin` to `pduOctetsMax` */
export function proposal(receivePduOctetsMax: number): InitiateRequest {
  return {
    apdu: 'initiate-request',
    dedicatedKey: undefined,
    responseAllowed: true,
    qualityOfService: undefined,
    dlmsVersion,
    conformance: offeredConformance,
    receivePduOctetsMax,
  }
}

/** Octets that the other end takes in one APDU; 0 says any. */
export function takenOctets(receivePduOctetsMax: number): number {
  return receivePduOctetsMax === 0 ? pduOctetsMax : receivePduOctetsMax
}

/** Whether two secrets are the same, in a time that does not tell where they differ. */
export function isSameSecret(a: Uint8Array, b: Uint8Array): boolean {
  const digest = (octets: Uint8Array): Uint8Array => createHash('sha256').update(octets).digest()
  return timingSafeEqual(digest(a), digest(b))
}

/** @throws PeerError `AUTHENTICATION_FAILED` for a length that the standard does not have, or our own challenge again */
export function checkChallenge(theirs: Uint8Array, ours: Uint8Array): void {
  const { min, max } = challengeOctets
  if (theirs.length < min || theirs.length > max) {
    throw new PeerError('AUTHENTICATION_FAILED', `a challenge of ${theirs.length} octets, ${min} to ${max}`)
  }
  if (isSameSecret(theirs, ours)) throw new PeerError('AUTHENTICATION_FAILED', 'our own challenge came back')
}

/** @throws PeerError `SYSTEM_TITLE_FOREIGN` for another peer than expected, or for our own name */
export function checkPeer(title: SystemTitle, { own, peer }: GmacKeys): void {
  if (title === own || (peer !== undefined && title !== peer)) {
    throw new PeerError('SYSTEM_TITLE_FOREIGN', `${title} is not who was expected`)
  }
}

const suite = 0
const policy: Policy = { least: 'authenticated', suites: [suite] }
const counterMax = 0xffffffff

/**
 * Our answer to the other end's challenge, and the counters to store before it leaves.
 * @throws RangeError when no counter is left: the key is used up
 */
export function answerChallenge(
  challenge: Uint8Array,
  keys: GmacKeys,
  counters: Counters,
): { answer: Uint8Array; counters: Counters } {
  const sent = counters.sent + 1
  if (sent > counterMax) throw new RangeError('no invocation counter is left under this key')
  const answer = gmacAnswer(challenge, { ...keys, suite, systemTitle: keys.own, invocationCounter: sent })
  return { answer, counters: { ...counters, sent } }
}

/**
 * The other end's answer to ours.
 * @returns the counters to store
 * @throws PeerError `TAG_UNAUTHENTIC`, `COUNTER_REPLAYED` and as `checkGmacAnswer`
 */
export function takeAnswer(
  answer: Uint8Array,
  challenge: Uint8Array,
  { keys, peer, counters }: { keys: GmacKeys; peer: SystemTitle; counters: Counters },
): Counters {
  const security = { systemTitle: peer, ek: keys.ek, ak: keys.ak, lastCounter: counters.received }
  return { ...counters, received: checkGmacAnswer(answer, challenge, { security, policy }).invocationCounter }
}
