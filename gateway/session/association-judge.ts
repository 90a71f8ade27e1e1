import type { Aarq } from '../codec/acse.ts'
import type { Apdu } from '../codec/apdu.ts'
import type { associationResult, userDiagnostic } from '../codec/association-codes.ts'
import { conformance, type InitiateRequest } from '../codec/initiate.ts'
import { PeerError, type PeerFault } from '../errors.ts'
import { type SystemTitle, systemTitle } from '../model.ts'
import {
  type Authentication,
  type Counters,
  checkPeer,
  dlmsVersion,
  isHls,
  isSameSecret,
  offered,
  pduOctetsMin,
  takenOctets,
} from './association.ts'
import { namesOf } from './association-accept.ts'
import { type Channel, type Ciphering, cipheringOctets, openChannel, openInitiate } from './association-channel.ts'
import { checkChallenge, type Handshake } from './association-hls.ts'
import { type Attempts, checkHeld } from './association-lockout.ts'
import type { Serving } from './serving-transfer.ts'

/** What a server offers, and what it knows when an AARQ comes. */
export interface Judging {
  authentication: Authentication
  ciphering: Ciphering | undefined
  /** the most that we take and send in one APDU */
  pduOctets: number
  /** the server's challenge to this client */
  stoc: Uint8Array
  counters: Counters
  attempts: Attempts
  now: number
}

/** An AARQ that opens an association, or the challenge before one. */
export interface Accepted {
  kind: 'accepted'
  handshake: Handshake
  serving: Serving
  channel: Channel | undefined
  /** with that of the initiate, where it came ciphered */
  counters: Counters
}

/** Why an AARQ is refused: what the AARE says, and the fault. */
export interface Refused {
  kind: 'refused'
  result: Exclude<keyof typeof associationResult, 'accepted'>
  diagnostic: keyof typeof userDiagnostic
  fault: PeerError
  initiate?: 'dlms-version-too-low' | 'pdu-size-too-short'
  /** with that of the initiate where its tag held: the same AARQ does not come twice */
  counters: Counters
}

/** Checks an AARQ: context, mechanism, hold, name, initiate, and last the password or the challenge. */
export function judgeAarq(aarq: Aarq, judging: Judging): Accepted | Refused {
  const unnamed = refusedByName(aarq, judging)
  if (unnamed !== undefined) return unnamed
  let { counters } = judging
  try {
    if (judging.authentication.mechanism !== 'lowest') checkHeld(judging.attempts, judging.now)
    const peer = peerOf(aarq, judging)
    const opened = initiateOf(aarq, judging, peer)
    counters = opened.counters
    const { initiate } = opened
    const bounds = refusedByBounds(initiate, counters)
    if (bounds !== undefined) return bounds
    checkSecret(aarq, judging)
    const { handshake, serving, channel } = agreed({ aarq, initiate, peer }, judging)
    return { kind: 'accepted', handshake, serving, channel, counters }
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    return refusedBy(fault, counters)
  }
}

function refused(
  diagnostic: Refused['diagnostic'],
  why: string,
  more: Pick<Refused, 'counters'> & Partial<Refused>,
): Refused {
  const fault = new PeerError('ASSOCIATION_REFUSED', why)
  return { kind: 'refused', result: 'rejected-permanent', diagnostic, fault, ...more }
}

function refusedByName(aarq: Aarq, { authentication, ciphering, counters }: Judging): Refused | undefined {
  const context = ciphering === undefined ? 'logical-name' : 'logical-name-ciphered'
  if (aarq.applicationContext !== context) {
    return refused('application-context-name-not-supported', `another context than ${context}`, { counters })
  }
  if ((aarq.mechanism ?? 'lowest') === authentication.mechanism) return undefined
  const why = aarq.mechanism === undefined ? 'required' : 'not-recognized'
  return refused(`authentication-mechanism-name-${why}`, 'another authentication than ours', { counters })
}

function refusedByBounds(initiate: InitiateRequest, counters: Counters): Refused | undefined {
  const { dlmsVersion: version, receivePduOctetsMax } = initiate
  if (version < dlmsVersion) {
    return refused('no-reason-given', `DLMS version ${version}`, { counters, initiate: 'dlms-version-too-low' })
  }
  if (takenOctets(receivePduOctetsMax) >= pduOctetsMin) return undefined
  const why = `the client takes ${receivePduOctetsMax} octets`
  return refused('no-reason-given', why, { counters, initiate: 'pdu-size-too-short' })
}

const diagnostics: Partial<Record<PeerFault, Refused['diagnostic']>> = {
  SYSTEM_TITLE: 'calling-AP-title-not-recognized',
  SYSTEM_TITLE_FOREIGN: 'calling-AP-title-not-recognized',
  AUTHENTICATION_FAILED: 'authentication-failure',
  AUTHENTICATION_LOCKED: 'authentication-failure', // whoever guesses need not know that nobody listens
  CHALLENGE_LENGTH: 'authentication-failure',
  CHALLENGE_REFLECTED: 'authentication-failure',
}

function refusedBy(fault: PeerError, counters: Counters): Refused {
  const result = fault.code === 'AUTHENTICATION_LOCKED' ? 'rejected-transient' : 'rejected-permanent'
  return { kind: 'refused', result, diagnostic: diagnostics[fault.code] ?? 'no-reason-given', fault, counters }
}

/** The client's name where the association needs one. @throws PeerError `SYSTEM_TITLE`, `SYSTEM_TITLE_FOREIGN` */
function peerOf({ callingApTitle }: Aarq, judging: Judging): SystemTitle | undefined {
  const names = namesOf(judging)
  if (names === undefined) return undefined
  const peer = systemTitle(callingApTitle ?? new Uint8Array())
  checkPeer(peer, names)
  return peer
}

/** @throws PeerError `ASSOCIATION_REFUSED` for another content, and as `openInitiate` */
function initiateOf(
  { userInformation }: Aarq,
  { ciphering, counters }: Judging,
  peer: SystemTitle | undefined,
): { initiate: InitiateRequest; counters: Counters } {
  if (ciphering !== undefined && peer !== undefined) {
    const opened = openInitiate(userInformation, { ciphering, peer, counters })
    return { initiate: initiateRequest(opened.initiate), counters: opened.counters }
  }
  const initiate = initiateRequest(userInformation instanceof Uint8Array ? undefined : userInformation)
  if (initiate.dedicatedKey === undefined) return { initiate, counters }
  throw new PeerError('ASSOCIATION_REFUSED', 'a dedicated key in clear')
}

function initiateRequest(apdu: Apdu | undefined): InitiateRequest {
  if (apdu?.apdu === 'initiate-request') return apdu
  throw new PeerError('ASSOCIATION_REFUSED', 'no initiate-request as it was agreed')
}

function challengeOf({ authenticationValue }: Aarq): Uint8Array {
  return authenticationValue?.[1] ?? new Uint8Array()
}

/** @throws PeerError `AUTHENTICATION_FAILED` for another password, `CHALLENGE_LENGTH`, `CHALLENGE_REFLECTED` */
function checkSecret(aarq: Aarq, { authentication, stoc }: Judging): void {
  if (authentication.mechanism === 'low' && !isSameSecret(challengeOf(aarq), authentication.password)) {
    throw new PeerError('AUTHENTICATION_FAILED', 'another password')
  }
  if (isHls(authentication)) checkChallenge(challengeOf(aarq), stoc, authentication)
}

/** What both have, and who they are. @throws PeerError `KEY_MISSING` for a dedicated key that is none */
function agreed(
  { aarq, initiate, peer }: { aarq: Aarq; initiate: InitiateRequest; peer: SystemTitle | undefined },
  judging: Judging,
): Omit<Accepted, 'kind' | 'counters'> {
  const { ciphering, pduOctets, stoc } = judging
  const bits = initiate.conformance & offered(ciphering?.general === true)
  const general = (bits & conformance['general-protection']) !== 0
  const { dedicatedKey } = initiate
  const channel = ciphering && peer && openChannel(ciphering, { peer, general, dedicatedKey })
  const room = Math.min(pduOctets, takenOctets(initiate.receivePduOctetsMax))
  const names = namesOf(judging)
  return {
    handshake: { ctos: challengeOf(aarq), stoc, client: octetsOf(peer), server: octetsOf(names?.own) },
    serving: {
      pduOctets: room - (channel === undefined ? 0 : cipheringOctets),
      conformance: bits,
      transfer: undefined,
    },
    channel,
  }
}

function octetsOf(title: SystemTitle | undefined): Uint8Array {
  return title === undefined ? new Uint8Array() : Buffer.from(title, 'hex')
}
