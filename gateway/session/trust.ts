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

/** Serial numbers that the issuing CA has revoked, upper-case hex as `X509Certificate.serialNumber` gives them. */
export type RevokedSerials = ReadonlySet<string>

/** What TLS says of a client's certificate, by OpenSSL's names, in our words. @see X509_verify_cert_error_string(3) */
export function certificateFault(opensslCode: string): PeerError['code'] {
  if (opensslCode === 'CERT_HAS_EXPIRED' || opensslCode === 'CERT_NOT_YET_VALID') return 'CERTIFICATE_EXPIRED'
  if (opensslCode === 'CERT_REVOKED') return 'CERTIFICATE_REVOKED'
  if (opensslCode === 'INVALID_PURPOSE') return 'CERTIFICATE_ROLE'
  if (opensslCode === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return 'CERTIFICATE_MISSING'
  return 'CERTIFICATE_UNTRUSTED'
}
