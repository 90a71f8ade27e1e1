import { type Certificate, type Extension, extensionOid } from '../certificate.ts'
import { type KeyAlgorithm, keyAlgorithmFor, type ProfileSet } from '../key-algorithm.ts'
import type { Profile } from '../profiles.ts'

/** A certificate beside what it should be. For a root the issuer is itself. */
export interface Linted {
  certificate: Certificate
  profile: Profile
  issuer: Certificate
  profileSet: ProfileSet
}

export interface LintRule {
  name: string
  source: string
  holds(linted: Linted): boolean
}

export function find({ extensions }: Certificate, oid: string): Extension | undefined {
  return extensions.find((extension) => extension.oid === oid)
}

/** Not critical, or not there. */
export function plain(certificate: Certificate, ...names: (keyof typeof extensionOid)[]): boolean {
  return names.every((name) => find(certificate, extensionOid[name])?.critical !== true)
}

export function isEmptyName(name: Uint8Array): boolean {
  return name.length === 2
}

export function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return JSON.stringify(one.toSorted()) === JSON.stringify(other.toSorted())
}

/** The kind of key that a certificate of this profile is for. */
export function keyAlgorithmOf({ profile, profileSet }: Pick<Linted, 'profile' | 'profileSet'>): KeyAlgorithm {
  return keyAlgorithmFor(profileSet, profile)
}
