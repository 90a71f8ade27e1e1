import { extensionOid, parseCertificate } from '#pki/certificate.ts'
import { boolean, encode, integer, octetString, oid, sequence, tag } from '#pki/der.ts'
import { policy } from '#pki/purpose.ts'
import { type CertificateAnatomy, type ExtensionParts, extensionOf, extensionParts } from './anatomy.ts'
import { type CertificateMutation, type CertificatePart, type Code, type ForParts, right } from './base.ts'

type ExtensionName = keyof typeof extensionOid

const none = new Uint8Array()
const isOf = (name: ExtensionName, extension: Uint8Array): boolean =>
  Buffer.compare(extensionParts(extension).type, oid(extensionOid[name])) === 0

/** The certificate with one of its extensions made into any number of others. */
function withExtension(
  was: CertificateAnatomy,
  name: ExtensionName,
  change: (parts: ExtensionParts) => Uint8Array[],
): CertificateAnatomy {
  const extensions = was.extensions.flatMap((one) => (isOf(name, one) ? change(extensionParts(one)) : [one]))
  return { ...was, extensions }
}

/** An extension's value set, in its place or behind the others. */
export function valued(
  name: ExtensionName,
  what: string,
  value: Uint8Array | ((part: CertificatePart) => Uint8Array),
  code: ForParts<CertificatePart, Code>,
  options: { parts?: CertificatePart[]; critical?: boolean } = {},
): CertificateMutation {
  const { critical, ...said } = options
  const change = (was: CertificateAnatomy, part: CertificatePart): CertificateAnatomy => {
    const octets = typeof value === 'function' ? value(part) : value
    const flag = critical === undefined ? {} : { critical: critical ? boolean(true) : none }
    if (was.extensions.some((one) => isOf(name, one)))
      return withExtension(was, name, (parts) => [extensionOf({ ...parts, value: octets, ...flag })])
    const made = extensionOf({ type: oid(extensionOid[name]), critical: none, value: octets, ...flag })
    return { ...was, extensions: [...was.extensions, made] }
  }
  return { what: `${name}: ${what}`, change, code, ...said }
}

interface Kind {
  what: string
  code: Code
  change(parts: ExtensionParts): Uint8Array[]
}

const kinds: readonly Kind[] = [
  { what: 'twice', code: 'EXTENSION_DUPLICATE', change: (parts) => [extensionOf(parts), extensionOf(parts)] },
  {
    what: 'of an empty value',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, value: none })],
  },
  {
    what: 'with something behind its value',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, value: Buffer.concat([parts.value, encode(tag.null)]) })],
  },
  {
    what: 'whose value is cut short',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, value: parts.value.subarray(0, -1) })],
  },
  {
    what: 'whose value is of another type',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, value: encode(tag.utf8String, Buffer.from('x')) })],
  },
  {
    what: 'whose length has an octet too many',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, value: lengthened(parts.value) })],
  },
  {
    what: 'that writes out that it is not critical',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, critical: boolean(false) })],
  },
  {
    what: 'that is critical by 01',
    code: 'CERTIFICATE_MALFORMED',
    change: (parts) => [extensionOf({ ...parts, critical: encode(tag.boolean, Uint8Array.of(1)) })],
  },
  {
    what: 'with a field more',
    code: 'CERTIFICATE_MALFORMED',
    change: ({ type, critical, value }) => [sequence(type, critical, octetString(value), encode(tag.null))],
  },
  {
    what: 'whose value is a bit string',
    code: 'CERTIFICATE_MALFORMED',
    change: ({ type, critical, value }) => [sequence(type, critical, encode(tag.bitString, Uint8Array.of(0), value))],
  },
]

/** 30 03 … becomes 30 81 03 …, which is BER and no DER. */
function lengthened(value: Uint8Array): Uint8Array {
  const [identifier, ...rest] = value
  return rest[0]! < 0x80
    ? Uint8Array.of(identifier!, 0x81, ...rest)
    : Uint8Array.of(identifier!, 0x82, 0, ...rest.slice(1))
}

const present: Readonly<Record<CertificatePart, readonly ExtensionName[]>> = {
  leaf: namesIn(right.leaf),
  ca: namesIn(right.ca),
  root: namesIn(right.root),
}

function namesIn(der: Uint8Array): ExtensionName[] {
  const oids = parseCertificate(der).extensions.map((one) => one.oid)
  return (Object.keys(extensionOid) as ExtensionName[]).filter((name) => oids.includes(extensionOid[name]))
}

/** Read by nobody here: a value of the responder's address that is wrong misleads no judge. */
const unread: ReadonlySet<ExtensionName> = new Set(['authorityInfoAccess'])
const aboutTheValue = new Set(kinds.slice(1, 6).map(({ what }) => what))

function generic(part: CertificatePart, name: ExtensionName): CertificateMutation[] {
  return kinds
    .filter(({ what }) => !(unread.has(name) && aboutTheValue.has(what)))
    .map(({ what, code, change }) => ({
      what: `${name} ${what}`,
      code,
      parts: [part],
      change: (was) => withExtension(was, name, change),
    }))
}

function missing(
  name: ExtensionName,
  code: ForParts<CertificatePart, Code>,
  parts: CertificatePart[],
): CertificateMutation {
  return { what: `no ${name}`, code, parts, change: (was) => withExtension(was, name, () => []) }
}

/** Critical where it was not, or not where it was. */
function turned(name: ExtensionName, code: Code, parts: CertificatePart[]): CertificateMutation {
  const turn = (one: ExtensionParts): Uint8Array[] => [
    extensionOf({ ...one, critical: one.critical.length === 0 ? boolean(true) : none }),
  ]
  return { what: `${name} of other criticality`, code, parts, change: (was) => withExtension(was, name, turn) }
}

const all: CertificatePart[] = ['leaf', 'ca', 'root']

/** Extensions that are not there, or not as critical as they must be. */
const absent: readonly CertificateMutation[] = [
  missing('authorityKeyId', 'KEY_ID', ['leaf', 'ca']),
  missing('subjectKeyId', 'KEY_ID', ['ca', 'root']),
  missing('basicConstraints', 'NOT_A_CA', ['ca', 'root']),
  missing('keyUsage', 'KEY_USAGE', all),
  missing('certificatePolicies', 'POLICY', ['leaf', 'ca']),
  missing('extendedKeyUsage', 'EXTENDED_KEY_USAGE', ['leaf']),
  missing('subjectAlternativeName', 'IDENTITY', ['leaf']),
  turned('authorityKeyId', 'EXTENSION_UNKNOWN', all),
  turned('subjectKeyId', 'EXTENSION_UNKNOWN', all),
  turned('basicConstraints', 'NOT_A_CA', ['ca', 'root']),
  turned('nameConstraints', 'NAME_CONSTRAINTS', ['ca']),
  turned('crlDistributionPoints', 'EXTENSION_UNKNOWN', ['leaf']),
  turned('authorityInfoAccess', 'EXTENSION_UNKNOWN', ['leaf']),
]

function added(what: string, extensions: readonly Uint8Array[], code: Code, parts = all): CertificateMutation {
  return { what, code, parts, change: (was) => ({ ...was, extensions: [...was.extensions, ...extensions] }) }
}

const unknown = (type: string, critical: boolean): Uint8Array =>
  extensionOf({ type: oid(type), critical: critical ? boolean(true) : none, value: encode(tag.null) })

/** Well-formed ones, for what they are. */
const policyChange = {
  policyMappings: sequence(sequence(oid(policy.operator), oid(policy.concentrator))),
  policyConstraints: sequence(encode(0x80, Uint8Array.of(0))),
  inhibitAnyPolicy: integer(0),
} as const

const foreign: readonly CertificateMutation[] = [
  added('an unknown critical extension', [unknown('1.2.3.4', true)], 'EXTENSION_UNKNOWN'),
  added('a critical extension that is Netscape’s', [unknown('2.16.840.1.113730.1.13', true)], 'EXTENSION_UNKNOWN'),
  added(
    '33 extensions',
    Array.from({ length: 33 }, (_, at) => unknown(`1.2.3.${at + 5}`, false)),
    'CERTIFICATE_MALFORMED',
  ),
  ...(['policyMappings', 'policyConstraints', 'inhibitAnyPolicy'] as const).flatMap((name) => [
    valued(name, 'there, and not processed', policyChange[name], 'EXTENSION_UNKNOWN'),
    valued(name, 'there and critical', policyChange[name], 'EXTENSION_UNKNOWN', { critical: true }),
  ]),
]

export const extensionMutations: readonly CertificateMutation[] = [
  ...all.flatMap((part) => present[part].flatMap((name) => generic(part, name))),
  ...absent,
  ...foreign,
]
