import type { Aarq } from '../codec/acse.ts'
import { type Authentication, authenticationFunction, type Counters, proposal } from './association.ts'
import { namesOf } from './association-accept.ts'
import { type Ciphering, sealInitiate } from './association-channel.ts'

/** What a client's AARQ is made from. */
interface Proposing {
  authentication: Authentication
  ciphering?: Ciphering
  receivePduOctetsMax: number
}

/**
 * The AARQ of a client, and the counters to store before it leaves.
 * @throws RangeError for a dedicated key without ciphering, which would travel in clear
 */
export function propose(
  proposing: Proposing,
  event: { challenge: Uint8Array; counters: Counters; dedicatedKey?: Uint8Array },
): { aarq: Aarq; counters: Counters } {
  const { ciphering, receivePduOctetsMax } = proposing
  const { challenge, counters, dedicatedKey } = event
  if (ciphering === undefined && dedicatedKey !== undefined) throw new RangeError('a dedicated key without ciphering')
  const initiate = proposal(receivePduOctetsMax, { dedicatedKey, general: ciphering?.general })
  if (ciphering === undefined) return { aarq: { ...head(proposing, challenge), userInformation: initiate }, counters }
  const sealed = sealInitiate(initiate, ciphering, counters)
  return { aarq: { ...head(proposing, challenge), userInformation: sealed.octets }, counters: sealed.counters }
}

function head({ authentication, ciphering }: Proposing, challenge: Uint8Array): Aarq {
  const names = namesOf({ authentication, ciphering })
  const plain: Aarq = {
    apdu: 'aarq',
    applicationContext: ciphering === undefined ? 'logical-name' : 'logical-name-ciphered',
    ...(names && { callingApTitle: Buffer.from(names.own, 'hex') }),
  }
  if (authentication.mechanism === 'lowest') return plain
  const { mechanism } = authentication
  const secret = mechanism === 'low' ? authentication.password : challenge
  return { ...plain, mechanism, acseRequirements: authenticationFunction, authenticationValue: ['charstring', secret] }
}
