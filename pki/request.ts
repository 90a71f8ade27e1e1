import { context, DerReader, decodeBits, decodeSmall, only, tag } from './der.ts'
import { PkiError, reading } from './errors.ts'
import { ecdsaSha256, equalOctets, isP256, signatureHolds } from './signature.ts'

/** Octets, the most a certification request may have. */
export const requestOctetsMax = 16_384

/**
 * The public key of a PKCS#10 request whose sender has shown to hold the private one. Nothing else in the request is
 * used: subject and names come from the caller.
 * @param der of the request
 * @returns DER of the SubjectPublicKeyInfo
 * @throws PkiError `REQUEST_MALFORMED`, `REQUEST_KEY` when the key is not P-256, `REQUEST_POSSESSION`
 * @see RFC 2986, 4
 */
export function provenKey(der: Uint8Array): Uint8Array {
  const { info, publicKey, algorithm, signature } = reading('REQUEST_MALFORMED', () => parseRequest(der))
  if (!isP256(publicKey)) throw new PkiError('REQUEST_KEY', 'the key is not on P-256')
  if (!equalOctets(algorithm, ecdsaSha256) || !signatureHolds(publicKey, info, signature)) {
    throw new PkiError('REQUEST_POSSESSION', 'the request is not signed with its own key (ecdsa-with-SHA256)')
  }
  return publicKey
}

function parseRequest(der: Uint8Array): Record<'info' | 'publicKey' | 'algorithm' | 'signature', Uint8Array> {
  if (der.length > requestOctetsMax) throw new PkiError('REQUEST_MALFORMED', `over ${requestOctetsMax} octets`)
  const outer = new DerReader(only(der, tag.sequence).content)
  const info = outer.take(tag.sequence)
  const algorithm = outer.take(tag.sequence).octets
  const signature = decodeBits(outer.take(tag.bitString))
  outer.end()
  const fields = new DerReader(info.content)
  if (decodeSmall(fields.take(tag.integer)) !== 0) throw new PkiError('REQUEST_MALFORMED', 'not a version 1 request')
  fields.take(tag.sequence)
  const publicKey = fields.take(tag.sequence).octets
  fields.optional(context(0))
  fields.end()
  return { info: info.octets, publicKey, algorithm, signature }
}
