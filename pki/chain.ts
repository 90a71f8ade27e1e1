import { type Certificate, type Extension, extensionOid, keyUsageBit, parseCertificate } from './certificate.ts'
import type { Crl } from './crl.ts'
import { PkiError } from './errors.ts'
import { idPattern, type Purpose, purposes } from './purpose.ts'
import { ecdsaSha256, equalOctets, isP256, signatureHolds } from './signature.ts'

/** Why a chain is refused. Stable, public text: add, never rename. */
export type ChainFault =
  | 'CERTIFICATE_MALFORMED'
  | 'VERSION'
  | 'ALGORITHM_UNSUPPORTED'
  | 'EXTENSION_DUPLICATE'
  | 'EXTENSION_UNKNOWN'
  | 'CHAIN_LENGTH'
  | 'ISSUER_UNKNOWN'
  | 'KEY_ID'
  | 'SIGNATURE'
  | 'EXPIRED'
  | 'NOT_YET_VALID'
  | 'NOT_A_CA'
  | 'PATH_LENGTH'
  | 'KEY_USAGE'
  | 'EXTENDED_KEY_USAGE'
  | 'IDENTITY'
  | 'CRL_MISSING'
  | 'CRL_STALE'
  | 'CRL_NOT_YET_VALID'
  | 'CRL_SIGNATURE'
  | 'CRL_KEY_ID'
  | 'CRL_UNSUPPORTED'
  | 'REVOKED'
  | 'CA_REVOKED'

export interface Accepted {
  ok: true
  /** the leaf's URI (`urn:ami:…`); a gateway has none */
  uri: string | undefined
  /** leaf first, root last */
  chain: Certificate[]
}
export interface Refused {
  ok: false
  code: ChainFault
  detail: string
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
  purpose: Purpose
}

/** Certificates from leaf to root, the most that are followed. */
export const chainLengthMax = 5
/** Certificates offered as intermediates, the most. */
export const intermediatesMax = 8
/** Paths tried for one leaf, the most. */
const pathsMax = 16

/**
 * Judges a chain: path, signatures, validity, extensions, revocation. Pure, and never throws: any octets get a verdict.
 * Stricter than RFC 5280 where this PKI is narrower: P-256 with SHA-256 only, names compared octet for octet, no name
 * constraints or policies, key purposes named by the leaf, a CRL for each issuer.
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

function refused(code: ChainFault, detail: string): Refused {
  return { ok: false, code, detail }
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

function judge(path: Certificate[], { at, crls, purpose }: ChainQuestion): Verdict {
  const root = path.at(-1)!
  const authorities = path.slice(1)
  const fault =
    firstFault(path, (one) => formFault(one) ?? validityFault(one, at)) ??
    firstFault(authorities, authorityFault) ??
    firstFault(authorities, (one, index) => pathLengthFault(one, authorities.slice(0, index))) ??
    firstFault(path.slice(0, -1), (one, index) => linkFault(one, path[index + 1]!)) ??
    purposeFault(path, purpose) ??
    firstFault(path, (one, index) => revocationFault(one, path[index + 1] ?? root, { at, crls, leaf: index === 0 }))
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

const understood: ReadonlySet<string> = new Set([
  extensionOid.subjectKeyId,
  extensionOid.keyUsage,
  extensionOid.subjectAlternativeName,
  extensionOid.basicConstraints,
  extensionOid.authorityKeyId,
  extensionOid.extendedKeyUsage,
])

function mayNotIgnore({ oid, critical }: Extension): boolean {
  return oid === extensionOid.nameConstraints || (critical && !understood.has(oid))
}

function formFault(one: Certificate): Refused | undefined {
  const named = `serial ${one.serial}`
  if (one.version !== 3) return refused('VERSION', `${named} is version ${one.version}`)
  const oids = one.extensions.map(({ oid }) => oid)
  if (new Set(oids).size !== oids.length) return refused('EXTENSION_DUPLICATE', `${named} says one thing twice`)
  const unknown = one.extensions.find(mayNotIgnore)
  if (unknown !== undefined) return refused('EXTENSION_UNKNOWN', `${named} has a critical extension ${unknown.oid}`)
  if (!equalOctets(one.innerAlgorithm, ecdsaSha256) || !equalOctets(one.outerAlgorithm, ecdsaSha256)) {
    return refused('ALGORITHM_UNSUPPORTED', `${named} is not signed with ecdsa-with-SHA256`)
  }
  if (!isP256(one.publicKey)) return refused('ALGORITHM_UNSUPPORTED', `the key of ${named} is not P-256`)
  return undefined
}

/** Both ends belong to the validity. @see RFC 5280, 4.1.2.5 */
function validityFault(one: Certificate, at: number): Refused | undefined {
  if (!(at >= one.notBefore)) return refused('NOT_YET_VALID', `serial ${one.serial} begins at ${one.notBefore}`)
  if (!(at < one.notAfter + 1)) return refused('EXPIRED', `serial ${one.serial} ended at ${one.notAfter}`)
  return undefined
}

function authorityFault(one: Certificate): Refused | undefined {
  const named = `serial ${one.serial}`
  if (one.basicConstraints?.ca !== true) return refused('NOT_A_CA', `${named} issued another and is no CA`)
  if (one.keyUsage?.has(keyUsageBit.keyCertSign) !== true) {
    return refused('KEY_USAGE', `${named} may not sign certificates`)
  }
  return undefined
}

/** Self-issued CAs do not count. @param between the CAs from this one down to the leaf @see RFC 5280, 6.1.4 (l) */
function pathLengthFault(one: Certificate, between: readonly Certificate[]): Refused | undefined {
  const allowed = one.basicConstraints?.pathLength
  const below = between.filter(({ subject, issuer }) => !equalOctets(subject, issuer)).length
  if (allowed === undefined || below <= allowed) return undefined
  return refused('PATH_LENGTH', `serial ${one.serial} allows ${allowed} CAs below it, there are ${below}`)
}

function linkFault(one: Certificate, issuer: Certificate): Refused | undefined {
  const named = `serial ${one.serial}`
  if (one.authorityKeyId === undefined || issuer.subjectKeyId === undefined) {
    return refused('KEY_ID', `${named} or its issuer names no key`)
  }
  if (one.authorityKeyId !== issuer.subjectKeyId) return refused('KEY_ID', `${named} names another key of its issuer`)
  if (!signatureHolds(issuer.publicKey, one.tbs, one.signature))
    return refused('SIGNATURE', `${named} is not signed by its issuer`)
  return undefined
}

function purposeFault([leaf, ...authorities]: readonly Certificate[], purpose: Purpose): Refused | undefined {
  const rule = purposes[purpose]
  if (leaf!.keyUsage?.has(rule.keyUsage) !== true)
    return refused('KEY_USAGE', `the leaf lacks key usage ${rule.keyUsage}`)
  if (leaf!.basicConstraints?.ca === true) return refused('IDENTITY', 'the leaf is a CA')
  for (const wanted of rule.extendedKeyUsage) {
    if (leaf!.extendedKeyUsage?.includes(wanted) !== true)
      return refused('EXTENDED_KEY_USAGE', `the leaf lacks ${wanted}`)
    const barring = authorities.find(({ extendedKeyUsage }) => extendedKeyUsage?.includes(wanted) === false)
    if (barring !== undefined) return refused('EXTENDED_KEY_USAGE', `CA ${barring.serial} bars ${wanted}`)
  }
  return identityFault(leaf!, rule.uri)
}

function identityFault(leaf: Certificate, prefix: string | undefined): Refused | undefined {
  const names = leaf.alternativeNames
  if (names === undefined || names.others > 0)
    return refused('IDENTITY', 'the leaf has no alternative names, or odd ones')
  if (prefix === undefined) {
    return names.dns.length + names.ip.length > 0 ? undefined : refused('IDENTITY', 'no DNS name and no address')
  }
  const [uri] = names.uri
  if (names.uri.length !== 1 || !uri!.startsWith(prefix) || !idPattern.test(uri!.slice(prefix.length))) {
    return refused('IDENTITY', `the leaf's one URI is not ${prefix} and an id`)
  }
  return undefined
}

interface RevocationQuestion {
  at: number
  crls: readonly Crl[]
  leaf: boolean
}

/** Any acceptable CRL of the issuer answers; being named by any of its signed lists, even a stale one, refuses. */
function revocationFault(one: Certificate, issuer: Certificate, question: RevocationQuestion): Refused | undefined {
  const lists = question.crls.filter((crl) => equalOctets(crl.issuer, issuer.subject))
  const named = `serial ${one.serial}`
  if (lists.length === 0) return refused('CRL_MISSING', `no CRL covers ${named}`)
  const faults = lists.map((crl) => crlFault(crl, issuer, question.at))
  const listing = lists.findIndex((crl, index) => faults[index] !== 'CRL_SIGNATURE' && crl.serials.has(one.serial))
  if (listing >= 0) return refused(question.leaf ? 'REVOKED' : 'CA_REVOKED', `${named} is on its issuer's CRL`)
  return faults.includes(undefined) ? undefined : refused(faults[0]!, `the CRL that covers ${named}`)
}

function crlFault(crl: Crl, issuer: Certificate, at: number): ChainFault | undefined {
  if (!crlSignatureHolds(crl, issuer)) return 'CRL_SIGNATURE'
  if (crl.authorityKeyId !== issuer.subjectKeyId) return 'CRL_KEY_ID'
  if (crl.unsupported) return 'CRL_UNSUPPORTED'
  if (!(at >= crl.thisUpdate)) return 'CRL_NOT_YET_VALID'
  if (crl.nextUpdate === undefined || !(at <= crl.nextUpdate)) return 'CRL_STALE'
  return undefined
}

/** A CRL's signature covers all its octets: checked once for a CRL and a key, however many handshakes ask. */
const crlChecks = new WeakMap<Crl, Map<string, boolean>>()

function crlSignatureHolds(crl: Crl, issuer: Certificate): boolean {
  if (issuer.keyUsage?.has(keyUsageBit.crlSign) !== true) return false
  const checks = crlChecks.get(crl) ?? new Map<string, boolean>()
  const key = Buffer.from(issuer.publicKey).toString('base64')
  const holds = checks.get(key) ?? crlHolds(crl, issuer.publicKey)
  checks.set(key, holds)
  crlChecks.set(crl, checks)
  return holds
}

function crlHolds(crl: Crl, publicKey: Uint8Array): boolean {
  return (
    equalOctets(crl.innerAlgorithm, ecdsaSha256) &&
    equalOctets(crl.outerAlgorithm, ecdsaSha256) &&
    signatureHolds(publicKey, crl.tbs, crl.signature)
  )
}
