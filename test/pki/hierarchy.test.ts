import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bitString, context, encode, integer, sequence } from '#pki/der.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { type ProfileSetName, profileSets } from '#pki/key-algorithm.ts'
import { MemoryKeyStore } from '#pki/keystore/memory.ts'
import { createMaker, type Maker } from '#pki/manufacturers/maker.ts'
import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { encodeName } from '#pki/names.ts'
import { authorityNames, issuingNames, type ProfileName, profiles } from '#pki/profiles.ts'
import { policy } from '#pki/purpose.ts'
import { ecdsaSha256 } from '#pki/signature.ts'
import { initPki, openPki, type Pki } from '#pki/store.ts'
import { certificatesFromPem, parseCertificate, parseCrls, verifyChain } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const clock = (): number => Date.now() / 1_000
const dir = mkdtempSync(join(tmpdir(), 'ami-hierarchy-'))
let pki: WithForeign
let maker: Maker
beforeAll(async () => {
  pki = await throwawayPki()
  maker = await createMaker('Meterworks', clock)
})
afterAll(async () => {
  await pki.close()
  rmSync(dir, { recursive: true, force: true })
})

const ours = Object.keys(profiles).filter((name) => name !== 'manufacturer' && name !== 'ceremony') as ProfileName[]

function judge(chainPem: string, purpose: ProfileName, of: Pick<Pki, 'rootPem' | 'crlFile'> = pki): { ok: boolean } {
  const [leaf, ...intermediates] = certificatesFromPem(chainPem)
  const roots = certificatesFromPem(of.rootPem)
  const crls = parseCrls(readFileSync(of.crlFile, 'utf8'))
  return verifyChain({ leaf: leaf!, intermediates, roots, crls, at: clock(), purpose })
}

/** A PKCS#10 request of a new key. */
function newRequest(): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const info = sequence(integer(0), encodeName({ common: 'x' }), publicKeyOctets(publicKey), encode(context(0)))
  return sequence(info, ecdsaSha256, bitString(sign('sha256', info, privateKey)))
}

describe('the hierarchy', () => {
  test('lets each certificate pass for its own class and for no other', async () => {
    for (const name of ours) {
      const { chainPem } = await pki.issue(name, `x-${name}`)
      expect([name, ours.filter((purpose) => judge(chainPem, purpose).ok)]).toEqual([name, [name]])
    }
  })

  test('has a responder for each issuing CA, issued by that CA', async () => {
    for (const issuer of issuingNames) {
      const issued = await pki.issue('ocsp', `ocsp-${issuer}`, { issuer })
      const [leaf] = certificatesFromPem(issued.chainPem)
      const [ca] = certificatesFromPem(pki.pki.certificatePem(issuer))
      expect(Buffer.from(parseCertificate(leaf!).issuer)).toEqual(Buffer.from(parseCertificate(ca!).subject))
    }
    const wrong = { profile: 'concentrator', id: 'c', issuer: 'people' } as const
    await expect(pki.pki.issue(wrong)).rejects.toMatchObject({ code: 'REQUEST_PROFILE' })
    for (const profile of ['manufacturer', 'ceremony'] as const) {
      await expect(pki.pki.issue({ profile, id: 'c' })).rejects.toMatchObject({ code: 'REQUEST_PROFILE' })
    }
  })

  test('keeps gateways within the zones that it was made for, and ids from being hosts', async () => {
    const names = { dns: ['gateway.example.com'], ip: [] }
    await expect(pki.pki.issue({ profile: 'gateway', id: 'g', names })).rejects.toMatchObject({ code: 'REQUEST_NAMES' })
    const far = { dns: [], ip: ['8.8.8.8'] }
    await expect(pki.pki.issue({ profile: 'gateway', id: 'g', names: far })).rejects.toMatchObject({
      code: 'REQUEST_NAMES',
    })
    const id = 'dc-1.example'
    await expect(pki.pki.issue({ profile: 'concentrator', id })).rejects.toMatchObject({ code: 'REQUEST_ID' })
  })

  test.runIf(hasOpenssl)(`gives files that trust one class each${opensslNote}`, async () => {
    const operator = await pki.issue('operator', 'op-1')
    const verify = (name: 'device' | 'people'): boolean => {
      const trust = ['-no-CApath', '-no-CAstore', '-partial_chain', '-trusted', join(dir, name)]
      const [ca] = certificatesFromPem(readFileSync(pki.pki.trustFile(name), 'utf8'))
      writeFileSync(join(dir, name), pki.pki.certificatePem(name))
      expect(Buffer.from(ca!)).toEqual(Buffer.from(certificatesFromPem(pki.pki.certificatePem(name))[0]!))
      return openssl('verify', '-x509_strict', ...trust, operator.certificateFile).ok
    }
    expect([verify('people'), verify('device')]).toEqual([true, false])
  })

  test('writes where a certificate’s standing is told, when it was made so', async () => {
    const [where, keyStore] = [join(dir, 'published'), new MemoryKeyStore()]
    const keys = Object.fromEntries(authorityNames.map((name) => [name, { kind: 'memory' } as const]))
    const publication = { crl: 'http://crl.test', ocsp: 'http://ocsp.test' }
    await initPki({ dir: where, keys, keyStore, publication })
    const own = await openPki({ dir: where, keyStore })
    const { chainPem } = await own.issue({ profile: 'concentrator', id: 'c1' })
    expect(judge(chainPem, 'concentrator', own)).toMatchObject({ ok: true })
    const octets = Buffer.from(certificatesFromPem(chainPem)[0]!).toString('latin1')
    expect(octets).toContain('http://crl.test/device/0.crl')
    expect(octets).toContain('http://ocsp.test')
    await own.close()
    const bad = initPki({ dir: join(dir, 'never'), keys, keyStore, publication: { crl: 'ftp://x.test' } })
    await expect(bad).rejects.toMatchObject({ code: 'STORE_CONFIG' })
  })
})

describe('a public key', () => {
  test('is certified for one identity, again and again, and for no other', async () => {
    const csr = newRequest()
    await pki.pki.issue({ profile: 'concentrator', id: 'k1', csr })
    await pki.pki.issue({ profile: 'concentrator', id: 'k1', csr })
    await expect(pki.pki.issue({ profile: 'concentrator', id: 'k2', csr })).rejects.toMatchObject({
      code: 'KEY_REUSED',
    })
    await expect(pki.pki.issue({ profile: 'mdm', id: 'k1', csr })).rejects.toMatchObject({ code: 'KEY_REUSED' })
  })

  test('is seen in the same batch', async () => {
    const csr = newRequest()
    const requests = ['b1', 'b2'].map((id) => ({ profile: 'concentrator' as const, id, csr }))
    await expect(pki.pki.issueMany(requests)).rejects.toMatchObject({ code: 'KEY_REUSED' })
    expect((await pki.pki.list()).filter(({ id }) => id === 'b1')).toEqual([])
  })

  test('whose certificate was revoked is not certified again', async () => {
    const csr = newRequest()
    const { serial } = await pki.pki.issue({ profile: 'concentrator', id: 'r1', csr })
    await pki.revoke(serial, 'superseded')
    await expect(pki.pki.issue({ profile: 'concentrator', id: 'r1', csr })).rejects.toMatchObject({
      code: 'KEY_REVOKED',
    })
  })
})

describe('manufacturers', () => {
  test('are imported, listed, trusted for enrolment alone, and removed', async () => {
    const store = new ManufacturerStore(pki.caDir)
    const [added] = await store.add(maker.caPem, clock())
    await store.add(maker.caPem, clock())
    expect(await store.list()).toMatchObject([{ fingerprint: added!.fingerprint, name: /Meterworks/ }])
    const { chainPem } = await maker.make('SN-0001')
    const [leaf, ...intermediates] = certificatesFromPem(chainPem)
    const trusted = certificatesFromPem(readFileSync(store.trustFile, 'utf8'))
    const question = { leaf: leaf!, intermediates, crls: [], at: clock(), purpose: 'manufacturer' } as const
    expect(verifyChain({ ...question, roots: trusted })).toMatchObject({ ok: true })
    expect(verifyChain({ ...question, roots: certificatesFromPem(pki.rootPem) })).toMatchObject({ ok: false })
    const asDevice = { ...question, roots: trusted, purpose: 'concentrator' } as const
    expect(verifyChain(asDevice)).toMatchObject({ ok: false, code: 'POLICY' })
    await store.remove(added!.fingerprint)
    expect(certificatesFromPem(readFileSync(store.trustFile, 'utf8'))).toEqual([])
  })

  test('are no leaf, and none of our own CAs', async () => {
    const store = new ManufacturerStore(pki.caDir)
    const { chainPem } = await maker.make('SN-0002')
    await expect(store.add(chainPem, clock())).rejects.toMatchObject({ code: 'MANUFACTURER_UNFIT' })
    await expect(store.add(pki.rootPem, clock())).rejects.toMatchObject({ code: 'MANUFACTURER_UNFIT' })
    await expect(store.add('', clock())).rejects.toMatchObject({ code: 'MANUFACTURER_UNFIT' })
    expect(await store.list()).toEqual([])
  })

  test('give an identity without an end, named by its serial number', async () => {
    const [leaf] = certificatesFromPem((await maker.make('SN-0003')).chainPem)
    expect(parseCertificate(leaf!).notAfter).toBe(253_402_300_799)
    await expect(maker.make('a_b')).rejects.toMatchObject({ code: 'REQUEST_NAMES' })
  })
})

describe.each(['brainpool', 'ml-dsa'] as const)('the profile set %s', (profileSet: ProfileSetName) => {
  let own: Pki
  const keyStore = new MemoryKeyStore()
  const where = join(dir, profileSet)
  beforeAll(async () => {
    const keys = Object.fromEntries(authorityNames.map((name) => [name, { kind: 'memory' } as const]))
    await initPki({ dir: where, keys, keyStore, profileSet })
    own = await openPki({ dir: where, keyStore })
  })
  afterAll(() => own.close())

  const names = { dns: ['localhost'], ip: [] }
  test.each(ours)('issues and judges a %s, for itself and not for P-256', async (profile) => {
    const { chainPem } = await own.issue({ profile, id: 'x', ...(profile === 'gateway' ? { names } : {}) })
    const [leaf, ...intermediates] = certificatesFromPem(chainPem)
    const roots = certificatesFromPem(own.rootPem)
    const crls = parseCrls(readFileSync(own.crlFile, 'utf8'))
    const question = { leaf: leaf!, intermediates, roots, crls, at: clock(), purpose: profile }
    expect(verifyChain({ ...question, profileSet })).toMatchObject({ ok: true })
    expect(verifyChain(question)).toMatchObject({ ok: false, code: 'ALGORITHM_UNSUPPORTED' })
    const flipped = Uint8Array.from(leaf!)
    flipped[flipped.length - 1]! ^= 1
    expect(verifyChain({ ...question, leaf: flipped, profileSet })).toMatchObject({ ok: false })
  })

  test('is read and verified by the OpenSSL within Node', async () => {
    const { chainPem } = await own.issue({ profile: 'concentrator', id: 'read' })
    const [leaf, ca] = certificatesFromPem(chainPem).map((der) => new X509Certificate(der))
    const root = new X509Certificate(own.rootPem)
    expect([leaf!.verify(ca!.publicKey), ca!.verify(root.publicKey), root.verify(root.publicKey)]).toEqual([
      true,
      true,
      true,
    ])
    expect([leaf!.verify(root.publicKey), leaf!.checkIssued(ca!)]).toEqual([false, true])
  })

  test('revokes', async () => {
    const { serial, chainPem } = await own.issue({ profile: 'concentrator', id: 'gone' })
    await own.revoke(serial, 'keyCompromise')
    const [leaf, ...intermediates] = certificatesFromPem(chainPem)
    const crls = parseCrls(readFileSync(own.crlFile, 'utf8'))
    const question = { leaf: leaf!, intermediates, roots: certificatesFromPem(own.rootPem), crls, at: clock() }
    expect(verifyChain({ ...question, profileSet, purpose: 'concentrator' })).toMatchObject({ code: 'REVOKED' })
  })

  const judged = hasOpenssl && profileSets[profileSet].authority === 'brainpoolP256r1'
  test.runIf(judged)('is accepted by OpenSSL, where it knows the keys', async () => {
    const { chainPem } = await own.issue({ profile: 'concentrator', id: 'shown' })
    writeFileSync(join(dir, 'shown'), chainPem)
    const trust = ['-no-CApath', '-no-CAstore', '-CAfile', join(where, 'root.pem'), '-untrusted', join(dir, 'shown')]
    const how = [
      '-x509_strict',
      '-crl_check_all',
      '-CRLfile',
      own.crlFile,
      '-explicit_policy',
      '-policy',
      policy.concentrator,
    ]
    expect(openssl('verify', ...how, ...trust, join(dir, 'shown'))).toMatchObject({ ok: true })
  })
})
