import {
  context,
  DerReader,
  decodeAscii,
  decodeBits,
  decodeBoolean,
  decodeOid,
  decodeSmall,
  decodeTime,
  integerOctets,
  only,
  tag,
} from './der.ts'
import { decodeDistributionPoints } from './distribution-point.ts'
import { PkiError, reading } from './errors.ts'
import { decodeAuthorityKeyId, type IssuerAndSerial } from './key-identifier.ts'
import { decodeNameConstraints, type NameConstraints, nameForm } from './name-constraints.ts'
import { nameOf } from './names.ts'

/** Octets, the most a certificate may have. */
export const certificateOctetsMax = 16_384

/** Extensions in one certificate or CRL, the most that are read. */
export const extensionsMax = 32

export const extensionOid = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAlternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyId: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
} as const

/** Bit numbers of the key usage extension. @see RFC 5280, 4.2.1.3 */
export const keyUsageBit = { digitalSignature: 0, keyAgreement: 4, keyCertSign: 5, crlSign: 6 } as const
export type KeyUsage = keyof typeof keyUsageBit

export interface Extension {
  oid: string
  critical: boolean
  value: Uint8Array
}

export interface AlternativeNames {
  dns: string[]
  ip: Uint8Array[]
  uri: string[]
  email: string[]
  /** DER of each Name */
  directory: Uint8Array[]
  /** how many names are of other kinds */
  others: number
}

/** A certificate as read; octet fields are views on its DER. Its extensions are decoded, and not yet judged. */
export interface Certificate {
  der: Uint8Array
  tbs: Uint8Array
  /** 1, 2 or 3 */
  version: number
  /** content octets of the INTEGER, sign octet included */
  serialOctets: Uint8Array
  /** upper-case hex without a sign octet, as OpenSSL and Node write it */
  serial: string
  innerAlgorithm: Uint8Array
  outerAlgorithm: Uint8Array
  /** DER of the Name */
  issuer: Uint8Array
  subject: Uint8Array
  /** seconds since 1970 */
  notBefore: number
  notAfter: number
  /** DER of the Validity, for its form */
  validity: Uint8Array
  /** DER of the SubjectPublicKeyInfo */
  publicKey: Uint8Array
  extensions: Extension[]
  signature: Uint8Array
  basicConstraints: { ca: boolean; pathLength: number | undefined } | undefined
  /** the bits that are set, or no key usage extension */
  keyUsage: Set<number> | undefined
  extendedKeyUsage: string[] | undefined
  alternativeNames: AlternativeNames | undefined
  policies: string[] | undefined
  nameConstraints: NameConstraints | undefined
  /** URIs of the CRLs that cover it */
  distributionPoints: string[] | undefined
  /** hex */
  subjectKeyId: string | undefined
  authorityKeyId: string | undefined
  /** the issuer's certificate, where the authority key identifier names it */
  authorityCertificate: IssuerAndSerial | undefined
}

/**
 * Reads one DER certificate, strictly, at most `certificateOctetsMax` octets.
 * @throws PkiError `CERTIFICATE_MALFORMED`
 * @see RFC 5280, 4.1
 */
export function parseCertificate(der: Uint8Array): Certificate {
  return reading('CERTIFICATE_MALFORMED', () => {
    if (der.length > certificateOctetsMax)
      throw new PkiError('CERTIFICATE_MALFORMED', `over ${certificateOctetsMax} octets`)
    const outer = new DerReader(only(der, tag.sequence).content)
    const tbs = outer.take(tag.sequence)
    const outerAlgorithm = outer.take(tag.sequence).octets
    const signature = decodeBits(outer.take(tag.bitString))
    outer.end()
    return { der, tbs: tbs.octets, outerAlgorithm, signature, ...parseTbs(new DerReader(tbs.content)) }
  })
}

type Tbs = Omit<Certificate, 'der' | 'tbs' | 'outerAlgorithm' | 'signature'>

function parseTbs(reader: DerReader): Tbs {
  const version = reader.peek() === context(0) ? decodeSmall(only(reader.next().content, tag.integer)) + 1 : 1
  const serialOctets = integerOctets(reader.take(tag.integer))
  const innerAlgorithm = reader.take(tag.sequence).octets
  const issuer = takeName(reader)
  const validity = reader.take(tag.sequence)
  const times = new DerReader(validity.content)
  const notBefore = decodeTime(times.next())
  const notAfter = decodeTime(times.next())
  times.end()
  const subject = takeName(reader)
  const publicKey = reader.take(tag.sequence).octets
  const extensions = reader.peek() === context(3) ? parseExtensions(reader.next().content) : []
  reader.end() // issuer and subject unique identifiers are refused. RFC 5280, 4.1.2.8
  return {
    version,
    serialOctets,
    serial: serialText(serialOctets),
    innerAlgorithm,
    issuer,
    subject,
    notBefore,
    notAfter,
    validity: validity.octets,
    publicKey,
    extensions,
    ...decodeKnown(extensions),
  }
}

/** A Name kept as octets, once it is seen to be one. */
function takeName(reader: DerReader): Uint8Array {
  const { octets } = reader.take(tag.sequence)
  nameOf(octets)
  return octets
}

/** Serials are compared in this form everywhere. */
export function serialText(octets: Uint8Array): string {
  const magnitude = octets[0] === 0 && octets.length > 1 ? octets.subarray(1) : octets
  return Buffer.from(magnitude).toString('hex').toUpperCase()
}

/** A non-empty SEQUENCE of Extension. @throws PkiError `DER_MALFORMED` */
export function parseExtensions(octets: Uint8Array): Extension[] {
  const list = new DerReader(only(octets, tag.sequence).content)
  const extensions: Extension[] = []
  do {
    if (extensions.length === extensionsMax) throw new PkiError('DER_MALFORMED', `over ${extensionsMax} extensions`)
    extensions.push(parseExtension(list.enter(tag.sequence)))
  } while (!list.done)
  return extensions
}

function parseExtension(fields: DerReader): Extension {
  const oid = decodeOid(fields.take(tag.oid))
  const flag = fields.optional(tag.boolean)
  const critical = flag === undefined ? false : decodeBoolean(flag)
  const value = fields.take(tag.octetString).content
  fields.end()
  if (flag !== undefined && !critical)
    throw new PkiError('DER_MALFORMED', 'critical: FALSE is the default and not written')
  return { oid, critical, value }
}

type Known = Pick<
  Certificate,
  | 'basicConstraints'
  | 'keyUsage'
  | 'extendedKeyUsage'
  | 'alternativeNames'
  | 'policies'
  | 'nameConstraints'
  | 'distributionPoints'
  | 'subjectKeyId'
  | 'authorityKeyId'
  | 'authorityCertificate'
>

const noAuthorityKeyId = { authorityKeyId: undefined, authorityCertificate: undefined }

/** The first extension of each known kind; the judge refuses seconds. */
function decodeKnown(extensions: readonly Extension[]): Known {
  const decoded = <T>(oid: string, decode: (value: Uint8Array) => T): T | undefined => {
    const found = extensions.find((extension) => extension.oid === oid)
    return found && decode(found.value)
  }
  return {
    basicConstraints: decoded(extensionOid.basicConstraints, decodeBasicConstraints),
    keyUsage: decoded(extensionOid.keyUsage, decodeKeyUsage),
    extendedKeyUsage: decoded(extensionOid.extendedKeyUsage, decodeExtendedKeyUsage),
    alternativeNames: decoded(extensionOid.subjectAlternativeName, decodeAlternativeNames),
    policies: decoded(extensionOid.certificatePolicies, decodePolicies),
    nameConstraints: decoded(extensionOid.nameConstraints, decodeNameConstraints),
    distributionPoints: decoded(extensionOid.crlDistributionPoints, decodeDistributionPoints),
    subjectKeyId: decoded(extensionOid.subjectKeyId, (value) => hex(only(value, tag.octetString).content)),
    ...(decoded(extensionOid.authorityKeyId, decodeAuthorityKeyId) ?? noAuthorityKeyId),
  }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}

function decodeBasicConstraints(value: Uint8Array): { ca: boolean; pathLength: number | undefined } {
  const fields = new DerReader(only(value, tag.sequence).content)
  const flag = fields.optional(tag.boolean)
  const length = fields.optional(tag.integer)
  fields.end()
  if (flag !== undefined && !decodeBoolean(flag))
    throw new PkiError('DER_MALFORMED', 'cA: FALSE is the default and not written')
  return { ca: flag !== undefined, pathLength: length && decodeSmall(length) }
}

function decodeKeyUsage(value: Uint8Array): Set<number> {
  const { content } = only(value, tag.bitString)
  const unused = content[0]
  if (unused === undefined || unused > 7 || content.length > 3)
    throw new PkiError('DER_MALFORMED', 'a key usage of odd length')
  const bits = new Set<number>()
  for (let bit = 0; bit < (content.length - 1) * 8 - unused; bit += 1) {
    if ((content[1 + (bit >> 3)]! & (0x80 >> (bit & 7))) !== 0) bits.add(bit)
  }
  return bits
}

function decodeExtendedKeyUsage(value: Uint8Array): string[] {
  const list = new DerReader(only(value, tag.sequence).content)
  const purposes: string[] = []
  do purposes.push(decodeOid(list.take(tag.oid)))
  while (!list.done)
  return purposes
}

function decodeAlternativeNames(value: Uint8Array): AlternativeNames {
  const list = new DerReader(only(value, tag.sequence).content)
  const names: AlternativeNames = { dns: [], ip: [], uri: [], email: [], directory: [], others: 0 }
  do {
    const name = list.next()
    if (name.tag === nameForm.dns) names.dns.push(decodeAscii(name))
    else if (name.tag === nameForm.uri) names.uri.push(decodeAscii(name))
    else if (name.tag === nameForm.ip) names.ip.push(name.content)
    else if (name.tag === nameForm.email) names.email.push(decodeAscii(name))
    else if (name.tag === nameForm.directory) names.directory.push(takeName(new DerReader(name.content)))
    else names.others += 1
  } while (!list.done)
  return names
}

/** Policies in one certificate, the most. */
export const policiesMax = 32

/** Qualifiers say something to people and are passed over. @see RFC 5280, 4.2.1.4 */
function decodePolicies(value: Uint8Array): string[] {
  const list = new DerReader(only(value, tag.sequence).content)
  const policies: string[] = []
  do {
    const fields = list.enter(tag.sequence)
    policies.push(decodeOid(fields.take(tag.oid)))
    fields.optional(tag.sequence)
    fields.end()
  } while (!list.done && policies.length < policiesMax)
  list.end()
  if (new Set(policies).size !== policies.length) throw new PkiError('DER_MALFORMED', 'a policy twice')
  return policies
}
