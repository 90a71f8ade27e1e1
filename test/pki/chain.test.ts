import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { extensionOid } from '#pki/certificate.ts'
import { bitList, boolean, encode, integer, octetString, oid, sequence, time } from '#pki/der.ts'
import { encodeHostNames, encodeName, encodeUri } from '#pki/names.ts'
import { toPem } from '#pki/pem.ts'
import { authorityProfiles } from '#pki/profiles.ts'
import { keyPurpose, policy } from '#pki/purpose.ts'
import { type ChainFault, parseCrls, verifyChain } from '#pki/verify.ts'
import {
  cast,
  day,
  extendCrl,
  forge,
  forgeCa,
  forgeCrl,
  forgeLeaf,
  forgeRoot,
  now,
  party,
  replacing,
  without,
} from './forge.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const dir = mkdtempSync(join(tmpdir(), 'ami-chain-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const people = cast()
const { root, ca, leaf } = people
const good = { root: forgeRoot(people), ca: forgeCa(people), leaf: forgeLeaf(people) }
const unknownCritical = replacing({ oid: '1.2.3.4', critical: true, value: sequence() })
const sha384 = sequence(oid('1.2.840.10045.4.3.3'))
let rootCrl: Uint8Array
let caCrl: Uint8Array

beforeAll(async () => {
  rootCrl = await forgeCrl(good.root, root.key)
  caCrl = await forgeCrl(good.ca, ca.key)
})

interface Chain {
  leaf: Uint8Array
  intermediates: Uint8Array[]
  roots: Uint8Array[]
  crls: Uint8Array[]
}

function chain(change: Partial<Chain> = {}): Chain {
  return { leaf: good.leaf, intermediates: [good.ca], roots: [good.root], crls: [rootCrl, caCrl], ...change }
}

function judge({ crls, ...rest }: Chain): ReturnType<typeof verifyChain> {
  return verifyChain({ ...rest, crls: parseCrls(pems('X509 CRL', crls)), at: now, purpose: 'concentrator' })
}

function pems(label: string, octets: readonly Uint8Array[]): string {
  return octets.map((one) => toPem(label, one)).join('')
}

function opensslAccepts({ leaf: der, intermediates, roots, crls }: Chain): boolean {
  const write = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  const untrusted = intermediates.length === 0 ? [] : ['-untrusted', write('cas', pems('CERTIFICATE', intermediates))]
  const lists = crls.length === 0 ? [] : ['-CRLfile', write('crls', pems('X509 CRL', crls))]
  const trust = ['-no-CApath', '-no-CAstore', '-CAfile', write('roots', pems('CERTIFICATE', roots))]
  const leafFile = write('leaf', toPem('CERTIFICATE', der))
  const policies = ['-explicit_policy', '-policy', policy.concentrator]
  const how = ['-x509_strict', '-crl_check_all', '-purpose', 'sslclient', ...policies, '-attime', `${now}`]
  return openssl('verify', ...how, ...trust, ...untrusted, ...lists, leafFile).ok
}

interface BadChain {
  name: string
  code: ChainFault
  /** OpenSSL has no opinion where a rule is ours alone */
  opensslRefuses: boolean
  make(): Chain | Promise<Chain>
}

const bad: readonly BadChain[] = [
  {
    name: 'a CA below a CA of path length 0',
    code: 'PATH_LENGTH',
    opensslRefuses: true,
    make: async () => {
      const low = party('Low CA')
      const lowCa = forge({ profile: authorityProfiles.device, subject: low, issuer: ca })
      const crls = [rootCrl, caCrl, await forgeCrl(lowCa, low.key)]
      return chain({ leaf: forgeLeaf(people, { issuer: low }), intermediates: [lowCa, good.ca], crls })
    },
  },
  {
    name: 'an unknown critical extension on the leaf',
    code: 'EXTENSION_UNKNOWN',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { extensions: unknownCritical }) }),
  },
  {
    name: 'an unknown critical extension on the CA',
    code: 'EXTENSION_UNKNOWN',
    opensslRefuses: true,
    make: () => chain({ intermediates: [forgeCa(people, { extensions: unknownCritical })] }),
  },
  {
    name: 'a leaf for another purpose',
    code: 'EXTENDED_KEY_USAGE',
    opensslRefuses: true,
    make: () => {
      const extensions = replacing({ oid: extensionOid.extendedKeyUsage, value: sequence(oid(keyPurpose.serverAuth)) })
      return chain({ leaf: forgeLeaf(people, { extensions }) })
    },
  },
  {
    name: 'a leaf that names no purpose',
    code: 'EXTENDED_KEY_USAGE',
    opensslRefuses: false,
    make: () => chain({ leaf: forgeLeaf(people, { extensions: without(extensionOid.extendedKeyUsage) }) }),
  },
  {
    name: 'a CA that bars the purpose',
    code: 'EXTENDED_KEY_USAGE',
    opensslRefuses: true,
    make: () => {
      const extensions = replacing({ oid: extensionOid.extendedKeyUsage, value: sequence(oid(keyPurpose.serverAuth)) })
      return chain({ intermediates: [forgeCa(people, { extensions })] })
    },
  },
  {
    name: 'a leaf that may not sign',
    code: 'KEY_USAGE',
    opensslRefuses: false, // a client with keyAgreement alone is fine for TLS 1.2
    make: () => {
      const extensions = replacing({ oid: extensionOid.keyUsage, value: bitList([4]) })
      return chain({ leaf: forgeLeaf(people, { extensions }) })
    },
  },
  {
    name: 'a leaf issued by a leaf',
    code: 'NOT_A_CA',
    opensslRefuses: true,
    make: async () => {
      const other = party('c2')
      const crls = [rootCrl, caCrl, await forgeCrl(good.leaf, leaf.key)]
      const last = forgeLeaf(people, { subject: other, issuer: leaf })
      return chain({ leaf: last, intermediates: [good.leaf, good.ca], crls })
    },
  },
  {
    name: 'a CA without basic constraints',
    code: 'NOT_A_CA',
    opensslRefuses: true,
    make: () => chain({ intermediates: [forgeCa(people, { extensions: without(extensionOid.basicConstraints) })] }),
  },
  {
    name: 'a CA that may not sign certificates',
    code: 'KEY_USAGE',
    opensslRefuses: true,
    make: () => {
      const extensions = replacing({ oid: extensionOid.keyUsage, value: bitList([6]) })
      return chain({ intermediates: [forgeCa(people, { extensions })] })
    },
  },
  {
    name: 'an expired leaf',
    code: 'EXPIRED',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { validity: [time(now - 2 * day), time(now - 1)] }) }),
  },
  {
    name: 'a leaf not yet valid',
    code: 'NOT_YET_VALID',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { validity: [time(now + 1), time(now + day)] }) }),
  },
  {
    name: 'an expired CA',
    code: 'EXPIRED',
    opensslRefuses: true,
    make: () => chain({ intermediates: [forgeCa(people, { validity: [time(now - 2 * day), time(now - 1)] })] }),
  },
  {
    name: 'an expired root',
    code: 'EXPIRED',
    opensslRefuses: true,
    make: () => chain({ roots: [forgeRoot(people, { validity: [time(now - 2 * day), time(now - 1)] })] }),
  },
  {
    name: 'a leaf signed with another key',
    code: 'SIGNATURE',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { signer: leaf.key }) }),
  },
  {
    name: 'a CA signed with another key',
    code: 'SIGNATURE',
    opensslRefuses: true,
    make: () => chain({ intermediates: [forgeCa(people, { signer: leaf.key })] }),
  },
  {
    name: 'one octet flipped in what was signed',
    code: 'SIGNATURE',
    opensslRefuses: true,
    make: () => {
      const flipped = Uint8Array.from(good.leaf)
      const at = Buffer.from(flipped).indexOf('urn:ami:concentrator:c1') + 22
      flipped[at]! ^= 0x02
      return chain({ leaf: flipped })
    },
  },
  {
    name: 'a duplicate extension',
    code: 'EXTENSION_DUPLICATE',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { extensions: (usual) => [...usual, usual[1]!] }) }),
  },
  {
    name: 'a foreign root of another name',
    code: 'ISSUER_UNKNOWN',
    opensslRefuses: true,
    make: () => {
      const stranger = party('Stranger')
      return chain({ roots: [forgeRoot({ ...people, root: stranger })] })
    },
  },
  {
    name: 'a foreign root of the same name',
    code: 'KEY_ID',
    opensslRefuses: true,
    make: () => chain({ roots: [forgeRoot({ ...people, root: party('Forged Root CA') })] }),
  },
  {
    name: 'an intermediate offered as if it were a root',
    code: 'ISSUER_UNKNOWN',
    opensslRefuses: true,
    make: () => chain({ intermediates: [good.ca, good.root], roots: [forgeRoot({ ...people, root: party('Other') })] }),
  },
  {
    name: 'no issuing CA',
    code: 'ISSUER_UNKNOWN',
    opensslRefuses: true,
    make: () => chain({ intermediates: [] }),
  },
  {
    name: 'an issuer name that is not the CA',
    code: 'ISSUER_UNKNOWN',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { issuerName: encodeName({ common: 'Someone Else' }) }) }),
  },
  {
    name: 'an authority key identifier of another key',
    code: 'KEY_ID',
    opensslRefuses: true,
    make: () => {
      const value = sequence(encode(0x80, new Uint8Array(20)))
      return chain({ leaf: forgeLeaf(people, { extensions: replacing({ oid: extensionOid.authorityKeyId, value }) }) })
    },
  },
  {
    name: 'a revoked leaf',
    code: 'REVOKED',
    opensslRefuses: true,
    make: async () => chain({ crls: [rootCrl, await forgeCrl(good.ca, ca.key, { revoked: [good.leaf] })] }),
  },
  {
    name: 'a revoked issuing CA',
    code: 'CA_REVOKED',
    opensslRefuses: true,
    make: async () => chain({ crls: [await forgeCrl(good.root, root.key, { revoked: [good.ca] }), caCrl] }),
  },
  {
    name: 'a leaf revoked by one of two CRLs',
    code: 'REVOKED',
    opensslRefuses: false, // which of two it takes depends on their order
    make: async () => chain({ crls: [rootCrl, caCrl, await forgeCrl(good.ca, ca.key, { revoked: [good.leaf] })] }),
  },
  {
    name: 'a stale CRL of the issuing CA',
    code: 'CRL_STALE',
    opensslRefuses: true,
    make: async () => chain({ crls: [rootCrl, await forgeCrl(good.ca, ca.key, { to: now - 1 })] }),
  },
  {
    name: 'a CRL from the future',
    code: 'CRL_NOT_YET_VALID',
    opensslRefuses: true,
    make: async () => chain({ crls: [rootCrl, await forgeCrl(good.ca, ca.key, { from: now + 60 })] }),
  },
  {
    name: 'no CRL of the issuing CA',
    code: 'CRL_MISSING',
    opensslRefuses: true,
    make: () => chain({ crls: [rootCrl] }),
  },
  {
    name: 'no CRL of the root',
    code: 'CRL_MISSING',
    opensslRefuses: true,
    make: () => chain({ crls: [caCrl] }),
  },
  {
    name: 'a CRL signed with another key',
    code: 'CRL_SIGNATURE',
    opensslRefuses: true,
    make: async () => chain({ crls: [rootCrl, await forgeCrl(good.ca, leaf.key)] }),
  },
  {
    name: 'a CRL of a CA that may not sign CRLs',
    code: 'CRL_SIGNATURE',
    opensslRefuses: true,
    make: () => {
      const extensions = replacing({ oid: extensionOid.keyUsage, value: bitList([5]) })
      return chain({ intermediates: [forgeCa(people, { extensions })] })
    },
  },
  {
    name: 'a CRL that covers only part of what its issuer issued',
    code: 'CRL_UNSUPPORTED',
    opensslRefuses: false, // it knows this extension, whose empty form bars nothing
    make: () => {
      const crl = extendCrl(caCrl, ca.key, { oid: '2.5.29.28', critical: true, value: sequence() })
      return chain({ crls: [rootCrl, crl] })
    },
  },
  {
    name: 'a CRL with an unknown critical extension',
    code: 'CRL_UNSUPPORTED',
    opensslRefuses: true,
    make: () => {
      const crl = extendCrl(caCrl, ca.key, { oid: '1.2.3.4', critical: true, value: sequence() })
      return chain({ crls: [rootCrl, crl] })
    },
  },
  {
    name: 'a CRL that names another key of its issuer',
    code: 'CRL_KEY_ID',
    opensslRefuses: true,
    make: async () => {
      const successor = forgeCa({ ...people, ca: party('Forged CA') })
      return chain({ crls: [rootCrl, await forgeCrl(successor, ca.key)] })
    },
  },
  {
    name: 'a CRL that says one thing twice',
    code: 'CRL_UNSUPPORTED',
    opensslRefuses: false,
    make: () => {
      const crl = extendCrl(caCrl, ca.key, { oid: extensionOid.crlNumber, critical: false, value: integer(7) })
      return chain({ crls: [rootCrl, crl] })
    },
  },
  {
    name: 'a CRL without a next update',
    code: 'CRL_STALE',
    opensslRefuses: false, // RFC 5280, 5.1.2.5, demands one; OpenSSL takes the list as good for ever
    make: () => chain({ crls: [rootCrl, extendCrl(caCrl, ca.key, 'no next update')] }),
  },
  {
    name: 'a certificate whose two algorithm fields differ',
    code: 'ALGORITHM_UNSUPPORTED',
    opensslRefuses: true,
    make: () => chain({ leaf: forgeLeaf(people, { inner: sha384 }) }),
  },
  {
    name: 'a key on another curve',
    code: 'ALGORITHM_UNSUPPORTED',
    opensslRefuses: false,
    make: () => chain({ leaf: forgeLeaf(people, { subject: party('c1', 'P-384') }) }),
  },
  {
    name: 'a version 1 certificate',
    code: 'VERSION',
    opensslRefuses: false,
    make: () => chain({ leaf: forgeLeaf(people, { version: 1, extensions: () => [] }) }),
  },
  {
    name: 'an identity of another role',
    code: 'IDENTITY',
    opensslRefuses: false,
    make: () => {
      const value = encodeUri('urn:ami:sealer:c1')
      return chain({
        leaf: forgeLeaf(people, { extensions: replacing({ oid: extensionOid.subjectAlternativeName, value }) }),
      })
    },
  },
  {
    name: 'two identities',
    code: 'IDENTITY',
    opensslRefuses: false,
    make: () => {
      const uri = encodeUri('urn:ami:concentrator:c1').subarray(2)
      const value = sequence(uri, encodeUri('urn:ami:concentrator:c2').subarray(2))
      return chain({
        leaf: forgeLeaf(people, { extensions: replacing({ oid: extensionOid.subjectAlternativeName, value }) }),
      })
    },
  },
  {
    name: 'host names in place of an identity',
    code: 'NAME_CONSTRAINTS',
    opensslRefuses: true,
    make: () => {
      const value = encodeHostNames({ dns: ['c1.example'], ip: [] })
      return chain({
        leaf: forgeLeaf(people, { extensions: replacing({ oid: extensionOid.subjectAlternativeName, value }) }),
      })
    },
  },
  {
    name: 'a CA that serves as a leaf',
    code: 'IDENTITY',
    opensslRefuses: false,
    make: () => {
      const value = sequence(boolean(true), integer(0))
      const change = replacing({ oid: extensionOid.basicConstraints, value })
      return chain({ leaf: forgeLeaf(people, { extensions: change }) })
    },
  },
  {
    name: 'an octet behind the leaf',
    code: 'CERTIFICATE_MALFORMED',
    opensslRefuses: false, // its PEM reader stops at the end of the structure
    make: () => chain({ leaf: Buffer.concat([good.leaf, octetString(new Uint8Array())]) }),
  },
  {
    name: 'more intermediates than are followed',
    code: 'CHAIN_LENGTH',
    opensslRefuses: false,
    make: () => chain({ intermediates: new Array(9).fill(good.ca) }),
  },
]

describe('verifyChain', () => {
  test('accepts the chain that all the bad ones are made from, and says who it is', () => {
    const verdict = judge(chain())
    expect(verdict.ok && verdict.uri).toBe('urn:ami:concentrator:c1')
    expect(verdict.ok && verdict.chain.map(({ der }) => der)).toEqual([good.leaf, good.ca, good.root])
  })

  test('finds the way past a foreign CA of the same name', () => {
    const decoy = forgeCa({ ...people, ca: party('Forged CA') })
    expect(judge(chain({ intermediates: [decoy, good.ca] })).ok).toBe(true)
  })

  test('holds at both ends of the validity and not a second beyond', () => {
    const at = (seconds: number): string => {
      const crls = parseCrls(pems('X509 CRL', [rootCrl, caCrl]))
      const verdict = verifyChain({ ...chain(), crls, at: seconds, purpose: 'concentrator' })
      return verdict.ok ? 'ok' : verdict.code
    }
    expect([now - day, now + day].map(at)).toEqual(['ok', 'ok'])
    expect([now - day - 1, now + day + 1, Number.NaN].map(at)).toEqual(['NOT_YET_VALID', 'EXPIRED', 'NOT_YET_VALID'])
  })

  test.each(bad)('refuses $name', async ({ code, make }) => {
    expect(judge(await make())).toMatchObject({ ok: false, code })
  })

  test.runIf(hasOpenssl)(`OpenSSL accepts the good chain${opensslNote}`, () => {
    expect(opensslAccepts(chain())).toBe(true)
  })

  test.runIf(hasOpenssl).each(bad.filter(({ opensslRefuses }) => opensslRefuses))(
    `OpenSSL too refuses $name${opensslNote}`,
    async ({ make }) => {
      expect(opensslAccepts(await make())).toBe(false)
    },
  )
})
