/**
 * What the other parts may know of the PKI: octets in, a verdict out, no file, no clock, no key; and `stapleOf`, which asks over
 * HTTP what a TLS server gives along about itself.
 * The gateway and the MDM side import this module and nothing else of `pki/`.
 */
import { parseCertificate } from './certificate.ts'
import { type ProfileSetName, profileSetOf } from './key-algorithm.ts'
import { fromPem } from './pem.ts'

export { type Certificate, parseCertificate } from './certificate.ts'
export { type ChainFault, type ChainQuestion, type Verdict, verifyChain } from './chain.ts'
export {
  type DetachedFault,
  type DetachedParts,
  type DetachedQuestion,
  type DetachedVerdict,
  encodeDetached,
  verifyDetached,
} from './cms.ts'
export { type Crl, parseCrls } from './crl.ts'
export { type EnvelopeKey, encodeEnveloped, isEnveloped, openEnveloped } from './enveloped.ts'
export { PkiError } from './errors.ts'
export type { ProfileSetName } from './key-algorithm.ts'
export { type Staple, stapleOf } from './ocsp/staple.ts'
export type { ProfileName } from './profiles.ts'
export { FeedReader, feedAgeMsMax, feedBeatMs } from './revocation/feed.ts'
export { RevokedSet, serialOctets } from './revocation/revoked-set.ts'

/** DER of each certificate in a PEM file, in order. @throws PkiError `PEM_MALFORMED` */
export function certificatesFromPem(pem: string): Uint8Array[] {
  return fromPem('CERTIFICATE', pem)
}

/**
 * Which profile set these roots are of: their keys say it, so that who trusts them need not.
 * @param roots DER @returns `undefined` where there is none, or they are of several
 * @throws PkiError `CERTIFICATE_MALFORMED`
 */
export function profileSetOfRoots(roots: readonly Uint8Array[]): ProfileSetName | undefined {
  const [first, ...others] = new Set(roots.map((root) => profileSetOf(parseCertificate(root).publicKey)))
  return others.length === 0 ? first : undefined
}
