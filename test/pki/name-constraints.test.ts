import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { extensionOid } from '#pki/certificate.ts'
import { parseCrl } from '#pki/crl.ts'
import { context, encode, integer, oid, sequence, setOf, tag, text } from '#pki/der.ts'
import { constraintsOf, privateZones } from '#pki/extensions.ts'
import {
  decodeNameConstraints,
  encodeNameConstraints,
  type NameConstraints,
  nameForm,
  rangeOctets,
  type Subtree,
} from '#pki/name-constraints.ts'
import { addressOctets, encodeName } from '#pki/names.ts'
import { toPem } from '#pki/pem.ts'
import { authorityProfiles, profiles } from '#pki/profiles.ts'
import { policy } from '#pki/purpose.ts'
import { verifyChain } from '#pki/verify.ts'
import {
  cast,
  type ForgedExtension,
  forge,
  forgeCa,
  forgeCrl,
  forgeLeaf,
  forgeRoot,
  now,
  party,
  replacing,
} from './forge.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const dir = mkdtempSync(join(tmpdir(), 'ami-constraints-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const people = cast()
const root = forgeRoot(people)
const attribute = (type: string, form: number, value: string): Uint8Array =>
  setOf([sequence(oid(type), text(form, value))])
const unit = encodeName({ organisation: 'Forged', unit: 'Devices' })
const own: Subtree = { form: nameForm.directory, base: unit }
const dns = (base: string): Subtree => ({ form: nameForm.dns, base: Buffer.from(base) })
const uri = (base: string): Subtree => ({ form: nameForm.uri, base: Buffer.from(base) })
const email = (base: string): Subtree => ({ form: nameForm.email, base: Buffer.from(base) })
const ip = (range: string): Subtree => ({ form: nameForm.ip, base: rangeOctets(range) })
const directory = (name: Uint8Array): Subtree => ({ form: nameForm.directory, base: name })

/** Names of a leaf; of a subject that is not said, `O=Forged, OU=Devices, CN=c1`. */
interface Claim {
  subject?: Uint8Array
  names?: Uint8Array[]
}
const named = {
  dns: (value: string) => text(nameForm.dns, value),
  uri: (value: string) => text(nameForm.uri, value),
  email: (value: string) => text(nameForm.email, value),
  ip: (value: string) => encode(nameForm.ip, addressOctets(value)),
  directory: (value: Uint8Array) => encode(nameForm.directory, value),
}

interface Chain {
  leaf: Uint8Array
  ca: Uint8Array
}

function chainOf(value: Uint8Array, claim: Claim, critical = true): Chain {
  const ca = forgeCa(people, { extensions: replacing({ oid: extensionOid.nameConstraints, critical, value }) })
  const san = (usual: ForgedExtension[]): ForgedExtension[] =>
    claim.names === undefined
      ? usual
      : replacing({ oid: extensionOid.subjectAlternativeName, value: sequence(...claim.names) })(usual)
  const subjectName = claim.subject === undefined ? {} : { subjectName: claim.subject }
  return { ca, leaf: forgeLeaf(people, { extensions: san, ...subjectName }) }
}

/** Whether constraints, and nothing before them, refuse. */
async function constrained({ leaf, ca }: Chain): Promise<boolean> {
  const wellFormed = forgeCa(people) // of the same name and key: the one judged may not be readable
  const crls = [await forgeCrl(root, people.root.key), await forgeCrl(wellFormed, people.ca.key)].map(parseCrl)
  const verdict = verifyChain({ leaf, intermediates: [ca], roots: [root], crls, at: now, purpose: 'concentrator' })
  return !verdict.ok && ['NAME_CONSTRAINTS', 'CERTIFICATE_MALFORMED'].includes(verdict.code)
}

function opensslRefuses({ leaf, ca }: Chain): boolean {
  const write = (name: string, der: Uint8Array): string => {
    writeFileSync(join(dir, name), toPem('CERTIFICATE', der))
    return join(dir, name)
  }
  const trust = ['-no-CApath', '-no-CAstore', '-CAfile', write('root', root), '-untrusted', write('ca', ca)]
  return !openssl('verify', '-x509_strict', '-attime', `${now}`, ...trust, write('leaf', leaf)).ok
}

const permitted = (...subtrees: Subtree[]): NameConstraints => ({ permitted: subtrees, excluded: [] })
const excluded = (...subtrees: Subtree[]): NameConstraints => ({ permitted: [], excluded: subtrees })
const upper = sequence(
  attribute('2.5.4.10', tag.utf8String, 'FORGED'),
  attribute('2.5.4.11', tag.utf8String, 'devices'),
)
const mailed = sequence(
  attribute('2.5.4.3', tag.utf8String, 'c1'),
  attribute('1.2.840.113549.1.9.1', tag.ia5String, 'a@bad.test'),
)

/** Constraints, a claim, and whether it lies within. `strict`: refused here and not by OpenSSL. */
const cases: readonly [string, NameConstraints, Claim, 'within' | 'outside' | 'strict'][] = [
  ['a subject below the permitted unit', permitted(own), {}, 'within'],
  ['a subject of another unit', permitted(own), { subject: party('c1', 'P-256', 'People').name }, 'outside'],
  ['a subject that is the unit itself', permitted(own), { subject: unit }, 'within'],
  ['a subject above the unit', permitted(own), { subject: encodeName({ organisation: 'Forged' }) }, 'outside'],
  ['a unit in other letters', permitted(directory(upper)), {}, 'strict'],
  ['an excluded unit in other letters', excluded(directory(upper)), {}, 'outside'],
  ['a directory name outside', permitted(own), { names: [named.directory(encodeName({ common: 'x' }))] }, 'outside'],
  ['a DNS name below', permitted(dns('good.test')), { names: [named.dns('a.good.test')] }, 'within'],
  ['a DNS name itself, in other letters', permitted(dns('good.test')), { names: [named.dns('GOOD.test')] }, 'within'],
  ['a DNS name that ends alike', permitted(dns('good.test')), { names: [named.dns('nogood.test')] }, 'outside'],
  [
    'one DNS name of two outside',
    permitted(dns('good.test')),
    { names: ['good.test', 'b.test'].map(named.dns) },
    'outside',
  ],
  ['an excluded DNS name', excluded(dns('bad.test')), { names: [named.dns('x.bad.test')] }, 'outside'],
  ['any DNS name, all excluded', excluded(dns('')), { names: [named.dns('x.test')] }, 'outside'],
  ['a common name like a host', excluded(dns('')), { subject: encodeName({ common: 'x.test' }) }, 'outside'],
  ['a common name unlike a host', excluded(dns('')), { subject: encodeName({ common: 'dc-0001' }) }, 'within'],
  ['an address in the range', permitted(ip('10.0.0.0/8')), { names: [named.ip('10.1.2.3')] }, 'within'],
  ['an address beside the range', permitted(ip('10.0.0.0/8')), { names: [named.ip('11.1.2.3')] }, 'outside'],
  ['an address of the other family', permitted(ip('10.0.0.0/8')), { names: [named.ip('::1')] }, 'outside'],
  ['an excluded address', excluded(ip('::/0')), { names: [named.ip('fe80::1')] }, 'outside'],
  ['a range that ends within an octet', permitted(ip('172.16.0.0/12')), { names: [named.ip('172.32.0.1')] }, 'outside'],
  ['a URI of the host', permitted(uri('good.test')), { names: [named.uri('http://good.test/x')] }, 'within'],
  ['a URI of a host below', permitted(uri('.good.test')), { names: [named.uri('http://a.good.test')] }, 'within'],
  [
    'a URI of a host below, where only the host is',
    permitted(uri('good.test')),
    { names: [named.uri('http://a.good.test')] },
    'outside',
  ],
  ['a URI of an excluded host', excluded(uri('bad.test')), { names: [named.uri('https://bad.test:443/')] }, 'outside'],
  ['a URN, which has no host', excluded(uri('bad.test')), {}, 'outside'],
  ['a URI with user information', excluded(uri('bad.test')), { names: [named.uri('http://u@bad.test/')] }, 'strict'],
  ['a URI of an address', excluded(uri('bad.test')), { names: [named.uri('http://10.0.0.1/')] }, 'strict'],
  ['a mailbox of the host', permitted(email('good.test')), { names: [named.email('a@good.test')] }, 'within'],
  ['a mailbox elsewhere', permitted(email('good.test')), { names: [named.email('a@bad.test')] }, 'outside'],
  ['another mailbox', permitted(email('a@good.test')), { names: [named.email('b@good.test')] }, 'outside'],
  ['an excluded mailbox', excluded(email('a@good.test')), { names: [named.email('a@good.test')] }, 'outside'],
  ['an e-mail address in the subject', excluded(email('bad.test')), { subject: mailed }, 'outside'],
  [
    'names of forms that nothing is said of',
    permitted(own),
    { names: [named.dns('x.test'), named.uri('urn:x:y')] },
    'within',
  ],
]

describe('name constraints', () => {
  test.for(cases)('%s', async ([, constraints, claim, where]) => {
    expect(await constrained(chainOf(encodeNameConstraints(constraints), claim))).toBe(where !== 'within')
  })

  test.runIf(hasOpenssl).for(cases)(`agree with OpenSSL on %s${opensslNote}`, ([, constraints, claim, where]) => {
    expect(opensslRefuses(chainOf(encodeNameConstraints(constraints), claim))).toBe(where === 'outside')
  })

  const subtree = sequence(encode(nameForm.dns, Buffer.from('a.test')))
  test.for([
    ['that are empty', sequence()],
    ['with an empty list', sequence(encode(context(0)))],
    [
      'with a minimum',
      sequence(encode(context(0), sequence(encode(nameForm.dns, Buffer.from('a')), encode(0x80, Uint8Array.of(1))))),
    ],
    ['of a form that is not known', sequence(encode(context(0), sequence(encode(0x88, Uint8Array.of(42)))))],
    ['with an address and no mask', sequence(encode(context(0), sequence(encode(nameForm.ip, new Uint8Array(4)))))],
    ['that say more behind', sequence(encode(context(0), subtree), encode(context(2)))],
  ] as const)('%s are refused', async ([, value]) => {
    expect(await constrained(chainOf(value, {}))).toBe(true)
  })

  test('that are not critical are refused', async () => {
    expect(await constrained(chainOf(encodeNameConstraints(permitted(own)), {}, false))).toBe(true)
  })

  test('on a leaf are refused', async () => {
    const value = encodeNameConstraints(permitted(own))
    const leaf = forgeLeaf(people, {
      extensions: replacing({ oid: extensionOid.nameConstraints, critical: true, value }),
    })
    expect(await constrained({ leaf, ca: forgeCa(people) })).toBe(true)
  })

  test('of the root count too', async () => {
    const value = encodeNameConstraints(permitted(directory(encodeName({ organisation: 'Elsewhere' }))))
    const bound = forgeRoot(people, {
      extensions: replacing({ oid: extensionOid.nameConstraints, critical: true, value }),
    })
    const ca = forgeCa(people)
    const crls = [await forgeCrl(bound, people.root.key), await forgeCrl(ca, people.ca.key)].map(parseCrl)
    const question = { leaf: forgeLeaf(people), intermediates: [ca], roots: [bound], crls, at: now }
    expect(verifyChain({ ...question, purpose: 'concentrator' })).toMatchObject({ code: 'NAME_CONSTRAINTS' })
  })

  test('are read as they were written', () => {
    for (const { scope } of Object.values(authorityProfiles)) {
      if (scope === undefined) continue
      const made = constraintsOf(scope, 'AMI', privateZones)
      const octets = ({ form, base }: Subtree): [number, string] => [form, Buffer.from(base).toString('hex')]
      const read = decodeNameConstraints(encodeNameConstraints(made))
      expect(read.permitted.map(octets)).toEqual(made.permitted.map(octets))
      expect(read.excluded.map(octets)).toEqual(made.excluded.map(octets))
    }
  })
})

describe('a class', () => {
  const judged = async (ca: Uint8Array, leaf: Uint8Array): Promise<unknown> => {
    const crls = [await forgeCrl(root, people.root.key), await forgeCrl(ca, people.ca.key)].map(parseCrl)
    return verifyChain({ leaf, intermediates: [ca], roots: [root], crls, at: now, purpose: 'concentrator' })
  }

  test('is not taken from a CA of another, whatever it puts into a certificate', async () => {
    const stranger = party('c1', 'P-256', 'People')
    const ca = forgeCa(people, { profile: authorityProfiles.people })
    const leaf = forgeLeaf(people, { subject: stranger })
    expect(await judged(ca, leaf)).toMatchObject({ ok: false, code: 'POLICY' })
  })

  test('is not taken from a leaf that does not name it', async () => {
    const value = sequence(sequence(oid(policy.operator)))
    const leaf = forgeLeaf(people, { extensions: replacing({ oid: extensionOid.certificatePolicies, value }) })
    expect(await judged(forgeCa(people), leaf)).toMatchObject({ ok: false, code: 'POLICY' })
  })

  test('is not taken from any policy, nor where policies are mapped, constrained or inhibited', async () => {
    const any = sequence(sequence(oid('2.5.29.32.0')))
    const anyCa = forgeCa(people, { extensions: replacing({ oid: extensionOid.certificatePolicies, value: any }) })
    expect(await judged(anyCa, forgeLeaf(people))).toMatchObject({ ok: false, code: 'POLICY' })
    for (const type of ['policyMappings', 'policyConstraints', 'inhibitAnyPolicy'] as const) {
      const ca = forgeCa(people, { extensions: replacing({ oid: extensionOid[type], value: integer(0) }) })
      expect(await judged(ca, forgeLeaf(people))).toMatchObject({ ok: false, code: 'EXTENSION_UNKNOWN' })
    }
  })

  test('names each policy once', async () => {
    const twice = sequence(sequence(oid(policy.concentrator)), sequence(oid(policy.concentrator)))
    const leaf = forgeLeaf(people, { extensions: replacing({ oid: extensionOid.certificatePolicies, value: twice }) })
    expect(await judged(forgeCa(people), leaf)).toMatchObject({ ok: false, code: 'CERTIFICATE_MALFORMED' })
  })

  test('of responders may skip its own revocation, and no other may', async () => {
    const noCheck = replacing({ oid: extensionOid.ocspNoCheck, value: encode(tag.null) })
    const ca = forgeCa(people)
    const crls = [parseCrl(await forgeCrl(root, people.root.key))]
    const question = { intermediates: [ca], roots: [root], crls, at: now }
    const leaf = forgeLeaf(people, { extensions: noCheck })
    expect(verifyChain({ ...question, leaf, purpose: 'concentrator' })).toMatchObject({ code: 'CRL_MISSING' })
    const responder = forge({ profile: profiles.ocsp, subject: people.leaf, issuer: people.ca })
    expect(verifyChain({ ...question, leaf: responder, purpose: 'ocsp' })).toMatchObject({ ok: true })
  })
})
