import { createHash, createPublicKey, createSecretKey, diffieHellman, type KeyObject } from 'node:crypto'
import { agreementScheme, type KeyInfo, type ProtectionHeader, writeOctets } from '../codec/general-ciphering.ts'
import { OctetWriter } from '../codec/octets.ts'
import { PeerError } from '../errors.ts'
import { checkSignature, signOctets } from './signing.ts'
import { curveOf, type Suite } from './suite.ts'

/** Keys for agreeing on others, all on the suite's curve. */
export interface AgreementKeys {
  /** ours, static */
  privateKey: KeyObject
  /** the other side's, static */
  peerKey?: KeyObject
  /** the other side's for signatures: vouches for its ephemeral keys */
  peerSigningKey?: KeyObject
  /** `AlgorithmID` where it is not the suite's: GB meters write 60857406080300, one arc from the Green Book's */
  algorithmId?: Uint8Array
}

/** Names and numbering of a message, of which the key is made too. */
type Parties = Pick<ProtectionHeader, 'originator' | 'recipient' | 'transactionId'>

/** A key and how the other side comes to it. */
export interface Agreed {
  key: KeyObject
  keyInfo: KeyInfo
}

/**
 * A public key from its coordinates.
 * @param octets x and y behind each other
 * @throws PeerError `KEY_AGREEMENT` for a length that is not the curve's or a point that is not on it
 */
export function publicKeyFrom(octets: Uint8Array, suite: Suite): KeyObject {
  const curve = curveOf(suite)
  if (octets.length !== 2 * curve.octets)
    throw new PeerError('KEY_AGREEMENT', `a public key of ${octets.length} octets`)
  const [x, y] = [octets.subarray(0, curve.octets), octets.subarray(curve.octets)].map((one) =>
    Buffer.from(one).toString('base64url'),
  )
  try {
    return createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: curve.jwk, x: x!, y: y! } })
  } catch (cause) {
    throw new PeerError('KEY_AGREEMENT', `no point of ${curve.jwk}`, { cause })
  }
}

/** x and y behind each other. @param key public, or the private one that it belongs to */
export function publicOctets(key: KeyObject): Uint8Array {
  const { x, y } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' })
  return Buffer.concat([Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')])
}

/**
 * What both sides can compute and nobody else: Z, the x coordinate.
 * @throws PeerError `KEY_MISSING` for a key that is not on the suite's curve
 * @see NIST SP 800-56A, 5.7.1.2
 */
export function sharedSecret(privateKey: KeyObject, publicKey: KeyObject | undefined, suite: Suite): Uint8Array {
  const { name } = curveOf(suite)
  if (publicKey?.asymmetricKeyDetails?.namedCurve !== name || privateKey.asymmetricKeyDetails?.namedCurve !== name) {
    throw new PeerError('KEY_MISSING', `no key for agreement on ${name}`)
  }
  return diffieHellman({ privateKey, publicKey })
}

/**
 * The concatenation KDF; one round is enough for a key of either suite.
 * @param info `partyU` of who begins, its system title and its nonce where there is one; `partyV` of the other;
 *   `algorithmId` where it is not the suite's
 * @returns 16 octets in suite 1, 32 in suite 2
 * @see NIST SP 800-56A, 5.8.1.1; Green Book, key derivation function
 */
export function deriveKey(
  z: Uint8Array,
  suite: Suite,
  info: { partyU: Uint8Array; partyV: Uint8Array; algorithmId?: Uint8Array | undefined },
): Uint8Array {
  const { hash, algorithmId } = curveOf(suite)
  const digest = createHash(hash)
    .update(Uint8Array.of(0, 0, 0, 1))
    .update(z)
  digest
    .update(info.algorithmId ?? algorithmId)
    .update(info.partyU)
    .update(info.partyV)
  return digest.digest().subarray(0, suite.keyOctets)
}

/**
 * C(0e, 2s): both sides have static keys; the transaction identifier, with its length, makes each message's key another.
 * @throws PeerError `KEY_MISSING`, `SECURITY_SUITE`
 * @see Green Book, static unified model C(0e, 2s); the length's place checked on tags of GB meters
 */
export function staticUnified(keys: AgreementKeys, suite: Suite, parties: Parties): Agreed {
  const z = sharedSecret(keys.privateKey, keys.peerKey, suite)
  const partyU = writeOctets(new OctetWriter().octets(parties.originator), parties.transactionId).finish()
  const key = createSecretKey(deriveKey(z, suite, { partyU, partyV: parties.recipient, algorithmId: keys.algorithmId }))
  const parameters = Uint8Array.of(agreementScheme.staticUnified)
  return { key, keyInfo: { kind: 'agreed', parameters, data: new Uint8Array() } }
}

/** What the originator of C(1e, 1s) has. */
export interface OnePassKeys {
  /** private, made for this message and no other */
  ephemeralKey: KeyObject
  /** private, vouches for it */
  signingKey: KeyObject
  /** the recipient's, static */
  peerKey: KeyObject
  /** as in `AgreementKeys` */
  algorithmId?: Uint8Array
}

/**
 * C(1e, 1s) as its originator: an ephemeral key against the recipient's static one.
 * @throws PeerError `KEY_MISSING`, `SECURITY_SUITE`; RangeError for a signing key of another curve
 * @see Green Book, one-pass Diffie-Hellman C(1e, 1s)
 */
export function onePass(
  { ephemeralKey, signingKey, peerKey, algorithmId }: OnePassKeys,
  suite: Suite,
  parties: Parties,
): Agreed {
  const z = sharedSecret(ephemeralKey, peerKey, suite)
  const data = offerEphemeral(ephemeralKey, signingKey, { suite })
  const parameters = Uint8Array.of(agreementScheme.onePass)
  return { key: onePassKey(z, suite, { ...parties, algorithmId }), keyInfo: { kind: 'agreed', parameters, data } }
}

/**
 * The key that a message was agreed on with us, its recipient.
 * @throws PeerError `SECURITY_SUITE`, `KEY_MISSING`, `KEY_AGREEMENT` for another scheme, length or point,
 *   `SIGNATURE_INVALID` where nobody vouches for the ephemeral key
 */
export function agreedKey(
  info: KeyInfo & { kind: 'agreed' },
  keys: AgreementKeys,
  { suite, parties }: { suite: Suite; parties: Parties },
): KeyObject {
  const scheme = info.parameters.length === 1 ? info.parameters[0] : undefined
  if (scheme === agreementScheme.staticUnified && info.data.length === 0) return staticUnified(keys, suite, parties).key
  if (scheme !== agreementScheme.onePass) throw new PeerError('KEY_AGREEMENT', 'neither C(1e, 1s) nor C(0e, 2s)')
  const ephemeral = takeEphemeral(info.data, keys.peerSigningKey, { suite })
  const { algorithmId } = keys
  return onePassKey(sharedSecret(keys.privateKey, ephemeral, suite), suite, { ...parties, algorithmId })
}

function onePassKey(
  z: Uint8Array,
  suite: Suite,
  parties: Parties & { algorithmId: Uint8Array | undefined },
): KeyObject {
  const { originator: partyU, recipient: partyV, algorithmId } = parties
  return createSecretKey(deriveKey(z, suite, { partyU, partyV, algorithmId }))
}

/** What an ephemeral key is for: the method `key_agreement` signs the identifier too, general-ciphering has none. */
interface Offer {
  suite: Suite
  /** 0 is the global unicast encryption key, 1 the broadcast one, 2 the authentication key */
  keyId?: number
}

/**
 * An ephemeral public key and its signature.
 * @throws RangeError for a signing key that is not on the suite's curve
 * @see Green Book, key agreement; Blue Book, security setup, key_agreement
 */
export function offerEphemeral(ephemeralKey: KeyObject, signingKey: KeyObject, { suite, keyId }: Offer): Uint8Array {
  const point = publicOctets(ephemeralKey)
  return Buffer.concat([point, signOctets(vouched(point, keyId), signingKey, suite)])
}

/**
 * The ephemeral key of another side, once its signature holds.
 * @throws PeerError `SECURITY_SUITE`, `KEY_AGREEMENT` for another length or point, `KEY_MISSING`, `SIGNATURE_INVALID`
 */
export function takeEphemeral(data: Uint8Array, signer: KeyObject | undefined, { suite, keyId }: Offer): KeyObject {
  const { octets, jwk } = curveOf(suite)
  if (data.length !== 4 * octets) throw new PeerError('KEY_AGREEMENT', `no signed ephemeral key of ${jwk}`)
  const point = data.subarray(0, 2 * octets)
  checkSignature(vouched(point, keyId), data.subarray(2 * octets), { publicKey: signer, suite })
  return publicKeyFrom(point, suite)
}

function vouched(point: Uint8Array, keyId: number | undefined): Uint8Array {
  return keyId === undefined ? point : new OctetWriter().uint(1, keyId).octets(point).finish()
}
