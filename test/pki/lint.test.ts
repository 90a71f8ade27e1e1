import { describe, expect, test } from 'vitest'
import { type Certificate, extensionOid, parseCertificate } from '#pki/certificate.ts'
import { bitList, boolean, encode, integer, octetString, oid, sequence, setOf, tag, text, time } from '#pki/der.ts'
import { encodeDistributionPoints } from '#pki/distribution-point.ts'
import { lint, lintRules } from '#pki/lint.ts'
import { encodeHostNames, encodeName, encodeUri } from '#pki/names.ts'
import {
  type AuthorityName,
  authorityNames,
  authorityProfiles,
  type LeafProfile,
  type Profile,
  profiles,
} from '#pki/profiles.ts'
import { keyPurpose, policy } from '#pki/purpose.ts'
import { cast, type Forgery, forge, forgeCa, forgeRoot, now, type Party, party, replacing, without } from './forge.ts'

const people = cast()
const { ca } = people
const decade = authorityProfiles.root.days! * 86_400
const long: [Uint8Array, Uint8Array] = [time(now - decade), time(now + decade)]

/** The CA of a class, by the name and key of the one that forges. */
function authority(name: AuthorityName): Certificate {
  return parseCertificate(forgeCa(people, { profile: authorityProfiles[name], validity: long }))
}
const authorities = Object.fromEntries(authorityNames.map((name) => [name, authority(name)])) as Record<
  AuthorityName,
  Certificate
>

function authorityOf(profile: Profile): AuthorityName {
  return ('issuers' in profile ? (profile as LeafProfile).issuers[0] : undefined) ?? 'root'
}

/** Someone who stands where this profile's CA may issue. */
function subject(profile: Profile): Party {
  return party('c1', 'P-256', authorityProfiles[authorityOf(profile)].scope?.unit)
}

function broken(profile: Profile, change: Partial<Forgery>, issuer = authorities[authorityOf(profile)]): string[] {
  const certificate = parseCertificate(forge({ profile, subject: subject(profile), issuer: ca, ...change }))
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
const breakers: Readonly<Record<string, { profile?: Profile; change: Partial<Forgery>; issuer?: Certificate }>> = {
  'version-is-3': { change: { version: 2 } },
  'serial-is-positive': { change: { serial: negative } },
  'serial-is-short': { change: { serial: new Uint8Array(21).fill(7) } },
  'serial-is-unpredictable': { change: { serial: new Uint8Array(7).fill(7) } },
  'algorithms-agree': { change: { outer: sha384 } },
  'signature-is-as-the-profile-set-signs': { change: { inner: sha384, outer: sha384 } },
  'key-is-of-the-profile-set': { change: { subject: party('c1', 'P-384') } },
  'subject-is-named': {
    change: {
      subjectName: sequence(),
      extensions: replacing({ oid: extensionOid.subjectAlternativeName, critical: true }),
    },
  },
  'one-attribute-an-rdn': {
    change: {
      subjectName: sequence(
        setOf([attribute('2.5.4.10', 'Forged')]),
        setOf([attribute('2.5.4.11', 'Devices')]),
        setOf([attribute('2.5.4.3', 'c1'), attribute('2.5.4.5', '7')]),
      ),
    },
  },
  'common-name-is-the-id': { change: { id: 'c2' } },
  'common-name-is-no-host': {
    change: { subject: party('c1.example'), id: 'c1.example' },
    issuer: parseCertificate(
      forgeCa(people, {
        profile: authorityProfiles.device,
        validity: long,
        extensions: without(extensionOid.nameConstraints),
      }),
    ),
  },
  'times-in-the-right-form': { change: { validity: [time(now), generalized(now + day)] } },
  'validity-in-order': { change: { validity: [time(now + day), time(now)] } },
  'validity-within-the-profile': { change: { validity: [time(now), time(now + 91 * day)] } },
  'extensions-once': { change: { extensions: (usual) => [...usual, usual[1]!] } },
  'extensions-known': { change: { extensions: replacing({ oid: '1.2.3.4' }) } },
  'authority-key-id-present': { change: { extensions: without(extensionOid.authorityKeyId) } },
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
  'extended-key-usage-not-critical': {
    change: { extensions: replacing({ oid: extensionOid.extendedKeyUsage, critical: true }) },
  },
  'policies-are-the-profiles': { change: { extensions: without(extensionOid.certificatePolicies) } },
  'policies-not-critical': {
    change: { extensions: replacing({ oid: extensionOid.certificatePolicies, critical: true }) },
  },
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
  'one-distribution-point-over-http': {
    change: {
      extensions: replacing({
        oid: extensionOid.crlDistributionPoints,
        value: encodeDistributionPoints('ldap://ca.test/0.crl'),
      }),
    },
  },
  'information-access-is-ocsp-over-http': {
    change: {
      extensions: replacing({
        oid: extensionOid.authorityInfoAccess,
        value: sequence(sequence(oid('1.3.6.1.5.5.7.48.2'), text(0x86, 'http://ca.test'))),
      }),
    },
  },
  'no-check-is-the-responders-alone': {
    profile: profiles.ocsp,
    change: { extensions: without(extensionOid.ocspNoCheck) },
  },
  'issuer-is-the-issuers-subject': { change: { issuerName: encodeName({ common: 'Another CA' }) } },
  'validity-within-the-issuers': {
    change: { validity: [time(now + decade - day), time(now + decade + day)] },
  },
  'authority-key-id-is-the-issuers': {
    change: {
      extensions: replacing({ oid: extensionOid.authorityKeyId, value: sequence(encode(0x80, new Uint8Array(20))) }),
    },
  },
  'issuer-signs-certificates': {
    change: {},
    issuer: parseCertificate(
      forgeCa(people, {
        profile: authorityProfiles.device,
        validity: long,
        extensions: replacing({ oid: extensionOid.keyUsage, value: bitList([6]) }),
      }),
    ),
  },
  'path-length-below-the-issuers': {
    profile: authorityProfiles.device,
    change: {},
    issuer: parseCertificate(
      forgeCa(people, {
        profile: authorityProfiles.root,
        validity: long,
        extensions: replacing({ oid: extensionOid.basicConstraints, value: sequence(boolean(true), integer(0)) }),
      }),
    ),
  },
  'names-within-the-issuers-constraints': { change: { subject: party('c1', 'P-256', 'People') } },
  'purposes-within-the-issuers': {
    change: {},
    issuer: parseCertificate(
      forgeCa(people, {
        profile: authorityProfiles.device,
        validity: long,
        extensions: replacing({ oid: extensionOid.extendedKeyUsage, value: sequence(oid(keyPurpose.serverAuth)) }),
      }),
    ),
  },
  'policies-within-the-issuers': {
    change: {},
    issuer: parseCertificate(
      forgeCa(people, {
        profile: authorityProfiles.device,
        validity: long,
        extensions: replacing({ oid: extensionOid.certificatePolicies, value: sequence(sequence(oid(policy.mdm))) }),
      }),
    ),
  },
  'name-constraints-critical': {
    profile: authorityProfiles.device,
    change: { extensions: replacing({ oid: extensionOid.nameConstraints, critical: false }) },
  },
  'issuing-ca-is-constrained-in-every-form': {
    profile: authorityProfiles.device,
    change: { extensions: without(extensionOid.nameConstraints) },
  },
}

describe('lint', () => {
  test('finds nothing wrong with what the profiles say', () => {
    for (const profile of Object.values(profiles)) {
      const validity: [Uint8Array, Uint8Array] = [time(now - 60), time(now + 3_600)]
      if (profile.issuers.length > 0) expect(broken(profile, { validity })).toEqual([])
    }
    const root = parseCertificate(forgeRoot(people))
    expect(lint({ certificate: root, profile: authorityProfiles.root, issuer: root })).toEqual([])
  })

  test('every rule has its breaker here, and its source', () => {
    expect(Object.keys(breakers)).toEqual(lintRules.map(({ name }) => name))
    expect(lintRules.every(({ source }) => source.length > 0)).toBe(true)
  })

  test.each(Object.entries(breakers))('%s is broken alone', (name, { profile = concentrator, change, issuer }) => {
    expect(broken(profile, change, issuer)).toEqual([name])
  })

  test('a path length that is not the profile’s is seen on a CA', () => {
    const extensions = replacing({ oid: extensionOid.basicConstraints, value: sequence(boolean(true), integer(3)) })
    const certificate = parseCertificate(forgeCa(people, { extensions }))
    const found = lint({ certificate, profile: authorityProfiles.device, issuer: parseCertificate(forgeRoot(people)) })
    expect(found.map(({ name }) => name)).toEqual(['path-length-is-the-profiles', 'path-length-below-the-issuers'])
  })

  test('host names where an identity belongs are seen', () => {
    const value = encodeHostNames({ dns: ['c1.example'], ip: ['::1'] })
    const extensions = replacing({ oid: extensionOid.subjectAlternativeName, value })
    expect(broken(concentrator, { extensions })).toEqual([
      'alternative-names-are-the-profiles',
      'names-within-the-issuers-constraints',
    ])
  })
})
