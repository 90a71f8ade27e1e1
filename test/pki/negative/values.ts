import { parseCertificate } from '#pki/certificate.ts'
import { bitList, boolean, context, encode, integer, octetString, oid, sequence, tag, text } from '#pki/der.ts'
import { rangeOctets } from '#pki/name-constraints.ts'
import { encodeName } from '#pki/names.ts'
import { keyPurpose, policy } from '#pki/purpose.ts'
import { type CertificateMutation, type CertificatePart, right } from './base.ts'
import { valued } from './extensions.ts'

const malformed = 'CERTIFICATE_MALFORMED'
const issuing: CertificatePart[] = ['ca', 'root']

/** Every bit alone, but those that suffice. @see RFC 5280, 4.2.1.3 */
const usages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
]
const usageBits: CertificateMutation[] = usages.flatMap((usage, bit) => [
  ...(bit === 0 ? [] : [valued('keyUsage', `${usage} alone`, bitList([bit]), 'KEY_USAGE', { parts: ['leaf'] })]),
  ...(bit === 5
    ? [valued('keyUsage', `${usage} alone`, bitList([bit]), 'CRL_SIGNATURE', { parts: issuing })]
    : [valued('keyUsage', `${usage} alone`, bitList([bit]), 'KEY_USAGE', { parts: issuing })]),
])
const usage: CertificateMutation[] = [
  ...usageBits,
  valued('keyUsage', 'to sign certificates besides', bitList([0, 5]), 'KEY_USAGE', { parts: ['leaf'] }),
  valued('keyUsage', 'of no bit', encode(tag.bitString, Uint8Array.of(0)), 'KEY_USAGE'),
  valued('keyUsage', 'with 8 unused bits', encode(tag.bitString, Uint8Array.of(8, 0x86)), malformed),
  valued('keyUsage', 'of 24 bits', encode(tag.bitString, Uint8Array.of(0, 0x86, 0x80, 1)), malformed),
]

const basic: CertificateMutation[] = [
  valued('basicConstraints', 'no CA, written out', sequence(boolean(false)), malformed),
  valued('basicConstraints', 'a CA by 01', sequence(encode(tag.boolean, Uint8Array.of(1)), integer(1)), malformed),
  valued(
    'basicConstraints',
    'a negative path length',
    sequence(boolean(true), encode(tag.integer, Uint8Array.of(0xff))),
    malformed,
  ),
  valued('basicConstraints', 'a path length over 31 bits', sequence(boolean(true), integer(2 ** 33)), malformed),
  valued(
    'basicConstraints',
    'a path length with a zero before',
    sequence(boolean(true), encode(tag.integer, Uint8Array.of(0, 1))),
    malformed,
  ),
  valued('basicConstraints', 'a field more', sequence(boolean(true), integer(1), integer(1)), malformed),
  valued('basicConstraints', 'a path length and no CA', sequence(integer(1)), {
    leaf: 'PATH_LENGTH',
    ca: 'NOT_A_CA',
    root: 'NOT_A_CA',
  }),
  valued('basicConstraints', 'a path length too short', sequence(boolean(true), integer(0)), 'PATH_LENGTH', {
    parts: ['root'],
  }),
  valued('basicConstraints', 'no CA', sequence(), 'NOT_A_CA', { parts: issuing }),
  valued('basicConstraints', 'a CA', sequence(boolean(true)), 'IDENTITY', { parts: ['leaf'] }),
  valued('basicConstraints', 'a CA with a path length', sequence(boolean(true), integer(0)), 'KEY_USAGE', {
    parts: ['leaf'],
  }),
]

const purposes = {
  ...keyPurpose,
  codeSigning: '1.3.6.1.5.5.7.3.3',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  any: '2.5.29.37.0',
  unknown: '1.2.3.4',
}
const purpose: CertificateMutation[] = Object.entries(purposes)
  .filter(([, type]) => type !== keyPurpose.clientAuth)
  .map(([name, type]) =>
    valued('extendedKeyUsage', `${name} alone`, sequence(oid(type)), 'EXTENDED_KEY_USAGE', { parts: ['leaf', 'ca'] }),
  )

const otherPolicies = { ...policy, any: '2.5.29.32.0', unknown: '1.2.3.4' }
const named = (...all: string[]): Uint8Array => sequence(...all.map((one) => sequence(oid(one))))
const policies: CertificateMutation[] = [
  ...Object.entries(otherPolicies)
    .filter(([name]) => name !== 'concentrator')
    .map(([name, type]) =>
      valued('certificatePolicies', `${name} alone`, named(type), 'POLICY', { parts: ['leaf', 'ca'] }),
    ),
  valued('certificatePolicies', 'one of them twice', named(policy.concentrator, policy.concentrator), malformed),
  valued('certificatePolicies', 'an empty list', sequence(), malformed),
  valued(
    'certificatePolicies',
    'an odd qualifier',
    sequence(sequence(oid(policy.concentrator), integer(1))),
    malformed,
  ),
  valued(
    'certificatePolicies',
    'over 32',
    named(...Array.from({ length: 33 }, (_, at) => `1.2.3.${at}`), policy.concentrator),
    malformed,
  ),
]

const ours = 'urn:ami:concentrator:c1'
const uri = (value: string): Uint8Array => text(0x86, value)
const badIdentities: readonly (readonly [string, Uint8Array[]])[] = [
  ...['gateway', 'sealer', 'mdm', 'operator', 'researcher'].map((role): [string, Uint8Array[]] => [
    `a ${role}`,
    [uri(`urn:ami:${role}:c1`)],
  ]),
  ['no id', [uri('urn:ami:concentrator:')]],
  ['an id of 65 characters', [uri(`urn:ami:concentrator:${'c'.repeat(65)}`)]],
  ['an id with a slash', [uri('urn:ami:concentrator:c/1')]],
  ['a prefix in other letters', [uri('URN:ami:concentrator:c1')]],
  ['two ids', [uri(ours), uri('urn:ami:concentrator:c2')]],
  ['one id twice', [uri(ours), uri(ours)]],
  ['an id and another role', [uri(ours), uri('urn:ami:sealer:c1')]],
  ['an id and a URL', [uri(ours), uri('https://c1.test/')]],
]
const mailbox = text(0x81, 'c1@forged.test')
const host = text(0x82, 'c1.test')
const outside: readonly (readonly [string, Uint8Array[]])[] = [
  ['a DNS name', [host]],
  ['a DNS name besides', [uri(ours), host]],
  ['a wildcard besides', [uri(ours), text(0x82, '*.test')]],
  ['a mailbox besides', [uri(ours), mailbox]],
  ['an IPv4 address besides', [uri(ours), encode(0x87, Uint8Array.of(10, 0, 0, 1))]],
  ['an IPv6 address besides', [uri(ours), encode(0x87, new Uint8Array(16))]],
  ['an address of 5 octets besides', [uri(ours), encode(0x87, new Uint8Array(5))]],
  ['a directory name outside besides', [uri(ours), encode(0xa4, encodeName({ common: 'x' }))]],
  ['a registered id besides', [uri(ours), encode(0x88, Uint8Array.of(42, 3))]],
  ['another name besides', [uri(ours), encode(0xa0, oid('1.2.3.4'), encode(0xa0, text(tag.utf8String, 'x')))]],
]
const inside = encodeName({ organisation: 'Forged', unit: 'Devices', common: 'c2' })
const alternatives: CertificateMutation[] = [
  ...badIdentities.map(([what, names]) =>
    valued('subjectAlternativeName', what, sequence(...names), 'IDENTITY', { parts: ['leaf'] }),
  ),
  ...outside.map(([what, names]) =>
    valued('subjectAlternativeName', what, sequence(...names), 'NAME_CONSTRAINTS', { parts: ['leaf'] }),
  ),
  valued(
    'subjectAlternativeName',
    'a directory name inside besides',
    sequence(uri(ours), encode(0xa4, inside)),
    'IDENTITY',
    { parts: ['leaf'] },
  ),
  valued('subjectAlternativeName', 'an empty list', sequence(), malformed),
  valued('subjectAlternativeName', 'a URI that is not ASCII', sequence(uri('urn:ami:concentrator:ç')), malformed),
  valued('subjectAlternativeName', 'a URI with a zero octet', sequence(uri('urn:ami:concentrator:c1\0.x')), malformed),
]

const keyId = (octets: Uint8Array): Uint8Array => encode(0x80, octets)
const other = Buffer.alloc(20, 7)
const issuerKey = (part: CertificatePart): Uint8Array => {
  const issuer = parseCertificate(part === 'leaf' ? right.ca : right.root)
  return keyId(Buffer.from(issuer.subjectKeyId!, 'hex'))
}
const rootName = encode(context(1), encode(0xa4, parseCertificate(right.root).subject))
const someName = encode(context(1), encode(0xa4, encodeName({ common: 'x' })))
const rootSerial = encode(0x82, parseCertificate(right.root).serialOctets)
const someSerial = encode(0x82, Uint8Array.of(1))
const keyIds: CertificateMutation[] = [
  valued('authorityKeyId', 'another key', sequence(keyId(other)), 'KEY_ID'),
  valued('authorityKeyId', 'nothing', sequence(), 'KEY_ID', { parts: ['leaf', 'ca'] }),
  valued('authorityKeyId', 'an issuer alone', sequence(rootName, someSerial), 'KEY_ID'),
  valued(
    'authorityKeyId',
    'another serial number',
    (part) => sequence(issuerKey(part), rootName, someSerial),
    'KEY_ID',
  ),
  valued('authorityKeyId', 'another issuer', (part) => sequence(issuerKey(part), someName, rootSerial), 'KEY_ID'),
  valued(
    'authorityKeyId',
    'an issuer without a serial number',
    (part) => sequence(issuerKey(part), rootName),
    malformed,
  ),
  valued(
    'authorityKeyId',
    'a serial number without an issuer',
    (part) => sequence(issuerKey(part), rootSerial),
    malformed,
  ),
  valued(
    'authorityKeyId',
    'an issuer that is a host',
    (part) => sequence(issuerKey(part), encode(context(1), host), rootSerial),
    malformed,
  ),
  valued('subjectKeyId', 'another key', octetString(other), 'KEY_ID', { parts: ['ca', 'root'] }),
]

const subtree = (form: number, base: Uint8Array): Uint8Array => sequence(encode(form, base))
const permitted = (...all: Uint8Array[]): Uint8Array => encode(context(0), ...all)
const excluded = (...all: Uint8Array[]): Uint8Array => encode(context(1), ...all)
const unit = (name: string): Uint8Array => encodeName({ organisation: 'Forged', unit: name })
const directory = (name: Uint8Array): Uint8Array => subtree(0xa4, name)
const dns = (name: string): Uint8Array => subtree(0x82, Buffer.from(name))
const url = (name: string): Uint8Array => subtree(0x86, Buffer.from(name))
const range = (name: string): Uint8Array => subtree(0x87, rangeOctets(name))
/** The leaf is `O=Forged, OU=Devices, CN=c1` with a URN and no other name. */
const barring: readonly (readonly [string, Uint8Array])[] = [
  ['another unit permitted', sequence(permitted(directory(unit('People'))))],
  ['another organisation permitted', sequence(permitted(directory(encodeName({ organisation: 'x' }))))],
  [
    'a name longer than the leaf’s permitted',
    sequence(
      permitted(directory(encodeName({ organisation: 'Forged', unit: 'Devices', serialNumber: '1', common: 'c1' }))),
    ),
  ],
  ['the unit excluded', sequence(excluded(directory(unit('Devices'))))],
  ['every name excluded', sequence(excluded(directory(encodeName({}))))],
  [
    'the unit permitted and excluded',
    sequence(permitted(directory(unit('Devices'))), excluded(directory(unit('Devices')))),
  ],
  [
    'the unit in other letters excluded',
    sequence(excluded(directory(encodeName({ organisation: 'FORGED', unit: 'devices' })))),
  ],
  ['URIs of a host permitted', sequence(permitted(url('c1.test')))],
  ['URIs of a host excluded', sequence(excluded(url('c1.test')))],
]
const one = dns('a.test')
const unreadable: readonly (readonly [string, Uint8Array])[] = [
  ['that say nothing', sequence()],
  ['of an empty list', sequence(permitted())],
  ['of an empty list of exclusions', sequence(permitted(directory(unit('Devices'))), excluded())],
  [
    'with a minimum',
    sequence(permitted(sequence(encode(0x82, Buffer.from('a.test')), encode(0x80, Uint8Array.of(1))))),
  ],
  [
    'with a maximum',
    sequence(permitted(sequence(encode(0x82, Buffer.from('a.test')), encode(0x81, Uint8Array.of(1))))),
  ],
  [
    'with a minimum that is the default',
    sequence(permitted(sequence(encode(0x82, Buffer.from('a.test')), encode(0x80, Uint8Array.of(0))))),
  ],
  ['of registered ids', sequence(excluded(subtree(0x88, Uint8Array.of(42, 3))))],
  [
    'of other names',
    sequence(excluded(subtree(0xa0, Buffer.concat([oid('1.2.3.4'), encode(0xa0, text(tag.utf8String, 'x'))])))),
  ],
  ['of an address without a mask', sequence(excluded(subtree(0x87, new Uint8Array(4))))],
  ['of an address of 9 octets', sequence(excluded(subtree(0x87, new Uint8Array(9))))],
  ['of a DNS name that is not ASCII', sequence(excluded(subtree(0x82, Uint8Array.of(0xe7))))],
  ['of a subtree without a name', sequence(permitted(sequence()))],
  ['in the other order', sequence(excluded(one), permitted(directory(unit('Devices'))))],
  ['with a third list', sequence(permitted(directory(unit('Devices'))), encode(context(2), one))],
  ['of over 64 subtrees', sequence(excluded(...Array.from({ length: 65 }, (_, at) => dns(`a${at}.test`))))],
]
const constraints: CertificateMutation[] = [
  ...barring.flatMap(([what, value]) => [
    valued('nameConstraints', what, value, 'NAME_CONSTRAINTS', { parts: ['ca'], critical: true }),
  ]),
  ...unreadable.map(([what, value]) =>
    valued('nameConstraints', what, value, malformed, { parts: ['ca'], critical: true }),
  ),
  valued(
    'nameConstraints',
    'on the root, of another organisation',
    sequence(permitted(directory(encodeName({ organisation: 'x' })))),
    'NAME_CONSTRAINTS',
    { parts: ['root'], critical: true },
  ),
  valued('nameConstraints', 'on the root, not critical', sequence(permitted(range('10.0.0.0/8'))), 'NAME_CONSTRAINTS', {
    parts: ['root'],
  }),
  valued('nameConstraints', 'on a leaf', sequence(permitted(directory(unit('Devices')))), 'NAME_CONSTRAINTS', {
    parts: ['leaf'],
    critical: true,
  }),
]

const point = (...fields: Uint8Array[]): Uint8Array => sequence(sequence(...fields))
const http = encode(context(0), encode(context(0), uri('http://crl.test/0.crl')))
const points: CertificateMutation[] = [
  valued('crlDistributionPoints', 'an empty list', sequence(), malformed),
  valued('crlDistributionPoints', 'over 8', sequence(...new Array<Uint8Array>(9).fill(sequence(http))), malformed),
  valued('crlDistributionPoints', 'no name in one', point(encode(context(0), encode(context(0)))), malformed),
  valued(
    'crlDistributionPoints',
    'a boolean for a name',
    point(encode(context(0), encode(context(0), boolean(true)))),
    malformed,
  ),
  valued(
    'crlDistributionPoints',
    'a name of no kind',
    point(encode(context(0), uri('http://crl.test/0.crl'))),
    malformed,
  ),
  valued('crlDistributionPoints', 'reasons of no octets', point(http, encode(0x81)), malformed),
  valued('crlDistributionPoints', 'an empty issuer', point(http, encode(context(2))), malformed),
  valued('crlDistributionPoints', 'a field more', point(http, encode(0x83, Uint8Array.of(0))), malformed),
]

export const valueMutations: readonly CertificateMutation[] = [
  ...usage,
  ...basic,
  ...purpose,
  ...policies,
  ...alternatives,
  ...keyIds,
  ...constraints,
  ...points,
]
