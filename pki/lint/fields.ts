import type { Certificate } from '../certificate.ts'
import { DerReader, only, tag } from '../der.ts'
import { algorithmOfKey, keyAlgorithms } from '../key-algorithm.ts'
import { looksLikeHost } from '../name-constraints.ts'
import { attributeOf, attributeType, nameOf } from '../names.ts'
import { backdateSeconds, daySeconds, noEnd, type Profile } from '../profiles.ts'
import { equalOctets } from '../signature.ts'
import { isEmptyName, keyAlgorithmOf, type LintRule } from './rule.ts'

/** What stands before the extensions. */
export const fieldRules: readonly LintRule[] = [
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
    name: 'signature-is-as-the-profile-set-signs',
    source: 'RFC 5758, 3.2, and RFC 9881, 2: parameters absent; profile set',
    holds: ({ certificate, profileSet }) =>
      equalOctets(certificate.innerAlgorithm, keyAlgorithms[profileSet.authority].signature),
  },
  {
    name: 'key-is-of-the-profile-set',
    source: 'RFC 5480, 2.1.1: named curve; RFC 9881, 4; profile set',
    holds: (linted) => algorithmOfKey(linted.certificate.publicKey, [keyAlgorithmOf(linted)]) !== undefined,
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
    name: 'common-name-is-no-host',
    source:
      'RFC 9525, 6.1: a host is named in the alternative names; OpenSSL lays DNS constraints on such a common name',
    holds: ({ certificate: { subject, alternativeNames } }) =>
      (alternativeNames?.dns.length ?? 0) > 0 || !looksLikeHost(attributeOf(subject, attributeType.common) ?? ''),
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
    holds: ({ certificate: { notBefore, notAfter }, profile: { days } }) =>
      days === undefined ? notAfter <= noEnd : notAfter - notBefore <= days * daySeconds + backdateSeconds,
  },
]

function commonNameAgrees({ subject, alternativeNames }: Certificate, { names }: Profile): boolean {
  const common = attributeOf(subject, attributeType.common)
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
