import { createHash, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { BitString } from '../codec/ber.ts'
import type { InitiateRequest } from '../codec/initiate.ts'
import { conformance } from '../codec/initiate.ts'
import { parseObis } from '../codec/obis.ts'
import { PeerError } from '../errors.ts'
import type { Obis, SystemTitle } from '../model.ts'

/** How the two ends of an association know each other; both are given the same. @see Green Book, authentication */
export type Authentication = { mechanism: 'lowest' } | { mechanism: 'low'; password: Uint8Array } | Hls

/** High level security: each end answers the other's challenge. MD5 and SHA-1 are weak, and on only where they are named. */
export type Hls =
  | { mechanism: 'high-md5' | 'high-sha1'; secret: Uint8Array }
  | ({ mechanism: 'high-gmac' } & GmacKeys)
  | ({ mechanism: 'high-sha256'; secret: Uint8Array } & Names)
  | ({ mechanism: 'high-ecdsa' } & SigningKeys)

/** Who is at the two ends. */
export interface Names {
  /** this end's */
  own: SystemTitle
  /** the other end's, `undefined` takes any that is not ours */
  peer: SystemTitle | undefined
}

/** The keys of HLS mechanism 5. */
export interface GmacKeys extends Names {
  /** 0 where it is not said; the suite's keys have 16 octets, in suite 2 they have 32 */
  suite?: number
  /** encryption key */
  ek: KeyObject
  /** authentication key */
  ak: Uint8Array
}

/** The keys of HLS mechanism 7. */
export interface SigningKeys extends Names {
  /** 1 is P-256 with SHA-256, 2 is P-384 with SHA-384 */
  suite: 1 | 2
  /** ours, for signatures */
  privateKey: KeyObject
  /** the other end's public key for signatures */
  peerKey: KeyObject
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
export function proposal(
  receivePduOctetsMax: number,
  { dedicatedKey, general = false }: { dedicatedKey?: Uint8Array | undefined; general?: boolean | undefined } = {},
): InitiateRequest {
  return {
    apdu: 'initiate-request',
    dedicatedKey,
    responseAllowed: true,
    qualityOfService: undefined,
    dlmsVersion,
    conformance: offered(general),
    receivePduOctetsMax,
  }
}

/** The services that an end has, and general protection where its ciphering says so. */
export function offered(general: boolean): number {
  return offeredConformance | (general ? conformance['general-protection'] : 0)
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

/** @throws PeerError `SYSTEM_TITLE_FOREIGN` for another peer than expected, or for our own name */
export function checkPeer(title: SystemTitle, { own, peer }: Names): void {
  if (title === own || (peer !== undefined && title !== peer)) {
    throw new PeerError('SYSTEM_TITLE_FOREIGN', `${title} is not who was expected`)
  }
}

const counterMax = 0xffffffff

/** The counters with the next one to send, to be stored before it is used. @throws RangeError when the key is used up */
export function nextCounter(counters: Counters): Counters {
  const sent = counters.sent + 1
  if (sent > counterMax) throw new RangeError('no invocation counter is left under this key')
  return { ...counters, sent }
}

export function isHls(authentication: Authentication): authentication is Hls {
  return authentication.mechanism.startsWith('high-')
}
