import { certificateOctetsMax, parseCertificate } from '../certificate.ts'
import { context, DerReader, decodeOid, decodeSmall, encode, integer, oid, only, sequence, setOf, tag } from '../der.ts'
import { PkiError, reading } from '../errors.ts'
import type { KeyAlgorithm } from '../key-algorithm.ts'
import { requestOctetsMax } from '../request.ts'

/** Characters, the most that the body of a request may have: base64 of the largest request, a line break every 64. */
export const estBodyMax: number = Math.ceil((requestOctetsMax * 4) / 3 / 64) * 66
/** Certificates in one answer, the most that are read. */
export const certificatesMax = 8

/** Media types. @see RFC 7030, 4.1.3, 4.2.1, 4.5.2 */
export const estType = {
  request: 'application/pkcs10',
  certificates: 'application/pkcs7-mime; smime-type=certs-only',
  attributes: 'application/csrattrs',
} as const

/**
 * A body as EST sends it: base64, with line breaks or without.
 * @throws PkiError `EST_BODY`
 * @see RFC 7030, 4 (content-transfer-encoding); RFC 8951, 2; RFC 4648, 3.5
 */
export function decodeBody(text: string): Uint8Array {
  if (text.length > estBodyMax) throw new PkiError('EST_BODY', `over ${estBodyMax} characters`)
  const plain = text.replace(/[\r\n\t ]+/g, '')
  const octets = Buffer.from(plain, 'base64')
  // Written anew it must be the same: neither foreign characters nor bits beyond the last octet.
  if (plain === '' || encodeBody(octets) !== plain) throw new PkiError('EST_BODY', 'the body is not base64')
  return octets
}

/** One unbroken line, for clients that stop at the first break. */
export function encodeBody(octets: Uint8Array): string {
  return Buffer.from(octets).toString('base64')
}

const signedData = oid('1.2.840.113549.1.7.2')
const data = oid('1.2.840.113549.1.7.1')

/**
 * Certificates and nothing else: SignedData without content and signers.
 * @param certificates DER of one each
 * @see RFC 5272, 4.1; RFC 5652, 5.1
 */
export function encodeCertsOnly(certificates: readonly Uint8Array[]): Uint8Array {
  const body = sequence(integer(1), setOf([]), sequence(data), setOf(certificates, context(0)), setOf([]))
  return sequence(signedData, encode(context(0), body))
}

/**
 * The certificates of a certs-only message, 1 to `certificatesMax`, each of them readable.
 * @throws PkiError `EST_BODY`, `CERTIFICATE_MALFORMED`
 */
export function decodeCertsOnly(octets: Uint8Array): Uint8Array[] {
  const found = reading('EST_BODY', () => certificatesIn(octets))
  if (found.length === 0) throw new PkiError('EST_BODY', 'no certificate in the answer')
  for (const one of found) parseCertificate(one)
  return found
}

function certificatesIn(octets: Uint8Array): Uint8Array[] {
  const limit = certificatesMax * certificateOctetsMax + 1_024
  if (octets.length > limit) throw new PkiError('DER_MALFORMED', `over ${limit} octets`)
  const outer = new DerReader(only(octets, tag.sequence).content)
  if (decodeOid(outer.take(tag.oid)) !== '1.2.840.113549.1.7.2') throw new PkiError('DER_MALFORMED', 'no SignedData')
  const body = new DerReader(only(outer.take(context(0)).content, tag.sequence).content)
  outer.end()
  decodeSmall(body.take(tag.integer))
  body.take(tag.set)
  body.take(tag.sequence)
  const list = new DerReader(body.optional(context(0))?.content ?? new Uint8Array(0))
  const found: Uint8Array[] = []
  while (!list.done) {
    if (found.length === certificatesMax) throw new PkiError('DER_MALFORMED', `over ${certificatesMax} certificates`)
    found.push(list.take(tag.sequence).octets)
  }
  return found
}

/**
 * What a request should have: a key of this kind, and its signature. The subject is the inventory's, so no more is asked.
 * @see RFC 7030, 4.5.2; RFC 8951, 3; RFC 9881, 2: the key and the signatures of ML-DSA have one name
 */
export function requestAttributes({ key, signatureOid, digest }: KeyAlgorithm): Uint8Array {
  if (digest === null) return sequence(oid(signatureOid))
  const [kind, curve] = sequenceMembers(key)
  return sequence(sequence(kind!, setOf([curve!])), oid(signatureOid))
}

function sequenceMembers(octets: Uint8Array): Uint8Array[] {
  const list = new DerReader(only(octets, tag.sequence).content)
  const members: Uint8Array[] = []
  while (!list.done) members.push(list.next().octets)
  return members
}
