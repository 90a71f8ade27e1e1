import type { X509Certificate } from 'node:crypto'
import { PeerError } from '../errors.ts'
import { type ConcentratorId, concentratorId } from '../model.ts'

const uri = /^URI:urn:ami:concentrator:([A-Za-z0-9._-]{1,64})$/

/**
 * The identity of a TLS client: the one name `urn:ami:concentrator:<id>` in its certificate's subject alternative name.
 * The chain is TLS's to check, and has been when this is asked.
 * @throws PeerError `CERTIFICATE_ROLE` for the certificate of another role, or of more than one name
 */
export function concentratorOf(certificate: Pick<X509Certificate, 'subjectAltName'>): ConcentratorId {
  const match = uri.exec(certificate.subjectAltName ?? '')
  if (match === null) throw new PeerError('CERTIFICATE_ROLE', 'not the certificate of a concentrator')
  return concentratorId(match[1]!)
}

/** Says of one certificate why it may not speak. */
export type RevocationFault = (certificate: X509Certificate) => PeerError | undefined

/**
 * Why a certificate, or a CA above it, may not speak. TLS gives the peer's leaf alone and keeps the CAs that it was checked
 * with, so they are sought among those that we know; where two fit, both must be good.
 * @param authorities every issuing CA and root that a peer may come under
 */
export function chainRevocationFault(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
  faultOf: RevocationFault,
): PeerError | undefined {
  const fault = faultOf(certificate)
  if (fault !== undefined) return fault
  const issuers = authorities.filter((authority) => certificate.checkIssued(authority))
  if (issuers.length === 0) return new PeerError('REVOCATION_UNKNOWN', 'its issuing CA is not known')
  for (const issuer of issuers) {
    if (issuer.checkIssued(issuer)) continue // a root: no list speaks of it
    const others = authorities.filter((authority) => authority !== issuer)
    const above = chainRevocationFault(issuer, others, faultOf)
    if (above !== undefined) return above
  }
  return undefined
}

/** What TLS says of a client's certificate, by OpenSSL's names, in our words. @see X509_verify_cert_error_string(3) */
export function certificateFault(opensslCode: string): PeerError['code'] {
  if (opensslCode === 'CERT_HAS_EXPIRED' || opensslCode === 'CERT_NOT_YET_VALID') return 'CERTIFICATE_EXPIRED'
  if (opensslCode === 'CERT_REVOKED') return 'CERTIFICATE_REVOKED'
  if (opensslCode === 'INVALID_PURPOSE') return 'CERTIFICATE_ROLE'
  if (opensslCode === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return 'CERTIFICATE_MISSING'
  return 'CERTIFICATE_UNTRUSTED'
}
