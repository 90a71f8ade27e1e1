import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { oid, sequence } from './der.ts'

/** AlgorithmIdentifier of ecdsa-with-SHA256; its parameters are absent. @see RFC 5758, 3.2 */
export const ecdsaSha256: Uint8Array = sequence(oid('1.2.840.10045.4.3.2'))

/** Everything before the 65 octets of an uncompressed P-256 point. @see RFC 5480, 2 */
const p256Prefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')

export function equalOctets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** Is this SubjectPublicKeyInfo an uncompressed point on P-256, the one curve of this PKI? Never throws. */
export function isP256(publicKey: Uint8Array): boolean {
  return publicKeyOf(publicKey) !== undefined
}

function publicKeyOf(publicKey: Uint8Array): KeyObject | undefined {
  const { length } = p256Prefix
  const named = publicKey.length === length + 65 && publicKey[length] === 4
  if (!named || !equalOctets(publicKey.subarray(0, length), p256Prefix)) return undefined
  try {
    return createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
  } catch {
    return undefined // a point off the curve
  }
}

/**
 * Did the holder of this P-256 key sign these octets with ECDSA and SHA-256? Never throws.
 * @param publicKey DER of the SubjectPublicKeyInfo @param signature DER of Ecdsa-Sig-Value
 */
export function signatureHolds(publicKey: Uint8Array, octets: Uint8Array, signature: Uint8Array): boolean {
  const key = publicKeyOf(publicKey)
  return key !== undefined && verify('sha256', octets, key, signature)
}
