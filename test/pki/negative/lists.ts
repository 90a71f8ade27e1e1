import { extensionOid, parseCertificate } from '#pki/certificate.ts'
import { bitString, boolean, context, encode, integer, octetString, oid, sequence, tag, text, time } from '#pki/der.ts'
import { issuingDistributionPointOid } from '#pki/distribution-point.ts'
import { encodeName } from '#pki/names.ts'
import { day, now } from '../forge.ts'
import { type CrlAnatomy, extensionOf, extensionParts } from './anatomy.ts'
import { type Code, type CrlMutation, type CrlPart, type ForParts, foreignSignature, right, shardUri } from './base.ts'

const none = new Uint8Array()

function set(
  what: string,
  change: Partial<CrlAnatomy> | ((was: CrlAnatomy, part: CrlPart) => Partial<CrlAnatomy>),
  code: ForParts<CrlPart, Code> = 'CRL_MALFORMED',
): CrlMutation {
  const made = (was: CrlAnatomy, part: CrlPart): CrlAnatomy => ({
    ...was,
    ...(typeof change === 'function' ? change(was, part) : change),
  })
  return { what, change: made, code }
}

const sha384 = sequence(oid('1.2.840.10045.4.3.3'))
const withNull = sequence(oid('1.2.840.10045.4.3.2'), encode(tag.null))
const fields: CrlMutation[] = [
  set('no version, so 1', { version: none }),
  set('version 1, written out', { version: integer(0) }),
  set('version 3', { version: integer(2) }),
  set('another algorithm within what is signed', { inner: sha384 }, 'CRL_SIGNATURE'),
  set('another algorithm outside of what is signed', { outer: sha384 }, 'CRL_SIGNATURE'),
  set('another digest in both algorithms', { inner: sha384, outer: sha384 }, 'CRL_SIGNATURE'),
  set('parameters in both algorithms', { inner: withNull, outer: withNull }, 'CRL_SIGNATURE'),
  set('no algorithm within', { inner: none }),
  set('an issuer that is another', { issuer: encodeName({ common: 'Someone Else' }) }, 'CRL_MISSING'),
  set('an issuer that is the other CA', (_, part) => ({ issuer: otherName(part) }), 'CRL_MISSING'),
  set('an empty issuer', { issuer: sequence() }, 'CRL_MISSING'),
  set('no issuer', { issuer: none }),
  set('something behind the signature', { rest: encode(tag.null) }),
  set('a signature of somebody else', { signature: foreignSignature() }, 'CRL_SIGNATURE'),
  set('an empty signature', { signature: bitString(none) }, 'CRL_SIGNATURE'),
  set('a signature of zeros', { signature: bitString(sequence(integer(0), integer(0))) }, 'CRL_SIGNATURE'),
  set('a signature that is not whole octets', { signature: encode(tag.bitString, Uint8Array.of(1, 0x30, 0)) }),
  set('no signature', { signature: none }),
]

function otherName(part: CrlPart): Uint8Array {
  return parseCertificate(part === 'caCrl' ? right.root : right.ca).subject
}

const badTimes: readonly (readonly [string, Uint8Array])[] = [
  ['without seconds', text(tag.utcTime, '2606010000Z')],
  ['in a zone of time', text(tag.utcTime, '260601000000+0000')],
  ['with a fraction', text(tag.generalizedTime, '20260601000000.5Z')],
  ['on 30 February', text(tag.utcTime, '260230000000Z')],
  ['that is empty', text(tag.utcTime, '')],
]
const times: CrlMutation[] = [
  ...badTimes.flatMap(([what, value]) => [
    set(`an update ${what}`, { thisUpdate: value }),
    set(`a next update ${what}`, { nextUpdate: value }),
  ]),
  set('an update one second ahead', { thisUpdate: time(now + 1) }, 'CRL_NOT_YET_VALID'),
  set('an update years ahead', { thisUpdate: time(now + 9_000 * day) }, 'CRL_NOT_YET_VALID'),
  set('a next update this second', { nextUpdate: time(now) }, 'CRL_STALE'),
  set('a next update one second ago', { nextUpdate: time(now - 1) }, 'CRL_STALE'),
  set('a next update in the last century', { nextUpdate: text(tag.utcTime, '990101000000Z') }, 'CRL_STALE'),
  set('no next update', { nextUpdate: none }, 'CRL_STALE'),
  set('no update at all', { thisUpdate: none, nextUpdate: none }),
]

const listedSerial = (part: CrlPart): Uint8Array =>
  encode(tag.integer, parseCertificate(part === 'caCrl' ? right.leaf : right.ca).serialOctets)
const otherSerial = integer(77)
const reason = (code: number): Uint8Array =>
  sequence(oid(extensionOid.crlReason), octetString(encode(tag.enumerated, Uint8Array.of(code))))
const foreignIssuer = sequence(
  oid('2.5.29.29'),
  boolean(true),
  octetString(sequence(encode(context(4), encodeName({ common: 'x' })))),
)
const revoked = { caCrl: 'REVOKED', rootCrl: 'CA_REVOKED' } as const
const at = time(now - day)
const entry = (serial: Uint8Array, ...rest: Uint8Array[]): Uint8Array => sequence(serial, at, ...rest)
const bad = (what: string, one: Uint8Array, code: Code = 'CRL_MALFORMED'): CrlMutation =>
  set(`an entry ${what}`, ({ entries }) => ({ entries: [...entries, one] }), code)
const listing = (what: string, ...extensions: Uint8Array[]): CrlMutation =>
  set(
    `an entry of the certificate, ${what}`,
    (_, part) => ({ entries: [entry(listedSerial(part), ...extensions)] }),
    revoked,
  )
const entries: CrlMutation[] = [
  listing('without a reason'),
  ...[1, 2, 3, 4, 5, 6, 8, 9, 10].map((code) => listing(`for reason ${code}`, sequence(reason(code)))),
  set(
    'an entry of the certificate, from tomorrow',
    (_, part) => ({ entries: [sequence(listedSerial(part), time(now + day))] }),
    revoked,
  ),
  set(
    'an entry of the certificate, among others',
    ({ entries: was }, part) => ({ entries: [...was, entry(listedSerial(part)), entry(otherSerial)] }),
    revoked,
  ),
  bad(
    'with a critical extension',
    entry(otherSerial, sequence(sequence(oid('1.2.3.4'), boolean(true), octetString(encode(tag.null))))),
    'CRL_UNSUPPORTED',
  ),
  bad('of another issuer', entry(otherSerial, sequence(foreignIssuer)), 'CRL_UNSUPPORTED'),
  bad('without a date', sequence(otherSerial)),
  bad('with a bad date', sequence(otherSerial, text(tag.utcTime, '260230000000Z'))),
  bad('of no number', entry(encode(tag.integer))),
  bad('of a number with a zero before it', entry(encode(tag.integer, Uint8Array.of(0, 1)))),
  bad('without a field in its extensions', entry(otherSerial, sequence())),
  bad('with a field more', entry(otherSerial, sequence(reason(1)), integer(1))),
  bad('that is a set', encode(tag.set, otherSerial, at)),
  set('a list of no entries', { entries: [], nextUpdate: Buffer.concat([time(now + day), sequence()]) }),
]

const made = (type: string, value: Uint8Array, critical = false): Uint8Array =>
  extensionOf({ type: oid(type), critical: critical ? boolean(true) : none, value })
const isOf = (type: string) => (one: Uint8Array) => Buffer.compare(extensionParts(one).type, oid(type)) === 0
const without = (type: string, { extensions }: CrlAnatomy): Uint8Array[] => extensions.filter((one) => !isOf(type)(one))
/** An extension put in another's place, or behind the others. */
const instead = (what: string, type: string, value: Uint8Array, code: Code, critical = false): CrlMutation =>
  set(what, (was) => ({ extensions: [...without(type, was), made(type, value, critical)] }), code)
const { authorityKeyId, crlNumber } = extensionOid
const keyId = encode(0x80, Buffer.alloc(20, 7))
const extensions: CrlMutation[] = [
  set('no extensions', { extensions: [] }, 'CRL_MALFORMED'),
  set('no key identifier', (was) => ({ extensions: without(authorityKeyId, was) }), 'CRL_KEY_ID'),
  instead('a key identifier of another key', authorityKeyId, sequence(keyId), 'CRL_KEY_ID'),
  instead('a key identifier of nothing', authorityKeyId, sequence(), 'CRL_KEY_ID'),
  instead(
    'a key identifier with another serial number',
    authorityKeyId,
    sequence(keyId, encode(context(1), encode(0xa4, encodeName({ common: 'x' }))), encode(0x82, Uint8Array.of(1))),
    'CRL_KEY_ID',
  ),
  instead('a key identifier that is malformed', authorityKeyId, octetString(keyId), 'CRL_MALFORMED'),
  set(
    'a critical key identifier',
    ({ extensions: was }) => ({
      extensions: was.map((one) =>
        isOf(authorityKeyId)(one) ? extensionOf({ ...extensionParts(one), critical: boolean(true) }) : one,
      ),
    }),
    'CRL_UNSUPPORTED',
  ),
  set('no number', (was) => ({ extensions: without(crlNumber, was) }), 'CRL_MALFORMED'),
  instead('a negative number', crlNumber, encode(tag.integer, Uint8Array.of(0xff)), 'CRL_MALFORMED'),
  instead('a number of 21 octets', crlNumber, encode(tag.integer, Buffer.alloc(21, 1)), 'CRL_MALFORMED'),
  instead('a number with a zero before it', crlNumber, encode(tag.integer, Uint8Array.of(0, 1)), 'CRL_MALFORMED'),
  instead('a number of no octets', crlNumber, encode(tag.integer), 'CRL_MALFORMED'),
  instead('a number that is text', crlNumber, text(tag.utf8String, '1'), 'CRL_MALFORMED'),
  instead('a number with something behind', crlNumber, Buffer.concat([integer(1), integer(1)]), 'CRL_MALFORMED'),
  instead('a critical number', crlNumber, integer(1), 'CRL_UNSUPPORTED', true),
  set(
    'two numbers',
    ({ extensions: was }) => ({ extensions: [...was, made(crlNumber, integer(2))] }),
    'CRL_UNSUPPORTED',
  ),
  set('two key identifiers', ({ extensions: was }) => ({ extensions: [...was, was[0]!] }), 'CRL_UNSUPPORTED'),
  instead('an unknown critical extension', '1.2.3.4', encode(tag.null), 'CRL_UNSUPPORTED', true),
  instead('a delta to another', '2.5.29.27', integer(1), 'CRL_UNSUPPORTED', true),
  instead('a delta, which is not critical', '2.5.29.27', integer(1), 'CRL_UNSUPPORTED'),
  set('33 extensions', ({ extensions: was }) => ({
    extensions: [...was, ...Array.from({ length: 33 }, (_, index) => made(`1.2.3.${index + 5}`, encode(tag.null)))],
  })),
]

const uris = (uri: string): Uint8Array => encode(context(0), encode(context(0), text(0x86, uri)))
const flag = (number: number): Uint8Array => encode(0x80 | number, Uint8Array.of(0xff))
const point = (what: string, value: Uint8Array, code: ForParts<CrlPart, Code>, critical = true): CrlMutation =>
  set(
    `a scope ${what}`,
    ({ extensions: was }) => ({ extensions: [...was, made(issuingDistributionPointOid, value, critical)] }),
    code,
  )
const scopes: CrlMutation[] = [
  point('of another shard', sequence(uris('http://crl.test/1.crl')), 'CRL_SCOPE'),
  { ...point('of the shard’s CAs', sequence(uris(shardUri), flag(1)), 'CRL_SCOPE'), parts: ['rootCrl'] },
  point('of CAs alone', sequence(uris(shardUri), flag(2)), 'CRL_UNSUPPORTED'),
  point('of attributes alone', sequence(uris(shardUri), flag(5)), 'CRL_UNSUPPORTED'),
  point('of some reasons', sequence(uris(shardUri), encode(0x83, Uint8Array.of(6, 0x40))), 'CRL_UNSUPPORTED'),
  point('of other issuers too', sequence(uris(shardUri), flag(4)), 'CRL_UNSUPPORTED'),
  point('of users and of CAs alone', sequence(uris(shardUri), flag(1), flag(2)), 'CRL_UNSUPPORTED'),
  point('that says nothing', sequence(), 'CRL_UNSUPPORTED'),
  point('of users alone, without a place', sequence(flag(1)), 'CRL_UNSUPPORTED'),
  point(
    'by a name relative to the issuer',
    sequence(encode(context(0), encode(context(1), sequence(oid('2.5.4.3'), text(tag.utf8String, 'x'))))),
    'CRL_UNSUPPORTED',
  ),
  point(
    'by a directory name',
    sequence(encode(context(0), encode(context(0), encode(0xa4, encodeName({ common: 'x' }))))),
    'CRL_UNSUPPORTED',
  ),
  point('that is not critical, of another shard', sequence(uris('http://crl.test/2.crl')), 'CRL_SCOPE', false),
  point('that writes out a default', sequence(uris(shardUri), encode(0x81, Uint8Array.of(0))), 'CRL_MALFORMED'),
  point('that is no sequence', octetString(uris(shardUri)), 'CRL_MALFORMED'),
  point('of an empty name', sequence(encode(context(0), encode(context(0)))), 'CRL_MALFORMED'),
  point('of a place that is not ASCII', sequence(uris('http://crl.test/ç')), 'CRL_MALFORMED'),
]

export const crlMutations: readonly CrlMutation[] = [...fields, ...times, ...entries, ...extensions, ...scopes]
