import { createECDH, createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { securityControl, tagOctets } from '#gateway/codec/ciphering.ts'
import type { ProtectionHeader } from '#gateway/codec/general-ciphering.ts'
import { generalSigningTag } from '#gateway/codec/general-signing.ts'
import type { Ciphered } from '#gateway/codec/protection.ts'
import { PeerError } from '#gateway/errors.ts'
import { parseSystemTitle, type SystemTitle, systemTitle } from '#gateway/model.ts'
import type { Opener } from '#gateway/readings/explain.ts'
import { publicKeyFrom, staticUnified } from '#gateway/session/agreement.ts'
import { checkControl, keySetOf } from '#gateway/session/policy.ts'
import { type Suite, suites } from '#gateway/session/suite.ts'
import {
  decipherUnverified,
  lenientPolicy,
  type MeterSecurity,
  type Policy,
  unprotect,
} from '#gateway/session/unprotect.ts'
import { UsageError } from '../command.ts'

/** What `--ek` and its like say. */
export interface KeyOptions {
  ek?: string | undefined
  ak?: string | undefined
  kek?: string | undefined
  'system-title'?: string | undefined
  'agreement-key'?: string | undefined
  'peer-key'?: string | undefined
}

/** What a desk knows of who sent a frame. */
export interface Keys {
  ek: KeyObject | undefined
  ak: Uint8Array | undefined
  kek: KeyObject | undefined
  title: SystemTitle | undefined
  /** our private key for agreement and the sender's public one */
  agreement: { privateKey: KeyObject; peerKey: KeyObject; suite: Suite } | undefined
}

/** At a desk the key that was given is taken for whichever key the frame is under. */
const deskPolicy: Policy = {
  ...lenientPolicy,
  keySets: ['unicast', 'broadcast', 'dedicated', 'settled', 'wrapped', 'agreed'],
  untitled: true,
}

const noOctets = new Uint8Array()

/** Authentication keys that everybody has: none (GB meters), and that of the P1 port in Luxembourg. */
const publicAks: readonly Uint8Array[] = [noOctets, Buffer.from('00112233445566778899aabbccddeeff', 'hex')]

/** `AlgorithmID` in the key derivation of GB meters. @see GBCS, 4.3.3 */
const gbAlgorithmId = Buffer.from('60857406080300', 'hex')

/** @throws UsageError for what is no key */
export function readKeys(options: KeyOptions): Keys {
  const symmetric = (name: 'ek' | 'ak' | 'kek'): Buffer | undefined => hexOption(options, name, [16, 32])
  const [ek, ak, kek] = [symmetric('ek'), symmetric('ak'), symmetric('kek')]
  return {
    ek: ek && createSecretKey(ek),
    ak,
    kek: kek && createSecretKey(kek),
    title: readTitle(options['system-title']),
    agreement: readAgreement(options),
  }
}

function hexOption(options: KeyOptions, name: keyof KeyOptions, lengths: readonly number[]): Buffer | undefined {
  const text = options[name]
  if (text === undefined) return undefined
  if (!/^([0-9a-fA-F]{2})+$/.test(text) || !lengths.includes(text.length / 2)) {
    throw new UsageError(`--${name}: ${lengths.join(' or ')} octets in hex`)
  }
  return Buffer.from(text, 'hex')
}

function readTitle(text: string | undefined): SystemTitle | undefined {
  if (text === undefined) return undefined
  try {
    return parseSystemTitle(text)
  } catch (cause) {
    throw new UsageError('--system-title: 8 octets in hex', { cause })
  }
}

function readAgreement(options: KeyOptions): Keys['agreement'] {
  const scalar = hexOption(options, 'agreement-key', [32, 48])
  const point = hexOption(options, 'peer-key', [64, 96])
  if (scalar === undefined && point === undefined) return undefined
  const suite = suites.find(({ curve }) => curve !== undefined && curve.octets === scalar?.length)
  if (scalar === undefined || point?.length !== 2 * scalar.length || suite === undefined) {
    throw new UsageError('--agreement-key and --peer-key: both, on one curve')
  }
  try {
    return { privateKey: privateKeyFrom(scalar, suite), peerKey: publicKeyFrom(point, suite), suite }
  } catch (cause) {
    throw new UsageError('--agreement-key, --peer-key: no keys of their curve', { cause })
  }
}

function privateKeyFrom(scalar: Buffer, { curve }: Suite): KeyObject {
  const ecdh = createECDH(curve!.name)
  ecdh.setPrivateKey(scalar)
  const point = ecdh.getPublicKey()
  const text = (octets: Buffer): string => octets.toString('base64url')
  const [x, y] = [text(point.subarray(1, 1 + curve!.octets)), text(point.subarray(1 + curve!.octets))]
  return createPrivateKey({ format: 'jwk', key: { kty: 'EC', crv: curve!.jwk, d: text(scalar), x, y } })
}

/**
 * Opens APDUs with the keys at hand.
 * @param warn is told where nobody vouches for what was opened
 */
export function opener(keys: Keys, warn: (text: string) => void): Opener {
  return (apdu) => {
    const title = keys.title ?? titleOf(apdu)
    const ek = keys.ek ?? agreed(apdu, keys)
    if (ek === undefined && !isOfMessage(apdu)) return inClear(apdu, warn)
    const security = securityOf(apdu, title, { ...keys, ek })
    if ((apdu.securityControl & securityControl.authenticated) === 0 || keys.ak !== undefined) {
      return unprotect(apdu, { ...security, ak: keys.ak ?? noOctets }, deskPolicy).plain
    }
    const known = publicAks.map((ak) => verified(apdu, { ...security, ak })).find((plain) => plain !== undefined)
    if (known !== undefined) return known
    if (isOfMessage(apdu)) throw new PeerError('KEY_MISSING', `${apdu.apdu} is authenticated, and no --ak was given`)
    warn('the tag is not checked: no --ak was given')
    return decipherUnverified(titled(apdu, title), title, security.ek)
  }
}

/** A title that the association told is put where the APDU has an empty one. */
function titled(apdu: Ciphered, title: SystemTitle): Ciphered {
  const octets = Buffer.from(title, 'hex')
  if ('systemTitle' in apdu && apdu.systemTitle.length === 0) return { ...apdu, systemTitle: octets }
  return apdu
}

function isOfMessage(apdu: Ciphered): boolean {
  const keySet = keySetOf(apdu)
  return keySet === 'wrapped' || keySet === 'agreed'
}

function securityOf(apdu: Ciphered, title: SystemTitle, { ek, kek, agreement }: Keys): MeterSecurity {
  const key = { ek: ek ?? createSecretKey(noOctets), lastCounter: -1 }
  const keys = { ...key, broadcast: key, dedicated: key, settled: key }
  const recipient = apdu.apdu === 'general-ciphering' && apdu.recipient.length > 0 ? apdu.recipient : undefined
  return {
    ...keys,
    systemTitle: title,
    ak: noOctets,
    ...(kek && { kek }),
    ...(agreement && { agreement }),
    ...(recipient && { own: systemTitle(recipient) }),
  }
}

/** @returns `undefined` where the tag does not hold with this key */
function verified(apdu: Ciphered, security: MeterSecurity): Uint8Array | undefined {
  try {
    return unprotect(apdu, security, deskPolicy).plain
  } catch (fault) {
    if (fault instanceof PeerError && fault.code === 'TAG_UNAUTHENTIC') return undefined
    throw fault
  }
}

/**
 * What is authenticated and not encrypted can be read by anybody.
 * @throws PeerError `KEY_MISSING` for what is encrypted, `APDU_LENGTH`, and as `checkControl`
 */
function inClear(apdu: Ciphered, warn: (text: string) => void): Uint8Array {
  checkControl(apdu.securityControl, keySetOf(apdu), deskPolicy)
  if ((apdu.securityControl & securityControl.encrypted) !== 0) {
    throw new PeerError('KEY_MISSING', 'ciphered, and no --ek was given')
  }
  const length = apdu.content.length - tagOctets
  if (length < 0) throw new PeerError('APDU_LENGTH', `no room for a tag of ${tagOctets} octets`)
  warn('authenticated and not encrypted: read without its key, nobody vouches for it')
  return apdu.content.subarray(0, length)
}

/** The name that the APDU carries, or what is signed in it; none where its association has told it. */
function titleOf(apdu: Ciphered): SystemTitle {
  const title = 'systemTitle' in apdu ? apdu.systemTitle : (headerOf(apdu)?.originator ?? noOctets)
  if (title.length === 0 && (apdu.securityControl & securityControl.encrypted) === 0) return noTitle
  if (title.length === 0) throw new PeerError('SYSTEM_TITLE', `${apdu.apdu} names no sender: --system-title must`)
  return systemTitle(title)
}

/** Of what can be read without it; a tag under it does not hold. */
const noTitle = parseSystemTitle('0'.repeat(16))

/** Names and numbering of a message, its own or where they are empty those of what is signed in it and not encrypted. */
function headerOf(apdu: Ciphered): ProtectionHeader | undefined {
  if (apdu.apdu !== 'general-ciphering') return undefined
  const isClear = (apdu.securityControl & securityControl.encrypted) === 0 && apdu.content[0] === generalSigningTag
  if (apdu.originator.length > 0 || !isClear || apdu.content.length < tagOctets) return apdu
  const inside = decodeApdu(apdu.content.subarray(0, apdu.content.length - tagOctets))
  return inside.apdu === 'general-signing' ? inside : apdu
}

/** GB meters agree on a key without saying so in the message. @see GBCS, 4.3.3 */
function agreed(apdu: Ciphered, { agreement }: Keys): KeyObject | undefined {
  const parties = headerOf(apdu)
  if (agreement === undefined || parties === undefined || keySetOf(apdu) !== 'settled') return undefined
  return staticUnified({ ...agreement, algorithmId: gbAlgorithmId }, agreement.suite, parties).key
}
