import { securityControl as control } from '../codec/ciphering.ts'
import type { Ciphered } from '../codec/protection.ts'
import { PeerError } from '../errors.ts'

/**
 * Which key an APDU is under. The first three stand for themselves in it; `settled` is the one that both sides have
 * before (general-ciphering without key information); `wrapped` and `agreed` keys come with the message.
 */
export type KeySet = 'unicast' | 'broadcast' | 'dedicated' | 'settled' | 'wrapped' | 'agreed'

/**
 * How an APDU is wrapped; `service` is glo-* and ded-*. The form is not authenticated: what one holder sealed in one form
 * can be put into another, so each side says which it takes.
 */
export type FormKind = 'service' | 'general-glo-ciphering' | 'general-ded-ciphering' | 'general-ciphering'

export const everyForm: readonly FormKind[] = [
  'service',
  'general-glo-ciphering',
  'general-ded-ciphering',
  'general-ciphering',
]

/** A form under a key. */
export type Way = `${FormKind} ${KeySet}`

/** What an APDU is protected with, or the least that it must be. */
export type Protection = 'authenticated-encrypted' | 'authenticated' | 'encrypted'

/** What one side takes from the other. @see Blue Book, security setup, security policy */
export interface Policy {
  least: Protection | 'authenticated-or-encrypted'
  suites: readonly number[]
  /** the global unicast key alone where it is not said */
  keySets?: readonly KeySet[]
  /** general-glo-ciphering alone where it is not said */
  forms?: readonly FormKind[]
  /** of `forms` and `keySets` these pairs alone, where it is said */
  ways?: ReadonlySet<Way>
  /** takes empty system titles: an association or a signed content tells them */
  untitled?: boolean
  /** asks for a general-signing inside, which `unsign` then checks */
  signed?: boolean
}

/** Of one meter, by direction: a command may ask for more than a reading does. */
export interface MeterPolicy {
  fromMeter: Policy
  toMeter: Policy
}

export const gatewayPolicy: Policy = { least: 'authenticated-encrypted', suites: [0] }

/** For reading a frame at a desk: AES-GCM under global keys is one algorithm in all three suites. */
export const lenientPolicy: Policy = { least: 'authenticated-or-encrypted', suites: [0, 1, 2], forms: everyForm }

export const protectionBits: Record<Protection, number> = {
  'authenticated-encrypted': control.authenticated | control.encrypted,
  authenticated: control.authenticated,
  encrypted: control.encrypted,
}

/** Bits of the attribute `security_policy`. @see Blue Book, security setup (class 64), version 1 */
const securityPolicy = {
  toMeter: { authenticated: 0x04, encrypted: 0x08, signed: 0x10 },
  fromMeter: { authenticated: 0x20, encrypted: 0x40, signed: 0x80 },
} as const

/**
 * What a meter's security setup asks for, as policies. Where it asks for neither, any ciphering is taken, but no clear text.
 * @param bits the attribute `security_policy`
 * @param suite the attribute `security_suite`: that one and no other
 */
export function meterPolicy(bits: number, suite: number): MeterPolicy {
  const side = ({ authenticated, encrypted, signed }: (typeof securityPolicy)['toMeter' | 'fromMeter']): Policy => ({
    least: leastOf((bits & authenticated) !== 0, (bits & encrypted) !== 0),
    suites: [suite],
    signed: (bits & signed) !== 0,
  })
  return { fromMeter: side(securityPolicy.fromMeter), toMeter: side(securityPolicy.toMeter) }
}

function leastOf(authenticated: boolean, encrypted: boolean): Policy['least'] {
  if (authenticated) return encrypted ? 'authenticated-encrypted' : 'authenticated'
  return encrypted ? 'encrypted' : 'authenticated-or-encrypted'
}

/** The security control of the least that a policy takes, in a suite. */
export function controlFor({ least }: Policy, suite: number): number {
  return suite | protectionBits[least === 'authenticated-or-encrypted' ? 'authenticated-encrypted' : least]
}

/** Where a policy does not say. */
const usualForms: readonly FormKind[] = ['general-glo-ciphering']
const usualKeySets: readonly KeySet[] = ['unicast']

/** @throws PeerError `SECURITY_SERVICE` for a form that the policy does not take */
export function checkForm(apdu: Ciphered, { forms = usualForms }: Policy): void {
  if (!forms.includes(formOf(apdu))) {
    throw new PeerError('SECURITY_SERVICE', `${apdu.apdu} is not taken, but ${forms.join(', ')}`)
  }
}

/** @throws PeerError `SECURITY_SERVICE` for a form that the policy takes under other keys */
export function checkWay(apdu: Ciphered, keySet: KeySet, { ways }: Policy): void {
  if (ways !== undefined && !ways.has(`${formOf(apdu)} ${keySet}`)) {
    throw new PeerError('SECURITY_SERVICE', `${apdu.apdu} under a key that is ${keySet} is not taken`)
  }
}

function formOf({ apdu }: Ciphered): FormKind {
  if (apdu === 'general-glo-ciphering') return apdu // which most are
  return apdu.startsWith('general-') ? (apdu as FormKind) : 'service'
}

/** The key that an APDU says it is under. */
export function keySetOf(apdu: Ciphered): KeySet {
  if (apdu.apdu === 'general-ciphering') {
    const { keyInfo } = apdu
    if (keyInfo === undefined) return 'settled'
    return keyInfo.kind === 'identified' ? keyInfo.key : keyInfo.kind
  }
  if (apdu.apdu !== 'general-glo-ciphering' && isDedicated(apdu)) return 'dedicated'
  return (apdu.securityControl & control.broadcastKey) === 0 ? 'unicast' : 'broadcast'
}

function isDedicated({ apdu }: Ciphered): boolean {
  return apdu === 'general-ded-ciphering' || apdu.startsWith('ded-')
}

/**
 * The control octet against the policy, in this order: compression, key set, suite, protection. The key set bit means the
 * broadcast key and nothing else: beside another key it is a contradiction, and refused.
 * @throws PeerError `SECURITY_COMPRESSED`, `SECURITY_CONTROL`, `SECURITY_SUITE`, `SECURITY_DOWNGRADE`
 */
export function checkControl(octet: number, keySet: KeySet, policy: Policy): void {
  const { least, suites, keySets = usualKeySets } = policy
  if ((octet & control.compressed) !== 0) throw fault('SECURITY_COMPRESSED', octet, 'compressed')
  if ((octet & control.broadcastKey) !== 0 && keySet !== 'broadcast') {
    throw fault('SECURITY_CONTROL', octet, `the broadcast key's bit under a key that is ${keySet}`)
  }
  if (!keySets.includes(keySet)) throw fault('SECURITY_CONTROL', octet, `under a key that is ${keySet}`)
  const suite = octet & control.suite
  if (!suites.includes(suite)) throw fault('SECURITY_SUITE', octet, `suite ${suite}, taken: ${suites.join(', ')}`)
  if (!suffices(octet, least)) throw fault('SECURITY_DOWNGRADE', octet, `less than ${least}`)
}

function suffices(octet: number, least: Policy['least']): boolean {
  if (least === 'authenticated-or-encrypted') return (octet & protectionBits['authenticated-encrypted']) !== 0
  return (octet & protectionBits[least]) === protectionBits[least]
}

type ControlFault = 'SECURITY_COMPRESSED' | 'SECURITY_CONTROL' | 'SECURITY_SUITE' | 'SECURITY_DOWNGRADE'

function fault(code: ControlFault, octet: number, why: string): PeerError {
  return new PeerError(code, `security control ${octet.toString(16).padStart(2, '0')}: ${why}`)
}
