import { type Certificate, keyUsageBit } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import { algorithmOfKey, keyAlgorithms, signedWith } from '../key-algorithm.ts'
import { equalOctets } from '../signature.ts'
import { type BasicResponse, isResponder, parseOcspResponse } from './read-response.ts'
import { issuerKeys } from './request.ts'
import type { CertificateStatus, OcspStatus } from './response.ts'

/** Extended key usage of a delegated responder. @see RFC 6960, 4.2.2.2 */
export const ocspSigning = '1.3.6.1.5.5.7.3.9'

/** Seconds that a responder's clock may be ahead of ours. */
export const ocspClockAheadSecondsMax = 300

/** Why an answer is not believed. Stable, public text: add, never rename. */
export type OcspFault =
  | 'RESPONSE_MALFORMED'
  | 'RESPONSE_REFUSED'
  | 'RESPONDER'
  | 'SIGNATURE'
  | 'NONCE'
  | 'OTHER_CERTIFICATE'
  | 'NOT_YET_VALID'
  | 'STALE'

export type OcspVerdict =
  | { ok: true; status: CertificateStatus; thisUpdate: number; nextUpdate: number }
  | { ok: false; code: OcspFault; detail: string }

export interface OcspQuestion {
  /** DER of the response */
  response: Uint8Array
  /** upper-case hex, of the certificate asked about */
  serial: string
  issuer: Certificate
  /** seconds since 1970 */
  at: number
  /** as asked; without: the answer may carry any */
  nonce?: Uint8Array
}

function refused(code: OcspFault, detail: string): OcspVerdict {
  return { ok: false, code, detail }
}

/**
 * Judges an answer: signed by the issuer or by a responder that it named, about this certificate, in time. Never throws: any
 * octets get a verdict. An answer without next update is refused: nothing says how long it may be relied on.
 * @see RFC 6960, 3.2
 */
export function verifyOcsp(question: OcspQuestion): OcspVerdict {
  const response = parsed(question.response)
  if (typeof response === 'string') return refused('RESPONSE_REFUSED', response)
  if (response instanceof PkiError) return refused('RESPONSE_MALFORMED', response.message)
  return signatureFault(response, question) ?? answer(response, question)
}

function parsed(octets: Uint8Array): BasicResponse | OcspStatus | PkiError {
  try {
    return parseOcspResponse(octets)
  } catch (cause) {
    if (cause instanceof PkiError) return cause
    throw cause
  }
}

function signatureFault(response: BasicResponse, { issuer, at }: OcspQuestion): OcspVerdict | undefined {
  const signer = [issuer, ...response.certificates].find((one) => isResponder(response, one))
  if (signer === undefined) return refused('RESPONDER', 'the responder’s certificate is not in the response')
  const fault = equalOctets(signer.publicKey, issuer.publicKey) ? undefined : delegateFault(signer, issuer, at)
  if (fault !== undefined) return refused('RESPONDER', fault)
  const { algorithm, data, signature } = response
  if (signedBy(signer, { algorithm, octets: data, signature })) return undefined
  return refused('SIGNATURE', 'the response is not signed by its responder')
}

/** The issuer itself must have signed it, for this purpose alone. @see RFC 6960, 4.2.2.2 */
export function delegateFault(responder: Certificate, issuer: Certificate, at: number): string | undefined {
  if (!equalOctets(responder.issuer, issuer.subject)) return 'the responder is another issuer’s'
  if (!(at >= responder.notBefore && at < responder.notAfter + 1)) return 'the responder’s certificate is not valid now'
  if (responder.extendedKeyUsage?.includes(ocspSigning) !== true) return 'the responder may not sign for its issuer'
  if (responder.keyUsage?.has(keyUsageBit.digitalSignature) !== true) return 'the responder may not sign'
  const { innerAlgorithm, outerAlgorithm: algorithm, tbs: octets, signature } = responder
  const holds = equalOctets(innerAlgorithm, algorithm) && signedBy(issuer, { algorithm, octets, signature })
  return holds ? undefined : 'the responder’s certificate is not signed by the issuer'
}

/** How it is signed follows from the signer's key, whose kind was judged with its chain. */
function signedBy(
  { publicKey }: Certificate,
  { algorithm, octets, signature }: Record<'algorithm' | 'octets' | 'signature', Uint8Array>,
): boolean {
  const kind = algorithmOfKey(publicKey, Object.values(keyAlgorithms))
  return (
    kind !== undefined && equalOctets(kind.signature, algorithm) && signedWith(kind, octets, { publicKey, signature })
  )
}

function answer({ answers, nonce }: BasicResponse, question: OcspQuestion): OcspVerdict {
  const { serial, issuer, at } = question
  if (question.nonce !== undefined && (nonce === undefined || !equalOctets(nonce, question.nonce))) {
    return refused('NONCE', 'the response does not carry the nonce')
  }
  const names = issuerKeys(issuer)
  const found = answers.find(({ certId }) => certId.serial === serial && names.includes(certId.issuer))
  if (found === undefined) return refused('OTHER_CERTIFICATE', `nothing about serial ${serial}`)
  const { status, thisUpdate, nextUpdate } = found
  if (!(at >= thisUpdate - ocspClockAheadSecondsMax)) return refused('NOT_YET_VALID', `begins at ${thisUpdate}`)
  if (nextUpdate === undefined || !(at <= nextUpdate)) return refused('STALE', `ended at ${nextUpdate ?? thisUpdate}`)
  return { ok: true, status, thisUpdate, nextUpdate }
}
