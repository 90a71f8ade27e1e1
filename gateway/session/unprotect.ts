import { createDecipheriv, type KeyObject } from 'node:crypto'
import {
  additionalData,
  securityControl as control,
  type GeneralGloCiphering,
  nonce,
  tagOctets,
} from '../codec/ciphering.ts'
import { PeerError } from '../errors.ts'
import { type SystemTitle, systemTitle } from '../model.ts'

/** What is known of a meter's global unicast keys. */
export interface MeterSecurity {
  systemTitle: SystemTitle
  /** encryption key, 16 octets in suites 0 and 1, 32 in suite 2 */
  ek: KeyObject
  /** authentication key, as long as `ek` */
  ak: Uint8Array
  /** the highest invocation counter whose tag held; -1 before the first */
  lastCounter: number
}

/** The least that is taken. */
export interface Policy {
  least: 'authenticated-encrypted' | 'authenticated-or-encrypted'
  suites: readonly number[]
}

export const gatewayPolicy: Policy = { least: 'authenticated-encrypted', suites: [0] }

/** For reading a frame at a desk: AES-GCM under global keys is one algorithm in all three suites. */
export const lenientPolicy: Policy = { least: 'authenticated-or-encrypted', suites: [0, 1, 2] }

export interface Unprotected {
  /** the APDU in clear */
  plain: Uint8Array
  invocationCounter: number
}

/**
 * Checks and deciphers; changes nothing. The counter is compared after the tag: a forged frame with an old counter
 * is reported as forged, for only what the key's holder sealed can be called a replay.
 * @returns the APDU in clear, and the counter to store before the APDU takes effect
 * @throws PeerError `SECURITY_COMPRESSED`, `SECURITY_CONTROL`, `SECURITY_SUITE`, `SECURITY_DOWNGRADE`,
 *   `SYSTEM_TITLE_FOREIGN`, `KEY_MISSING`, `APDU_LENGTH`, `TAG_UNAUTHENTIC`, `COUNTER_REPLAYED`
 * @see Green Book, 9.2.7.2 (security suites 0 to 2)
 */
export function unprotect(apdu: GeneralGloCiphering, security: MeterSecurity, policy: Policy): Unprotected {
  checkControl(apdu.securityControl, policy)
  checkTitle(apdu.systemTitle, security.systemTitle)
  const plain = open(apdu, security)
  if (apdu.invocationCounter <= security.lastCounter) {
    throw new PeerError('COUNTER_REPLAYED', `counter ${apdu.invocationCounter} after ${security.lastCounter}`)
  }
  return { plain, invocationCounter: apdu.invocationCounter }
}

/**
 * Deciphers without looking at a tag: whoever uses this knows that nobody vouches for what it returns.
 * @throws PeerError as `unprotect`, save the tag and the counter
 */
export function decipherUnverified(apdu: GeneralGloCiphering, title: SystemTitle, ek: KeyObject): Uint8Array {
  checkControl(apdu.securityControl, lenientPolicy)
  checkTitle(apdu.systemTitle, title)
  const [body] = split(apdu)
  return (apdu.securityControl & control.encrypted) === 0 ? body : decipher(apdu, title, ek).update(body)
}

function checkControl(octet: number, { least, suites }: Policy): void {
  const fault = (
    code: 'SECURITY_COMPRESSED' | 'SECURITY_CONTROL' | 'SECURITY_SUITE' | 'SECURITY_DOWNGRADE',
    why: string,
  ) => new PeerError(code, `security control ${octet.toString(16).padStart(2, '0')}: ${why}`)
  if ((octet & control.compressed) !== 0) throw fault('SECURITY_COMPRESSED', 'compressed')
  if ((octet & control.broadcastKey) !== 0) throw fault('SECURITY_CONTROL', 'under the broadcast key')
  const suite = octet & control.suite
  if (!suites.includes(suite)) throw fault('SECURITY_SUITE', `suite ${suite}, taken: ${suites.join(', ')}`)
  const protection = octet & (control.authenticated | control.encrypted)
  const both = control.authenticated | control.encrypted
  if (protection === 0 || (least === 'authenticated-encrypted' && protection !== both)) {
    throw fault('SECURITY_DOWNGRADE', `less than ${least}`)
  }
}

/** An empty title is one told before, in an association that a push does not have: it names nobody. */
function checkTitle(title: Uint8Array, expected: SystemTitle): void {
  if (title.length !== 8 || systemTitle(title) !== expected) {
    throw new PeerError('SYSTEM_TITLE_FOREIGN', `not the system title ${expected}`)
  }
}

function open(apdu: GeneralGloCiphering, { systemTitle: title, ek, ak }: MeterSecurity): Uint8Array {
  const { securityControl } = apdu
  const [body, tag] = split(apdu)
  const gcm = decipher(apdu, title, ek)
  if (tag === undefined) return gcm.update(body)
  const encrypted = (securityControl & control.encrypted) !== 0
  gcm.setAAD(encrypted ? additionalData(securityControl, ak) : additionalData(securityControl, ak, body))
  gcm.setAuthTag(tag)
  const plain = encrypted ? gcm.update(body) : body
  try {
    gcm.final()
  } catch (cause) {
    throw new PeerError('TAG_UNAUTHENTIC', 'the tag does not hold', { cause })
  }
  return plain
}

/** What was ciphered, and the tag where the security control says there is one. */
function split({ securityControl, content }: GeneralGloCiphering): [Uint8Array, Uint8Array | undefined] {
  if ((securityControl & control.authenticated) === 0) return [content, undefined]
  const length = content.length - tagOctets
  if (length < 0) throw new PeerError('APDU_LENGTH', `no room for a tag of ${tagOctets} octets`)
  return [content.subarray(0, length), content.subarray(length)]
}

function decipher(apdu: GeneralGloCiphering, title: SystemTitle, ek: KeyObject) {
  const width = (apdu.securityControl & control.suite) === 2 ? 32 : 16
  if (ek.symmetricKeySize !== width) throw new PeerError('KEY_MISSING', `no key of ${width} octets for this suite`)
  const iv = nonce(Buffer.from(title, 'hex'), apdu.invocationCounter)
  return createDecipheriv(width === 32 ? 'aes-256-gcm' : 'aes-128-gcm', ek, iv, { authTagLength: tagOctets })
}
