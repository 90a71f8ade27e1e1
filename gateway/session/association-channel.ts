import { createSecretKey, type KeyObject } from 'node:crypto'
import { type Apdu, decodeApdu, encodeApdu } from '../codec/apdu.ts'
import type { InitiateRequest, InitiateResponse } from '../codec/initiate.ts'
import { type Ciphered, isCiphered } from '../codec/protection.ts'
import { PeerError } from '../errors.ts'
import type { SystemTitle } from '../model.ts'
import { type Counters, type Names, nextCounter } from './association.ts'
import type { FormKind, KeySet, Policy, Protection } from './policy.ts'
import { type Form, protect } from './protect.ts'
import { suiteOf } from './suite.ts'
import { advance, type KeyState, type MeterSecurity, unprotect } from './unprotect.ts'

/** How the APDUs of an association are protected: the application context with ciphering. */
export interface Ciphering extends Names {
  /** 0 to 2 */
  suite: number
  /** global unicast encryption key, 16 octets, in suite 2 it has 32 */
  ek: KeyObject
  /** authentication key, as long as `ek` */
  ak: Uint8Array
  /** what our APDUs have, and the least that theirs must have */
  protection: Protection
  /** offers general protection: where both do, a client speaks in general-glo and general-ded, and a server takes them too */
  general?: boolean
  /** a server takes APDUs and a release in clear beside protected ones; else they are refused */
  clear?: boolean
}

/** What both ends settled about the protection of their APDUs. */
export interface Channel {
  peer: SystemTitle
  /** general protection is negotiated */
  general: boolean
  /** the key of this association, where the client gave one */
  dedicated: KeyState | undefined
}

/** What ciphering adds to an APDU, the most: tag, title, length, security control, counter, authentication tag. Octets. */
export const cipheringOctets: number = 1 + 9 + 3 + 5 + 12

/** A channel, its keys and its counters. */
export interface Secured {
  ciphering: Ciphering
  channel: Channel
  counters: Counters
}

/** @throws PeerError `KEY_MISSING` for a dedicated key of another length than the suite's */
export function openChannel(
  { suite }: Ciphering,
  { peer, general, dedicatedKey }: { peer: SystemTitle; general: boolean; dedicatedKey: Uint8Array | undefined },
): Channel {
  const { keyOctets } = suiteOf(suite)
  if (dedicatedKey !== undefined && dedicatedKey.length !== keyOctets) {
    throw new PeerError(
      'KEY_MISSING',
      `a dedicated key of ${dedicatedKey.length} octets, suite ${suite} has ${keyOctets}`,
    )
  }
  const dedicated = dedicatedKey && { ek: createSecretKey(dedicatedKey), lastCounter: -1 }
  return { peer, general, dedicated }
}

/** How a client sends, and so how it is answered. */
export function clientForm({ general, dedicated }: Channel): Form {
  if (dedicated !== undefined) return { apdu: general ? 'general-ded-ciphering' : 'ded' }
  return { apdu: general ? 'general-glo-ciphering' : 'glo', key: 'unicast' }
}

/**
 * One counter serves both keys of a sender's: it never comes twice under either, even if a dedicated key does.
 * @returns the ciphered APDU, and the counters to store before it leaves
 * @throws RangeError when no counter is left
 */
export function sealApdu(
  plain: Uint8Array,
  form: Form,
  { ciphering, channel, counters: before }: Secured,
): { octets: Uint8Array; counters: Counters } {
  const counters = nextCounter(before)
  const isDedicated = form.apdu === 'ded' || form.apdu === 'general-ded-ciphering'
  const { suite, protection, own, ak } = ciphering
  const ek = isDedicated ? channel.dedicated!.ek : ciphering.ek
  const sealing = { suite, protection, systemTitle: own, ek, ak, invocationCounter: counters.sent }
  return { octets: encodeApdu(protect(plain, form, sealing)), counters }
}

export interface Opened {
  plain: Uint8Array
  /** in what it came: an answer goes back in the same */
  form: Form
  channel: Channel
  /** to be stored before what came takes effect */
  counters: Counters
}

/** On the server's side: every form that was negotiated. */
export function openRequest(apdu: Ciphered, secured: Secured): Opened {
  const { general, dedicated } = secured.channel
  const forms: FormKind[] = ['service']
  if (general) forms.push('general-glo-ciphering', 'general-ded-ciphering')
  return open(apdu, secured, { forms, keySets: dedicated === undefined ? ['unicast'] : ['unicast', 'dedicated'] })
}

/** On the client's side: the form and the key in which it asked. */
export function openResponse(apdu: Ciphered, secured: Secured): Opened {
  const form = clientForm(secured.channel).apdu
  const kind = form === 'glo' || form === 'ded' ? 'service' : (form as FormKind)
  return open(apdu, secured, {
    forms: [kind],
    keySets: [secured.channel.dedicated === undefined ? 'unicast' : 'dedicated'],
  })
}

/** @throws PeerError as `unprotect` */
function open(
  apdu: Ciphered,
  { ciphering, channel, counters }: Secured,
  taken: { forms: readonly FormKind[]; keySets: readonly KeySet[] },
): Opened {
  const { ek, ak, suite, protection } = ciphering
  const { peer: systemTitle, dedicated } = channel
  const security: MeterSecurity = {
    systemTitle,
    ek,
    ak,
    lastCounter: counters.received,
    ...(dedicated && { dedicated }),
  }
  // an association has told the names: a general form may leave its own empty
  const policy: Policy = { least: protection, suites: [suite], untitled: true, ...taken }
  const unprotected = unprotect(apdu, security, policy)
  const next = advance(security, unprotected)
  return {
    plain: unprotected.plain,
    form: formOf(apdu),
    channel: { ...channel, dedicated: next.dedicated },
    counters: { ...counters, received: next.lastCounter },
  }
}

function formOf({ apdu }: Ciphered): Form {
  if (apdu === 'general-glo-ciphering') return { apdu, key: 'unicast' }
  if (apdu === 'general-ded-ciphering') return { apdu }
  return apdu.startsWith('ded-') ? { apdu: 'ded' } : { apdu: 'glo', key: 'unicast' }
}

/** An initiate is under the global key even where it brings a dedicated one. */
export function sealInitiate(
  initiate: InitiateRequest | InitiateResponse,
  ciphering: Ciphering,
  counters: Counters,
): { octets: Uint8Array; counters: Counters } {
  const channel = { peer: ciphering.own, general: false, dedicated: undefined } // nothing of it is read
  return sealApdu(encodeApdu(initiate), { apdu: 'glo', key: 'unicast' }, { ciphering, channel, counters })
}

/**
 * The user information of an AARQ, AARE, RLRQ or RLRE.
 * @param information octets where it is ciphered
 * @throws PeerError `SECURITY_DOWNGRADE` for one in clear or none, and as `unprotect` and `decodeApdu`
 */
export function openInitiate(
  information: Uint8Array | { apdu: string } | undefined,
  { ciphering, peer, counters }: { ciphering: Ciphering; peer: SystemTitle; counters: Counters },
): { initiate: Apdu; counters: Counters } {
  const apdu = information instanceof Uint8Array ? decodeApdu(information) : undefined
  if (apdu === undefined || !isCiphered(apdu)) {
    throw new PeerError('SECURITY_DOWNGRADE', 'no ciphered initiate in an association with ciphering')
  }
  const channel = { peer, general: false, dedicated: undefined }
  const taken = { forms: ['service', 'general-glo-ciphering'], keySets: ['unicast'] } as const
  const opened = open(apdu, { ciphering, channel, counters }, taken)
  return { initiate: decodeApdu(opened.plain), counters: opened.counters }
}
