import { type Certificate, extensionOid, keyUsageBit } from '../certificate.ts'
import { constraintFault, nameForm } from '../name-constraints.ts'
import { equalOctets } from '../signature.ts'
import { find, type Linted, type LintRule } from './rule.ts'

/** What a certificate and its issuer must agree on, and what bounds a CA. */
export const issuerRules: readonly LintRule[] = [
  {
    name: 'issuer-is-the-issuers-subject',
    source: 'RFC 5280, 4.1.2.4',
    holds: ({ certificate, issuer }) => equalOctets(certificate.issuer, issuer.subject),
  },
  {
    name: 'validity-within-the-issuers',
    source: 'RFC 5280, 6.1.3 (a)(2): a chain is valid while each link is',
    holds: ({ certificate, issuer }) => certificate.notAfter <= issuer.notAfter,
  },
  {
    name: 'authority-key-id-is-the-issuers',
    source: 'RFC 5280, 4.2.1.1',
    holds: ({ certificate: { authorityKeyId }, issuer }) =>
      authorityKeyId === undefined || authorityKeyId === issuer.subjectKeyId,
  },
  {
    name: 'issuer-signs-certificates',
    source: 'RFC 5280, 4.2.1.3 and 4.2.1.9',
    holds: ({ issuer }) =>
      issuer.basicConstraints?.ca === true && issuer.keyUsage?.has(keyUsageBit.keyCertSign) === true,
  },
  {
    name: 'path-length-below-the-issuers',
    source: 'RFC 5280, 4.2.1.9 and 6.1.4 (l)',
    holds: (linted) => linted.profile.pathLength === undefined || isRoot(linted) || pathLengthFits(linted),
  },
  {
    name: 'names-within-the-issuers-constraints',
    source: 'RFC 5280, 4.2.1.10 and 6.1.3 (b), (c)',
    holds: ({ certificate, issuer }) =>
      issuer.nameConstraints === undefined ||
      constraintFault(issuer.nameConstraints, namesOf(certificate)) === undefined,
  },
  {
    name: 'purposes-within-the-issuers',
    source: "Microsoft and Mozilla read a CA's extended key usages as bounds, RFC 5280, 4.2.1.12, does not; profile",
    holds: ({ certificate, issuer }) => isWithin(certificate.extendedKeyUsage, issuer.extendedKeyUsage),
  },
  {
    name: 'policies-within-the-issuers',
    source: 'RFC 5280, 6.1.3 (d)',
    holds: ({ certificate, issuer }) => isWithin(certificate.policies, issuer.policies),
  },
  {
    name: 'name-constraints-critical',
    source: 'RFC 5280, 4.2.1.10',
    holds: ({ certificate }) => find(certificate, extensionOid.nameConstraints)?.critical !== false,
  },
  {
    name: 'issuing-ca-is-constrained-in-every-form',
    source:
      'RFC 5280, 4.2.1.10; profile: a CA of path length 0 has a unit of its own, and a word on hosts and mailboxes',
    holds: ({ certificate, profile }) => profile.pathLength !== 0 || isConstrained(certificate),
  },
]

function isRoot({ certificate, issuer }: Linted): boolean {
  return certificate === issuer
}

/** A CA below another must leave it room. */
function pathLengthFits({ certificate, issuer }: Linted): boolean {
  const [own, most] = [certificate.basicConstraints?.pathLength, issuer.basicConstraints?.pathLength]
  return own === undefined || most === undefined || own < most
}

function namesOf({ subject, alternativeNames, basicConstraints }: Certificate): Parameters<typeof constraintFault>[1] {
  const none = { dns: [], ip: [], uri: [], email: [], directory: [] }
  const names = { ...none, ...alternativeNames, subject, leaf: basicConstraints?.ca !== true }
  return { ...names, ip: names.ip.filter(({ length }) => length === 4 || length === 16) }
}

/** An issuer that bounds nothing allows all. */
function isWithin(own: readonly string[] | undefined, issuers: readonly string[] | undefined): boolean {
  return issuers === undefined || (own ?? []).every((one) => issuers.includes(one))
}

/** Not necessarily on addresses: `init` may be told that its clients cannot read constraints of that form. */
function isConstrained({ nameConstraints }: Certificate): boolean {
  const { permitted = [], excluded = [] } = nameConstraints ?? {}
  const spoken = new Set([...permitted, ...excluded].map(({ form }) => form))
  const everyForm = [nameForm.directory, nameForm.dns, nameForm.email].every((form) => spoken.has(form))
  return everyForm && permitted.some(({ form }) => form === nameForm.directory)
}
