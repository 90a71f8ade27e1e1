import type { Aare } from '../codec/acse.ts'
import { associationResult, userDiagnostic } from '../codec/association-codes.ts'
import type { InitiateResponse } from '../codec/initiate.ts'
import { type ConfirmedServiceError, serviceErrors } from '../codec/service-error.ts'
import {
  type Authentication,
  authenticationFunction,
  type Counters,
  dlmsVersion,
  isHls,
  logicalNameVaa,
} from './association.ts'
import { type Ciphering, sealInitiate } from './association-channel.ts'
import type { Accepted, Refused } from './association-judge.ts'
import type { Serving } from './serving-transfer.ts'

/** What a server's AARE is made from. */
interface Offering {
  authentication: Authentication
  ciphering?: Ciphering
  pduOctets: number
}

/** The AARE that opens an association or asks for pass 3, and the counters to store before it leaves. */
export function acceptingAare(
  offering: Offering,
  { handshake, serving, counters: before }: Accepted,
): { aare: Aare; counters: Counters } {
  const { authentication, ciphering } = offering
  const initiate = initiateResponse(offering, serving)
  const { octets, counters } = ciphering
    ? sealInitiate(initiate, ciphering, before)
    : { octets: undefined, counters: before }
  const aare: Aare = {
    ...head(offering, 'accepted', isHls(authentication) ? 'authentication-required' : 'null'),
    ...(handshake.server.length > 0 && { respondingApTitle: handshake.server }),
    ...(isHls(authentication) && {
      acseRequirements: authenticationFunction,
      mechanism: authentication.mechanism,
      authenticationValue: ['charstring', handshake.stoc] as const,
    }),
    userInformation: octets ?? initiate,
  }
  return { aare, counters }
}

export function refusedAare(offering: Offering, { result, diagnostic, initiate }: Refused): Aare {
  return { ...head(offering, result, diagnostic), ...(initiate && { userInformation: initiateError(initiate) }) }
}

function head(
  { ciphering }: Offering,
  result: keyof typeof associationResult,
  diagnostic: keyof typeof userDiagnostic,
): Aare {
  return {
    apdu: 'aare',
    applicationContext: ciphering === undefined ? 'logical-name' : 'logical-name-ciphered',
    result: associationResult[result],
    diagnostic: ['user', userDiagnostic[diagnostic]],
  }
}

function initiateError(name: NonNullable<Refused['initiate']>): ConfirmedServiceError {
  return { apdu: 'confirmed-service-error', service: 'initiate', kind: 'initiate', code: serviceErrors.initiate[name]! }
}

/** Also with a release, which says the same once more. */
export function initiateResponse({ pduOctets }: Offering, { conformance }: Serving): InitiateResponse {
  return {
    apdu: 'initiate-response',
    qualityOfService: undefined,
    dlmsVersion,
    conformance,
    receivePduOctetsMax: pduOctets,
    vaaName: logicalNameVaa,
  }
}
