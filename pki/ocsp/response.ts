import { createHash } from 'node:crypto'
import type { Certificate } from '../certificate.ts'
import { bitString, context, contextPrimitive, encode, octetString, oid, sequence, tag, text } from '../der.ts'
import { type RevocationReason, revocationReasons } from '../revoke.ts'
import { algorithmOf } from '../unsigned.ts'
import { encodeNonce, keyBits, ocspOid } from './request.ts'

/** OCSPResponseStatus. @see RFC 6960, 4.2.1 */
export const ocspStatus = {
  successful: 0,
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  unauthorized: 6,
} as const

export type OcspStatus = keyof typeof ocspStatus

/** What became of a certificate; `unknown` when this issuer never issued it. */
export type CertificateStatus =
  | { state: 'good' }
  | { state: 'unknown' }
  | {
      state: 'revoked'
      /** seconds since 1970 */
      at: number
      reason: RevocationReason
    }

export interface ResponseTemplate {
  /** DER of the responder's SubjectPublicKeyInfo */
  responderKey: Uint8Array
  /** seconds since 1970: when it was signed, and when the statuses were known */
  thisUpdate: number
  nextUpdate: number
  /** each with the DER of the CertID as it was asked */
  answers: readonly { certId: Uint8Array; status: CertificateStatus }[]
  nonce: Uint8Array | undefined
}

/** An answer that is none. Unsigned. @see RFC 6960, 2.3 */
export function encodeOcspError(status: Exclude<OcspStatus, 'successful'>): Uint8Array {
  return sequence(encode(tag.enumerated, Uint8Array.of(ocspStatus[status])))
}

/** GeneralizedTime in whole seconds, whatever the year. @see RFC 6960, 4.2.2.1 and RFC 5280, 4.1.2.5.2 */
function generalizedTime(seconds: number): Uint8Array {
  const digits = new Date(Math.floor(seconds) * 1_000).toISOString().slice(0, 19).replace(/[-T:]/g, '')
  return text(tag.generalizedTime, `${digits}Z`)
}

const good = encode(contextPrimitive(0))
const unknown = encode(contextPrimitive(2))

function encodeStatus(status: CertificateStatus): Uint8Array {
  if (status.state === 'good') return good
  if (status.state === 'unknown') return unknown
  const reason = encode(context(0), encode(tag.enumerated, Uint8Array.of(revocationReasons[status.reason])))
  return encode(context(1), generalizedTime(status.at), reason)
}

/** ResponderID by key: SHA-1 of the key's bits, a name and not a proof. */
const responderIds = new WeakMap<Uint8Array, Uint8Array>()

function responderId(responderKey: Uint8Array): Uint8Array {
  const known = responderIds.get(responderKey)
  if (known !== undefined) return known
  const made = encode(context(2), octetString(createHash('sha1').update(keyBits(responderKey)).digest()))
  responderIds.set(responderKey, made)
  return made
}

/** ResponseData, to be signed. @see RFC 6960, 4.2.1 */
export function encodeResponseData({
  responderKey,
  thisUpdate,
  nextUpdate,
  answers,
  nonce,
}: ResponseTemplate): Uint8Array {
  const now = generalizedTime(thisUpdate)
  const next = encode(context(0), generalizedTime(nextUpdate))
  const single = answers.map(({ certId, status }) => sequence(certId, encodeStatus(status), now, next))
  const extensions = nonce === undefined ? [] : [encode(context(1), sequence(encodeNonce(nonce)))]
  return sequence(responderId(responderKey), now, sequence(...single), ...extensions)
}

const successful = encode(tag.enumerated, Uint8Array.of(ocspStatus.successful))
const basicOid = oid(ocspOid.basic)

/**
 * The whole answer, its responder's certificate within.
 * @param data as `encodeResponseData` gives @param signature over it, as the responder's key signs
 */
export function encodeOcspResponse(
  data: Uint8Array,
  signature: Uint8Array,
  responder: Pick<Certificate, 'der' | 'publicKey'>,
): Uint8Array {
  const { signature: algorithm } = algorithmOf(responder.publicKey)
  const basic = sequence(data, algorithm, bitString(signature), encode(context(0), sequence(responder.der)))
  return sequence(successful, encode(context(0), sequence(basicOid, octetString(basic))))
}
