import { context, contextPrimitive, DerReader, integerOctets, only, tag } from './der.ts'
import { PkiError } from './errors.ts'
import { nameForm } from './name-constraints.ts'
import { nameOf } from './names.ts'
import { equalOctets } from './signature.ts'

/** A certificate known by who issued it and under which number. */
export interface IssuerAndSerial {
  /** DER of the Name */
  issuer: Uint8Array
  /** content octets of the INTEGER */
  serialOctets: Uint8Array
}

/** Which key signed. */
export interface AuthorityKeyId {
  /** hex */
  authorityKeyId: string | undefined
  /** the certificate that has that key; few say so */
  authorityCertificate: IssuerAndSerial | undefined
}

/**
 * An authority key identifier. One that names a certificate does so by one directory name and a serial number.
 * @throws PkiError `DER_MALFORMED`
 * @see RFC 5280, 4.2.1.1
 */
export function decodeAuthorityKeyId(value: Uint8Array): AuthorityKeyId {
  const fields = new DerReader(only(value, tag.sequence).content)
  const keyId = fields.optional(contextPrimitive(0))
  const names = fields.optional(context(1))
  const serial = fields.optional(contextPrimitive(2))
  fields.end()
  if ((names === undefined) !== (serial === undefined)) {
    throw new PkiError('DER_MALFORMED', 'an issuer without a serial number, or the other way round')
  }
  const authorityCertificate = names &&
    serial && { issuer: directoryNameOf(names.content), serialOctets: integerOctets(serial) }
  return { authorityKeyId: keyId && Buffer.from(keyId.content).toString('hex'), authorityCertificate }
}

function directoryNameOf(octets: Uint8Array): Uint8Array {
  const name = only(only(octets, nameForm.directory).content, tag.sequence).octets
  nameOf(name)
  return name
}

/** Is this the key that is named, as far as it is named? */
export function namesKeyOf(
  { authorityKeyId, authorityCertificate }: AuthorityKeyId,
  issuer: IssuerAndSerial & { subjectKeyId: string | undefined },
): boolean {
  if (authorityKeyId === undefined || authorityKeyId !== issuer.subjectKeyId) return false
  return (
    authorityCertificate === undefined ||
    (equalOctets(authorityCertificate.issuer, issuer.issuer) &&
      equalOctets(authorityCertificate.serialOctets, issuer.serialOctets))
  )
}
