import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSigner, type Signer } from '#gateway/io/signer.ts'
import { parseCrl } from '#pki/crl.ts'
import { publishShards, shardUri } from '#pki/crl-shards.ts'
import type { Authority } from '#pki/issue.ts'
import type { ProfileSetName } from '#pki/key-algorithm.ts'
import { processKey } from '#pki/keystore/memory.ts'
import { encodeCertId, encodeOcspRequest } from '#pki/ocsp/request.ts'
import { OcspResponder } from '#pki/ocsp/responder.ts'
import type { CertificateStatus } from '#pki/ocsp/response.ts'
import { verifyOcsp } from '#pki/ocsp/verify.ts'
import { toPem } from '#pki/pem.ts'
import type { IssuingName } from '#pki/profiles.ts'
import { policy } from '#pki/purpose.ts'
import type { Revocation } from '#pki/revoke.ts'
import { decryptKey } from '#pki/store/keys.ts'
import { certificatesFromPem, type DetachedVerdict, parseCertificate, verifyDetached } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const clock = (): number => Date.now() / 1_000
const sets: readonly ProfileSetName[] = ['p256', 'brainpool', 'ml-dsa']
const content = Buffer.from('a batch')

function firstOf(pem: string): ReturnType<typeof parseCertificate> {
  return parseCertificate(certificatesFromPem(pem)[0]!)
}

describe.each(sets)('the profile set %s', (profileSet) => {
  let pki: WithForeign
  let signer: Signer
  beforeAll(async () => {
    pki = await throwawayPki({ profileSet })
    const { keyFile, certificateFile } = await pki.issue('sealer', 'sealer-1')
    signer = await openSigner({ keyFile: keyFile!, certificateFile, crlFile: pki.crlFile })
  })
  afterAll(() => pki.close())

  /** Debian's OpenSSL knows all but ML-DSA. */
  const judged = hasOpenssl && profileSet !== 'ml-dsa'

  function authority(name: IssuingName): Authority {
    const [passphrase] = readFileSync(pki.passphraseFile, 'utf8').split('\n')
    const key = processKey(decryptKey(readFileSync(join(pki.caDir, name, 'key.pem'), 'utf8'), passphrase!))
    return { certificate: firstOf(pki.pki.certificatePem(name)), sign: (octets) => key.sign(octets) }
  }

  function written(name: string, octets: Uint8Array | string): string {
    writeFileSync(join(pki.dir, name), octets)
    return join(pki.dir, name)
  }

  const judge = (cms: Uint8Array, change: { profileSet?: ProfileSetName } = { profileSet }): Promise<DetachedVerdict> =>
    verifyDetached({ cms, content, roots: certificatesFromPem(pki.rootPem), at: clock(), ...change })

  test('signs batches that are accepted under it and under no other', async () => {
    const cms = await signer.sign(content)
    expect(await judge(cms)).toMatchObject({ ok: true, signer: 'urn:ami:sealer:sealer-1' })
    const accepting = []
    for (const other of sets) if ((await judge(cms, { profileSet: other })).ok) accepting.push(other)
    expect(accepting).toEqual([profileSet])
    expect((await judge(cms, {})).ok).toBe(profileSet === 'p256')
  })

  test('refuses a batch in which any one octet of the last hundred, the signature’s, is another', async () => {
    const cms = await signer.sign(content)
    for (let back = 1; back <= 100; back += 1) {
      const flipped = Uint8Array.from(cms)
      flipped[cms.length - back]! ^= 1
      expect((await judge(flipped)).ok).toBe(false)
    }
  })

  test.runIf(judged)(`has batches that one call of openssl accepts by the root${opensslNote}`, async () => {
    const [p7s, file] = [written('batch.p7s', await signer.sign(content)), written('batch', content)]
    const accepts = (data: string): boolean => {
      const how = ['-verify', '-binary', '-inform', 'DER', '-in', p7s, '-content', data, '-out', join(pki.dir, 'out')]
      const strict = ['-cades', '-crl_check_all', '-x509_strict', '-explicit_policy', '-policy', policy.sealer]
      return openssl('cms', ...how, ...strict, '-no-CApath', '-no-CAstore', '-CAfile', pki.rootFile).ok
    }
    expect([accepts(file), accepts(written('other', 'another'))]).toEqual([true, false])
  })

  test('publishes CRL shards, which verify and list what was revoked', async () => {
    const gone = await pki.issue('concentrator', 'gone')
    const entry: Revocation = { serial: gone.serial, at: Math.floor(clock()) - 1, reason: 'keyCompromise' }
    const device = authority('device')
    const dir = join(pki.dir, 'shards')
    const base = 'http://crl.test/device'
    const place = { dir, base, authority: device, at: clock() - 60, lifeSeconds: 3_600 }
    expect(await publishShards(place, new Map([[0, [entry]]]))).toEqual([0])
    const shard = parseCrl(readFileSync(join(dir, '0.crl')))
    expect([...shard.serials]).toEqual([gone.serial])
    expect(shard.distributionPoint).toEqual({ uris: [shardUri(base, 0)], onlyUser: true })
    if (!judged) return
    const file = written('0.pem', toPem('X509 CRL', shard.der))
    const issuer = written('device.pem', pki.pki.certificatePem('device'))
    expect(openssl('crl', '-in', file, '-noout', '-CAfile', issuer).output).toMatch(/verify OK/)
    expect(openssl('crl', '-in', file, '-noout', '-CAfile', pki.rootFile).output).not.toMatch(/verify OK/)
  })

  test('answers over OCSP, by a responder of its own', async () => {
    const own = await pki.issue('ocsp', 'responder', { issuer: 'device' })
    const key = await pki.issue('concentrator', 'asked')
    const certificate = firstOf(pki.pki.certificatePem('device'))
    const responderKey = processKey(decryptKey(own.privateKeyPem!, ''))
    let status: CertificateStatus = { state: 'good' }
    const issuer = {
      certificate,
      responder: firstOf(own.chainPem),
      sign: (octets: Uint8Array) => responderKey.sign(octets),
      statusOf: () => status,
    }
    const faults: unknown[] = []
    const responder = new OcspResponder({ issuers: [issuer], now: clock, onFault: (fault) => faults.push(fault) })
    const ask = async (): Promise<Uint8Array> => {
      const certId = encodeCertId({ issuer: certificate, serial: key.serial, hash: 'sha256' })
      return (await responder.answer(encodeOcspRequest([certId]))).octets
    }
    const good = await ask()
    const question = { serial: key.serial, issuer: certificate, at: clock() }
    expect(verifyOcsp({ ...question, response: good })).toMatchObject({ ok: true, status: { state: 'good' } })
    const other = firstOf(pki.pki.certificatePem('people'))
    expect(verifyOcsp({ ...question, issuer: other, response: good })).toMatchObject({ ok: false, code: 'RESPONDER' })
    const flipped = Uint8Array.from(good)
    flipped[40]! ^= 1
    expect(verifyOcsp({ ...question, response: flipped }).ok).toBe(false)
    status = { state: 'revoked', at: Math.floor(clock()), reason: 'superseded' }
    expect(verifyOcsp({ ...question, response: await ask() })).toMatchObject({ status: { state: 'revoked' } })
    expect(faults).toEqual([])
    if (!judged) return
    const files = [
      '-issuer',
      written('device.pem', pki.pki.certificatePem('device')),
      '-sha256',
      '-cert',
      key.certificateFile,
    ]
    const how = ['ocsp', '-respin', written('good.ocsp', good), ...files, '-no_nonce', '-CAfile', pki.rootFile]
    expect(openssl(...how).output).toMatch(/Response verify OK/)
  })
})
