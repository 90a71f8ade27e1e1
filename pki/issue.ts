import { type KeyObject, randomBytes } from 'node:crypto'
import { type Certificate, parseCertificate } from './certificate.ts'
import { bitString, only, sequence, tag } from './der.ts'
import { PkiError } from './errors.ts'
import { type KeyAlgorithm, type ProfileSet, profileSets, signWith } from './key-algorithm.ts'
import { lint } from './lint.ts'
import { prepare } from './prepare.ts'
import type { Prepare } from './template.ts'
import { type Issuer, issuerOf, selfIssuer, type Template, type Unsigned } from './unsigned.ts'

export { keyIdOf, type Template } from './unsigned.ts'

/** A CA key in use: it signs and does not show itself, wherever it lies. */
export interface Authority {
  certificate: Certificate
  /** as its key's algorithm signs: DER of Ecdsa-Sig-Value, or the octets of ML-DSA */
  sign(octets: Uint8Array): Promise<Uint8Array>
}

/** Octets of a serial number: 126 random bits, positive, always of one length. @see RFC 5280, 4.1.2.2 */
export const serialOctetsLength = 16

export function newSerial(): Uint8Array {
  const octets = randomBytes(serialOctetsLength)
  octets[0] = (octets[0]! & 0x3f) | 0x40 // neither negative nor with a leading zero
  return octets
}

/** The keys that sign what is only to be linted; they belong to no CA and never leave the process. */
const throwaways = new Map<KeyAlgorithm, KeyObject>()

function signThrowaway(algorithm: KeyAlgorithm, octets: Uint8Array): Uint8Array {
  const key = throwaways.get(algorithm) ?? algorithm.make().privateKey
  throwaways.set(algorithm, key)
  return signWith(algorithm, octets, key)
}

/** What a certificate is issued with, beside its template. */
export interface Issuance {
  /** `undefined` for a root, which signs itself */
  issuer: Certificate | undefined
  sign: Authority['sign']
  profileSet?: ProfileSet
  /** how what is signed is written; without: by pkijs */
  prepare?: Prepare
}

export interface IssuedOctets {
  /** DER of the certificate */
  der: Uint8Array
  /** the same as read, but for its signature, which is a throwaway's */
  draft: Certificate
}

/** An issuer is read once, however many certificates it issues. */
const issuers = new WeakMap<Certificate, Issuer>()

function knownIssuer(certificate: Certificate): Issuer {
  const issuer = issuers.get(certificate) ?? issuerOf(certificate)
  issuers.set(certificate, issuer)
  return issuer
}

/**
 * Prepare, lint, sign: the template is signed with a throwaway key, every lint rule runs over those octets, and only
 * then the real key signs the very same to-be-signed octets, once.
 * @throws PkiError `LINT` with the names of the rules broken, `REQUEST_NAMES`, `REQUEST_VALIDITY`, `REQUEST_KEY`
 */
export async function issueCertificate(template: Template, issuance: Issuance): Promise<IssuedOctets> {
  const { issuer: certificate, sign, profileSet = profileSets.p256, prepare: write = prepare } = issuance
  const issuer = certificate === undefined ? selfIssuer(template) : knownIssuer(certificate)
  const unsigned = write(template, issuer, newSerial())
  const draft = parseCertificate(wrap(unsigned, signThrowaway(issuer.algorithm, unsigned.tbs)))
  const broken = lint({ certificate: draft, profile: template.profile, issuer: certificate ?? draft, profileSet })
  if (broken.length > 0) throw new PkiError('LINT', broken.map(({ name, source }) => `${name} (${source})`).join(', '))
  return { der: wrap(unsigned, await sign(unsigned.tbs)), draft }
}

function wrap({ tbs, signature: algorithm }: Unsigned, signature: Uint8Array): Uint8Array {
  return sequence(tbs, algorithm, bitString(signature))
}

/** DER of the SubjectPublicKeyInfo of a key. */
export function publicKeyOctets(key: KeyObject): Uint8Array {
  return only(key.export({ format: 'der', type: 'spki' }), tag.sequence).octets
}
