import type { Aare, Aarq } from '../codec/acse.ts'
import type { ActionOutcome, ActionResponse } from '../codec/action.ts'
import { type Apdu, decodeApdu, encodeApdu } from '../codec/apdu.ts'
import { associationResult, releaseReason, userDiagnostic } from '../codec/association-codes.ts'
import type { InitiateResponse } from '../codec/initiate.ts'
import { PeerError } from '../errors.ts'
import { type SystemTitle, systemTitle } from '../model.ts'
import {
  type Authentication,
  answerChallenge,
  associationClass,
  authenticationFunction,
  type Counters,
  checkChallenge,
  checkPeer,
  currentAssociation,
  dlmsVersion,
  logicalNameVaa,
  pduOctetsMin,
  proposal,
  replyToHls,
  takeAnswer,
  takenOctets,
} from './association.ts'
import { type Answer, beginExchange, type Exchange, invokeOctet, type Request, takeResponse } from './exchange.ts'

export interface ClientConfig {
  authentication: Authentication
  /** the most that we take in one APDU, `pduOctetsMin` to `pduOctetsMax` octets */
  receivePduOctetsMax: number
}

/** What an association came to. */
interface Open {
  /** octets that the server takes in one APDU */
  pduOctets: number
  /** bits of `conformance` that both have */
  conformance: number
  /** the last invoke-id, 0 to 15 */
  invokeId: number
}

export type ClientState =
  | { at: 'idle' }
  | { at: 'associating'; challenge: Uint8Array; counters: Counters }
  | { at: 'authenticating'; challenge: Uint8Array; counters: Counters; peer: SystemTitle; open: Open }
  | { at: 'associated'; open: Open }
  | { at: 'asking'; open: Open; exchange: Exchange }
  | { at: 'releasing' }

export type ClientEvent =
  | {
      kind: 'open'
      /** random octets, 8 to 64, never used before; sent only in HLS */
      challenge: Uint8Array
      counters: Counters
    }
  | { kind: 'ask'; request: Request }
  | { kind: 'release' }
  | { kind: 'apdu'; octets: Uint8Array }
  /** the answer to what was sent last is late */
  | { kind: 'timeout' }
  /** the connection ended */
  | { kind: 'disconnected' }

/** In the order in which they are to be done. Each `send` waits for one APDU, or for the event `timeout`. */
export type ClientEffect =
  | { kind: 'store'; counters: Counters }
  | { kind: 'send'; octets: Uint8Array }
  | { kind: 'associated'; conformance: number; pduOctets: number }
  | { kind: 'answer'; answer: Answer }
  | { kind: 'released' }
  /** the association is gone */
  | { kind: 'failed'; fault: PeerError }
  /** the connection is to be closed */
  | { kind: 'close' }
  /** the caller's event does not fit this state, and nothing happened */
  | { kind: 'not-now'; event: 'open' | 'ask' | 'release' }

export interface ClientStep {
  state: ClientState
  effects: ClientEffect[]
}

const idle: ClientState = { at: 'idle' }

/**
 * One step of a client's association with logical names, in clear. A fault of the server's ends it.
 * @see IEC 62056-5-3, state machine of the client side control function
 */
export function stepClient(config: ClientConfig, state: ClientState, event: ClientEvent): ClientStep {
  switch (event.kind) {
    case 'open':
      return state.at === 'idle' ? associate(config, event) : notNow(state, event.kind)
    case 'ask':
      return state.at === 'associated' ? ask(state.open, event.request) : notNow(state, event.kind)
    case 'release':
      return state.at === 'associated' ? release() : notNow(state, event.kind)
    case 'apdu':
      return attempt(() => receive(config, state, event.octets))
    case 'timeout':
      return state.at === 'idle' || state.at === 'associated' ? { state, effects: [] } : fail(late(state))
    case 'disconnected':
      return state.at === 'idle' ? { state, effects: [] } : { state: idle, effects: [failed(gone(state))] }
  }
}

function notNow(state: ClientState, event: 'open' | 'ask' | 'release'): ClientStep {
  return { state, effects: [{ kind: 'not-now', event }] }
}

function late({ at }: ClientState): PeerError {
  return new PeerError('ASSOCIATION_TIMEOUT', `no answer while ${at}`)
}

function gone({ at }: ClientState): PeerError {
  return new PeerError('ASSOCIATION_SEQUENCE', `the connection ended while ${at}`)
}

function failed(fault: PeerError): ClientEffect {
  return { kind: 'failed', fault }
}

function fail(fault: PeerError): ClientStep {
  return { state: idle, effects: [failed(fault), { kind: 'close' }] }
}

/** A fault of the server's is caught here and nowhere else. */
function attempt(step: () => ClientStep): ClientStep {
  try {
    return step()
  } catch (fault) {
    if (fault instanceof PeerError) return fail(fault)
    throw fault
  }
}

function send(apdu: Apdu): ClientEffect {
  return { kind: 'send', octets: encodeApdu(apdu) }
}

function associate(config: ClientConfig, event: { challenge: Uint8Array; counters: Counters }): ClientStep {
  const { challenge, counters } = event
  return { state: { at: 'associating', challenge, counters }, effects: [send(aarq(config, challenge))] }
}

function aarq({ authentication, receivePduOctetsMax }: ClientConfig, challenge: Uint8Array): Aarq {
  const userInformation = proposal(receivePduOctetsMax)
  const plain: Aarq = { apdu: 'aarq', applicationContext: 'logical-name', userInformation }
  if (authentication.mechanism === 'lowest') return plain
  const { mechanism } = authentication
  const known: Aarq = { ...plain, mechanism, acseRequirements: authenticationFunction }
  if (mechanism === 'low') return { ...known, authenticationValue: ['charstring', authentication.password] }
  const callingApTitle = Buffer.from(authentication.own, 'hex')
  return { ...known, callingApTitle, authenticationValue: ['charstring', challenge] }
}

function ask(open: Open, request: Request): ClientStep {
  const invokeId = (open.invokeId + 1) % 16
  const { exchange, octets } = beginExchange(request, invokeOctet(invokeId), open.pduOctets)
  return { state: { at: 'asking', open: { ...open, invokeId }, exchange }, effects: [{ kind: 'send', octets }] }
}

function release(): ClientStep {
  return { state: { at: 'releasing' }, effects: [send({ apdu: 'rlrq', reason: releaseReason.normal })] }
}

function receive(config: ClientConfig, state: ClientState, octets: Uint8Array): ClientStep {
  if (octets.length > takenOctets(config.receivePduOctetsMax)) {
    throw new PeerError('APDU_LENGTH', `${octets.length} octets, we take ${config.receivePduOctetsMax}`)
  }
  const apdu = decodeApdu(octets)
  if (apdu.apdu === 'exception-response') {
    const { stateError, serviceError } = apdu
    throw new PeerError('SERVICE_REFUSED', `exception: state error ${stateError}, service error ${serviceError}`)
  }
  if (state.at === 'associating' && apdu.apdu === 'aare') return accept(config, state, apdu)
  if (state.at === 'authenticating' && apdu.apdu === 'action-response') return authenticate(config, state, apdu)
  if (state.at === 'asking') return respond(state, apdu)
  if (state.at === 'releasing' && apdu.apdu === 'rlre') return { state: idle, effects: [{ kind: 'released' }] }
  throw new PeerError('ASSOCIATION_SEQUENCE', `${apdu.apdu} while ${state.at}`)
}

type Associating = Extract<ClientState, { at: 'associating' }>
type Authenticating = Extract<ClientState, { at: 'authenticating' }>

function accept({ authentication }: ClientConfig, state: Associating, aare: Aare): ClientStep {
  const [source, code] = aare.diagnostic
  const isRefused = aare.result !== associationResult.accepted
  if (isRefused) throw new PeerError('ASSOCIATION_REFUSED', `result ${aare.result}, ${source} diagnostic ${code}`)
  const open = opened(aare)
  const wantsMore = source === 'user' && code === userDiagnostic['authentication-required']
  if (wantsMore !== (authentication.mechanism === 'high-gmac')) {
    throw new PeerError('AUTHENTICATION_FAILED', 'the server asks for another authentication than ours')
  }
  if (authentication.mechanism !== 'high-gmac') return associated(open)
  const peer = systemTitle(aare.respondingApTitle ?? new Uint8Array())
  checkPeer(peer, authentication)
  const stoc = aare.authenticationValue?.[1] ?? new Uint8Array()
  checkChallenge(stoc, state.challenge)
  const { answer, counters } = answerChallenge(stoc, authentication, state.counters)
  return {
    state: { at: 'authenticating', challenge: state.challenge, counters, peer, open },
    effects: [{ kind: 'store', counters }, send(passThree(answer))],
  }
}

function passThree(octets: Uint8Array): Apdu {
  return {
    apdu: 'action-request',
    invokeId: invokeOctet(0),
    choice: 'normal',
    method: { classId: associationClass, obis: currentAssociation, method: replyToHls },
    parameters: { type: 'octet-string', octets },
  }
}

/** @throws PeerError `ASSOCIATION_REFUSED` for what we did not offer or cannot use */
function opened({ applicationContext, userInformation }: Aare): Open {
  if (applicationContext !== 'logical-name' || !isInitiateResponse(userInformation)) {
    throw new PeerError('ASSOCIATION_REFUSED', 'no initiate-response in clear with logical names')
  }
  const { dlmsVersion: version, conformance, receivePduOctetsMax, vaaName } = userInformation
  const pduOctets = takenOctets(receivePduOctetsMax)
  if (version !== dlmsVersion || vaaName !== logicalNameVaa || pduOctets < pduOctetsMin) {
    throw new PeerError('ASSOCIATION_REFUSED', `version ${version}, vaa-name ${vaaName}, ${pduOctets} octets an APDU`)
  }
  return { pduOctets, conformance, invokeId: 0 }
}

function isInitiateResponse(information: Aare['userInformation']): information is InitiateResponse {
  return information !== undefined && !(information instanceof Uint8Array) && information.apdu === 'initiate-response'
}

function associated(open: Open, ...before: ClientEffect[]): ClientStep {
  const { conformance, pduOctets } = open
  return { state: { at: 'associated', open }, effects: [...before, { kind: 'associated', conformance, pduOctets }] }
}

function authenticate({ authentication }: ClientConfig, state: Authenticating, apdu: ActionResponse): ClientStep {
  const answer = apdu.choice === 'normal' && apdu.invokeId === invokeOctet(0) ? returned(apdu.outcome) : undefined
  if (answer === undefined || authentication.mechanism !== 'high-gmac') {
    throw new PeerError('AUTHENTICATION_FAILED', 'the server does not answer our challenge')
  }
  const { challenge, peer, open } = state
  const counters = takeAnswer(answer, challenge, { keys: authentication, peer, counters: state.counters })
  return associated(open, { kind: 'store', counters })
}

function returned({ result, returned }: ActionOutcome): Uint8Array | undefined {
  if (result !== 0 || returned?.kind !== 'data' || returned.data.type !== 'octet-string') return undefined
  return returned.data.octets
}

function respond({ open, exchange }: Extract<ClientState, { at: 'asking' }>, apdu: Apdu): ClientStep {
  const next = takeResponse(exchange, apdu)
  if ('answer' in next) return { state: { at: 'associated', open }, effects: [{ kind: 'answer', answer: next.answer }] }
  return { state: { at: 'asking', open, exchange: next.exchange }, effects: [{ kind: 'send', octets: next.octets }] }
}
