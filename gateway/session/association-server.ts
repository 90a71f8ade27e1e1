import type { Aarq, ResponseInformation, Rlrq } from '../codec/acse.ts'
import type { ActionRequest } from '../codec/action.ts'
import { type Apdu, decodeApdu, encodeApdu } from '../codec/apdu.ts'
import { releaseReason } from '../codec/association-codes.ts'
import { type ExceptionResponse, serviceError, stateError } from '../codec/exception.ts'
import { invocation } from '../codec/invoke.ts'
import { isCiphered } from '../codec/protection.ts'
import { actionResult } from '../codec/results.ts'
import { PeerError } from '../errors.ts'
import { associationClass, type Counters, currentAssociation, isHls, replyToHls } from './association.ts'
import { acceptingAare, initiateResponse, refusedAare } from './association-aare.ts'
import { type Channel, openInitiate, openRequest, sealApdu, sealInitiate } from './association-channel.ts'
import { checkAnswer, makeAnswer, mergeCounters } from './association-hls.ts'
import { type Accepted, judgeAarq, type Refused } from './association-judge.ts'
import { afterFailure, checkHeld, defaultLockout, noAttempts } from './association-lockout.ts'
import type { ServerConfig, ServerEffect, ServerEvent, ServerState, ServerStep } from './association-server-step.ts'
import type { Form } from './protect.ts'
import { exception, serve } from './serving.ts'

export type { ServerConfig, ServerEffect, ServerEvent, ServerState, ServerStep }

const idle: ServerState = { at: 'idle' }
type ApduEvent = Extract<ServerEvent, { kind: 'apdu' }>
type Open = Exclude<ServerState, { at: 'idle' }>

/**
 * One step of a server's association with logical names, in clear or ciphered. Every APDU is answered, save an unconfirmed
 * request; a fault of the client's leaves the state as it was.
 * @see IEC 62056-5-3, state machine of the server side control function
 */
export function stepServer(config: ServerConfig, state: ServerState, event: ServerEvent): ServerStep {
  switch (event.kind) {
    case 'apdu':
      return receive(config, state, event)
    case 'timeout':
      return { state: idle, effects: [{ kind: 'close' }] }
    case 'disconnected':
      return { state: idle, effects: [] }
  }
}

function receive(config: ServerConfig, state: ServerState, event: ApduEvent): ServerStep {
  const { length } = event.octets
  if (length > config.pduOctets) {
    const fault = new PeerError('APDU_LENGTH', `${length} octets, we take ${config.pduOctets}`)
    return refuse(state, exception('service-not-allowed', 'pdu-too-long'), fault)
  }
  return guarded(state, event.counters, () => {
    const apdu = decodeApdu(event.octets)
    if (apdu.apdu === 'aarq') return associate(config, state, { apdu, event }) // a client that lost its connection begins afresh
    if (apdu.apdu === 'rlrq') return release(config, state, { apdu, event })
    if (state.at === 'idle') throw unasked(state, apdu)
    return state.channel === undefined
      ? request(config, state, { apdu, event, form: undefined, counters: event.counters })
      : unveil(config, { ...state, channel: state.channel }, { apdu, event })
  })
}

/** A fault of the client's is caught here and nowhere else, but for AARQ and pass 3. */
function guarded(state: ServerState, counters: Counters, step: () => ServerStep): ServerStep {
  try {
    return step()
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    return refuse(state, refusalOf(fault, counters), fault)
  }
}

const sequence: PeerError['code'] = 'ASSOCIATION_SEQUENCE'

/** Without a key nobody is told more than that it was not deciphered; whoever has one, which counter is next. */
function refusalOf({ code }: PeerError, { received }: Counters): ExceptionResponse {
  if (code === sequence) return exception('service-not-allowed', 'operation-not-possible')
  if (code === 'COUNTER_REPLAYED') {
    return {
      apdu: 'exception-response',
      stateError: stateError['service-not-allowed'],
      serviceError: serviceError['invocation-counter-error'],
      invocationCounter: Math.min(received + 1, 0xffffffff),
    }
  }
  const isCiphering = /^(SECURITY|SYSTEM_TITLE|KEY|TAG)_/.test(code)
  return isCiphering
    ? exception('service-not-allowed', 'deciphering-error')
    : exception('service-unknown', 'other-reason')
}

function refuse(state: ServerState, apdu: Apdu, fault: PeerError): ServerStep {
  return { state, effects: [{ kind: 'fault', fault }, send(apdu)] }
}

function send(apdu: Apdu): ServerEffect {
  return { kind: 'send', octets: encodeApdu(apdu) }
}

function unasked({ at }: ServerState, { apdu }: Apdu): PeerError {
  return new PeerError(sequence, `${apdu} while ${at}`)
}

interface Heard {
  apdu: Apdu
  event: ApduEvent
}

/** An APDU in clear, with the form in which it came and goes back, and the counters as it left them. */
interface Unveiled extends Heard {
  form: Form | undefined
  counters: Counters
}

/** What holds has moved its counter, even where what is inside is refused. */
function unveil(config: ServerConfig, state: Open & { channel: Channel }, { apdu, event }: Heard): ServerStep {
  const { ciphering } = config
  if (ciphering === undefined) throw unasked(state, apdu)
  if (!isCiphered(apdu)) {
    if (ciphering.clear !== true) throw new PeerError('SECURITY_DOWNGRADE', `${apdu.apdu} in clear`)
    return request(config, state, { apdu, event, form: undefined, counters: event.counters })
  }
  const opened = openRequest(apdu, { ciphering, channel: state.channel, counters: event.counters })
  const { form, channel, counters } = opened
  const next: Open = { ...state, channel }
  const step = guarded(next, counters, () => {
    return request(config, next, { apdu: decodeApdu(opened.plain), event, form, counters })
  })
  const isStored = step.effects.some(({ kind }) => kind === 'store')
  return isStored ? step : { ...step, effects: [{ kind: 'store', counters }, ...step.effects] }
}

/** In the form in which it was asked, with the counters to store before it leaves. */
function respond(
  { ciphering }: ServerConfig,
  { channel }: Open,
  { response, form, counters: before }: { response: Apdu; form: Form | undefined; counters: Counters },
): ServerEffect[] {
  const isSealed = form !== undefined && response.apdu !== 'exception-response' // which has no ciphered form of its own
  if (!isSealed || ciphering === undefined || channel === undefined) return [send(response)]
  const { octets, counters } = sealApdu(encodeApdu(response), form, { ciphering, channel, counters: before })
  return [
    { kind: 'store', counters },
    { kind: 'send', octets },
  ]
}

function request(config: ServerConfig, state: Open, unveiled: Unveiled): ServerStep {
  const { apdu, form, counters } = unveiled
  if (state.at === 'challenged') return passThree(config, state, unveiled)
  const served = isReply(apdu) ? undefined : serve(state.serving, apdu, config.objects)
  if (served === undefined) throw unasked(state, apdu)
  const { serving, response } = served
  const effects = response === undefined ? [] : respond(config, state, { response, form, counters })
  return { state: { ...state, serving }, effects }
}

function associate(
  config: ServerConfig,
  state: ServerState,
  { apdu: aarq, event }: Heard & { apdu: Aarq },
): ServerStep {
  const { authentication, ciphering, pduOctets } = config
  const { challenge: stoc, counters, attempts, now } = event
  const judged = judgeAarq(aarq, { authentication, ciphering, pduOctets, stoc, counters, attempts, now })
  return judged.kind === 'refused' ? refuseAarq(config, state, judged, event) : accept(config, judged, event)
}

/** Where the association is ciphered, whoever has no key cannot end it with an AARQ. */
function refuseAarq(config: ServerConfig, state: ServerState, judged: Refused, event: ApduEvent): ServerStep {
  const { fault, counters } = judged
  const isKept = state.at !== 'idle' && state.channel !== undefined
  const { effects } = refuse(idle, refusedAare(config, judged), fault)
  if (counters !== event.counters) effects.unshift({ kind: 'store', counters })
  if (fault.code === 'AUTHENTICATION_FAILED') effects.unshift(failure(config, event))
  return { state: isKept ? state : idle, effects }
}

function failure({ lockout = defaultLockout }: ServerConfig, { attempts, now }: ApduEvent): ServerEffect {
  return { kind: 'count', attempts: afterFailure(attempts, lockout, now) }
}

function success({ attempts }: ApduEvent): ServerEffect[] {
  return attempts.failed === 0 ? [] : [{ kind: 'count', attempts: noAttempts }]
}

function accept(config: ServerConfig, accepted: Accepted, event: ApduEvent): ServerStep {
  const { handshake, serving, channel } = accepted
  const { authentication } = config
  const { aare, counters } = acceptingAare(config, accepted)
  const stored: ServerEffect[] = counters === event.counters ? [] : [{ kind: 'store', counters }]
  if (isHls(authentication)) {
    return { state: { at: 'challenged', handshake, serving, channel }, effects: [...stored, send(aare)] }
  }
  const counted = authentication.mechanism === 'low' ? success(event) : []
  const state: ServerState = { at: 'associated', serving, channel }
  return { state, effects: [...stored, ...counted, send(aare), { kind: 'associated' }] }
}

/**
 * A ciphered association is released by who has its key, where APDUs in clear are not taken.
 * @throws PeerError as `openInitiate`
 */
function release(
  config: ServerConfig,
  state: ServerState,
  { apdu, event }: { apdu: Rlrq; event: ApduEvent },
): ServerStep {
  const channel = state.at === 'idle' ? undefined : state.channel
  const { ciphering } = config
  const { userInformation } = apdu
  const bare = (ciphering?.clear === true && userInformation === undefined) || channel === undefined
  if (bare || ciphering === undefined || state.at === 'idle') return released([])
  const opened = openInitiate(userInformation, { ciphering, peer: channel.peer, counters: event.counters })
  const { octets, counters } = sealInitiate(initiateResponse(config, state.serving), ciphering, opened.counters)
  return released([{ kind: 'store', counters }], octets)
}

function released(before: ServerEffect[], userInformation?: ResponseInformation): ServerStep {
  const rlre = send({ apdu: 'rlre', reason: releaseReason.normal, ...(userInformation && { userInformation }) })
  return { state: idle, effects: [...before, rlre, { kind: 'released' }] }
}

/** HLS passes 3 and 4: nothing else is served before, and one wrong answer costs the association. */
function passThree(
  config: ServerConfig,
  state: Extract<ServerState, { at: 'challenged' }>,
  unveiled: Unveiled,
): ServerStep {
  const { apdu, event, form, counters: opened } = unveiled
  const { authentication: hls } = config
  if (!isReply(apdu) || !isHls(hls)) throw unasked(state, apdu)
  const { handshake, serving, channel } = state
  const head = { apdu: 'action-response', invokeId: apdu.invokeId, choice: 'normal' } as const
  try {
    checkHeld(event.attempts, event.now)
    const answered = checkAnswer(apdu.parameters.octets, 'client', { hls, handshake, counters: event.counters })
    const merged = mergeCounters(event.counters, answered, opened)
    const { answer, counters } = makeAnswer('server', hls, { handshake, counters: merged })
    const returned = { kind: 'data', data: { type: 'octet-string', octets: answer } } as const
    const response: Apdu = { ...head, outcome: { result: actionResult.success, returned } }
    const passFour = respond(config, state, { response, form, counters })
    const isStored = passFour.length > 1 || counters === event.counters
    const stored: ServerEffect[] = isStored ? [] : [{ kind: 'store', counters }]
    const effects: ServerEffect[] = [...stored, ...success(event), ...passFour, { kind: 'associated' }]
    return { state: { at: 'associated', serving, channel }, effects }
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    const response: Apdu = { ...head, outcome: { result: actionResult['other-reason'], returned: undefined } }
    const counted = fault.code === 'AUTHENTICATION_LOCKED' ? [] : [failure(config, event)]
    const told = respond(config, state, { response, form, counters: opened })
    return { state: idle, effects: [...counted, { kind: 'fault', fault }, ...told] }
  }
}

type Reply = Extract<ActionRequest, { choice: 'normal' }> & { parameters: { type: 'octet-string'; octets: Uint8Array } }

/** Pass 3, confirmed as it must be: its answer is pass 4. */
function isReply(apdu: Apdu): apdu is Reply {
  if (apdu.apdu !== 'action-request' || apdu.choice !== 'normal' || !invocation(apdu.invokeId).confirmed) return false
  const { method, parameters } = apdu
  const isMethod =
    method.classId === associationClass && method.obis === currentAssociation && method.method === replyToHls
  return isMethod && parameters?.type === 'octet-string'
}
