import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { provenKey } from '#pki/request.ts'
import { certificatesFromPem, parseCrls, verifyChain } from '#pki/verify.ts'
import { ami, enrolled, enrolmentStage, fromFactory, type Process, type Stage } from './enrolment-cast.ts'

const dir = mkdtempSync(join(tmpdir(), 'ami-enrolment-sets-'))
let stage: Stage
let running: { est: Process; server: { host: string; port: number; trust: string } }
let clerk: Process
beforeAll(async () => {
  stage = await enrolmentStage({ profileSet: 'ml-dsa' })
  stage.ship('dc-1', 'dc-2')
  running = await stage.listener()
  clerk = await stage.clerk()
})
afterAll(async () => {
  await Promise.all([running.est.stop(), clerk.stop()])
  await stage.close()
  rmSync(dir, { recursive: true, force: true })
})

/** With what `ami pki enrol` is asked, but for the credentials. */
function asked(name: string): string[] {
  const trust = join(stage.caDir, 'root.pem')
  const to = ['--out-key', join(dir, `${name}.key`), '--out', join(dir, `${name}.pem`)]
  return ['--url', `https://127.0.0.1:${running.server.port}`, '--trust', trust, '--profile-set', 'ml-dsa', ...to]
}

function isConcentrator(pem: string): boolean {
  const [leaf, ...intermediates] = certificatesFromPem(pem)
  const crls = parseCrls(readFileSync(stage.crlFile, 'utf8'))
  const roots = certificatesFromPem(stage.rootPem)
  const how = { crls, at: Date.now() / 1_000, purpose: 'concentrator', profileSet: 'ml-dsa' } as const
  return verifyChain({ leaf: leaf!, intermediates, roots, ...how }).ok
}

describe('enrolment in a PKI of ML-DSA', () => {
  test('takes a device from its P-256 factory certificate to one of ML-DSA, and with that to the next', async () => {
    const factory = await fromFactory(stage.maker, 'dc-1')
    writeFileSync(join(dir, 'factory.pem'), factory.cert)
    writeFileSync(join(dir, 'factory.key'), factory.key, { mode: 0o600 })
    const credentials = ['--cert', join(dir, 'factory.pem'), '--key', join(dir, 'factory.key')]
    expect(ami('pki', 'enrol', ...asked('first'), ...credentials)).toMatchObject({ code: 0 })
    const renewing = ['--cert', join(dir, 'first.pem'), '--key', join(dir, 'first.key')]
    expect(ami('pki', 'renew', ...asked('second'), ...renewing)).toMatchObject({ code: 0 })
    const pems = ['first', 'second'].map((name) => readFileSync(join(dir, `${name}.pem`), 'utf8'))
    expect(pems.map(isConcentrator)).toEqual([true, true])
    expect(pems.map((pem) => new X509Certificate(pem).publicKey.asymmetricKeyType)).toEqual(['ml-dsa-44', 'ml-dsa-44'])
  })

  test('refuses a request with a key on P-256', async () => {
    const factory = await fromFactory(stage.maker, 'dc-2')
    await expect(enrolled(running.server, factory, makeDeviceKey('p256'))).rejects.toMatchObject({
      code: 'EST_REFUSED',
    })
    await expect(enrolled(running.server, factory, makeDeviceKey('ml-dsa'))).resolves.toBeDefined()
  })
})

test('a request of P-256 is none for ML-DSA, and the other way round', () => {
  const request = makeRequest(makeDeviceKey('ml-dsa'))
  expect(() => provenKey(request)).toThrow(expect.objectContaining({ code: 'REQUEST_KEY' }))
})
