import { createHash } from 'node:crypto'
import { type Certificate, type Extension, parseExtensions, serialText } from '../certificate.ts'
import {
  context,
  DerReader,
  decodeBits,
  decodeOid,
  encode,
  integer,
  integerOctets,
  octetString,
  oid,
  only,
  sequence,
  tag,
} from '../der.ts'
import { PkiError, reading } from '../errors.ts'
import { equalOctets } from '../signature.ts'

/** Octets, the most a request may have. */
export const ocspRequestOctetsMax = 8_192
/** Certificates asked about in one request, the most. */
export const ocspRequestsMax = 16
/** Octets of a nonce, 1 to this. @see RFC 9654, 2.1 */
export const nonceOctetsMax = 128

export const ocspOid = {
  basic: '1.3.6.1.5.5.7.48.1.1',
  nonce: '1.3.6.1.5.5.7.48.1.2',
  noCheck: '1.3.6.1.5.5.7.48.1.5',
} as const

/** Hashes by which an issuer may be named. */
export type OcspHash = 'sha1' | 'sha256'

const nullValue = encode(tag.null)
const algorithms: readonly (readonly [OcspHash, Uint8Array])[] = (
  [
    ['sha1', '1.3.14.3.2.26'],
    ['sha256', '2.16.840.1.101.3.4.2.1'],
  ] as const
).flatMap(([name, arcs]) => [[name, sequence(oid(arcs), nullValue)] as const, [name, sequence(oid(arcs))] as const])

/** Which certificate is asked about. @see RFC 6960, 4.1.1 */
export interface CertId {
  /** DER as the client wrote it, for the response to say again */
  octets: Uint8Array
  /** which issuer, comparable with `issuerKeys`; it is nobody's under another hash */
  issuer: string
  /** as in `Certificate` */
  serial: string
}

export interface OcspRequest {
  asked: CertId[]
  nonce: Uint8Array | undefined
}

/**
 * Reads one DER request, strictly, within the limits above. A signature on it is not looked at: the answers are public.
 * @throws PkiError `OCSP_MALFORMED`, `OCSP_LIMIT`; `OCSP_EXTENSION` for a critical extension that is not known
 * @see RFC 6960, 4.1.1
 */
export function parseOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > ocspRequestOctetsMax) throw new PkiError('OCSP_LIMIT', `over ${ocspRequestOctetsMax} octets`)
  return reading('OCSP_MALFORMED', () => {
    const outer = new DerReader(only(der, tag.sequence).content)
    const tbs = outer.enter(tag.sequence)
    outer.optional(context(0)) // the signature
    outer.end()
    tbs.optional(context(1)) // the requestor's name; a version other than 1, or spelt out though it is the default, is left over
    const asked = parseList(tbs.enter(tag.sequence))
    const extensions = tbs.optional(context(2))
    tbs.end()
    return { asked, nonce: extensions && nonceOf(knownExtensions(extensions.content)) }
  })
}

function parseList(list: DerReader): CertId[] {
  const asked: CertId[] = []
  do {
    if (asked.length === ocspRequestsMax) throw new PkiError('OCSP_LIMIT', `over ${ocspRequestsMax} certificates`)
    const request = list.enter(tag.sequence)
    asked.push(parseCertId(request.take(tag.sequence).octets))
    const extensions = request.optional(context(0))
    if (extensions !== undefined) knownExtensions(extensions.content)
    request.end()
  } while (!list.done)
  return asked
}

/** @throws PkiError `DER_MALFORMED` */
export function parseCertId(octets: Uint8Array): CertId {
  const fields = new DerReader(only(octets, tag.sequence).content)
  const algorithm = fields.take(tag.sequence)
  const name = hex(fields.take(tag.octetString).content)
  const key = hex(fields.take(tag.octetString).content)
  const serial = serialText(integerOctets(fields.take(tag.integer)))
  fields.end()
  return { octets, issuer: `${hashNamed(algorithm)}/${name}/${key}`, serial }
}

function hashNamed({ octets, content }: { octets: Uint8Array; content: Uint8Array }): string {
  const known = algorithms.find(([, algorithm]) => equalOctets(algorithm, octets))
  return known?.[0] ?? decodeOid(new DerReader(content).take(tag.oid))
}

/** Extensions of which none is there twice and none critical but a nonce. */
export function knownExtensions(octets: Uint8Array): Extension[] {
  const extensions = parseExtensions(octets)
  const unknown = extensions.find(({ oid: name, critical }) => critical && name !== ocspOid.nonce)
  if (unknown !== undefined) throw new PkiError('OCSP_EXTENSION', `critical extension ${unknown.oid}`)
  if (new Set(extensions.map(({ oid: name }) => name)).size !== extensions.length) {
    throw new PkiError('OCSP_MALFORMED', 'an extension stands twice')
  }
  return extensions
}

/** @see RFC 9654, 2.1 (and RFC 8954, whose 32 octets it widens) */
export function nonceOf(extensions: readonly Extension[]): Uint8Array | undefined {
  const found = extensions.find(({ oid: name }) => name === ocspOid.nonce)
  if (found === undefined) return undefined
  const nonce = only(found.value, tag.octetString).content
  if (nonce.length < 1 || nonce.length > nonceOctetsMax) {
    throw new PkiError('OCSP_LIMIT', `a nonce of ${nonce.length} octets, 1 to ${nonceOctetsMax} are allowed`)
  }
  return nonce
}

/** The bits of a public key, as CertID and ResponderID hash them. @param publicKey DER of the SubjectPublicKeyInfo */
export function keyBits(publicKey: Uint8Array): Uint8Array {
  const fields = new DerReader(only(publicKey, tag.sequence).content)
  fields.take(tag.sequence)
  return decodeBits(fields.take(tag.bitString))
}

function digest(name: OcspHash, octets: Uint8Array): Uint8Array {
  return createHash(name).update(octets).digest()
}

/** What `CertId.issuer` may be when it is this CA that is meant. */
export function issuerKeys({ subject, publicKey }: Certificate): string[] {
  return (['sha1', 'sha256'] as const).map((name) => {
    return `${name}/${hex(digest(name, subject))}/${hex(digest(name, keyBits(publicKey)))}`
  })
}

export interface CertIdParts {
  issuer: Certificate
  /** upper-case hex */
  serial: string
  hash: OcspHash
}

/** @see RFC 6960, 4.1.1 */
export function encodeCertId({ issuer, serial, hash }: CertIdParts): Uint8Array {
  const [, algorithm] = algorithms.find(([name]) => name === hash)!
  const [name, key] = [digest(hash, issuer.subject), digest(hash, keyBits(issuer.publicKey))]
  return sequence(algorithm, octetString(name), octetString(key), integer(Buffer.from(serial, 'hex')))
}

/** An unsigned request about one certificate or some. @param nonce without: the answer may come from a cache */
export function encodeOcspRequest(certIds: readonly Uint8Array[], nonce?: Uint8Array): Uint8Array {
  const extensions = nonce === undefined ? [] : [encode(context(2), sequence(encodeNonce(nonce)))]
  return sequence(sequence(sequence(...certIds.map((one) => sequence(one))), ...extensions))
}

/** One Extension, not critical. @see RFC 9654, 2.1 */
export function encodeNonce(nonce: Uint8Array): Uint8Array {
  return sequence(oid(ocspOid.nonce), octetString(octetString(nonce)))
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
}
