import { type Extension, extensionOid, parseExtensions, serialText } from './certificate.ts'
import { context, DerReader, decodeBits, decodeSmall, decodeTime, integerOctets, only, tag } from './der.ts'
import {
  decodeIssuingDistributionPoint,
  type IssuingDistributionPoint,
  issuingDistributionPointOid,
} from './distribution-point.ts'
import { PkiError, reading } from './errors.ts'
import { decodeAuthorityKeyId, type IssuerAndSerial } from './key-identifier.ts'
import { fromPem } from './pem.ts'

/** Octets, the most a CRL may have: about a million entries. */
export const crlOctetsMax: number = 64 * 1_024 * 1_024

/** A revocation list as read, its signature not yet checked; octet fields are views on its DER. */
export interface Crl {
  der: Uint8Array
  tbs: Uint8Array
  innerAlgorithm: Uint8Array
  outerAlgorithm: Uint8Array
  /** DER of the Name */
  issuer: Uint8Array
  /** seconds since 1970 */
  thisUpdate: number
  nextUpdate: number | undefined
  /** serial numbers of what is revoked: upper-case hex without a sign octet */
  serials: Set<string>
  extensions: Extension[]
  /** hex: which key of the issuer signed it */
  authorityKeyId: string | undefined
  /** the certificate of that key, where it is named */
  authorityCertificate: IssuerAndSerial | undefined
  /** it covers only the certificates that name one of its URIs; without: all of its issuer's */
  distributionPoint: IssuingDistributionPoint | undefined
  /** it says something that this reader does not know and must not ignore: a delta, another issuer's entry */
  unsupported: boolean
  signature: Uint8Array
}

/**
 * The CRLs of a PEM bundle, in order.
 * @throws PkiError `PEM_MALFORMED`, `CRL_MALFORMED`
 */
export function parseCrls(pem: string): Crl[] {
  return fromPem('X509 CRL', pem).map(parseCrl)
}

/**
 * Reads one DER CRL, strictly, at most `crlOctetsMax` octets, in time and memory linear in its entries.
 * @throws PkiError `CRL_MALFORMED`
 * @see RFC 5280, 5.1
 */
export function parseCrl(der: Uint8Array): Crl {
  return reading('CRL_MALFORMED', () => {
    if (der.length > crlOctetsMax) throw new PkiError('CRL_MALFORMED', `over ${crlOctetsMax} octets`)
    const outer = new DerReader(only(der, tag.sequence).content)
    const tbs = outer.take(tag.sequence)
    const outerAlgorithm = outer.take(tag.sequence).octets
    const signature = decodeBits(outer.take(tag.bitString))
    outer.end()
    return { der, tbs: tbs.octets, outerAlgorithm, signature, ...parseTbs(new DerReader(tbs.content)) }
  })
}

/** @see RFC 5280, 5.2.4 */
const deltaIndicatorOid = '2.5.29.27'

function isTime(identifier: number | undefined): boolean {
  return identifier === tag.utcTime || identifier === tag.generalizedTime
}

function parseTbs(reader: DerReader): Omit<Crl, 'der' | 'tbs' | 'outerAlgorithm' | 'signature'> {
  if (decodeSmall(reader.take(tag.integer)) !== 1) throw new PkiError('DER_MALFORMED', 'not a version 2 CRL')
  const innerAlgorithm = reader.take(tag.sequence).octets
  const issuer = reader.take(tag.sequence).octets
  const thisUpdate = decodeTime(reader.next())
  const nextUpdate = isTime(reader.peek()) ? decodeTime(reader.next()) : undefined
  const list = reader.optional(tag.sequence)
  const entries = list === undefined ? { serials: new Set<string>(), critical: false } : parseEntries(list.content)
  const extensions = reader.peek() === context(0) ? parseExtensions(reader.next().content) : []
  reader.end()
  const point = extensions.find(({ oid }) => oid === issuingDistributionPointOid)
  const distributionPoint = point && decodeIssuingDistributionPoint(point.value)
  const understood = distributionPoint === undefined ? undefined : issuingDistributionPointOid
  const foreign = extensions.some(({ oid, critical }) => oid !== understood && (critical || oid === point?.oid))
  const delta = extensions.some(({ oid }) => oid === deltaIndicatorOid)
  const unsupported = entries.critical || foreign || delta || repeats(extensions)
  crlNumber({ extensions }) // must be there, and right
  const keyId = extensions.find(({ oid }) => oid === extensionOid.authorityKeyId)
  const { authorityKeyId, authorityCertificate } = keyId === undefined ? {} : decodeAuthorityKeyId(keyId.value)
  const { serials } = entries
  return {
    innerAlgorithm,
    issuer,
    thisUpdate,
    nextUpdate,
    serials,
    extensions,
    authorityKeyId,
    authorityCertificate,
    distributionPoint,
    unsupported,
  }
}

function repeats(extensions: readonly Extension[]): boolean {
  return new Set(extensions.map(({ oid }) => oid)).size !== extensions.length
}

/** @returns the serials, and whether an entry has a critical extension */
function parseEntries(octets: Uint8Array): { serials: Set<string>; critical: boolean } {
  const list = new DerReader(octets)
  const serials = new Set<string>()
  let critical = false
  do {
    const entry = list.enter(tag.sequence)
    serials.add(serialText(integerOctets(entry.take(tag.integer))))
    decodeTime(entry.next())
    if (!entry.done) critical = parseExtensions(entry.next().octets).some((one) => one.critical) || critical
    entry.end()
  } while (!list.done)
  return { serials, critical }
}

/**
 * The CRL number, which grows from one CRL of an issuer to the next: 20 octets at most, not negative.
 * @throws PkiError `DER_MALFORMED`; never for a CRL that was read, which is refused without one
 * @see RFC 5280, 5.2.3
 */
export function crlNumber({ extensions }: Pick<Crl, 'extensions'>): bigint {
  const found = extensions.find(({ oid }) => oid === extensionOid.crlNumber)
  if (found === undefined) throw new PkiError('DER_MALFORMED', 'a CRL without number')
  const octets = integerOctets(only(found.value, tag.integer))
  if (octets[0]! >= 0x80 || octets.length > 20) throw new PkiError('DER_MALFORMED', 'no number for a CRL')
  return BigInt(`0x${Buffer.from(octets).toString('hex')}`)
}

/** The number of a CRL whose entries, a million perhaps, are passed over. @throws PkiError `DER_MALFORMED` */
export function numberOfCrl(der: Uint8Array): bigint {
  const tbs = new DerReader(only(der, tag.sequence).content).enter(tag.sequence)
  while (tbs.peek() !== context(0)) tbs.next()
  const found = parseExtensions(tbs.next().content).find(({ oid }) => oid === extensionOid.crlNumber)
  if (found === undefined) throw new PkiError('DER_MALFORMED', 'a CRL without number')
  return BigInt(`0x${Buffer.from(only(found.value, tag.integer).content).toString('hex')}`)
}
