import { PeerError } from '../errors.ts'

/** What a security suite is made of. @see Green Book, security suites */
export interface Suite {
  id: number
  cipher: 'aes-128-gcm' | 'aes-256-gcm'
  wrap: 'aes128-wrap' | 'aes256-wrap'
  /** octets of its symmetric keys */
  keyOctets: 16 | 32
  /** for signatures and agreement; suite 0 has neither */
  curve: Curve | undefined
}

export interface Curve {
  /** by OpenSSL's name and by JWK's */
  name: 'prime256v1' | 'secp384r1'
  jwk: 'P-256' | 'P-384'
  hash: 'sha256' | 'sha384'
  /** of a coordinate, of r and of s */
  octets: 32 | 48
  /** `AlgorithmID` of the key that is agreed: AES-GCM-128 or AES-GCM-256 @see Green Book, key derivation function */
  algorithmId: Uint8Array
}

const p256: Curve = {
  name: 'prime256v1',
  jwk: 'P-256',
  hash: 'sha256',
  octets: 32,
  algorithmId: Uint8Array.of(0x60, 0x85, 0x74, 0x05, 0x08, 0x03, 0x00),
}

const p384: Curve = {
  name: 'secp384r1',
  jwk: 'P-384',
  hash: 'sha384',
  octets: 48,
  algorithmId: Uint8Array.of(0x60, 0x85, 0x74, 0x05, 0x08, 0x03, 0x01),
}

/** By identifier, 0 to 2. */
export const suites: readonly Suite[] = [
  { id: 0, cipher: 'aes-128-gcm', wrap: 'aes128-wrap', keyOctets: 16, curve: undefined },
  { id: 1, cipher: 'aes-128-gcm', wrap: 'aes128-wrap', keyOctets: 16, curve: p256 },
  { id: 2, cipher: 'aes-256-gcm', wrap: 'aes256-wrap', keyOctets: 32, curve: p384 },
]

/** @throws PeerError `SECURITY_SUITE` */
export function suiteOf(id: number): Suite {
  const suite = suites[id]
  if (suite === undefined) throw new PeerError('SECURITY_SUITE', `no suite ${id}`)
  return suite
}

/** @throws PeerError `SECURITY_SUITE` for suite 0 */
export function curveOf(suite: Suite): Curve {
  if (suite.curve === undefined)
    throw new PeerError('SECURITY_SUITE', `suite ${suite.id} neither signs nor agrees on keys`)
  return suite.curve
}
