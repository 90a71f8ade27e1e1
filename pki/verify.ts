/**
 * What the other parts may know of the PKI: octets in, a verdict out, no file, no clock, no key.
 * The gateway and the MDM side import this module and nothing else of `pki/`.
 */
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
export type { ProfileName } from './profiles.ts'

/** DER of each certificate in a PEM file, in order. @throws PkiError `PEM_MALFORMED` */
export function certificatesFromPem(pem: string): Uint8Array[] {
  return fromPem('CERTIFICATE', pem)
}
