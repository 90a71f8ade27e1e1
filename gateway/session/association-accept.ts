import type { Aare } from '../codec/acse.ts'
import type { Apdu } from '../codec/apdu.ts'
import { associationResult, userDiagnostic } from '../codec/association-codes.ts'
import type { InitiateResponse } from '../codec/initiate.ts'
import { conformance } from '../codec/initiate.ts'
import { PeerError } from '../errors.ts'
import { type SystemTitle, systemTitle } from '../model.ts'
import {
  type Authentication,
  type Counters,
  checkPeer,
  dlmsVersion,
  isHls,
  logicalNameVaa,
  type Names,
  pduOctetsMin,
  takenOctets,
} from './association.ts'
import { type Channel, type Ciphering, openChannel, openInitiate } from './association-channel.ts'

/** What an association came to, on the client's side. */
export interface Open {
  /** octets that the server takes in one APDU */
  pduOctets: number
  /** bits of `conformance` that both have */
  conformance: number
  /** the last invoke-id, 0 to 15 */
  invokeId: number
  counters: Counters
  /** `undefined` in clear */
  channel: Channel | undefined
}

/** What a client asked for. */
export interface Asked {
  authentication: Authentication
  ciphering: Ciphering | undefined
  dedicatedKey: Uint8Array | undefined
  counters: Counters
}

/** Who each end must be; `undefined` where an association has no names. */
export function namesOf({ authentication, ciphering }: Pick<Asked, 'authentication' | 'ciphering'>): Names | undefined {
  return 'own' in authentication ? authentication : ciphering
}

/**
 * The server's answer to an AARQ, as far as it needs no challenge.
 * @returns what is open, and the server's name, empty where the association has none
 * @throws PeerError `ASSOCIATION_REFUSED`, also for what we did not offer or cannot use; `AUTHENTICATION_FAILED` where another
 *   authentication is asked for; `SYSTEM_TITLE`, `SYSTEM_TITLE_FOREIGN` and as `openInitiate`
 */
export function acceptAare(aare: Aare, asked: Asked): { open: Open; server: Uint8Array } {
  const { result, diagnostic } = aare
  const [source, code] = diagnostic
  if (result !== associationResult.accepted) {
    throw new PeerError('ASSOCIATION_REFUSED', `result ${result}, ${source} diagnostic ${code}`)
  }
  const context = asked.ciphering === undefined ? 'logical-name' : 'logical-name-ciphered'
  if (aare.applicationContext !== context) throw new PeerError('ASSOCIATION_REFUSED', `another context than ${context}`)
  const server = serverOf(aare, namesOf(asked))
  const open = opened(aare, asked, server)
  const wantsMore = source === 'user' && code === userDiagnostic['authentication-required']
  const { mechanism = asked.authentication.mechanism } = aare
  if (wantsMore !== isHls(asked.authentication) || (wantsMore && mechanism !== asked.authentication.mechanism)) {
    throw new PeerError('AUTHENTICATION_FAILED', 'the server asks for another authentication than ours')
  }
  return { open, server: server === undefined ? new Uint8Array() : Buffer.from(server, 'hex') }
}

function serverOf({ respondingApTitle }: Aare, names: Names | undefined): SystemTitle | undefined {
  if (names === undefined) return undefined
  const server = systemTitle(respondingApTitle ?? new Uint8Array())
  checkPeer(server, names)
  return server
}

function opened(
  { userInformation }: Aare,
  { ciphering, dedicatedKey, counters }: Asked,
  peer: SystemTitle | undefined,
): Open {
  if (ciphering === undefined || peer === undefined) return openOf(inClear(userInformation), counters)
  const answer = openInitiate(userInformation, { ciphering, peer, counters })
  const open = openOf(answer.initiate, answer.counters)
  const general = ciphering.general === true && (open.conformance & conformance['general-protection']) !== 0
  return { ...open, channel: openChannel(ciphering, { peer, general, dedicatedKey }) }
}

function inClear(information: Aare['userInformation']): Apdu | undefined {
  return information instanceof Uint8Array ? undefined : information
}

/** @throws PeerError `ASSOCIATION_REFUSED` for what we did not offer or cannot use */
function openOf(initiate: Apdu | undefined, counters: Counters): Open {
  if (initiate?.apdu !== 'initiate-response') {
    throw new PeerError('ASSOCIATION_REFUSED', 'no initiate-response as it was agreed')
  }
  const { conformance: bits, receivePduOctetsMax, dlmsVersion: version, vaaName }: InitiateResponse = initiate
  const pduOctets = takenOctets(receivePduOctetsMax)
  if (version !== dlmsVersion || vaaName !== logicalNameVaa || pduOctets < pduOctetsMin) {
    throw new PeerError('ASSOCIATION_REFUSED', `version ${version}, vaa-name ${vaaName}, ${pduOctets} octets an APDU`)
  }
  return { pduOctets, conformance: bits, invokeId: 0, counters, channel: undefined }
}
