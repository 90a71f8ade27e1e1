import { createHash } from 'node:crypto'
import { type Certificate, parseCertificate } from '../certificate.ts'
import {
  context,
  contextPrimitive,
  DerReader,
  decodeBits,
  decodeOid,
  decodeSmall,
  decodeTime,
  type Element,
  only,
  tag,
} from '../der.ts'
import { PkiError, reading } from '../errors.ts'
import { type RevocationReason, revocationReasons } from '../revoke.ts'
import { type CertId, keyBits, knownExtensions, nonceOf, ocspOid, ocspRequestsMax, parseCertId } from './request.ts'
import { type CertificateStatus, type OcspStatus, ocspStatus } from './response.ts'

/** Octets, the most a response may have. */
export const ocspResponseOctetsMax = 65_536
/** Certificates in one response, the most. */
export const ocspCertificatesMax = 4

export interface SingleResponse {
  certId: CertId
  status: CertificateStatus
  /** seconds since 1970 */
  thisUpdate: number
  /** without: newer information is there at any time, so that nothing may be relied on for long */
  nextUpdate: number | undefined
}

/** A signed answer as read, its signature not yet checked. */
export interface BasicResponse {
  /** DER of ResponseData */
  data: Uint8Array
  algorithm: Uint8Array
  signature: Uint8Array
  certificates: Certificate[]
  /** the responder's: SHA-1 of the key's bits in hex, or DER of the Name */
  responder: { key: string } | { name: Uint8Array }
  producedAt: number
  answers: SingleResponse[]
  nonce: Uint8Array | undefined
}

/**
 * Reads one DER response, strictly, within the limits above.
 * @returns the signed answer, or the status of a refusal
 * @throws PkiError `OCSP_MALFORMED`, `OCSP_LIMIT`, `OCSP_EXTENSION`, `CERTIFICATE_MALFORMED`
 * @see RFC 6960, 4.2.1
 */
export function parseOcspResponse(der: Uint8Array): BasicResponse | OcspStatus {
  if (der.length > ocspResponseOctetsMax) throw new PkiError('OCSP_LIMIT', `over ${ocspResponseOctetsMax} octets`)
  return reading('OCSP_MALFORMED', () => {
    const outer = new DerReader(only(der, tag.sequence).content)
    const status = statusNamed(outer.take(tag.enumerated))
    if (status !== 'successful') {
      outer.end()
      return status
    }
    const bytes = new DerReader(only(outer.take(context(0)).content, tag.sequence).content)
    outer.end()
    if (decodeOid(bytes.take(tag.oid)) !== ocspOid.basic) throw new PkiError('OCSP_MALFORMED', 'not a basic response')
    const basic = bytes.take(tag.octetString).content
    bytes.end()
    return parseBasic(new DerReader(only(basic, tag.sequence).content))
  })
}

function statusNamed({ content }: Element): OcspStatus {
  const names = Object.keys(ocspStatus) as OcspStatus[]
  const found = content.length === 1 ? names.find((name) => ocspStatus[name] === content[0]) : undefined
  if (found === undefined) throw new PkiError('OCSP_MALFORMED', 'a status that is not known')
  return found
}

function parseBasic(fields: DerReader): BasicResponse {
  const data = fields.take(tag.sequence)
  const algorithm = fields.take(tag.sequence).octets
  const signature = decodeBits(fields.take(tag.bitString))
  const list = fields.optional(context(0))
  fields.end()
  const certificates = list === undefined ? [] : parseCertificates(only(list.content, tag.sequence).content)
  return { data: data.octets, algorithm, signature, certificates, ...parseData(new DerReader(data.content)) }
}

function parseCertificates(octets: Uint8Array): Certificate[] {
  const list = new DerReader(octets)
  const certificates: Certificate[] = []
  while (!list.done) {
    if (certificates.length === ocspCertificatesMax) {
      throw new PkiError('OCSP_LIMIT', `over ${ocspCertificatesMax} certificates`)
    }
    const certificate = parseCertificate(list.take(tag.sequence).octets)
    keyBits(certificate.publicKey) // by them the responder is found: they must be there
    certificates.push(certificate)
  }
  return certificates
}

function parseData(fields: DerReader): Pick<BasicResponse, 'responder' | 'producedAt' | 'answers' | 'nonce'> {
  const byName = fields.optional(context(1))
  const responder =
    byName === undefined
      ? { key: hex(only(fields.take(context(2)).content, tag.octetString).content) }
      : { name: only(byName.content, tag.sequence).octets }
  const producedAt = takeTime(fields)
  const list = fields.enter(tag.sequence)
  const answers: SingleResponse[] = []
  do {
    if (answers.length === ocspRequestsMax) throw new PkiError('OCSP_LIMIT', `over ${ocspRequestsMax} answers`)
    answers.push(parseSingle(list.enter(tag.sequence)))
  } while (!list.done)
  const extensions = fields.optional(context(1))
  fields.end()
  return { responder, producedAt, answers, nonce: extensions && nonceOf(knownExtensions(extensions.content)) }
}

function parseSingle(fields: DerReader): SingleResponse {
  const certId = parseCertId(fields.take(tag.sequence).octets)
  const status = parseStatus(fields.next())
  const thisUpdate = takeTime(fields)
  const next = fields.optional(context(0))
  const nextUpdate = next && decodeTime(only(next.content, tag.generalizedTime))
  const extensions = fields.optional(context(1))
  if (extensions !== undefined) knownExtensions(extensions.content)
  fields.end()
  return { certId, status, thisUpdate, nextUpdate }
}

function takeTime(fields: DerReader): number {
  return decodeTime(fields.take(tag.generalizedTime))
}

function parseStatus({ tag: kind, content }: Element): CertificateStatus {
  if (kind === context(1)) return parseRevoked(new DerReader(content))
  if (content.length > 0 || (kind !== contextPrimitive(0) && kind !== contextPrimitive(2))) {
    throw new PkiError('OCSP_MALFORMED', 'a status neither good, revoked nor unknown')
  }
  return { state: kind === contextPrimitive(0) ? 'good' : 'unknown' }
}

function parseRevoked(fields: DerReader): CertificateStatus {
  const at = takeTime(fields)
  const given = fields.optional(context(0))
  fields.end()
  return { state: 'revoked', at, reason: given === undefined ? 'unspecified' : reasonOf(given.content) }
}

/** A reason that is not one of ours still revokes. */
function reasonOf(octets: Uint8Array): RevocationReason {
  const { content } = only(octets, tag.enumerated)
  const code = decodeSmall({ tag: tag.integer, content, octets })
  const names = Object.keys(revocationReasons) as RevocationReason[]
  return names.find((name) => revocationReasons[name] === code) ?? 'unspecified'
}

/** Does the response say that this certificate's key signed it? */
export function isResponder({ responder }: BasicResponse, { subject, publicKey }: Certificate): boolean {
  if ('name' in responder) return Buffer.compare(responder.name, subject) === 0
  return responder.key === createHash('sha1').update(keyBits(publicKey)).digest('hex')
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
