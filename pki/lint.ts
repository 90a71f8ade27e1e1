import { createHash } from 'node:crypto'
import { type Certificate, type Extension, extensionOid, keyUsageBit } from './certificate.ts'
import { DerReader, only, tag } from './der.ts'
import { PkiError } from './errors.ts'
import { nameOf } from './names.ts'
import { backdateSeconds, daySeconds, type Profile } from './profiles.ts'
import { idPattern } from './purpose.ts'
import { ecdsaSha256, equalOctets, isP256 } from './signature.ts'

/** A certificate beside what it should be. For a root the issuer is itself. */
export interface Linted {
  certificate: Certificate
  profile: Profile
  issuer: Certificate
}

export interface LintRule {
  name: string
  source: string
  holds(linted: Linted): boolean
}

/** The rules a certificate breaks, in the order of the list; none: it may be signed. Never throws on what parsed. */
export function lint(linted: Linted): LintRule[] {
  return lintRules.filter((rule) => !held(rule, linted))
}

/** What a rule cannot read, it does not find in order. */
function held(rule: LintRule, linted: Linted): boolean {
  try {
    return rule.holds(linted)
  } catch (cause) {
    if (cause instanceof PkiError) return false
    throw cause
  }
}

/** Each says one thing: what another rule asks for is taken as given where it is missing. */
export const lintRules: readonly LintRule[] = [
  {
    name: 'version-is-3',
    source: 'RFC 5280, 4.1.2.1',
    holds: ({ certificate }) => certificate.version === 3,
  },
  {
    name: 'serial-is-positive',
    source: 'RFC 5280, 4.1.2.2',
    holds: ({ certificate: { serialOctets } }) => serialOctets[0]! < 0x80 && serialOctets.some((octet) => octet !== 0),
  },
  {
    name: 'serial-is-short',
    source: 'RFC 5280, 4.1.2.2',
    holds: ({ certificate }) => certificate.serialOctets.length <= 20,
  },
  {
    name: 'serial-is-unpredictable',
    source: 'CA/Browser Forum Baseline Requirements, 7.1: 64 bits at least',
    holds: ({ certificate }) => certificate.serialOctets.length >= 8,
  },
  {
    name: 'algorithms-agree',
    source: 'RFC 5280, 4.1.1.2',
    holds: ({ certificate }) => equalOctets(certificate.innerAlgorithm, certificate.outerAlgorithm),
  },
  {
    name: 'algorithm-is-ecdsa-sha256',
    source: 'RFC 5758, 3.2: parameters absent',
    holds: ({ certificate }) => equalOctets(certificate.innerAlgorithm, ecdsaSha256),
  },
  {
    name: 'key-is-p256',
    source: 'RFC 5480, 2.1.1: named curve',
    holds: ({ certificate }) => isP256(certificate.publicKey),
  },
  {
    name: 'issuer-is-the-issuers-subject',
    source: 'RFC 5280, 4.1.2.4',
    holds: ({ certificate, issuer }) => equalOctets(certificate.issuer, issuer.subject),
  },
  {
    name: 'subject-is-named',
    source: 'RFC 5280, 4.1.2.6; profile',
    holds: ({ certificate }) => !isEmptyName(certificate.subject),
  },
  {
    name: 'one-attribute-an-rdn',
    source: 'profile: names compare octet for octet',
    holds: ({ certificate }) => nameOf(certificate.subject).every((attributes) => attributes.length === 1),
  },
  {
    name: 'common-name-is-the-id',
    source: 'profile: subject CN = id',
    holds: ({ certificate, profile }) => commonNameAgrees(certificate, profile),
  },
  {
    name: 'times-in-the-right-form',
    source: 'RFC 5280, 4.1.2.5: UTCTime before 2050',
    holds: ({ certificate }) => timeTags(certificate).every(([form, text]) => (form === tag.utcTime) === text < '2050'),
  },
  {
    name: 'validity-in-order',
    source: 'RFC 5280, 4.1.2.5',
    holds: ({ certificate }) => certificate.notBefore <= certificate.notAfter,
  },
  {
    name: 'validity-within-the-profile',
    source: 'profile: days',
    holds: ({ certificate: { notBefore, notAfter }, profile }) =>
      notAfter - notBefore <= profile.days * daySeconds + backdateSeconds,
  },
  {
    name: 'validity-within-the-issuers',
    source: 'RFC 5280, 6.1.3 (a)(2): a chain is valid while each link is',
    holds: ({ certificate, issuer }) => certificate.notAfter <= issuer.notAfter,
  },
  {
    name: 'extensions-once',
    source: 'RFC 5280, 4.2',
    holds: ({ certificate: { extensions } }) => new Set(extensions.map(({ oid }) => oid)).size === extensions.length,
  },
  {
    name: 'extensions-known',
    source: 'profile: nothing beyond what it lists',
    holds: ({ certificate }) => certificate.extensions.every(({ oid }) => profileExtensions.has(oid)),
  },
  {
    name: 'authority-key-id-present',
    source: 'RFC 5280, 4.2.1.1',
    holds: ({ certificate }) => certificate.authorityKeyId !== undefined,
  },
  {
    name: 'authority-key-id-is-the-issuers',
    source: 'RFC 5280, 4.2.1.1',
    holds: ({ certificate: { authorityKeyId }, issuer }) =>
      authorityKeyId === undefined || authorityKeyId === issuer.subjectKeyId,
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
      subjectKeyId === undefined || subjectKeyId === createHash('sha1').update(publicKey.subarray(-65)).digest('hex'),
  },
  {
    name: 'key-ids-not-critical',
    source: 'RFC 5280, 4.2.1.1 and 4.2.1.2',
    holds: ({ certificate }) =>
      [extensionOid.authorityKeyId, extensionOid.subjectKeyId].every(
        (oid) => find(certificate, oid)?.critical !== true,
      ),
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
    holds: ({ certificate, profile }) =>
      JSON.stringify((certificate.extendedKeyUsage ?? []).toSorted()) ===
      JSON.stringify(profile.extendedKeyUsage.toSorted()),
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
]

const profileExtensions: ReadonlySet<string> = new Set([
  extensionOid.authorityKeyId,
  extensionOid.subjectKeyId,
  extensionOid.basicConstraints,
  extensionOid.keyUsage,
  extensionOid.extendedKeyUsage,
  extensionOid.subjectAlternativeName,
])

function find({ extensions }: Certificate, oid: string): Extension | undefined {
  return extensions.find((extension) => extension.oid === oid)
}

function isEmptyName(name: Uint8Array): boolean {
  return name.length === 2
}

const commonNameOid = '2.5.4.3'

/** The common name of a DER Name, `undefined` where there is none. @throws PkiError `DER_MALFORMED` */
export function commonNameOf(name: Uint8Array): string | undefined {
  return nameOf(name)
    .flat()
    .find(({ type }) => type === commonNameOid)?.value
}

function commonNameAgrees({ subject, alternativeNames }: Certificate, { names }: Profile): boolean {
  const common = commonNameOf(subject)
  const [uri] = alternativeNames?.uri ?? []
  if (typeof names === 'string' || common === undefined || uri?.startsWith(names.uri) !== true) return true
  return common === uri.slice(names.uri.length)
}

/** Form and four-digit-year text of both times. */
function timeTags({ validity }: Certificate): [number, string][] {
  const times = new DerReader(only(validity, tag.sequence).content)
  return [times.next(), times.next()].map(({ tag: form, content }) => {
    const text = Buffer.from(content).toString('latin1')
    return [form, form === tag.utcTime ? '1950' : text] // a UTCTime cannot say 2050 or later
  })
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
  const { dns, ip, uri, others } = alternativeNames ?? { dns: [], ip: [], uri: [], others: 0 }
  if (others > 0) return false
  const hosts = dns.length + ip.length
  if (names === 'none') return hosts + uri.length === 0
  if (names === 'hosts') return hosts > 0 && uri.length === 0
  return (
    hosts === 0 && uri.length === 1 && uri[0]!.startsWith(names.uri) && idPattern.test(uri[0]!.slice(names.uri.length))
  )
}
