import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign as signOnce } from 'node:crypto'
import { Integer } from 'asn1js'
import {
  AlgorithmIdentifier,
  Extension,
  Certificate as PkijsCertificate,
  PublicKeyInfo,
  RelativeDistinguishedNames,
  Time,
} from 'pkijs'
import { type Certificate, extensionOid, keyUsageBit, parseCertificate } from './certificate.ts'
import {
  bitList,
  bitString,
  boolean,
  contextPrimitive,
  encode,
  integer,
  octetString,
  oid,
  only,
  sequence,
  tag,
} from './der.ts'
import { PkiError } from './errors.ts'
import { lint } from './lint.ts'
import { encodeHostNames, encodeUri, type HostNames } from './names.ts'
import { backdateSeconds, daySeconds, type Profile } from './profiles.ts'
import { ecdsaSha256 } from './signature.ts'

/** A CA key in use: it signs and does not show itself. An HSM would stand behind the same two fields. */
export interface Authority {
  certificate: Certificate
  /** ECDSA with SHA-256, DER */
  sign(octets: Uint8Array): Promise<Uint8Array>
}

/** One certificate to be: everything in it that its profile leaves open. */
export interface Template {
  profile: Profile
  /** DER of the Name */
  subject: Uint8Array
  /** where the profile asks for a URI */
  id: string
  /** where the profile asks for hosts */
  hosts: HostNames
  /** DER of the SubjectPublicKeyInfo */
  publicKey: Uint8Array
  /** seconds since 1970, now */
  at: number
  days: number
}

/** Who issues it, by name and key identifier: for a root, itself. */
export interface IssuerNames {
  name: Uint8Array
  keyId: Uint8Array
}

/** Octets of a serial number: 126 random bits, positive, always of one length. @see RFC 5280, 4.1.2.2 */
export const serialOctetsLength = 16

export function newSerial(): Uint8Array {
  const octets = randomBytes(serialOctetsLength)
  octets[0] = (octets[0]! & 0x3f) | 0x40 // neither negative nor with a leading zero
  return octets
}

/** SHA-1 of the public key's bits, as everyone does: a name, not a proof. @see RFC 5280, 4.2.1.2 (1) */
export function keyIdOf(publicKey: Uint8Array): Uint8Array {
  return createHash('sha1').update(publicKey.subarray(-65)).digest()
}

/** The key that signs what is only to be linted; it belongs to no CA and never leaves the process. */
let throwaway: KeyObject | undefined

function signThrowaway(octets: Uint8Array): Uint8Array {
  throwaway ??= generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  return signOnce('sha256', octets, throwaway)
}

/**
 * Prepare, lint, sign: the template is signed with a throwaway key, every lint rule runs over those octets, and only
 * then the real key signs the very same to-be-signed octets, once.
 * @param issuer `undefined` for a root, which signs itself
 * @returns DER of the certificate
 * @throws PkiError `LINT` with the names of the rules broken, `REQUEST_NAMES`, `REQUEST_VALIDITY`
 */
export async function issueCertificate(
  template: Template,
  issuer: Certificate | undefined,
  sign: Authority['sign'],
): Promise<Uint8Array> {
  const tbs = encodeTbs(template, issuer)
  const draft = parseCertificate(wrap(tbs, signThrowaway(tbs)))
  const broken = lint({ certificate: draft, profile: template.profile, issuer: issuer ?? draft })
  if (broken.length > 0) throw new PkiError('LINT', broken.map(({ name, source }) => `${name} (${source})`).join(', '))
  return wrap(tbs, await sign(tbs))
}

function wrap(tbs: Uint8Array, signature: Uint8Array): Uint8Array {
  return sequence(tbs, ecdsaSha256, bitString(signature))
}

function encodeTbs(template: Template, issuer: Certificate | undefined): Uint8Array {
  const names: IssuerNames =
    issuer === undefined
      ? { name: template.subject, keyId: keyIdOf(template.publicKey) }
      : { name: issuer.subject, keyId: Buffer.from(issuer.subjectKeyId ?? '', 'hex') }
  const certificate = new PkijsCertificate()
  certificate.version = 2 // counted from 0: version 3
  certificate.serialNumber = new Integer({ valueHex: newSerial() })
  certificate.signature = new AlgorithmIdentifier({ algorithmId: '1.2.840.10045.4.3.2' })
  certificate.issuer = RelativeDistinguishedNames.fromBER(names.name)
  certificate.notBefore = pkijsTime(template.at - backdateSeconds)
  certificate.notAfter = pkijsTime(template.at + validSeconds(template))
  certificate.subject = RelativeDistinguishedNames.fromBER(template.subject)
  certificate.subjectPublicKeyInfo = PublicKeyInfo.fromBER(template.publicKey)
  certificate.extensions = encodeExtensions(template, names)
  return new Uint8Array(certificate.encodeTBS().toBER())
}

function validSeconds({ days, profile }: Template): number {
  if (!Number.isInteger(days) || days < 1 || days > profile.days) {
    throw new PkiError('REQUEST_VALIDITY', `${days} days, 1 to ${profile.days} are allowed`)
  }
  return days * daySeconds
}

/** Whole seconds; UTCTime before 2050. pkijs would keep milliseconds. @see RFC 5280, 4.1.2.5 */
function pkijsTime(seconds: number): Time {
  const value = new Date(Math.floor(seconds) * 1_000)
  return new Time({ type: value.getUTCFullYear() < 2050 ? 0 : 1, value })
}

function encodeExtensions({ profile, publicKey, id, hosts }: Template, issuer: IssuerNames): Extension[] {
  const bits = profile.keyUsage.map((usage) => keyUsageBit[usage])
  const extensions = [
    extension(extensionOid.authorityKeyId, false, sequence(encode(contextPrimitive(0), issuer.keyId))),
    extension(extensionOid.subjectKeyId, false, octetString(keyIdOf(publicKey))),
    extension(extensionOid.basicConstraints, true, encodeBasicConstraints(profile.pathLength)),
    extension(extensionOid.keyUsage, true, bitList(bits)),
  ]
  if (profile.extendedKeyUsage.length > 0) {
    extensions.push(extension(extensionOid.extendedKeyUsage, false, sequence(...profile.extendedKeyUsage.map(oid))))
  }
  if (profile.names !== 'none') {
    const names = profile.names === 'hosts' ? encodeHostNames(hosts) : encodeUri(`${profile.names.uri}${id}`)
    extensions.push(extension(extensionOid.subjectAlternativeName, false, names))
  }
  return extensions
}

function extension(extnID: string, critical: boolean, value: Uint8Array): Extension {
  return new Extension({ extnID, critical, extnValue: Uint8Array.from(value).buffer })
}

function encodeBasicConstraints(pathLength: number | undefined): Uint8Array {
  return pathLength === undefined ? sequence() : sequence(boolean(true), integer(pathLength))
}

/** DER of the SubjectPublicKeyInfo of a key. */
export function publicKeyOctets(key: KeyObject): Uint8Array {
  return only(key.export({ format: 'der', type: 'spki' }), tag.sequence).octets
}
