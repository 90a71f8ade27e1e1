import { Integer } from 'asn1js'
import {
  AlgorithmIdentifier,
  Extension,
  Certificate as PkijsCertificate,
  PublicKeyInfo,
  RelativeDistinguishedNames,
  Time,
} from 'pkijs'
import { extensionsOf, type Issuer, type Template, type Unsigned, validityOf } from './unsigned.ts'

/**
 * A certificate to be signed, by pkijs: for the few CAs, and what the quick writer of `template.ts` is compared with.
 * @returns DER of the TBSCertificate
 * @throws PkiError `REQUEST_NAMES`, `REQUEST_VALIDITY`
 */
export function prepare(template: Template, issuer: Issuer, serial: Uint8Array): Unsigned {
  const certificate = new PkijsCertificate()
  certificate.version = 2 // counted from 0: version 3
  certificate.serialNumber = new Integer({ valueHex: Uint8Array.from(serial).buffer })
  certificate.signature = new AlgorithmIdentifier({ algorithmId: issuer.algorithm.signatureOid })
  certificate.issuer = RelativeDistinguishedNames.fromBER(issuer.name)
  const { notBefore, notAfter } = validityOf(template)
  certificate.notBefore = pkijsTime(notBefore)
  certificate.notAfter = pkijsTime(notAfter)
  certificate.subject = RelativeDistinguishedNames.fromBER(template.subject)
  certificate.subjectPublicKeyInfo = PublicKeyInfo.fromBER(template.publicKey)
  certificate.extensions = extensionsOf(template, issuer).map(
    ({ oid: extnID, critical, value }) => new Extension({ extnID, critical, extnValue: Uint8Array.from(value).buffer }),
  )
  return { tbs: new Uint8Array(certificate.encodeTBS().toBER()), signature: issuer.algorithm.signature }
}

/** Whole seconds; UTCTime before 2050. pkijs would keep milliseconds. @see RFC 5280, 4.1.2.5 */
function pkijsTime(seconds: number): Time {
  const value = new Date(Math.floor(seconds) * 1_000)
  return new Time({ type: value.getUTCFullYear() < 2050 ? 0 : 1, value })
}
