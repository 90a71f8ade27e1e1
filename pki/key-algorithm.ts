import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { DerReader, decodeBits, oid, only, sequence, tag } from './der.ts'
import { ecdsaSha256, equalOctets } from './signature.ts'

export type KeyAlgorithmName = 'p256' | 'brainpoolP256r1' | 'ml-dsa-44' | 'ml-dsa-65'

/** How one kind of key is made, is written as SubjectPublicKeyInfo, and signs. */
export interface KeyAlgorithm {
  name: KeyAlgorithmName
  /** object identifier of its signatures; their AlgorithmIdentifier has no parameters */
  signatureOid: string
  /** DER of the AlgorithmIdentifier of its signatures */
  signature: Uint8Array
  /** DER of the AlgorithmIdentifier in a SubjectPublicKeyInfo */
  key: Uint8Array
  /** octets of the public key's bits: an uncompressed point, or what FIPS 204, table 2, says */
  keyOctets: number
  /** what `sign` and `verify` of `node:crypto` hash with; `null`: the algorithm sees to it */
  digest: 'sha256' | null
  make(): { privateKey: KeyObject; publicKey: KeyObject }
}

const ecPublicKey = oid('1.2.840.10045.2.1')

/** @see RFC 5480, 2; RFC 5639 and RFC 5758, 3.2 */
function ellipticCurve(name: KeyAlgorithmName, namedCurve: string, curveOid: string): KeyAlgorithm {
  return {
    name,
    signatureOid: '1.2.840.10045.4.3.2',
    signature: ecdsaSha256,
    key: sequence(ecPublicKey, oid(curveOid)),
    keyOctets: 65,
    digest: 'sha256',
    make: () => generateKeyPairSync('ec', { namedCurve }),
  }
}

/** @see RFC 9881, 2 and 4 */
function mlDsa(name: 'ml-dsa-44' | 'ml-dsa-65', signatureOid: string, keyOctets: number): KeyAlgorithm {
  const identifier = sequence(oid(signatureOid))
  const make = (): { privateKey: KeyObject; publicKey: KeyObject } => generateKeyPairSync(name)
  return { name, signatureOid, signature: identifier, key: identifier, keyOctets, digest: null, make }
}

export const keyAlgorithms: Readonly<Record<KeyAlgorithmName, KeyAlgorithm>> = {
  p256: ellipticCurve('p256', 'P-256', '1.2.840.10045.3.1.7'),
  brainpoolP256r1: ellipticCurve('brainpoolP256r1', 'brainpoolP256r1', '1.3.36.3.3.2.8.1.1.7'),
  'ml-dsa-44': mlDsa('ml-dsa-44', '2.16.840.1.101.3.4.3.17', 1_312),
  'ml-dsa-65': mlDsa('ml-dsa-65', '2.16.840.1.101.3.4.3.18', 1_952),
}

export type ProfileSetName = 'p256' | 'brainpool' | 'ml-dsa'

/** Which keys a PKI is made of: the profiles stay as they are. */
export interface ProfileSet {
  name: ProfileSetName
  /** of its CAs */
  authority: KeyAlgorithmName
  /** of end entities that sign */
  signing: KeyAlgorithmName
  /** of end entities that agree on keys */
  agreement: KeyAlgorithmName
}

export const profileSets: Readonly<Record<ProfileSetName, ProfileSet>> = {
  p256: { name: 'p256', authority: 'p256', signing: 'p256', agreement: 'p256' },
  /** as the German BSI asks: TR-03116-3 */
  brainpool: {
    name: 'brainpool',
    authority: 'brainpoolP256r1',
    signing: 'brainpoolP256r1',
    agreement: 'brainpoolP256r1',
  },
  /** ML-DSA only signs: who agrees on keys keeps P-256 */
  'ml-dsa': { name: 'ml-dsa', authority: 'ml-dsa-65', signing: 'ml-dsa-44', agreement: 'p256' },
}

export function isProfileSetName(name: string): name is ProfileSetName {
  return Object.hasOwn(profileSets, name)
}

/** The set whose CAs have keys of this kind. @param publicKey DER of the SubjectPublicKeyInfo @throws PkiError `DER_MALFORMED` */
export function profileSetOf(publicKey: Uint8Array): ProfileSetName | undefined {
  const sets = Object.values(profileSets)
  return sets.find(({ authority }) => algorithmOfKey(publicKey, [keyAlgorithms[authority]]) !== undefined)?.name
}

/** Which kind of key a certificate of this profile is for, in this set. */
export function keyAlgorithmFor(
  { authority, signing, agreement }: ProfileSet,
  { pathLength, keyUsage }: { pathLength: number | undefined; keyUsage: readonly string[] },
): KeyAlgorithm {
  if (pathLength !== undefined) return keyAlgorithms[authority]
  return keyAlgorithms[keyUsage.includes('keyAgreement') ? agreement : signing]
}

/** The algorithms of a set, each once. */
export function algorithmsOf({ authority, signing, agreement }: ProfileSet): KeyAlgorithm[] {
  return [...new Set([authority, signing, agreement])].map((name) => keyAlgorithms[name])
}

/** The bits of a SubjectPublicKeyInfo. @throws PkiError `DER_MALFORMED` */
export function publicKeyBits(publicKey: Uint8Array): Uint8Array {
  const fields = new DerReader(only(publicKey, tag.sequence).content)
  fields.take(tag.sequence)
  const bits = decodeBits(fields.take(tag.bitString))
  fields.end()
  return bits
}

/**
 * Which of these algorithms is this key for? A point that is not on its curve, or is compressed, is for none.
 * @param publicKey DER of the SubjectPublicKeyInfo @throws PkiError `DER_MALFORMED`
 */
export function algorithmOfKey(publicKey: Uint8Array, among: readonly KeyAlgorithm[]): KeyAlgorithm | undefined {
  const identifier = new DerReader(only(publicKey, tag.sequence).content).take(tag.sequence).octets
  const found = among.find(({ key }) => equalOctets(key, identifier))
  if (found === undefined) return undefined
  const bits = publicKeyBits(publicKey)
  const whole = bits.length === found.keyOctets && (found.digest === null || bits[0] === 4)
  return whole && publicKeyOf(publicKey) !== undefined ? found : undefined
}

/** The key read last: whoever issues asks for the same one three times, and reading it costs more than signing. */
let last: { octets: Uint8Array; key: KeyObject } | undefined

function publicKeyOf(publicKey: Uint8Array): KeyObject | undefined {
  if (last !== undefined && equalOctets(last.octets, publicKey)) return last.key
  const octets = Buffer.from(publicKey)
  try {
    last = { octets, key: createPublicKey({ key: octets, format: 'der', type: 'spki' }) }
    return last.key
  } catch {
    return undefined // a point off the curve
  }
}

/** @returns the signature as a certificate has it: DER of Ecdsa-Sig-Value, or the octets of ML-DSA */
export function signWith({ digest }: KeyAlgorithm, octets: Uint8Array, privateKey: KeyObject): Uint8Array {
  return sign(digest, octets, privateKey)
}

/** Did the holder of this key, which is for this algorithm, sign these octets? Never throws. */
export function signedWith(
  { digest }: KeyAlgorithm,
  octets: Uint8Array,
  { publicKey, signature }: { publicKey: Uint8Array; signature: Uint8Array },
): boolean {
  const key = publicKeyOf(publicKey)
  return key !== undefined && verify(digest, octets, key, signature)
}
