import { type Certificate, type Extension, extensionOid, keyUsageBit } from './certificate.ts'
import { type Refused, refused } from './chain-fault.ts'
import { algorithmOfKey, type KeyAlgorithm, signedWith } from './key-algorithm.ts'
import { namesKeyOf } from './key-identifier.ts'
import { constraintFault } from './name-constraints.ts'
import { attributeOf, attributeType } from './names.ts'
import { type LeafProfile, type ProfileName, profiles } from './profiles.ts'
import { idPattern } from './purpose.ts'
import { equalOctets } from './signature.ts'

/** Key identifiers are not among them: they must not be critical. @see RFC 5280, 4.2.1.1 and 4.2.1.2 */
const understood: ReadonlySet<string> = new Set([
  extensionOid.keyUsage,
  extensionOid.subjectAlternativeName,
  extensionOid.basicConstraints,
  extensionOid.nameConstraints,
  extensionOid.certificatePolicies,
  extensionOid.extendedKeyUsage,
])

/** They change what a policy means, critical or not, and are not processed here. */
const policyChanges: ReadonlySet<string> = new Set([
  extensionOid.policyMappings,
  extensionOid.policyConstraints,
  extensionOid.inhibitAnyPolicy,
])

function mayNotIgnore({ oid, critical }: Extension): boolean {
  return policyChanges.has(oid) || (critical && !understood.has(oid))
}

/** Each certificate is signed by a CA's key; @param key the kind that its own must be of */
export function formFault(
  one: Certificate,
  { authority, key }: { authority: KeyAlgorithm; key: KeyAlgorithm },
): Refused | undefined {
  const named = `serial ${one.serial}`
  if (one.version !== 3) return refused('VERSION', `${named} is version ${one.version}`)
  const oids = one.extensions.map(({ oid }) => oid)
  if (new Set(oids).size !== oids.length) return refused('EXTENSION_DUPLICATE', `${named} says one thing twice`)
  const unknown = one.extensions.find(mayNotIgnore)
  if (unknown !== undefined) return refused('EXTENSION_UNKNOWN', `${named} has an extension ${unknown.oid}`)
  const signed = equalOctets(authority.signature, one.innerAlgorithm)
  if (!signed || !equalOctets(one.innerAlgorithm, one.outerAlgorithm)) {
    return refused('ALGORITHM_UNSUPPORTED', `${named} is signed otherwise than this PKI signs`)
  }
  if (algorithmOfKey(one.publicKey, [key]) === undefined) {
    return refused('ALGORITHM_UNSUPPORTED', `the key of ${named} is not of this PKI's kinds`)
  }
  return serialFault(one) ?? nameFault(one)
}

/** @see RFC 5280, 4.1.2.2: positive, 20 octets at most */
function serialFault({ serial, serialOctets }: Certificate): Refused | undefined {
  const positive = serialOctets[0]! < 0x80 && serialOctets.some((octet) => octet !== 0)
  return positive && serialOctets.length <= 20 ? undefined : refused('SERIAL', `${serial} is no serial number`)
}

/** Someone must be named. @see RFC 5280, 4.1.2.4, 4.1.2.6 and 4.2.1.6 */
function nameFault({ serial, issuer, subject, basicConstraints, extensions }: Certificate): Refused | undefined {
  const empty = (name: Uint8Array): boolean => name.length === 2
  if (empty(issuer)) return refused('NAME_EMPTY', `serial ${serial} names no issuer`)
  if (!empty(subject)) return undefined
  const named = extensions.find(({ oid }) => oid === extensionOid.subjectAlternativeName)
  if (basicConstraints?.ca !== true && named?.critical === true) return undefined
  return refused('NAME_EMPTY', `serial ${serial} names no subject`)
}

/** What belongs to a CA and is claimed by another. @see RFC 5280, 4.2.1.3 and 4.2.1.9 */
export function claimFault({ serial, basicConstraints, keyUsage }: Certificate): Refused | undefined {
  const { ca = false, pathLength } = basicConstraints ?? {}
  const signs = keyUsage?.has(keyUsageBit.keyCertSign) === true
  if (!ca && pathLength !== undefined) return refused('PATH_LENGTH', `serial ${serial} has one, and is no CA`)
  if (!ca && signs) return refused('KEY_USAGE', `serial ${serial} may sign certificates, and is no CA`)
  if (!signs && pathLength !== undefined) return refused('KEY_USAGE', `serial ${serial} may not sign certificates`)
  return undefined
}

/**
 * The last second is not counted, though RFC 5280 does: OpenSSL does not, and the two must not differ on what is accepted.
 * @see RFC 5280, 4.1.2.5
 */
export function validityFault(one: Certificate, at: number): Refused | undefined {
  if (!(at >= one.notBefore)) return refused('NOT_YET_VALID', `serial ${one.serial} begins at ${one.notBefore}`)
  if (!(at < one.notAfter)) return refused('EXPIRED', `serial ${one.serial} ends at ${one.notAfter}`)
  return undefined
}

/**
 * A trust anchor issued itself: it names no issuer but itself, by name and by key. Its signature is not asked for.
 * OpenSSL does not take another for an anchor either.
 */
export function anchorFault(root: Certificate): Refused | undefined {
  const named = `root ${root.serial}`
  if (!equalOctets(root.issuer, root.subject)) return refused('ISSUER_UNKNOWN', `${named} was issued by another`)
  if (root.authorityKeyId === undefined && root.authorityCertificate === undefined) return undefined
  return namesKeyOf(root, root) ? undefined : refused('KEY_ID', `${named} names another key than its own`)
}

/** @see RFC 5280, 4.2.1.3 and 4.2.1.9 */
export function authorityFault(one: Certificate): Refused | undefined {
  const named = `serial ${one.serial}`
  if (one.basicConstraints?.ca !== true) return refused('NOT_A_CA', `${named} issued another and is no CA`)
  const constraints = one.extensions.find(({ oid }) => oid === extensionOid.basicConstraints)
  if (constraints?.critical !== true) return refused('NOT_A_CA', `${named} says so, and not critically`)
  if (one.keyUsage?.has(keyUsageBit.keyCertSign) !== true) {
    return refused('KEY_USAGE', `${named} may not sign certificates`)
  }
  return undefined
}

/** Self-issued CAs do not count. @param between the CAs from this one down to the leaf @see RFC 5280, 6.1.4 (l) */
export function pathLengthFault(one: Certificate, between: readonly Certificate[]): Refused | undefined {
  const allowed = one.basicConstraints?.pathLength
  const below = between.filter(({ subject, issuer }) => !equalOctets(subject, issuer)).length
  if (allowed === undefined || below <= allowed) return undefined
  return refused('PATH_LENGTH', `serial ${one.serial} allows ${allowed} CAs below it, there are ${below}`)
}

export function linkFault(one: Certificate, issuer: Certificate, authority: KeyAlgorithm): Refused | undefined {
  const named = `serial ${one.serial}`
  if (one.authorityKeyId === undefined || issuer.subjectKeyId === undefined) {
    return refused('KEY_ID', `${named} or its issuer names no key`)
  }
  if (!namesKeyOf(one, issuer)) return refused('KEY_ID', `${named} names another key of its issuer`)
  const { publicKey } = issuer
  if (signedWith(authority, one.tbs, { publicKey, signature: one.signature })) return undefined
  return refused('SIGNATURE', `${named} is not signed by its issuer`)
}

/**
 * A CA's name constraints, laid on every certificate below it; self-issued CAs need not keep to them. The root's count too.
 * @param below the certificates from the leaf up to this one
 * @see RFC 5280, 6.1.3 (b) and (c), 4.2.1.10
 */
export function constraintsFault(one: Certificate, below: readonly Certificate[]): Refused | undefined {
  const found = one.extensions.find(({ oid }) => oid === extensionOid.nameConstraints)
  if (found === undefined || one.nameConstraints === undefined) return undefined
  if (!found.critical) return refused('NAME_CONSTRAINTS', `those of serial ${one.serial} are not critical`)
  for (const [index, each] of below.entries()) {
    const leaf = index === 0
    if (!leaf && equalOctets(each.subject, each.issuer)) continue
    const none = { dns: [], ip: [], uri: [], email: [], directory: [] }
    const names = { ...none, ...each.alternativeNames, subject: each.subject, leaf }
    const fault =
      (each.alternativeNames?.others ?? 0) > 0 ? 'a name of another form' : constraintFault(one.nameConstraints, names)
    if (fault !== undefined) return refused('NAME_CONSTRAINTS', `serial ${each.serial} below ${one.serial}: ${fault}`)
  }
  return undefined
}

/** Is the leaf of this class, and do the CAs above it issue this class? The root may issue any. */
export function purposeFault(path: readonly Certificate[], purpose: ProfileName): Refused | undefined {
  const [leaf, ...authorities] = path
  const profile = profiles[purpose]
  const lacking = profile.keyUsage.find((usage) => leaf!.keyUsage?.has(keyUsageBit[usage]) !== true)
  if (lacking !== undefined) return refused('KEY_USAGE', `the leaf lacks key usage ${lacking}`)
  if (leaf!.basicConstraints?.ca === true) return refused('IDENTITY', 'the leaf is a CA')
  if (leaf!.nameConstraints !== undefined) return refused('NAME_CONSTRAINTS', 'the leaf has some, and is no CA')
  return (
    extendedKeyUsageFault(leaf!, authorities, { purpose, profile }) ??
    policyFault(path.slice(0, -1), profile) ??
    identityFault(leaf!, { purpose, profile })
  )
}

interface Wanted {
  purpose: ProfileName
  profile: LeafProfile
}

/** A manufacturer's certificates are not of our making: such a leaf may name no purpose, which means any. */
function extendedKeyUsageFault(
  leaf: Certificate,
  authorities: readonly Certificate[],
  { purpose, profile }: Wanted,
): Refused | undefined {
  if (purpose === 'manufacturer' && leaf.extendedKeyUsage === undefined) return undefined
  for (const wanted of profile.extendedKeyUsage) {
    if (leaf.extendedKeyUsage?.includes(wanted) !== true)
      return refused('EXTENDED_KEY_USAGE', `the leaf lacks ${wanted}`)
    const barring = authorities.find(({ extendedKeyUsage }) => extendedKeyUsage?.includes(wanted) === false)
    if (barring !== undefined) return refused('EXTENDED_KEY_USAGE', `CA ${barring.serial} bars ${wanted}`)
  }
  return undefined
}

/**
 * Each certificate below the root names the policies of the class itself: neither anyPolicy nor a mapping stands in for one,
 * so that this accepts no path for which the valid policy tree would be empty.
 * @see RFC 5280, 6.1.3 (d) and (f), with the initial policy set being the class's and an explicit policy required
 */
function policyFault(path: readonly Certificate[], { policies }: LeafProfile): Refused | undefined {
  for (const one of path) {
    const lacking = policies.find((wanted) => one.policies?.includes(wanted) !== true)
    if (lacking !== undefined) return refused('POLICY', `serial ${one.serial} does not name policy ${lacking}`)
  }
  return undefined
}

function identityFault(leaf: Certificate, { purpose, profile: { names } }: Wanted): Refused | undefined {
  if (purpose === 'manufacturer') {
    const found = attributeOf(leaf.subject, attributeType.serialNumber)
    return found === undefined ? refused('IDENTITY', 'the subject has no serial number') : undefined
  }
  const given = leaf.alternativeNames
  if (names === 'none')
    return given === undefined ? undefined : refused('IDENTITY', 'the leaf has alternative names, where none belong')
  if (given === undefined || given.others + given.email.length + given.directory.length > 0)
    return refused('IDENTITY', 'the leaf has no alternative names, or odd ones')
  if (names === 'hosts') {
    return given.dns.length + given.ip.length > 0 ? undefined : refused('IDENTITY', 'no DNS name and no address')
  }
  const [uri] = given.uri
  if (given.uri.length !== 1 || !uri!.startsWith(names.uri) || !idPattern.test(uri!.slice(names.uri.length))) {
    return refused('IDENTITY', `the leaf's one URI is not ${names.uri} and an id`)
  }
  return undefined
}
