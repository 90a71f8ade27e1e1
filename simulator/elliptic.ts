import { createECDH, createPrivateKey, type KeyObject, sign } from 'node:crypto'

/** The curve of a security suite, with what is computed on it. Keys are numbers, public ones x and y behind each other. */
export interface Elliptic {
  publicOf(number: Uint8Array): Uint8Array
  /** x of the point that both sides can compute */
  shared(number: Uint8Array, publicKey: Uint8Array): Uint8Array
  /** for `signature`: making one costs more than a signature */
  signingKey(number: Uint8Array): KeyObject
  /** r and s behind each other */
  signature(octets: Uint8Array, key: KeyObject): Uint8Array
  /** of a coordinate */
  octets: 32 | 48
  hash: 'sha256' | 'sha384'
}

/** @see Green Book, security suites 1 and 2 */
export const elliptics: Readonly<Record<1 | 2, Elliptic>> = {
  1: elliptic({ curve: 'prime256v1', crv: 'P-256', hash: 'sha256', octets: 32 }),
  2: elliptic({ curve: 'secp384r1', crv: 'P-384', hash: 'sha384', octets: 48 }),
}

interface Parameters {
  curve: string
  crv: string
  hash: Elliptic['hash']
  octets: Elliptic['octets']
}

function elliptic({ curve, crv, hash, octets }: Parameters): Elliptic {
  const withKey = (number: Uint8Array): ReturnType<typeof createECDH> => {
    const ecdh = createECDH(curve)
    ecdh.setPrivateKey(number)
    return ecdh
  }
  const publicOf = (number: Uint8Array): Uint8Array => withKey(number).getPublicKey().subarray(1)
  return {
    octets,
    hash,
    publicOf,
    shared: (number, publicKey) => withKey(number).computeSecret(Buffer.concat([uncompressed, publicKey])),
    signingKey: (number) => {
      const point = publicOf(number)
      const [d, x, y] = [number, point.subarray(0, octets), point.subarray(octets)].map((one) =>
        Buffer.from(one).toString('base64url'),
      )
      return createPrivateKey({ format: 'jwk', key: { kty: 'EC', crv, d: d!, x: x!, y: y! } })
    },
    signature: (message, key) => sign(hash, message, { key, dsaEncoding: 'ieee-p1363' }),
  }
}

/** @see SEC 1, 2.3.3 */
const uncompressed = Uint8Array.of(0x04)
