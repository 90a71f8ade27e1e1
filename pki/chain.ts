import { type Certificate, parseCertificate } from './certificate.ts'
import { type Refused, refused } from './chain-fault.ts'
import { revocationFault } from './chain-revocation.ts'
import {
  anchorFault,
  authorityFault,
  claimFault,
  constraintsFault,
  formFault,
  linkFault,
  pathLengthFault,
  purposeFault,
  validityFault,
} from './chain-rules.ts'
import type { Crl } from './crl.ts'
import { PkiError } from './errors.ts'
import { keyAlgorithmFor, keyAlgorithms, type ProfileSetName, profileSets } from './key-algorithm.ts'
import { type ProfileName, profiles } from './profiles.ts'
import { equalOctets } from './signature.ts'

export type { ChainFault } from './chain-fault.ts'

export interface Accepted {
  ok: true
  /** the leaf's URI (`urn:ami:…`); a gateway has none */
  uri: string | undefined
  /** leaf first, root last */
  chain: Certificate[]
}
export type Verdict = Accepted | Refused

export interface ChainQuestion {
  /** DER of one certificate each */
  leaf: Uint8Array
  intermediates: readonly Uint8Array[]
  /** trusted by being here; their own validity and form are judged, their signature is not */
  roots: readonly Uint8Array[]
  /** one of every issuer in the chain, the root included */
  crls: readonly Crl[]
  /** seconds since 1970 */
  at: number
  /** the class that the leaf must be of: it, and every CA above it but the root, must say so */
  purpose: ProfileName
  /** which keys and signatures count; without: P-256 alone */
  profileSet?: ProfileSetName
}

/** Certificates from leaf to root, the most that are followed. */
export const chainLengthMax = 5
/** Certificates offered as intermediates, the most. */
export const intermediatesMax = 8
/** Paths tried for one leaf, the most. */
const pathsMax = 16

/**
 * Judges a chain: path, signatures, validity, extensions, name constraints, class, revocation. Pure, and never throws: any
 * octets get a verdict. Stricter than RFC 5280 where this PKI is narrower: one profile set's algorithms only, names compared
 * octet for octet, each policy named by every certificate, key purposes named by the leaf, a CRL for each issuer.
 * @see RFC 5280, 6.1
 */
export function verifyChain(question: ChainQuestion): Verdict {
  if (question.intermediates.length > intermediatesMax) {
    return refused('CHAIN_LENGTH', `${question.intermediates.length} intermediates, limit ${intermediatesMax}`)
  }
  try {
    const leaf = parseCertificate(question.leaf)
    return judgePaths(leaf, readAll(question.intermediates), readAll(question.roots), question)
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause
    return refused('CERTIFICATE_MALFORMED', cause.message)
  }
}

function readAll(all: readonly Uint8Array[]): Certificate[] {
  return all.map(parseCertificate)
}

function judgePaths(leaf: Certificate, pool: Certificate[], roots: Certificate[], question: ChainQuestion): Verdict {
  let first: Verdict | undefined
  let tried = 0
  for (const path of paths([leaf], pool, roots)) {
    const verdict = judge(path, question)
    if (verdict.ok) return verdict
    first ??= verdict
    tried += 1
    if (tried === pathsMax) break
  }
  return first ?? refused('ISSUER_UNKNOWN', 'no path by names from the leaf to a root')
}

/** Every path by names, those with matching key identifiers first. */
function* paths(path: Certificate[], pool: Certificate[], roots: Certificate[]): Generator<Certificate[]> {
  const last = path.at(-1)!
  for (const root of issuersOf(last, roots)) yield [...path, root]
  if (path.length + 1 >= chainLengthMax) return
  for (const next of issuersOf(last, pool)) {
    if (!path.some((one) => equalOctets(one.der, next.der))) yield* paths([...path, next], pool, roots)
  }
}

function issuersOf(subject: Certificate, candidates: readonly Certificate[]): Certificate[] {
  const named = candidates.filter((one) => equalOctets(one.subject, subject.issuer))
  const match = (one: Certificate): number => (one.subjectKeyId === subject.authorityKeyId ? 0 : 1)
  return named.toSorted((a, b) => match(a) - match(b))
}

function judge(path: Certificate[], { at, crls, purpose, profileSet = 'p256' }: ChainQuestion): Verdict {
  const root = path.at(-1)!
  const authorities = path.slice(1)
  const set = profileSets[profileSet]
  const authority = keyAlgorithms[set.authority]
  const leafKey = keyAlgorithmFor(set, profiles[purpose])
  const fault =
    firstFault(path, (one, index) => {
      const key = index === 0 && path.length > 1 ? leafKey : authority
      return formFault(one, { authority, key }) ?? validityFault(one, at)
    }) ??
    anchorFault(root) ??
    firstFault(authorities, authorityFault) ??
    firstFault(path, claimFault) ??
    firstFault(authorities, (one, index) => pathLengthFault(one, authorities.slice(0, index))) ??
    firstFault(path.slice(0, -1), (one, index) => linkFault(one, path[index + 1]!, authority)) ??
    firstFault(authorities, (one, index) => constraintsFault(one, path.slice(0, index + 1))) ??
    purposeFault(path, purpose) ??
    firstFault(path, (one, index) =>
      revocationFault(one, path[index + 1] ?? root, { at, crls, authority, purpose, leaf: index === 0 }),
    )
  return fault ?? { ok: true, uri: path[0]!.alternativeNames?.uri[0], chain: path }
}

/** From the root down, so that the fault nearest the anchor is the one named. */
function firstFault(
  path: readonly Certificate[],
  judgeOne: (certificate: Certificate, index: number) => Refused | undefined,
): Refused | undefined {
  for (let index = path.length - 1; index >= 0; index -= 1) {
    const fault = judgeOne(path[index]!, index)
    if (fault !== undefined) return fault
  }
  return undefined
}
