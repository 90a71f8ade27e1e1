import { describe, expect, test } from 'vitest'
import { extensionOid, parseCertificate } from '#pki/certificate.ts'
import { bitList, boolean, encode, integer, octetString, oid, sequence, setOf, tag, text, time } from '#pki/der.ts'
import { lint, lintRules } from '#pki/lint.ts'
import { encodeHostNames, encodeName, encodeUri } from '#pki/names.ts'
import { authorityProfiles, type Profile, profiles } from '#pki/profiles.ts'
import { cast, type Forgery, forge, forgeCa, forgeRoot, now, party, replacing, without } from './forge.ts'

const people = cast()
const { ca, leaf } = people
const decade = authorityProfiles.root.days * 86_400
const long: [Uint8Array, Uint8Array] = [time(now - decade), time(now + decade)]
const issuerDer = forgeCa(people, { validity: long })
const issuer = parseCertificate(issuerDer)

function broken(profile: Profile, change: Partial<Forgery>): string[] {
  const certificate = parseCertificate(forge({ profile, subject: leaf, issuer: ca, ...change }))
  return lint({ certificate, profile, issuer }).map(({ name }) => name)
}

const generalized = (seconds: number): Uint8Array => {
  return text(tag.generalizedTime, `${new Date(seconds * 1_000).toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`)
}
const attribute = (type: string, value: string): Uint8Array => sequence(oid(type), text(tag.utf8String, value))
const { concentrator, gateway } = profiles
const sha384 = sequence(oid('1.2.840.10045.4.3.3'))
const negative = Uint8Array.of(0x80, ...new Uint8Array(15).fill(7))
const day = 86_400

/** For each rule a certificate that breaks it and nothing else. */
const breakers: Readonly<Record<string, { profile?: Profile; change: Partial<Forgery> }>> = {
  'version-is-3': { change: { version: 2 } },
  'serial-is-positive': { change: { serial: negative } },
  'serial-is-short': { change: { serial: new Uint8Array(21).fill(7) } },
  'serial-is-unpredictable': { change: { serial: new Uint8Array(7).fill(7) } },
  'algorithms-agree': { change: { outer: sha384 } },
  'algorithm-is-ecdsa-sha256': { change: { inner: sha384, outer: sha384 } },
  'key-is-p256': { change: { subject: party('c1', 'P-384') } },
  'issuer-is-the-issuers-subject': { change: { issuerName: encodeName({ common: 'Another CA' }) } },
  'subject-is-named': {
    change: {
      subjectName: sequence(),
      extensions: replacing({ oid: extensionOid.subjectAlternativeName, critical: true }),
    },
  },
  'one-attribute-an-rdn': {
    change: { subjectName: sequence(setOf([attribute('2.5.4.3', 'c1'), attribute('2.5.4.10', 'AMI')])) },
  },
  'common-name-is-the-id': { change: { id: 'c2' } },
  'times-in-the-right-form': { change: { validity: [time(now), generalized(now + day)] } },
  'validity-in-order': { change: { validity: [time(now + day), time(now)] } },
  'validity-within-the-profile': { change: { validity: [time(now), time(now + 91 * day)] } },
  'validity-within-the-issuers': {
    change: { validity: [time(now + decade - day), time(now + decade + day)] },
  },
  'extensions-once': { change: { extensions: (usual) => [...usual, usual[1]!] } },
  'extensions-known': { change: { extensions: replacing({ oid: '1.2.3.4' }) } },
  'authority-key-id-present': { change: { extensions: without(extensionOid.authorityKeyId) } },
  'authority-key-id-is-the-issuers': {
    change: {
      extensions: replacing({ oid: extensionOid.authorityKeyId, value: sequence(encode(0x80, new Uint8Array(20))) }),
    },
  },
  'subject-key-id-present': { change: { extensions: without(extensionOid.subjectKeyId) } },
  'subject-key-id-is-the-hash': {
    change: { extensions: replacing({ oid: extensionOid.subjectKeyId, value: octetString(new Uint8Array(20)) }) },
  },
  'key-ids-not-critical': { change: { extensions: replacing({ oid: extensionOid.subjectKeyId, critical: true }) } },
  'key-usage-critical': { change: { extensions: replacing({ oid: extensionOid.keyUsage, critical: false }) } },
  'key-usage-is-the-profiles': {
    change: { extensions: replacing({ oid: extensionOid.keyUsage, value: bitList([0, 5]) }) },
  },
  'key-usage-is-minimal': {
    change: {
      extensions: replacing({ oid: extensionOid.keyUsage, value: encode(tag.bitString, Uint8Array.of(0, 0x80)) }),
    },
  },
  'basic-constraints-critical': {
    change: { extensions: replacing({ oid: extensionOid.basicConstraints, critical: false }) },
  },
  'ca-is-the-profiles': {
    change: { extensions: replacing({ oid: extensionOid.basicConstraints, value: sequence(boolean(true)) }) },
  },
  'path-length-is-the-profiles': {
    change: { extensions: replacing({ oid: extensionOid.basicConstraints, value: sequence(integer(0)) }) },
  },
  'extended-key-usage-is-the-profiles': { change: { extensions: without(extensionOid.extendedKeyUsage) } },
  'alternative-names-are-the-profiles': {
    change: {
      extensions: replacing({ oid: extensionOid.subjectAlternativeName, value: encodeUri('urn:ami:sealer:c1') }),
    },
  },
  'alternative-names-critical-only-without-a-subject': {
    change: { extensions: replacing({ oid: extensionOid.subjectAlternativeName, critical: true }) },
  },
  'addresses-have-their-length': {
    profile: gateway,
    change: {
      extensions: replacing({
        oid: extensionOid.subjectAlternativeName,
        value: sequence(encode(0x87, Uint8Array.of(127, 0, 1))),
      }),
    },
  },
}

describe('lint', () => {
  test('finds nothing wrong with what the profiles say', () => {
    for (const profile of Object.values(profiles)) expect(broken(profile, {})).toEqual([])
    const root = parseCertificate(forgeRoot(people))
    expect(lint({ certificate: root, profile: authorityProfiles.root, issuer: root })).toEqual([])
  })

  test('every rule has its breaker here, and its source', () => {
    expect(Object.keys(breakers)).toEqual(lintRules.map(({ name }) => name))
    expect(lintRules.every(({ source }) => source.length > 0)).toBe(true)
  })

  test.each(Object.entries(breakers))('%s is broken alone', (name, { profile = concentrator, change }) => {
    expect(broken(profile, change)).toEqual([name])
  })

  test('a path length that is not the profile’s is seen on a CA', () => {
    const extensions = replacing({ oid: extensionOid.basicConstraints, value: sequence(boolean(true), integer(3)) })
    const certificate = parseCertificate(forgeCa(people, { extensions }))
    const found = lint({ certificate, profile: authorityProfiles.issuing, issuer: parseCertificate(forgeRoot(people)) })
    expect(found.map(({ name }) => name)).toEqual(['path-length-is-the-profiles'])
  })

  test('host names where an identity belongs are seen', () => {
    const value = encodeHostNames({ dns: ['c1.example'], ip: ['::1'] })
    const extensions = replacing({ oid: extensionOid.subjectAlternativeName, value })
    expect(broken(concentrator, { extensions })).toEqual(['alternative-names-are-the-profiles'])
  })
})
