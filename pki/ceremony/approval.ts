import { createPublicKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import { PkiError } from '../errors.ts'
import { publicKeyOctets } from '../issue.ts'
import { type Approver, type CeremonyConfig, canonicalOf, personOf, sha256 } from './config.ts'

/** Octets of an approval, the most. */
export const approvalOctetsMax = 1_024

/** One who answers for a ceremony, with the key read from the file. */
export interface Person {
  name: string
  key: KeyObject
  /** SHA-256 of the SubjectPublicKeyInfo, hex */
  digest: string
}

/** What is to be approved, and by whom. */
export interface Proposal {
  config: CeremonyConfig
  people: readonly [Person, Person]
  /** what is signed, as text */
  canonical: string
  /** SHA-256 of it, hex */
  digest: string
}

/**
 * A public key or the key of a certificate, PEM: of an elliptic curve of 256 bits or more, or RSA of 3,072 or more.
 * @returns `undefined` for what is none
 */
export function approverKey(pem: string): KeyObject | undefined {
  const key = keyIn(pem)
  const { namedCurve, modulusLength } = key?.asymmetricKeyDetails ?? {}
  if (key?.asymmetricKeyType === 'ec') return /256|384|521/.test(namedCurve ?? '') ? key : undefined
  return key?.asymmetricKeyType === 'rsa' && modulusLength! >= 3_072 ? key : undefined
}

function keyIn(pem: string): KeyObject | undefined {
  try {
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return new X509Certificate(pem).publicKey
    return pem.includes('PRIVATE KEY-----') ? undefined : createPublicKey(pem) // nobody hands in a secret here
  } catch {
    return undefined // its caller names the file
  }
}

/** @param keys of the approvers, in their order */
export function proposalOf(
  config: CeremonyConfig,
  value: Readonly<Record<string, unknown>>,
  keys: readonly [KeyObject, KeyObject],
): Proposal {
  const person = ({ name }: Approver, key: KeyObject): Person => ({ name, key, digest: sha256(publicKeyOctets(key)) })
  const people = [person(config.approvers[0], keys[0]), person(config.approvers[1], keys[1])] as const
  const canonical = canonicalOf(value, [`sha256:${people[0].digest}`, `sha256:${people[1].digest}`])
  return { config, people, canonical, digest: sha256(canonical) }
}

/**
 * Approves a proposal: what `openssl dgst -sha256 -sign` makes of the canonical text, and `-verify` takes.
 * @throws PkiError `CEREMONY_APPROVER` for the key of nobody whom the proposal names
 */
export function approve({ people, canonical }: Proposal, key: KeyObject): Uint8Array {
  const own = sha256(publicKeyOctets(createPublicKey(key)))
  if (!people.some(({ digest }) => digest === own)) {
    throw new PkiError('CEREMONY_APPROVER', `the key ${own} is no approver's`)
  }
  return sign('sha256', Buffer.from(canonical), key)
}

/**
 * Two people, two keys, two approvals of this very proposal, and the time that they approved.
 * @param approvals as brought, in the order of the approvers; `undefined`: not there
 * @param at seconds since 1970
 * @returns what is wrong, the first thing first; none: the ceremony may be held
 */
export function approvalFaults(
  { config, people: [one, other], canonical }: Proposal,
  approvals: readonly (Uint8Array | undefined)[],
  at: number,
): PkiError[] {
  const faults: PkiError[] = []
  if (personOf(one.name) === personOf(other.name)) {
    faults.push(new PkiError('CEREMONY_SAME_PERSON', `${one.name} approves alone`))
  }
  if (one.digest === other.digest) {
    faults.push(new PkiError('CEREMONY_SAME_KEY', `${one.name} and ${other.name} have one key, ${one.digest}`))
  }
  for (const [index, { name, key }] of [one, other].entries()) {
    const fault = approvalFault(approvals[index], { name, key, canonical, file: config.approvers[index]!.approval })
    if (fault !== undefined) faults.push(fault)
  }
  const { from, to } = config.window
  if (!(at >= from && at <= to)) {
    const text = (seconds: number): string => new Date(seconds * 1_000).toISOString()
    faults.push(new PkiError('CEREMONY_WINDOW', `approved for ${text(from)} to ${text(to)}, and it is ${text(at)}`))
  }
  return faults
}

function approvalFault(
  approval: Uint8Array | undefined,
  { name, key, canonical, file }: { name: string; key: KeyObject; canonical: string; file: string },
): PkiError | undefined {
  if (approval === undefined) return new PkiError('CEREMONY_APPROVAL_MISSING', `${name}: ${file} is not there`)
  if (approval.length <= approvalOctetsMax && verify('sha256', Buffer.from(canonical), key, approval)) return undefined
  return new PkiError('CEREMONY_APPROVAL_DIGEST', `${name}: ${file} is not an approval of this file`)
}
