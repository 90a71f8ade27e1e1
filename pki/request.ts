import { context, DerReader, decodeBits, decodeSmall, only, tag } from './der.ts'
import { PkiError, reading } from './errors.ts'
import { algorithmOfKey, type KeyAlgorithm, keyAlgorithms, signedWith } from './key-algorithm.ts'
import { equalOctets } from './signature.ts'

/** Octets, the most a certification request may have. */
export const requestOctetsMax = 16_384

/** The kind of key of each request, unless told otherwise. */
const p256 = [keyAlgorithms.p256]

/**
 * The public key of a PKCS#10 request whose sender has shown to hold the private one. Nothing else in the request is
 * used: subject and names come from the caller.
 * @param der of the request @param among the kinds of keys that may be certified
 * @returns DER of the SubjectPublicKeyInfo
 * @throws PkiError `REQUEST_MALFORMED`, `REQUEST_KEY` for a key of another kind, `REQUEST_POSSESSION`
 * @see RFC 2986, 4
 */
export function provenKey(der: Uint8Array, among: readonly KeyAlgorithm[] = p256): Uint8Array {
  return reading('REQUEST_MALFORMED', () => {
    const { info, publicKey, algorithm, signature } = parseRequest(der)
    const kind = algorithmOfKey(publicKey, among)
    if (kind === undefined)
      throw new PkiError('REQUEST_KEY', `the key is not ${among.map(({ name }) => name).join(' or ')}`)
    if (!equalOctets(algorithm, kind.signature) || !signedWith(kind, info, { publicKey, signature })) {
      throw new PkiError('REQUEST_POSSESSION', 'the request is not signed with its own key')
    }
    return publicKey
  })
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
