import { type Certificate, type Extension, extensionOid, keyUsageBit } from '../certificate.ts'
import { contextPrimitive, DerReader, decodeAscii, decodeOid, only, tag } from '../der.ts'
import { decodeDistributionPoints } from '../distribution-point.ts'
import type { Profile } from '../profiles.ts'
import { idPattern, keyPurpose } from '../purpose.ts'
import { keyIdOf } from '../unsigned.ts'
import { find, isEmptyName, type LintRule, plain, sameSet } from './rule.ts'

/** What each extension says, by itself and by the profile. */
export const extensionRules: readonly LintRule[] = [
  {
    name: 'extensions-once',
    source: 'RFC 5280, 4.2',
    holds: ({ certificate: { extensions } }) => new Set(extensions.map(({ oid }) => oid)).size === extensions.length,
  },
  {
    name: 'extensions-known',
    source: 'profile: nothing beyond what it lists',
    holds: ({ certificate, profile }) => {
      const allowed = profile.pathLength === undefined ? leafExtensions : authorityExtensions
      return certificate.extensions.every(({ oid }) => allowed.has(oid))
    },
  },
  {
    name: 'authority-key-id-present',
    source: 'RFC 5280, 4.2.1.1',
    holds: ({ certificate }) => certificate.authorityKeyId !== undefined,
  },
  {
    name: 'subject-key-id-present',
    source: 'RFC 5280, 4.2.1.2',
    holds: ({ certificate }) => certificate.subjectKeyId !== undefined,
  },
  {
    name: 'subject-key-id-is-the-hash',
    source: 'RFC 5280, 4.2.1.2 (1)',
    holds: ({ certificate: { subjectKeyId, publicKey } }) =>
      subjectKeyId === undefined || subjectKeyId === Buffer.from(keyIdOf(publicKey)).toString('hex'),
  },
  {
    name: 'key-ids-not-critical',
    source: 'RFC 5280, 4.2.1.1 and 4.2.1.2',
    holds: ({ certificate }) => plain(certificate, 'authorityKeyId', 'subjectKeyId'),
  },
  {
    name: 'key-usage-critical',
    source: 'RFC 5280, 4.2.1.3',
    holds: ({ certificate }) => find(certificate, extensionOid.keyUsage)?.critical !== false,
  },
  {
    name: 'key-usage-is-the-profiles',
    source: 'RFC 5280, 4.2.1.3; profile',
    holds: ({ certificate, profile }) => keyUsageIs(certificate, profile),
  },
  {
    name: 'key-usage-is-minimal',
    source: 'X.690, 11.2.2: trailing zero bits removed',
    holds: ({ certificate }) => keyUsageIsMinimal(find(certificate, extensionOid.keyUsage)),
  },
  {
    name: 'basic-constraints-critical',
    source: 'RFC 5280, 4.2.1.9',
    holds: ({ certificate }) => find(certificate, extensionOid.basicConstraints)?.critical === true,
  },
  {
    name: 'ca-is-the-profiles',
    source: 'RFC 5280, 4.2.1.9; profile',
    holds: ({ certificate: { basicConstraints }, profile }) =>
      (basicConstraints?.ca ?? false) === (profile.pathLength !== undefined),
  },
  {
    name: 'path-length-is-the-profiles',
    source: 'RFC 5280, 4.2.1.9: only for a CA; profile',
    holds: ({ certificate: { basicConstraints }, profile }) =>
      basicConstraints?.ca !== true
        ? basicConstraints?.pathLength === undefined
        : profile.pathLength === undefined || basicConstraints.pathLength === profile.pathLength,
  },
  {
    name: 'extended-key-usage-is-the-profiles',
    source: 'RFC 5280, 4.2.1.12; profile',
    holds: ({ certificate, profile }) => sameSet(certificate.extendedKeyUsage ?? [], profile.extendedKeyUsage),
  },
  {
    name: 'extended-key-usage-not-critical',
    source: 'RFC 5280, 4.2.1.12: either way; profile: those who know none of them must still read the certificate',
    holds: ({ certificate }) => plain(certificate, 'extendedKeyUsage'),
  },
  {
    name: 'policies-are-the-profiles',
    source: 'RFC 5280, 4.2.1.4; profile',
    holds: ({ certificate, profile }) => sameSet(certificate.policies ?? [], profile.policies),
  },
  {
    name: 'policies-not-critical',
    source: 'RFC 5280, 4.2.1.4: either way; profile: as extended key usages',
    holds: ({ certificate }) => plain(certificate, 'certificatePolicies'),
  },
  {
    name: 'alternative-names-are-the-profiles',
    source: 'RFC 5280, 4.2.1.6; profile',
    holds: ({ certificate, profile }) => namesAre(certificate, profile),
  },
  {
    name: 'alternative-names-critical-only-without-a-subject',
    source: 'RFC 5280, 4.2.1.6',
    holds: ({ certificate }) =>
      (find(certificate, extensionOid.subjectAlternativeName)?.critical ?? isEmptyName(certificate.subject)) ===
      isEmptyName(certificate.subject),
  },
  {
    name: 'addresses-have-their-length',
    source: 'RFC 5280, 4.2.1.6: 4 or 16 octets',
    holds: ({ certificate }) =>
      (certificate.alternativeNames?.ip ?? []).every(({ length }) => length === 4 || length === 16),
  },
  {
    name: 'one-distribution-point-over-http',
    source: 'RFC 5280, 4.2.1.13: not critical, a full name by http',
    holds: ({ certificate }) => {
      const found = find(certificate, extensionOid.crlDistributionPoints)
      if (found === undefined) return true
      const uris = decodeDistributionPoints(found.value)
      return !found.critical && uris.length === 1 && uris[0]!.startsWith('http://')
    },
  },
  {
    name: 'information-access-is-ocsp-over-http',
    source: 'RFC 5280, 4.2.2.1: not critical; RFC 6960, 3.1',
    holds: ({ certificate }) => {
      const found = find(certificate, extensionOid.authorityInfoAccess)
      return found === undefined || (!found.critical && isOcspOverHttp(found.value))
    },
  },
  {
    name: 'no-check-is-the-responders-alone',
    source: 'RFC 6960, 4.2.2.2.1: a NULL, not critical; profile',
    holds: ({ certificate, profile }) => {
      const found = find(certificate, extensionOid.ocspNoCheck)
      if (!profile.extendedKeyUsage.includes(keyPurpose.ocspSigning) || profile.pathLength !== undefined)
        return found === undefined
      return found !== undefined && !found.critical && only(found.value, tag.null).content.length === 0
    },
  },
]

const commonExtensions: readonly string[] = [
  extensionOid.authorityKeyId,
  extensionOid.subjectKeyId,
  extensionOid.basicConstraints,
  extensionOid.keyUsage,
  extensionOid.certificatePolicies,
  extensionOid.extendedKeyUsage,
  extensionOid.crlDistributionPoints,
  extensionOid.authorityInfoAccess,
]
const authorityExtensions: ReadonlySet<string> = new Set([...commonExtensions, extensionOid.nameConstraints])
const leafExtensions: ReadonlySet<string> = new Set([
  ...commonExtensions,
  extensionOid.subjectAlternativeName,
  extensionOid.ocspNoCheck,
])

const ocspAccessOid = '1.3.6.1.5.5.7.48.1'

function isOcspOverHttp(value: Uint8Array): boolean {
  const list = new DerReader(only(value, tag.sequence).content)
  const fields = list.enter(tag.sequence)
  list.end()
  const method = decodeOid(fields.take(tag.oid))
  return method === ocspAccessOid && decodeAscii(fields.take(contextPrimitive(6))).startsWith('http://')
}

function keyUsageIs({ keyUsage }: Certificate, profile: Profile): boolean {
  const wanted = profile.keyUsage.map((usage) => keyUsageBit[usage])
  return keyUsage?.size === wanted.length && wanted.every((bit) => keyUsage.has(bit))
}

function keyUsageIsMinimal(extension: Extension | undefined): boolean {
  if (extension === undefined) return true
  const { content } = only(extension.value, tag.bitString)
  const last = content.at(-1)!
  return content.length === 1 ? content[0] === 0 : ((last >> content[0]!) & 1) === 1
}

function namesAre({ alternativeNames }: Certificate, { names }: Profile): boolean {
  const none = { dns: [], ip: [], uri: [], email: [], directory: [], others: 0 }
  const { dns, ip, uri, email, directory, others } = alternativeNames ?? none
  if (others + email.length + directory.length > 0) return false
  const hosts = dns.length + ip.length
  if (names === 'none') return hosts + uri.length === 0
  if (names === 'hosts') return hosts > 0 && uri.length === 0
  return (
    hosts === 0 && uri.length === 1 && uri[0]!.startsWith(names.uri) && idPattern.test(uri[0]!.slice(names.uri.length))
  )
}
