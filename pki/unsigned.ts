import { createHash } from 'node:crypto'
import type { Certificate } from './certificate.ts'
import { PkiError } from './errors.ts'
import {
  alternativeNames,
  authorityKeyId,
  constraintsExtension,
  type NewExtension,
  type Publication,
  profileExtensions,
  publicationExtensions,
  subjectKeyId,
} from './extensions.ts'
import { algorithmOfKey, type KeyAlgorithm, keyAlgorithms, publicKeyBits } from './key-algorithm.ts'
import type { NameConstraints } from './name-constraints.ts'
import type { HostNames } from './names.ts'
import { backdateSeconds, daySeconds, noEnd, type Profile } from './profiles.ts'

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
  /** fewer than the profile's */
  days?: number
  /** a CA's */
  constraints?: NameConstraints
  publication?: Publication
}

/** Who issues it, by name and key, and how that key signs. */
export interface Issuer {
  /** DER of the Name */
  name: Uint8Array
  keyId: Uint8Array
  algorithm: KeyAlgorithm
}

/** What is to be signed. */
export interface Unsigned {
  /** DER of the TBSCertificate */
  tbs: Uint8Array
  /** DER of the signature's AlgorithmIdentifier */
  signature: Uint8Array
}

/** SHA-1 of the public key's bits, as everyone does: a name, not a proof. @see RFC 5280, 4.2.1.2 (1) */
export function keyIdOf(publicKey: Uint8Array): Uint8Array {
  return createHash('sha1').update(publicKeyBits(publicKey)).digest()
}

/** How this key signs. @throws PkiError `REQUEST_KEY` when it is of no kind that is known */
export function algorithmOf(publicKey: Uint8Array): KeyAlgorithm {
  const found = algorithmOfKey(publicKey, Object.values(keyAlgorithms))
  if (found === undefined) throw new PkiError('REQUEST_KEY', 'the key is of no kind that is known here')
  return found
}

export function issuerOf({ subject, subjectKeyId: keyId, publicKey }: Certificate): Issuer {
  return { name: subject, keyId: Buffer.from(keyId ?? '', 'hex'), algorithm: algorithmOf(publicKey) }
}

/** A root issues itself. */
export function selfIssuer({ subject, publicKey }: Template): Issuer {
  return { name: subject, keyId: keyIdOf(publicKey), algorithm: algorithmOf(publicKey) }
}

/** Seconds since 1970, whole ones. @throws PkiError `REQUEST_VALIDITY` */
export function validityOf({ at, days: asked, profile }: Template): { notBefore: number; notAfter: number } {
  const notBefore = Math.floor(at) - backdateSeconds
  const most = profile.days
  const days = asked ?? most
  if (days === undefined) return { notBefore, notAfter: noEnd }
  if (!Number.isInteger(days) || days < 1 || (most !== undefined && days > most)) {
    throw new PkiError('REQUEST_VALIDITY', `${days} days, 1 to ${most ?? 'any number'} are allowed`)
  }
  return { notBefore, notAfter: Math.floor(at) + days * daySeconds }
}

/** All extensions, in the order in which they are written. */
export function extensionsOf(template: Template, { keyId }: Issuer): NewExtension[] {
  const { profile, publicKey, id, hosts, constraints, publication = {} } = template
  return [
    authorityKeyId(keyId),
    subjectKeyId(keyIdOf(publicKey)),
    ...profileExtensions(profile),
    ...(constraints === undefined ? [] : [constraintsExtension(constraints)]),
    ...alternativeNames(profile, id, hosts),
    ...publicationExtensions(publication),
  ]
}
