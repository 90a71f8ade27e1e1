import type { Aare, Aarq } from '../codec/acse.ts'
import { type Apdu, decodeApdu, encodeApdu } from '../codec/apdu.ts'
import { associationResult, releaseReason, userDiagnostic } from '../codec/association-codes.ts'
import type { InitiateRequest, InitiateResponse } from '../codec/initiate.ts'
import { actionResult } from '../codec/results.ts'
import { type ConfirmedServiceError, serviceErrors } from '../codec/service-error.ts'
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
  isSameSecret,
  logicalNameVaa,
  offeredConformance,
  pduOctetsMin,
  replyToHls,
  takeAnswer,
  takenOctets,
} from './association.ts'
import { type CosemObjects, exception, type Serving, serve } from './serving.ts'

export interface ServerConfig {
  authentication: Authentication
  /** the most that we take and send in one APDU, `pduOctetsMin` to `pduOctetsMax` octets */
  pduOctets: number
  objects: CosemObjects
}

export type ServerState =
  | { at: 'idle' }
  /** HLS passes 1 and 2 are done */
  | { at: 'challenged'; ours: Uint8Array; theirs: Uint8Array; peer: SystemTitle; serving: Serving }
  | { at: 'associated'; serving: Serving }

export type ServerEvent =
  | {
      kind: 'apdu'
      octets: Uint8Array
      /** random octets, 8 to 64, other ones with each event */
      challenge: Uint8Array
      /** those that were stored last, by whatever session */
      counters: Counters
    }
  /** the client was silent for too long */
  | { kind: 'timeout' }
  /** the connection ended */
  | { kind: 'disconnected' }

/** In the order in which they are to be done. */
export type ServerEffect =
  | { kind: 'store'; counters: Counters }
  | { kind: 'send'; octets: Uint8Array }
  | { kind: 'associated' }
  | { kind: 'released' }
  /** what the client did wrong; it has been told by a `send` */
  | { kind: 'fault'; fault: PeerError }
  | { kind: 'close' }

export interface ServerStep {
  state: ServerState
  effects: ServerEffect[]
}

const idle: ServerState = { at: 'idle' }
type ApduEvent = Extract<ServerEvent, { kind: 'apdu' }>

/**
 * One step of a server's association with logical names, in clear. Every APDU is answered, and a fault of the
 * client's leaves the state as it was.
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
  try {
    return answer(config, state, { apdu: decodeApdu(event.octets), event })
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    return refuse(state, exception('service-unknown', 'other-reason'), fault)
  }
}

function refuse(state: ServerState, apdu: Apdu, fault: PeerError): ServerStep {
  return { state, effects: [{ kind: 'fault', fault }, send(apdu)] }
}

function send(apdu: Apdu): ServerEffect {
  return { kind: 'send', octets: encodeApdu(apdu) }
}

interface Heard {
  apdu: Apdu
  event: ApduEvent
}

function answer(config: ServerConfig, state: ServerState, { apdu, event }: Heard): ServerStep {
  if (apdu.apdu === 'aarq') return associate(config, apdu, event) // a client that lost its connection begins afresh
  if (apdu.apdu === 'rlrq') {
    return { state: idle, effects: [send({ apdu: 'rlre', reason: releaseReason.normal }), { kind: 'released' }] }
  }
  if (state.at === 'challenged') return passThree(config, state, { apdu, event })
  const served = state.at === 'associated' ? serve(state.serving, apdu, config.objects) : undefined
  if (served === undefined)
    return refuse(state, exception('service-not-allowed', 'operation-not-possible'), unasked(state, apdu))
  return { state: { at: 'associated', serving: served.serving }, effects: [send(served.response)] }
}

function unasked({ at }: ServerState, { apdu }: Apdu): PeerError {
  return new PeerError('ASSOCIATION_SEQUENCE', `${apdu} while ${at}`)
}

/** Why an AARQ is refused: what the AARE says, and the fault. */
interface Refusal {
  diagnostic: keyof typeof userDiagnostic
  why: string
  initiate?: 'dlms-version-too-low' | 'pdu-size-too-short'
}

function associate(config: ServerConfig, aarq: Aarq, event: ApduEvent): ServerStep {
  const { userInformation } = aarq
  const refusal = refusalOf(config, aarq, event.challenge)
  if (refusal !== undefined || !isInitiateRequest(userInformation)) {
    const { diagnostic, why, initiate } = refusal ?? noInitiate
    const fault = new PeerError('ASSOCIATION_REFUSED', why)
    return refuse(
      idle,
      aare(associationResult['rejected-permanent'], diagnostic, initiate && initiateError(initiate)),
      fault,
    )
  }
  const serving: Serving = {
    pduOctets: Math.min(config.pduOctets, takenOctets(userInformation.receivePduOctetsMax)),
    conformance: userInformation.conformance & offeredConformance,
    transfer: undefined,
  }
  const response = initiateResponse(config, serving)
  const { authentication } = config
  if (authentication.mechanism !== 'high-gmac') {
    const accepted = aare(associationResult.accepted, 'null', response)
    return { state: { at: 'associated', serving }, effects: [send(accepted), { kind: 'associated' }] }
  }
  const [theirs, peer] = [challengeOf(aarq), systemTitle(aarq.callingApTitle!)]
  const pending: Aare = {
    ...aare(associationResult.accepted, 'authentication-required', response),
    respondingApTitle: Buffer.from(authentication.own, 'hex'),
    acseRequirements: authenticationFunction,
    mechanism: 'high-gmac',
    authenticationValue: ['charstring', event.challenge],
  }
  return { state: { at: 'challenged', ours: event.challenge, theirs, peer, serving }, effects: [send(pending)] }
}

const noInitiate: Refusal = { diagnostic: 'no-reason-given', why: 'no initiate-request in clear' }

function isInitiateRequest(information: Aarq['userInformation']): information is InitiateRequest {
  return information !== undefined && !(information instanceof Uint8Array)
}

function challengeOf({ authenticationValue }: Aarq): Uint8Array {
  return authenticationValue?.[1] ?? new Uint8Array()
}

function refusalOf({ authentication }: ServerConfig, aarq: Aarq, ours: Uint8Array): Refusal | undefined {
  const { applicationContext, userInformation, mechanism = 'lowest' } = aarq
  if (applicationContext !== 'logical-name') {
    return { diagnostic: 'application-context-name-not-supported', why: 'another context than logical names in clear' }
  }
  if (mechanism !== authentication.mechanism) {
    const isNamed = aarq.mechanism !== undefined
    const diagnostic = isNamed
      ? 'authentication-mechanism-name-not-recognized'
      : 'authentication-mechanism-name-required'
    return { diagnostic, why: 'another authentication than ours' }
  }
  if (!isInitiateRequest(userInformation)) return noInitiate
  if (userInformation.dlmsVersion < dlmsVersion) {
    return {
      diagnostic: 'no-reason-given',
      why: `DLMS version ${userInformation.dlmsVersion}`,
      initiate: 'dlms-version-too-low',
    }
  }
  if (takenOctets(userInformation.receivePduOctetsMax) < pduOctetsMin) {
    const why = `the client takes ${userInformation.receivePduOctetsMax} octets`
    return { diagnostic: 'no-reason-given', why, initiate: 'pdu-size-too-short' }
  }
  return authenticationRefusal(authentication, aarq, ours)
}

function authenticationRefusal(authentication: Authentication, aarq: Aarq, ours: Uint8Array): Refusal | undefined {
  if (authentication.mechanism === 'low' && !isSameSecret(challengeOf(aarq), authentication.password)) {
    return { diagnostic: 'authentication-failure', why: 'another password' }
  }
  if (authentication.mechanism !== 'high-gmac') return undefined
  try {
    checkPeer(systemTitle(aarq.callingApTitle ?? new Uint8Array()), authentication)
    checkChallenge(challengeOf(aarq), ours)
    return undefined
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    const isChallenge = fault.code === 'AUTHENTICATION_FAILED'
    return {
      diagnostic: isChallenge ? 'authentication-failure' : 'calling-AP-title-not-recognized',
      why: fault.message,
    }
  }
}

function aare(
  result: number,
  diagnostic: keyof typeof userDiagnostic,
  userInformation: InitiateResponse | ConfirmedServiceError | undefined,
): Aare {
  return {
    apdu: 'aare',
    applicationContext: 'logical-name',
    result,
    diagnostic: ['user', userDiagnostic[diagnostic]],
    ...(userInformation && { userInformation }),
  }
}

function initiateError(name: NonNullable<Refusal['initiate']>): ConfirmedServiceError {
  return { apdu: 'confirmed-service-error', service: 'initiate', kind: 'initiate', code: serviceErrors.initiate[name]! }
}

function initiateResponse({ pduOctets }: ServerConfig, { conformance }: Serving): InitiateResponse {
  return {
    apdu: 'initiate-response',
    qualityOfService: undefined,
    dlmsVersion,
    conformance,
    receivePduOctetsMax: pduOctets,
    vaaName: logicalNameVaa,
  }
}

/** HLS passes 3 and 4: nothing else is served before, and one wrong answer costs the association. */
function passThree(
  { authentication }: ServerConfig,
  state: Extract<ServerState, { at: 'challenged' }>,
  { apdu, event }: Heard,
): ServerStep {
  const octets = replyOf(apdu)
  if (octets === undefined || authentication.mechanism !== 'high-gmac' || !('invokeId' in apdu)) {
    return refuse(state, exception('service-not-allowed', 'operation-not-possible'), unasked(state, apdu))
  }
  const response = { apdu: 'action-response', invokeId: apdu.invokeId, choice: 'normal' } as const
  try {
    const received = takeAnswer(octets, state.ours, {
      keys: authentication,
      peer: state.peer,
      counters: event.counters,
    })
    const { answer, counters } = answerChallenge(state.theirs, authentication, received)
    const returned = { kind: 'data', data: { type: 'octet-string', octets: answer } } as const
    const passFour = send({ ...response, outcome: { result: actionResult.success, returned } })
    const effects: ServerEffect[] = [{ kind: 'store', counters }, passFour, { kind: 'associated' }]
    return { state: { at: 'associated', serving: state.serving }, effects }
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    return refuse(idle, { ...response, outcome: { result: actionResult['other-reason'], returned: undefined } }, fault)
  }
}

function replyOf(apdu: Apdu): Uint8Array | undefined {
  if (apdu.apdu !== 'action-request' || apdu.choice !== 'normal') return undefined
  const { method, parameters } = apdu
  const isReply =
    method.classId === associationClass && method.obis === currentAssociation && method.method === replyToHls
  return isReply && parameters?.type === 'octet-string' ? parameters.octets : undefined
}
