import type { KeyObject } from 'node:crypto'
import { securityControl as control, tagOctets } from '../codec/ciphering.ts'
import { encodeProtectionHeader, type GeneralCiphering } from '../codec/general-ciphering.ts'
import { generalSigningTag } from '../codec/general-signing.ts'
import { OctetReader } from '../codec/octets.ts'
import type { Ciphered } from '../codec/protection.ts'
import { plainTagOf, type ServiceCipheringName } from '../codec/service-ciphering.ts'
import { PeerError } from '../errors.ts'
import type { SystemTitle } from '../model.ts'
import { type AgreementKeys, agreedKey } from './agreement.ts'
import { decipherAlone, type Gcm, noOctets, open } from './gcm.ts'
import { unwrapKey } from './key-wrap.ts'
import {
  checkControl,
  checkForm,
  checkWay,
  gatewayPolicy,
  type KeySet,
  keySetOf,
  lenientPolicy,
  type Policy,
} from './policy.ts'
import { type Suite, suiteOf } from './suite.ts'
import { nextTransaction } from './transaction.ts'

export { gatewayPolicy, lenientPolicy, type Policy }

/** A key and what was heard under it. */
export interface KeyState {
  /** encryption key, 16 octets in suites 0 and 1, 32 in suite 2 */
  ek: KeyObject
  /** the highest invocation counter whose tag held; -1 before the first */
  lastCounter: number
}

/** What is known of who sends: a meter and its global unicast key, and what else there is. */
export interface MeterSecurity extends KeyState {
  systemTitle: SystemTitle
  /** authentication key, as long as `ek` and the same beside every key; GB meters have none */
  ak: Uint8Array
  broadcast?: KeyState
  /** of this association */
  dedicated?: KeyState
  /** for general-ciphering that names no key */
  settled?: KeyState
  /** the master key, under which others are wrapped */
  kek?: KeyObject
  agreement?: AgreementKeys
  /** our own system title, where general-ciphering addresses us */
  own?: SystemTitle
  /** the highest transaction identifier whose tag held under a key that came with it; -1 before the first */
  lastTransaction?: bigint
}

export interface Unprotected {
  /** the APDU in clear */
  plain: Uint8Array
  invocationCounter: number
  keySet: KeySet
  /** where the key came with the message: what counts instead of the counter */
  transaction?: bigint
}

/**
 * Checks and deciphers; changes nothing. The order: form, control octet, system titles, key, tag, service, counter. The counter
 * is compared after the tag: a forged frame with an old counter is reported as forged, for only what the key's holder
 * sealed can be called a replay.
 * @returns the APDU in clear, and the counter to store before the APDU takes effect
 * @throws PeerError `SECURITY_SERVICE`, `SECURITY_COMPRESSED`, `SECURITY_CONTROL`, `SECURITY_SUITE`,
 *   `SECURITY_DOWNGRADE`, `SYSTEM_TITLE_FOREIGN`, `KEY_MISSING`, `KEY_WRAP`, `KEY_AGREEMENT`, `SIGNATURE_INVALID`,
 *   `APDU_LENGTH`, `TAG_UNAUTHENTIC`, `COUNTER_REPLAYED`
 * @see Green Book, 9.2.7.2 (security suites 0 to 2)
 */
export function unprotect(apdu: Ciphered, security: MeterSecurity, policy: Policy): Unprotected {
  checkForm(apdu, policy)
  const keySet = keySetOf(apdu)
  checkControl(apdu.securityControl, keySet, policy)
  checkWay(apdu, keySet, policy)
  checkTitles(apdu, security, policy)
  const key = keyOf(apdu, keySet, security)
  const plain = open(apdu.content, gcmOf(apdu, security.systemTitle, { ek: key.ek, ak: security.ak }))
  checkService(apdu, plain)
  if (policy.signed === true && plain[0] !== generalSigningTag) {
    throw new PeerError('SECURITY_DOWNGRADE', 'what is inside is not signed')
  }
  const { invocationCounter } = apdu
  if (invocationCounter <= key.lastCounter) {
    throw new PeerError('COUNTER_REPLAYED', `counter ${invocationCounter} after ${key.lastCounter}`)
  }
  if (apdu.apdu !== 'general-ciphering' || !isOfMessage(keySet)) return { plain, invocationCounter, keySet }
  const transaction = nextTransaction(apdu.transactionId, security.lastTransaction ?? -1n)
  return { plain, invocationCounter, keySet, transaction }
}

/** What is known after an APDU was let in: to be stored with what it brought. */
export function advance(security: MeterSecurity, opened: Unprotected): MeterSecurity {
  const { keySet, invocationCounter: lastCounter, transaction } = opened
  if (transaction !== undefined) return { ...security, lastTransaction: transaction }
  if (keySet === 'broadcast' || keySet === 'dedicated' || keySet === 'settled') {
    return { ...security, [keySet]: { ...security[keySet], lastCounter } }
  }
  return { ...security, lastCounter }
}

/**
 * The other side's answer to our challenge in HLS mechanism 5; it counts as an APDU under the unicast key.
 * @param answer 17 octets: security control, invocation counter, tag
 * @throws PeerError `APDU_TRUNCATED`, `APDU_TRAILING` and as `unprotect`
 * @see Green Book, HLS authentication, mechanism 5 (GMAC)
 */
export function checkGmacAnswer(
  answer: Uint8Array,
  challenge: Uint8Array,
  { security, policy }: { security: MeterSecurity; policy: Policy },
): Unprotected {
  const reader = new OctetReader(answer)
  const [octet, invocationCounter, tag] = [reader.uint(1), reader.uint(4), reader.octets(tagOctets)]
  reader.end()
  if ((octet & ~control.suite) !== control.authenticated) {
    throw new PeerError('SECURITY_CONTROL', 'an answer is authenticated and nothing else')
  }
  const systemTitle = Buffer.from(security.systemTitle, 'hex')
  const apdu = { apdu: 'general-glo-ciphering', systemTitle, securityControl: octet, invocationCounter } as const
  const content = Buffer.concat([challenge, tag])
  const asked: Policy = { ...policy, least: 'authenticated', forms: ['general-glo-ciphering'], signed: false }
  return unprotect({ ...apdu, content }, security, asked)
}

/** Any suite and any key but those that come with a message. */
const unverified: Policy = { ...lenientPolicy, keySets: ['unicast', 'broadcast', 'dedicated', 'settled'] }

/**
 * Deciphers without looking at a tag: whoever uses this knows that nobody vouches for what it returns.
 * @param title of the sender; where the APDU names one, the same
 * @param ek of the key set that the APDU says it is under
 * @throws PeerError as `unprotect`, save form, recipient, tag and counter
 */
export function decipherUnverified(apdu: Ciphered, title: SystemTitle, ek: KeyObject): Uint8Array {
  checkControl(apdu.securityControl, keySetOf(apdu), unverified)
  const named = senderOf(apdu)
  if (named !== undefined) checkTitle(named, title)
  return decipherAlone(apdu.content, gcmOf(apdu, title, { ek, ak: noOctets }))
}

/** The name in an APDU, perhaps an empty one; a service's own ciphering has no place for it. */
function senderOf(apdu: Ciphered): Uint8Array | undefined {
  if (apdu.apdu === 'general-ciphering') return apdu.originator
  return 'systemTitle' in apdu ? apdu.systemTitle : undefined
}

function gcmOf(apdu: Ciphered, title: SystemTitle, { ek, ak }: Pick<Gcm, 'ek' | 'ak'>): Gcm {
  const header = apdu.apdu === 'general-ciphering' ? encodeProtectionHeader(apdu) : noOctets
  const { securityControl, invocationCounter: counter } = apdu
  return { control: securityControl, title: titleOctets(apdu, title), counter, ek, ak, header }
}

/** Those that came where they did, for they were compared: reading them from text costs more. */
function titleOctets(apdu: Ciphered, title: SystemTitle): Uint8Array {
  return 'systemTitle' in apdu && apdu.systemTitle.length > 0 ? apdu.systemTitle : Buffer.from(title, 'hex')
}

/** Names the sender and, in general-ciphering, us. A service's own ciphering names nobody: its association does. */
function checkTitles(apdu: Ciphered, security: MeterSecurity, { untitled = false }: Policy): void {
  const sender = senderOf(apdu)
  if (sender !== undefined && (sender.length > 0 || !untitled)) checkTitle(sender, security.systemTitle)
  if (apdu.apdu !== 'general-ciphering') return
  const mayBeNobody = untitled || keySetOf(apdu) === 'broadcast'
  if (apdu.recipient.length > 0 || !mayBeNobody) checkTitle(apdu.recipient, security.own)
}

/** An empty title is one told before, in an association that a push does not have: it names nobody. */
function checkTitle(title: Uint8Array, expected: SystemTitle | undefined): void {
  if (expected === undefined || !isTitle(title, expected)) {
    throw new PeerError('SYSTEM_TITLE_FOREIGN', `not the system title ${expected ?? 'that we have, for we have none'}`)
  }
}

function isTitle(octets: Uint8Array, title: SystemTitle): boolean {
  if (octets.length * 2 !== title.length) return false
  for (let at = 0; at < octets.length; at++) {
    const octet = octets[at]!
    if (title.charCodeAt(2 * at) !== hexDigits[octet >> 4] || title.charCodeAt(2 * at + 1) !== hexDigits[octet & 15]) {
      return false
    }
  }
  return true
}

const hexDigits: readonly number[] = Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))

function keyOf(apdu: Ciphered, keySet: KeySet, security: MeterSecurity): KeyState {
  if (keySet === 'unicast') return security
  if (apdu.apdu === 'general-ciphering' && isOfMessage(keySet)) {
    return { ek: messageKey(apdu, security, suiteOf(apdu.securityControl & control.suite)), lastCounter: -1 }
  }
  const state = security[keySet as 'broadcast' | 'dedicated' | 'settled']
  if (state === undefined) throw new PeerError('KEY_MISSING', `no key that is ${keySet}`)
  return state
}

function isOfMessage(keySet: KeySet): boolean {
  return keySet === 'wrapped' || keySet === 'agreed'
}

/** Empty titles are taken for those that we know: the key is made of names, whoever tells them. */
function messageKey(apdu: GeneralCiphering, security: MeterSecurity, suite: Suite): KeyObject {
  const { keyInfo } = apdu
  if (keyInfo?.kind === 'wrapped') return unwrapKey(keyInfo.wrapped, security.kek, suite)
  if (keyInfo?.kind !== 'agreed' || security.agreement === undefined || security.own === undefined) {
    throw new PeerError('KEY_MISSING', 'no keys to agree with')
  }
  const originator = Buffer.from(security.systemTitle, 'hex')
  const recipient = Buffer.from(security.own, 'hex')
  const parties = { originator, recipient, transactionId: apdu.transactionId }
  return agreedKey(keyInfo, security.agreement, { suite, parties })
}

/** The tag of a service's own ciphering is not authenticated; what is inside tells whether it was exchanged. */
function checkService(apdu: Ciphered, plain: Uint8Array): void {
  if (apdu.apdu === 'general-glo-ciphering' || apdu.apdu.startsWith('general-')) return
  if (plain[0] !== plainTagOf(apdu.apdu as ServiceCipheringName)) {
    throw new PeerError('SECURITY_SERVICE', `what is in the ${apdu.apdu} is of another service`)
  }
}
