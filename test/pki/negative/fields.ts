import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import {
  bitString,
  context,
  encode,
  integer,
  octetString,
  oid,
  only,
  sequence,
  setOf,
  tag,
  text,
  time,
} from '#pki/der.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { publicKeyBits } from '#pki/key-algorithm.ts'
import { encodeName } from '#pki/names.ts'
import { day, now, party } from '../forge.ts'
import type { CertificateAnatomy } from './anatomy.ts'
import { type CertificateMutation, type CertificatePart, type Code, type ForParts, foreignSignature } from './base.ts'

const none = new Uint8Array()
const everywhere = <T>(leaf: T, ca: T, root: T): Record<CertificatePart, T> => ({ leaf, ca, root })

/** A field set to something that its place in the certificate does not allow. */
function set(
  what: string,
  change: Partial<CertificateAnatomy> | ((was: CertificateAnatomy) => Partial<CertificateAnatomy>),
  code: ForParts<CertificatePart, Code> = 'CERTIFICATE_MALFORMED',
): CertificateMutation {
  const made = (was: CertificateAnatomy): CertificateAnatomy => ({
    ...was,
    ...(typeof change === 'function' ? change(was) : change),
  })
  return { what, change: made, code }
}

const version = (value: number): Uint8Array => encode(context(0), integer(value))
const versions: CertificateMutation[] = [
  set('no version, so 1', { version: none }, 'VERSION'),
  set('version 1, written out', { version: version(0) }, 'VERSION'),
  set('version 2', { version: version(1) }, 'VERSION'),
  set('version 4', { version: version(3) }, 'VERSION'),
  set('a negative version', { version: encode(context(0), encode(tag.integer, Uint8Array.of(0xff))) }),
  set('two versions', ({ version: was }) => ({ version: Buffer.concat([was, was]) })),
]

const serial = (...octets: number[]): Uint8Array => encode(tag.integer, Uint8Array.from(octets))
const serials: CertificateMutation[] = [
  set('serial number 0', { serial: integer(0) }, 'SERIAL'),
  set('a negative serial number', { serial: serial(0xfe, 1, 2, 3, 4, 5, 6, 7) }, 'SERIAL'),
  set('a serial number of 21 octets', { serial: serial(...new Array<number>(21).fill(0x11)) }, 'SERIAL'),
  set('a serial number with a zero before it', { serial: serial(0, 0x11, 1, 2, 3, 4, 5, 6, 7) }),
  set('a serial number of no octets', { serial: serial() }),
  set('no serial number', { serial: none }),
  set('a serial number that is an octet string', { serial: octetString(Buffer.alloc(16, 1)) }),
]

const sha384 = sequence(oid('1.2.840.10045.4.3.3'))
const withNull = sequence(oid('1.2.840.10045.4.3.2'), encode(tag.null))
const rsa = sequence(oid('1.2.840.113549.1.1.11'), encode(tag.null))
const unsigned = 'ALGORITHM_UNSUPPORTED'
const algorithms: CertificateMutation[] = [
  set('another algorithm within what is signed', { inner: sha384 }, unsigned),
  set('another algorithm outside of what is signed', { outer: sha384 }, unsigned),
  set('another digest in both algorithms', { inner: sha384, outer: sha384 }, unsigned),
  set('RSA in both algorithms', { inner: rsa, outer: rsa }, unsigned),
  set('parameters within', { inner: withNull }, unsigned),
  set('parameters outside', { outer: withNull }, unsigned),
  set('parameters in both algorithms', { inner: withNull, outer: withNull }, unsigned),
  set('an algorithm that is empty within', { inner: sequence() }, unsigned),
  set('no algorithm within', { inner: none }),
  set('no algorithm outside', { outer: none }),
]

const attribute = (form: number, value: Uint8Array): Uint8Array =>
  setOf([sequence(oid('2.5.4.3'), encode(form, value))])
const badNames: readonly (readonly [string, Uint8Array])[] = [
  ['of a BMPString', sequence(attribute(0x1e, Buffer.from('\0c\0a')))],
  ['of a TeletexString', sequence(attribute(0x14, Buffer.from('ca')))],
  ['of a UTF8String that is not UTF-8', sequence(attribute(tag.utf8String, Uint8Array.of(0xc3)))],
  ['of a PrintableString that is not printable', sequence(attribute(tag.printableString, Buffer.from('a@b')))],
  ['of an empty text', sequence(attribute(tag.utf8String, none))],
  ['with an empty RDN', sequence(encode(tag.set))],
  ['of 17 RDNs', sequence(...new Array<Uint8Array>(17).fill(attribute(tag.utf8String, Buffer.from('ca'))))],
  [
    'with an attribute of three parts',
    sequence(setOf([sequence(oid('2.5.4.3'), text(tag.utf8String, 'a'), integer(1))])),
  ],
  ['that is a set', encode(tag.set)],
]
const elsewhere = encodeName({ organisation: 'Elsewhere', common: 'Someone Else' })
const unlinked = everywhere<Code>('ISSUER_UNKNOWN', 'ISSUER_UNKNOWN', 'ISSUER_UNKNOWN')
const upper = (name: Uint8Array): Uint8Array =>
  Buffer.from(Buffer.from(name).toString('latin1').replace('Forged', 'FORGED'), 'latin1')
const names: CertificateMutation[] = [
  ...badNames.flatMap(([what, name]) => [
    set(`an issuer ${what}`, { issuer: name }),
    set(`a subject ${what}`, { subject: name }),
  ]),
  set('an issuer that is another', { issuer: elsewhere }, unlinked),
  set('an issuer in other letters', ({ issuer }) => ({ issuer: upper(issuer) }), unlinked),
  set('an empty issuer', { issuer: sequence() }, everywhere<Code>('ISSUER_UNKNOWN', 'ISSUER_UNKNOWN', 'NAME_EMPTY')),
  set('no issuer', { issuer: none }),
  set(
    'a subject that is another',
    { subject: elsewhere },
    everywhere<Code>('NAME_CONSTRAINTS', 'ISSUER_UNKNOWN', 'ISSUER_UNKNOWN'),
  ),
  set('an empty subject', { subject: sequence() }, everywhere<Code>('NAME_EMPTY', 'ISSUER_UNKNOWN', 'ISSUER_UNKNOWN')),
  set('no subject', { subject: none }),
]

const utc = (digits: string): Uint8Array => text(tag.utcTime, digits)
const general = (digits: string): Uint8Array => text(tag.generalizedTime, digits)
const badTimes: readonly (readonly [string, Uint8Array])[] = [
  ['without seconds', utc('2606010000Z')],
  ['in a zone of time', utc('260601000000+0000')],
  ['without a zone', utc('260601000000')],
  ['with a fraction', general('20260601000000.5Z')],
  ['on 30 February', utc('260230000000Z')],
  ['at 24 o’clock', utc('260601240000Z')],
  ['in month 13', utc('261301000000Z')],
  ['in a year of two digits', general('260601000000Z')],
  ['that is no time', text(tag.utf8String, '260601000000Z')],
  ['that is empty', utc('')],
]
const times: CertificateMutation[] = [
  ...badTimes.flatMap(([what, value]) => [
    set(`a beginning ${what}`, { notBefore: value }),
    set(`an end ${what}`, { notAfter: value }),
  ]),
  set('a beginning one second ahead', { notBefore: time(now + 1) }, 'NOT_YET_VALID'),
  set('a beginning years ahead', { notBefore: time(now + 9_000 * day) }, 'NOT_YET_VALID'),
  set('an end this second', { notAfter: time(now) }, 'EXPIRED'),
  set('an end one second ago', { notAfter: time(now - 1) }, 'EXPIRED'),
  set('an end in the last century', { notAfter: utc('990101000000Z') }, 'EXPIRED'),
  set('beginning and end exchanged', (was) => ({ notBefore: was.notAfter, notAfter: was.notBefore }), 'NOT_YET_VALID'),
  set('three times', ({ notAfter }) => ({ notAfter: Buffer.concat([notAfter, notAfter]) })),
  set('no end', { notAfter: none }),
]

const curve = (name: string): Uint8Array => publicKeyOctets(generateKeyPairSync('ec', { namedCurve: name }).publicKey)
const spki = (algorithm: Uint8Array, bits: Uint8Array): Uint8Array => sequence(algorithm, bits)
const ecKey = (...parameters: Uint8Array[]): Uint8Array => sequence(oid('1.2.840.10045.2.1'), ...parameters)
const p256 = oid('1.2.840.10045.3.1.7')
function compressed(key: Uint8Array): Uint8Array {
  const bits = publicKeyBits(key)
  return spki(ecKey(p256), bitString(Uint8Array.of(2 + (bits[64]! & 1), ...bits.subarray(1, 33))))
}
function offCurve(key: Uint8Array): Uint8Array {
  const bits = Uint8Array.from(publicKeyBits(key))
  bits[64]! ^= 1
  return spki(ecKey(p256), bitString(bits))
}
const explicitCurve = createPublicKey(
  generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey.export({
    format: 'pem',
    type: 'spki',
  }),
).export({ format: 'der', type: 'spki' })
const keys: CertificateMutation[] = [
  set('a key on P-384', { key: curve('P-384') }, unsigned),
  set('a key on secp256k1', { key: curve('secp256k1') }, unsigned),
  set('a key on brainpoolP256r1', { key: curve('brainpoolP256r1') }, unsigned),
  set('an Ed25519 key', { key: publicKeyOctets(generateKeyPairSync('ed25519').publicKey) }, unsigned),
  set('an RSA key', { key: publicKeyOctets(generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey) }, unsigned),
  set('a key whose curve is written out', { key: explicitCurve }, unsigned),
  set('a compressed point', ({ key }) => ({ key: compressed(key) }), unsigned),
  set('a point off the curve', ({ key }) => ({ key: offCurve(key) }), unsigned),
  set('a point at infinity', { key: spki(ecKey(p256), bitString(Uint8Array.of(0))) }, unsigned),
  set('a key without a curve', ({ key }) => ({ key: spki(ecKey(), bitString(publicKeyBits(key))) }), unsigned),
  set(
    'a key whose curve is NULL',
    ({ key }) => ({ key: spki(ecKey(encode(tag.null)), bitString(publicKeyBits(key))) }),
    unsigned,
  ),
  set('a key of no bits', { key: spki(ecKey(p256), bitString(none)) }, unsigned),
  set('a key with an octet behind it', ({ key }) => ({
    key: sequence(only(key, tag.sequence).content, encode(tag.null)),
  })),
  set('a key that is not whole octets', ({ key }) => ({
    key: spki(ecKey(p256), encode(tag.bitString, Uint8Array.of(1), publicKeyBits(key), Uint8Array.of(0))),
  })),
  set('no key', { key: none }),
  {
    ...set('another key than it issues with', { key: party('x').publicKey }, 'SIGNATURE'),
    parts: ['ca', 'root'],
  },
]

const octet = encode(contextTag(1), Uint8Array.of(0, 1))
function contextTag(number: number): number {
  return 0x80 | number
}
const rest: CertificateMutation[] = [
  set('an issuer’s unique identifier', { unique: octet }),
  set('a subject’s unique identifier', { unique: encode(contextTag(2), Uint8Array.of(0, 1)) }),
  set('no extensions', { extensions: [] }, everywhere<Code>('KEY_ID', 'NOT_A_CA', 'NOT_A_CA')),
  set('something behind the signature', { rest: encode(tag.null) }),
  set('a signature that is not whole octets', { signature: encode(tag.bitString, Uint8Array.of(1, 0x30, 0)) }),
  set('a signature that is an octet string', { signature: octetString(Uint8Array.of(0, 0x30, 0)) }),
  set('no signature', { signature: none }),
]
const bothIntegers = (value: number): Uint8Array => bitString(sequence(integer(value), integer(value)))
const signatures: CertificateMutation[] = [
  set('a signature of somebody else', { signature: foreignSignature() }, 'SIGNATURE'),
  set('an empty signature', { signature: bitString(none) }, 'SIGNATURE'),
  set('a signature of no numbers', { signature: bitString(sequence()) }, 'SIGNATURE'),
  set('a signature of zeros', { signature: bothIntegers(0) }, 'SIGNATURE'),
  set('a signature of ones', { signature: bothIntegers(1) }, 'SIGNATURE'),
].map((mutation) => ({ ...mutation, parts: ['leaf', 'ca'] })) // a root is trusted by being there

export const fieldMutations: readonly CertificateMutation[] = [
  ...versions,
  ...serials,
  ...algorithms,
  ...names,
  ...times,
  ...keys,
  ...rest,
  ...signatures,
]
