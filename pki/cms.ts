import { createHash } from 'node:crypto'
import { type Certificate, parseCertificate } from './certificate.ts'
import { type ChainFault, intermediatesMax, verifyChain } from './chain.ts'
import { type Crl, parseCrl } from './crl.ts'
import {
  context,
  DerReader,
  decodeOid,
  decodeTime,
  type Element,
  encode,
  integer,
  octetString,
  oid,
  only,
  sequence,
  setOf,
  tag,
  time,
} from './der.ts'
import { PkiError, reading } from './errors.ts'
import {
  algorithmOfKey,
  type KeyAlgorithm,
  keyAlgorithms,
  type ProfileSetName,
  profileSets,
  signedWith,
} from './key-algorithm.ts'
import { equalOctets } from './signature.ts'
import { algorithmOf } from './unsigned.ts'

/** Octets, the most a detached signature may have, its CRLs included. */
export const cmsOctetsMax: number = 16 * 1_024 * 1_024
/** CRLs in one signature, the most. */
export const cmsCrlsMax = 8
/** Seconds that the signer's clock may be ahead of the verifier's. */
export const clockAheadSecondsMax = 300

const signedDataOid = oid('1.2.840.113549.1.7.2')
const dataOid = oid('1.2.840.113549.1.7.1')
const sha256 = sequence(oid('2.16.840.1.101.3.4.2.1'))
const attributeOid = {
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingTime: '1.2.840.113549.1.9.5',
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
} as const

function digest(octets: Uint8Array): Uint8Array {
  return createHash('sha256').update(octets).digest()
}

export interface DetachedParts {
  content: Uint8Array
  /** the signing time, seconds since 1970 */
  at: number
  /** DER, the signer's first, the root left out */
  certificates: readonly Uint8Array[]
  /** DER, one of each issuer in the chain, the root's included */
  crls: readonly Uint8Array[]
  /**
   * with the signer's key over the octets given: ECDSA as DER, or ML-DSA
   * @param digest what `sign` of `node:crypto` is to hash with
   */
  sign(octets: Uint8Array, digest: KeyAlgorithm['digest']): Promise<Uint8Array> | Uint8Array
}

/**
 * A detached CMS signature that needs nothing but the root to be judged: chain and CRLs travel within.
 * @returns DER of the ContentInfo
 * @throws PkiError `CERTIFICATE_MALFORMED` for the signer's certificate, `REQUEST_KEY` for a key of no kind that is known
 * @see RFC 5652, 5 (signed data); RFC 5035, 3 (signing certificate v2); RFC 9882, 3 (ML-DSA; SHA-256 will do for ML-DSA-44)
 */
export async function encodeDetached(parts: DetachedParts): Promise<Uint8Array> {
  const signer = parseCertificate(parts.certificates[0]!)
  const attributes = [
    attribute(attributeOid.contentType, dataOid),
    attribute(attributeOid.messageDigest, octetString(digest(parts.content))),
    attribute(attributeOid.signingTime, time(parts.at)),
    attribute(attributeOid.signingCertificateV2, sequence(sequence(sequence(octetString(digest(signer.der)))))),
  ]
  const algorithm = algorithmOf(signer.publicKey)
  const signature = await parts.sign(setOf(attributes), algorithm.digest) // signed as SET OF, sent as [0]. RFC 5652, 5.4
  const signerInfo = sequence(
    integer(1),
    issuerAndSerial(signer),
    sha256,
    setOf(attributes, context(0)),
    algorithm.signature,
    octetString(signature),
  )
  const signedData = sequence(
    integer(1),
    setOf([sha256]),
    sequence(dataOid),
    setOf(parts.certificates, context(0)),
    setOf(parts.crls, context(1)),
    setOf([signerInfo]),
  )
  return sequence(signedDataOid, encode(context(0), signedData))
}

function attribute(type: string, value: Uint8Array): Uint8Array {
  return sequence(oid(type), setOf([value]))
}

/** How CMS names a certificate. @see RFC 5652, 10.2.4 */
export function issuerAndSerial(signer: Certificate): Uint8Array {
  return sequence(signer.issuer, encode(tag.integer, signer.serialOctets))
}

/** Why a signature is refused. Stable, public text: add, never rename. */
export type DetachedFault =
  | ChainFault
  | 'CMS_MALFORMED'
  | 'CMS_SIGNER'
  | 'CONTENT_DIGEST'
  | 'CMS_SIGNATURE'
  | 'SIGNING_CERTIFICATE'
  | 'SIGNING_TIME'

export type DetachedVerdict =
  | { ok: true; signer: string; signedAt: number }
  | { ok: false; code: DetachedFault; detail: string }

export interface DetachedQuestion {
  /** DER of the signature */
  cms: Uint8Array
  content: Uint8Array
  /** DER of the roots trusted */
  roots: readonly Uint8Array[]
  /** the verifier's clock, seconds since 1970: nothing may be signed later than this */
  at: number
  /** what the verifier knows besides: being named by one of these refuses, whenever it was issued */
  crls?: readonly Crl[]
  /** what the signer must be; without: a sealer */
  purpose?: 'sealer' | 'ceremony'
  /** which keys and signatures count; without: P-256 alone */
  profileSet?: ProfileSetName
}

/**
 * Judges a detached signature offline, by the root alone. The chain and the CRLs within are judged at the signing time,
 * so that what was right when signed stays right; a signer found out later is refused through `crls`.
 * Pure, and never throws: any octets get a verdict.
 * @returns the signer's URI, `urn:ami:sealer:<id>` or `urn:ami:ceremony:<id>`, and the signing time, seconds since 1970
 * @see RFC 5652, 5.6
 */
export async function verifyDetached(question: DetachedQuestion): Promise<DetachedVerdict> {
  try {
    return judge(parseDetached(question.cms), question)
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause
    return refused('CMS_MALFORMED', cause.message)
  }
}

function refused(code: DetachedFault, detail: string): DetachedVerdict {
  return { ok: false, code, detail }
}

function judge(cms: Detached, question: DetachedQuestion): DetachedVerdict {
  const { content, roots, at, crls = [], purpose = 'sealer', profileSet = 'p256' } = question
  const signer = cms.certificates.find((one) => equalOctets(issuerAndSerial(one), cms.signerIdentifier))
  if (signer === undefined) return refused('CMS_SIGNER', 'the certificate of the signer is not within')
  if (!equalOctets(cms.messageDigest, digest(content)))
    return refused('CONTENT_DIGEST', 'the content is not what was signed')
  if (!signatureHolds(cms, signer, profileSet)) {
    return refused('CMS_SIGNATURE', 'the signature does not hold')
  }
  if (!equalOctets(cms.certificateHash, digest(signer.der))) {
    return refused('SIGNING_CERTIFICATE', 'signed under another certificate')
  }
  if (!(cms.signedAt <= at + clockAheadSecondsMax))
    return refused('SIGNING_TIME', `signed at ${cms.signedAt}, it is ${at}`)
  const verdict = verifyChain({
    leaf: signer.der,
    intermediates: cms.certificates.filter((one) => one !== signer).map(({ der }) => der),
    roots,
    crls: [...cms.crls, ...crls],
    at: cms.signedAt,
    purpose,
    profileSet,
  })
  return verdict.ok ? { ok: true, signer: verdict.uri!, signedAt: cms.signedAt } : verdict
}

function signatureHolds(
  { algorithm, signedOctets, signature }: Detached,
  { publicKey }: Certificate,
  profileSet: ProfileSetName,
): boolean {
  const kind = algorithmOfKey(publicKey, [keyAlgorithms[profileSets[profileSet].signing]])
  return (
    kind !== undefined &&
    equalOctets(kind.signature, algorithm) &&
    signedWith(kind, signedOctets, { publicKey, signature })
  )
}

interface Detached {
  certificates: Certificate[]
  crls: Crl[]
  /** DER of IssuerAndSerialNumber */
  signerIdentifier: Uint8Array
  /** the attributes as they were signed */
  signedOctets: Uint8Array
  signature: Uint8Array
  /** DER of the AlgorithmIdentifier that the signature claims */
  algorithm: Uint8Array
  messageDigest: Uint8Array
  certificateHash: Uint8Array
  signedAt: number
}

function malformed(why: string): PkiError {
  return new PkiError('CMS_MALFORMED', why)
}

/** The one shape that `encodeDetached` gives, and no other: nothing unsigned in it goes unread. */
function parseDetached(der: Uint8Array): Detached {
  return reading('CMS_MALFORMED', () => {
    if (der.length > cmsOctetsMax) throw malformed(`over ${cmsOctetsMax} octets`)
    const info = new DerReader(only(der, tag.sequence).content)
    expect(info, signedDataOid, 'signed data')
    const signedData = new DerReader(only(info.take(context(0)).content, tag.sequence).content)
    info.end()
    expect(signedData, integer(1), 'version 1')
    expect(signedData, setOf([sha256]), 'the digest SHA-256')
    expect(signedData, sequence(dataOid), 'detached data')
    const certificates = listOf(signedData.take(context(0)), intermediatesMax + 1).map(parseCertificate)
    const crls = listOf(signedData.take(context(1)), cmsCrlsMax).map(parseCrl)
    const signerInfo = only(signedData.take(tag.set).content, tag.sequence)
    signedData.end()
    return { certificates, crls, ...parseSignerInfo(new DerReader(signerInfo.content)) }
  })
}

function expect(reader: DerReader, octets: Uint8Array, what: string): void {
  if (!equalOctets(reader.next().octets, octets)) throw malformed(`not ${what}`)
}

/** The members of a SET OF, checked to be in DER order. */
function listOf({ content }: Element, max: number): Uint8Array[] {
  const reader = new DerReader(content)
  const members: Uint8Array[] = []
  while (!reader.done) {
    if (members.length === max) throw malformed(`over ${max} members in a set`)
    members.push(reader.next().octets)
  }
  if (members.some((one, index) => index > 0 && Buffer.compare(members[index - 1]!, one) > 0)) {
    throw malformed('a set out of order')
  }
  return members
}

function parseSignerInfo(reader: DerReader): Omit<Detached, 'certificates' | 'crls'> {
  expect(reader, integer(1), 'signer version 1')
  const signerIdentifier = reader.take(tag.sequence).octets
  expect(reader, sha256, 'the digest SHA-256')
  const attributes = reader.take(context(0))
  const algorithm = reader.take(tag.sequence).octets
  const signature = reader.take(tag.octetString).content
  reader.end()
  const signedOctets = encode(tag.set, attributes.content)
  return { signerIdentifier, signedOctets, algorithm, signature, ...parseAttributes(attributes) }
}

function parseAttributes(list: Element): Pick<Detached, 'messageDigest' | 'certificateHash' | 'signedAt'> {
  const values = new Map<string, Element>()
  for (const octets of listOf(list, 16)) {
    const fields = new DerReader(only(octets, tag.sequence).content)
    const type = decodeOid(fields.take(tag.oid))
    const members = fields.enter(tag.set)
    fields.end()
    if (values.has(type)) throw malformed(`attribute ${type} twice`)
    values.set(type, members.next())
    members.end()
  }
  const value = (type: keyof typeof attributeOid): Element => {
    const found = values.get(attributeOid[type])
    if (found === undefined) throw malformed(`no attribute ${type}`)
    return found
  }
  if (!equalOctets(value('contentType').octets, dataOid)) throw malformed('the content type signed is not data')
  return {
    messageDigest: only(value('messageDigest').octets, tag.octetString).content,
    certificateHash: parseSigningCertificate(value('signingCertificateV2')),
    signedAt: decodeTime(value('signingTime')),
  }
}

/** The SHA-256 of the first certificate named; its issuer and serial, where given, add nothing to the hash. */
function parseSigningCertificate({ octets }: Element): Uint8Array {
  const certificates = new DerReader(only(octets, tag.sequence).content).enter(tag.sequence)
  const first = certificates.enter(tag.sequence)
  return first.take(tag.octetString).content
}
