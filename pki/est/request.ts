import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { bitString, context, encode, integer, oid, sequence } from '../der.ts'
import { PkiError } from '../errors.ts'
import { publicKeyOctets } from '../issue.ts'
import { keyAlgorithms } from '../key-algorithm.ts'

/** A new key of a device: PKCS#8 PEM, P-256, not encrypted. */
export function makeDeviceKey(): string {
  return keyAlgorithms.p256.make().privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'))

/**
 * The request for a certificate: the key and the proof that it is held. It names nobody, since the subject is the inventory's.
 * @param keyPem PKCS#8, P-256
 * @returns DER of a PKCS#10 request
 * @throws PkiError `REQUEST_KEY` for what is no private key on P-256
 * @see RFC 2986, 4
 */
export function makeRequest(keyPem: string): Uint8Array {
  const key = readKey(keyPem)
  const info = sequence(integer(0), sequence(), publicKeyOctets(createPublicKey(key)), encode(context(0)))
  return sequence(info, ecdsaWithSha256, bitString(sign('sha256', info, key)))
}

function readKey(keyPem: string): ReturnType<typeof createPrivateKey> {
  try {
    const key = createPrivateKey(keyPem)
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key
  } catch (cause) {
    throw new PkiError('REQUEST_KEY', 'no private key in the file', { cause })
  }
  throw new PkiError('REQUEST_KEY', 'the key is not on P-256')
}
