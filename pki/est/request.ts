import { createPrivateKey, createPublicKey } from 'node:crypto'
import { bitString, context, encode, integer, sequence } from '../der.ts'
import { PkiError } from '../errors.ts'
import { publicKeyOctets } from '../issue.ts'
import { keyAlgorithms, type ProfileSetName, profileSets, signWith } from '../key-algorithm.ts'
import { algorithmOf } from '../unsigned.ts'

/** A new key of a device: PKCS#8 PEM, not encrypted. */
export function makeDeviceKey(profileSet: ProfileSetName = 'p256'): string {
  return keyAlgorithms[profileSets[profileSet].signing]
    .make()
    .privateKey.export({ format: 'pem', type: 'pkcs8' })
    .toString()
}

/**
 * The request for a certificate: the key and the proof that it is held. It names nobody, since the subject is the inventory's.
 * @param keyPem PKCS#8, of a kind that a profile set knows
 * @returns DER of a PKCS#10 request
 * @throws PkiError `REQUEST_KEY` for what is no such private key
 * @see RFC 2986, 4
 */
export function makeRequest(keyPem: string): Uint8Array {
  const key = readKey(keyPem)
  const publicKey = publicKeyOctets(createPublicKey(key))
  const algorithm = algorithmOf(publicKey)
  const info = sequence(integer(0), sequence(), publicKey, encode(context(0)))
  return sequence(info, algorithm.signature, bitString(signWith(algorithm, info, key)))
}

function readKey(keyPem: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(keyPem)
  } catch (cause) {
    throw new PkiError('REQUEST_KEY', 'no private key in the file', { cause })
  }
}
