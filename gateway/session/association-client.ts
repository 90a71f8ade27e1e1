import type { Aare } from '../codec/acse.ts'
import type { ActionOutcome } from '../codec/action.ts'
import { type Apdu, decodeApdu, encodeApdu } from '../codec/apdu.ts'
import { releaseReason } from '../codec/association-codes.ts'
import { isCiphered } from '../codec/protection.ts'
import { PeerError } from '../errors.ts'
import {
  type Authentication,
  associationClass,
  type Counters,
  currentAssociation,
  isHls,
  proposal,
  replyToHls,
  takenOctets,
} from './association.ts'
import { propose } from './association-aarq.ts'
import { acceptAare, namesOf, type Open } from './association-accept.ts'
import {
  type Ciphering,
  cipheringOctets,
  clientForm,
  openInitiate,
  openResponse,
  sealApdu,
  sealInitiate,
} from './association-channel.ts'
import { checkAnswer, checkChallenge, type Handshake, makeAnswer, mergeCounters } from './association-hls.ts'
import { type Answer, beginExchange, type Exchange, invokeOctet, type Request } from './exchange.ts'
import { takeResponse } from './exchange-response.ts'

export interface ClientConfig {
  authentication: Authentication
  /** in clear where it is not said */
  ciphering?: Ciphering
  /** the most that we take in one APDU, `pduOctetsMin` to `pduOctetsMax` octets */
  receivePduOctetsMax: number
}

export type ClientState =
  | { at: 'idle' }
  | { at: 'associating'; challenge: Uint8Array; counters: Counters; dedicatedKey: Uint8Array | undefined }
  | { at: 'authenticating'; handshake: Handshake; open: Open }
  | { at: 'associated'; open: Open }
  | { at: 'asking'; open: Open; exchange: Exchange }
  | { at: 'releasing'; open: Open }

export type ClientEvent =
  | {
      kind: 'open'
      /** random octets, 8 to 64, never used before; sent only in HLS */
      challenge: Uint8Array
      counters: Counters
      /** random octets, as long as the suite's keys, never used before: the key of this association, in ciphering alone */
      dedicatedKey?: Uint8Array
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
 * One step of a client's association with logical names, in clear or ciphered. A fault of the server's ends it.
 * @see IEC 62056-5-3, state machine of the client side control function
 */
export function stepClient(config: ClientConfig, state: ClientState, event: ClientEvent): ClientStep {
  switch (event.kind) {
    case 'open':
      return state.at === 'idle' ? associate(config, event) : notNow(state, event.kind)
    case 'ask':
      return state.at === 'associated' ? ask(config, state.open, event.request) : notNow(state, event.kind)
    case 'release':
      return state.at === 'associated' ? release(config, state.open) : notNow(state, event.kind)
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

function send(octets: Uint8Array): ClientEffect {
  return { kind: 'send', octets }
}

/** @throws RangeError as `propose` */
function associate(config: ClientConfig, event: Extract<ClientEvent, { kind: 'open' }>): ClientStep {
  const { challenge, dedicatedKey } = event
  const { aarq, counters } = propose(config, event)
  const stored: ClientEffect[] = counters === event.counters ? [] : [{ kind: 'store', counters }]
  const state: ClientState = { at: 'associating', challenge, counters, dedicatedKey }
  return { state, effects: [...stored, send(encodeApdu(aarq))] }
}

/** Ciphered where the association is, with the counters to store before it leaves. */
function transmit({ ciphering }: ClientConfig, open: Open, plain: Uint8Array): { open: Open; effects: ClientEffect[] } {
  const { channel, counters: before } = open
  if (ciphering === undefined || channel === undefined) return { open, effects: [send(plain)] }
  const { octets, counters } = sealApdu(plain, clientForm(channel), { ciphering, channel, counters: before })
  return { open: { ...open, counters }, effects: [{ kind: 'store', counters }, send(octets)] }
}

/** The APDU in clear, and what is open with its counter. @throws PeerError `SECURITY_DOWNGRADE` and as `openResponse` */
function unveil({ ciphering }: ClientConfig, open: Open, apdu: Apdu): { open: Open; apdu: Apdu } {
  const { channel, counters: before } = open
  if (ciphering === undefined || channel === undefined) return { open, apdu }
  if (!isCiphered(apdu)) throw new PeerError('SECURITY_DOWNGRADE', `${apdu.apdu} in clear`)
  const opened = openResponse(apdu, { ciphering, channel, counters: before })
  return { open: { ...open, channel: opened.channel, counters: opened.counters }, apdu: decodeApdu(opened.plain) }
}

/** What came moved a counter where it was ciphered. */
function moved(before: Counters, { counters }: Open): ClientEffect[] {
  return counters === before ? [] : [{ kind: 'store', counters }]
}

function ask(config: ClientConfig, before: Open, request: Request): ClientStep {
  const invokeId = (before.invokeId + 1) % 16
  const room = before.pduOctets - (before.channel === undefined ? 0 : cipheringOctets)
  const { exchange, octets } = beginExchange(request, invokeOctet(invokeId), room)
  const { open, effects } = transmit(config, { ...before, invokeId }, octets)
  return { state: { at: 'asking', open, exchange }, effects }
}

/** A ciphered association is released by whoever has its key: the initiate goes with it. */
function release({ ciphering, receivePduOctetsMax }: ClientConfig, open: Open): ClientStep {
  const rlrq = { apdu: 'rlrq', reason: releaseReason.normal } as const
  if (ciphering === undefined) return { state: { at: 'releasing', open }, effects: [send(encodeApdu(rlrq))] }
  const initiate = proposal(receivePduOctetsMax, { general: ciphering.general })
  const { octets: userInformation, counters } = sealInitiate(initiate, ciphering, open.counters)
  return {
    state: { at: 'releasing', open: { ...open, counters } },
    effects: [{ kind: 'store', counters }, send(encodeApdu({ ...rlrq, userInformation }))],
  }
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
  if (state.at === 'authenticating') return authenticate(config, state, apdu)
  if (state.at === 'asking') return respond(config, state, apdu)
  if (state.at === 'releasing' && apdu.apdu === 'rlre') return released(config, state.open, apdu.userInformation)
  throw new PeerError('ASSOCIATION_SEQUENCE', `${apdu.apdu} while ${state.at}`)
}

type At<K extends ClientState['at']> = Extract<ClientState, { at: K }>

function accept(config: ClientConfig, state: At<'associating'>, aare: Aare): ClientStep {
  const { authentication, ciphering } = config
  const { challenge: ctos, counters: before, dedicatedKey } = state
  const { open, server } = acceptAare(aare, { authentication, ciphering, dedicatedKey, counters: before })
  if (!isHls(authentication)) return associated(open, moved(before, open))
  const stoc = aare.authenticationValue?.[1] ?? new Uint8Array()
  checkChallenge(stoc, ctos, authentication)
  const names = namesOf({ authentication, ciphering })
  const client = names === undefined ? new Uint8Array() : Buffer.from(names.own, 'hex')
  const handshake: Handshake = { ctos, stoc, client, server }
  const { answer, counters } = makeAnswer('client', authentication, { handshake, counters: open.counters })
  const sent = transmit(config, { ...open, counters }, encodeApdu(passThree(answer)))
  const stored = sent.effects[0]?.kind === 'store' ? [] : moved(before, sent.open)
  return { state: { at: 'authenticating', handshake, open: sent.open }, effects: [...stored, ...sent.effects] }
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

function associated(open: Open, before: ClientEffect[]): ClientStep {
  const { conformance, pduOctets } = open
  return { state: { at: 'associated', open }, effects: [...before, { kind: 'associated', conformance, pduOctets }] }
}

/** @throws PeerError `ASSOCIATION_SEQUENCE` for anything but pass 4, `AUTHENTICATION_FAILED` for none in it, as `checkAnswer` */
function authenticate(config: ClientConfig, state: At<'authenticating'>, heard: Apdu): ClientStep {
  const { handshake, open: before } = state
  const { open, apdu } = unveil(config, before, heard)
  if (apdu.apdu !== 'action-response') throw new PeerError('ASSOCIATION_SEQUENCE', `${apdu.apdu} while ${state.at}`)
  const answer = apdu.choice === 'normal' && apdu.invokeId === invokeOctet(0) ? returned(apdu.outcome) : undefined
  const { authentication: hls } = config
  if (answer === undefined || !isHls(hls)) {
    throw new PeerError('AUTHENTICATION_FAILED', 'the server does not answer our challenge')
  }
  const answered = checkAnswer(answer, 'server', { hls, handshake, counters: before.counters })
  const counters = mergeCounters(before.counters, answered, open.counters)
  const isMoved = counters.received !== before.counters.received
  return associated({ ...open, counters }, isMoved ? [{ kind: 'store', counters }] : [])
}

function returned({ result, returned }: ActionOutcome): Uint8Array | undefined {
  if (result !== 0 || returned?.kind !== 'data' || returned.data.type !== 'octet-string') return undefined
  return returned.data.octets
}

function respond(config: ClientConfig, { open: before, exchange }: At<'asking'>, heard: Apdu): ClientStep {
  const { open, apdu } = unveil(config, before, heard)
  const next = takeResponse(exchange, apdu)
  if ('answer' in next) {
    const effects: ClientEffect[] = [...moved(before.counters, open), { kind: 'answer', answer: next.answer }]
    return { state: { at: 'associated', open }, effects }
  }
  const sent = transmit(config, open, next.octets) // stores what came with what leaves
  return { state: { at: 'asking', open: sent.open, exchange: next.exchange }, effects: sent.effects }
}

/** What it says in ciphered form must hold; an answer that says nothing ends the association as well. */
function released({ ciphering }: ClientConfig, open: Open, information: Aare['userInformation']): ClientStep {
  if (ciphering === undefined || open.channel === undefined || information === undefined) {
    return { state: idle, effects: [{ kind: 'released' }] }
  }
  const { peer } = open.channel
  const { counters } = openInitiate(information, { ciphering, peer, counters: open.counters })
  return { state: idle, effects: [{ kind: 'store', counters }, { kind: 'released' }] }
}
