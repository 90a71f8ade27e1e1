import { createHash } from 'node:crypto'
import { PeerError } from '../errors.ts'
import { systemTitle } from '../model.ts'
import { type Counters, type Hls, isSameSecret, nextCounter } from './association.ts'
import { gmacAnswer } from './protect.ts'
import { checkSignature, signOctets } from './signing.ts'
import { curveOf, suiteOf } from './suite.ts'
import { checkGmacAnswer } from './unprotect.ts'

/** The end that answers: the client in pass 3, the server in pass 4. */
export type End = 'client' | 'server'

/** What passes 1 and 2 brought. */
export interface Handshake {
  /** the client's challenge to the server */
  ctos: Uint8Array
  /** the server's challenge to the client */
  stoc: Uint8Array
  /** system titles, eight octets, or none where nobody told one */
  client: Uint8Array
  server: Uint8Array
}

/** Octets of a challenge. @see Green Book, HLS authentication; mechanism 7 asks for 32 at the least */
const challengeOctets = { min: 8, minSigned: 32, max: 64 }
const gmacOctets = 17
const digests = { 'high-md5': 'md5', 'high-sha1': 'sha1', 'high-sha256': 'sha256' } as const
const digestOctets = { 'high-md5': 16, 'high-sha1': 20, 'high-sha256': 32 } as const

/** @throws PeerError `CHALLENGE_LENGTH` for a length that the standard does not have, `CHALLENGE_REFLECTED` for our own */
export function checkChallenge(theirs: Uint8Array, ours: Uint8Array, { mechanism }: Hls): void {
  const { max, min: least, minSigned } = challengeOctets
  const min = mechanism === 'high-ecdsa' ? minSigned : least
  if (theirs.length < min || theirs.length > max) {
    throw new PeerError('CHALLENGE_LENGTH', `a challenge of ${theirs.length} octets, ${min} to ${max}`)
  }
  if (isSameSecret(theirs, ours)) throw new PeerError('CHALLENGE_REFLECTED', 'our own challenge came back')
}

/**
 * An end's answer to the other's challenge, and the counters to store before it leaves; only GMAC moves them.
 * @throws RangeError when no counter is left, or for a signing key of another curve than the suite's
 * @see Green Book, 9.2.7.4, HLS authentication
 */
export function makeAnswer(
  end: End,
  hls: Hls,
  { handshake, counters }: { handshake: Handshake; counters: Counters },
): { answer: Uint8Array; counters: Counters } {
  switch (hls.mechanism) {
    case 'high-gmac': {
      const next = nextCounter(counters)
      const { own, suite = 0, ek, ak } = hls
      const sealing = { suite, systemTitle: own, ek, ak, invocationCounter: next.sent }
      return { answer: gmacAnswer(challengeTo(end, handshake), sealing), counters: next }
    }
    case 'high-ecdsa':
      return { answer: signOctets(bound(end, handshake), hls.privateKey, suiteOf(hls.suite)), counters }
    default:
      return { answer: digest(end, hls, handshake), counters }
  }
}

/**
 * Checks the answer of an end.
 * @returns the counters to store
 * @throws PeerError `AUTHENTICATION_LENGTH`, `AUTHENTICATION_FAILED` for another secret, `SIGNATURE_INVALID` and `KEY_MISSING` with
 *   ECDSA; with GMAC `TAG_UNAUTHENTIC`, `COUNTER_REPLAYED` and as `checkGmacAnswer`
 */
export function checkAnswer(
  answer: Uint8Array,
  end: End,
  { hls, handshake, counters }: { hls: Hls; handshake: Handshake; counters: Counters },
): Counters {
  const length = answerOctets(hls)
  if (answer.length !== length)
    throw new PeerError('AUTHENTICATION_LENGTH', `an answer of ${answer.length} octets, not ${length}`)
  switch (hls.mechanism) {
    case 'high-gmac': {
      const title = systemTitle(handshake[end])
      const security = { systemTitle: title, ek: hls.ek, ak: hls.ak, lastCounter: counters.received }
      const policy = { least: 'authenticated', suites: [hls.suite ?? 0] } as const
      const { invocationCounter } = checkGmacAnswer(answer, challengeTo(end, handshake), { security, policy })
      return { ...counters, received: invocationCounter }
    }
    case 'high-ecdsa':
      checkSignature(bound(end, handshake), answer, { publicKey: hls.peerKey, suite: suiteOf(hls.suite) })
      return counters
    default:
      if (isSameSecret(answer, digest(end, hls, handshake))) return counters
      throw new PeerError('AUTHENTICATION_FAILED', 'the answer is not made with our secret')
  }
}

/**
 * What is to be stored after an answer that came inside a ciphered APDU. Both count under one key, so they must differ.
 * @param before the APDU @param answered by `checkAnswer` with `before` @param opened by opening the APDU
 * @throws PeerError `COUNTER_REPLAYED`
 */
export function mergeCounters(before: Counters, answered: Counters, opened: Counters): Counters {
  const moved = answered.received > before.received && opened.received > before.received
  if (moved && answered.received === opened.received) {
    throw new PeerError('COUNTER_REPLAYED', `counter ${opened.received} of the answer is that of its APDU`)
  }
  return { ...opened, received: Math.max(answered.received, opened.received) }
}

type Digest = Extract<Hls, { secret: Uint8Array }>

/** MD5, SHA-1: challenge, secret. SHA-256: secret, and what binds both ends. */
function digest(end: End, { mechanism, secret }: Digest, handshake: Handshake): Uint8Array {
  const parts = mechanism === 'high-sha256' ? [secret, bound(end, handshake)] : [challengeTo(end, handshake), secret]
  return createHash(digests[mechanism]).update(Buffer.concat(parts)).digest()
}

function challengeTo(end: End, { ctos, stoc }: Handshake): Uint8Array {
  return end === 'client' ? stoc : ctos
}

/** System titles and challenges, those of the end that answers first, and first the challenge that it answers. */
function bound(end: End, { client, server, ctos, stoc }: Handshake): Uint8Array {
  return Buffer.concat(end === 'client' ? [client, server, stoc, ctos] : [server, client, ctos, stoc])
}

function answerOctets(hls: Hls): number {
  if (hls.mechanism === 'high-gmac') return gmacOctets
  return hls.mechanism === 'high-ecdsa' ? 2 * curveOf(suiteOf(hls.suite)).octets : digestOctets[hls.mechanism]
}
