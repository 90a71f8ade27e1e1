import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseCertificate } from '#pki/certificate.ts'
import { encodeCrl } from '#pki/crl-writer.ts'
import { toPem } from '#pki/pem.ts'
import type { Revocation } from '#pki/revoke.ts'
import { certificatesFromPem, parseCrls } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'

let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return Math.round((count / (performance.now() - start)) * 1_000)
}

/** The floors are far below what an idle core does: they catch a change of order, not a busy machine. */
test('issues at least 100 certificates a second one by one, and 200 that share an fsync, linted and journaled', async () => {
  const one = await perSecond(500, async () => {
    for (let at = 0; at < 500; at += 1) await pki.pki.issue({ profile: 'concentrator', id: `one-${at}` })
  })
  const many = await perSecond(2_000, () =>
    pki.pki.issueMany(Array.from({ length: 2_000 }, (_, at) => ({ profile: 'concentrator', id: `many-${at}` }))),
  )
  process.stdout.write(`issuance/s, key pair, lint and fsync included: one by one ${one}, sharing an fsync ${many}\n`)
  expect(one).toBeGreaterThan(100)
  expect(many).toBeGreaterThan(200)
})

test('writes and reads a CRL of 100,000 entries', async () => {
  const issuer = parseCertificate(certificatesFromPem(pki.pki.certificatePem('device'))[0]!)
  const start = performance.now()
  const revoked = Array.from({ length: 100_000 }, (): Revocation => {
    const serial = `40${randomBytes(15).toString('hex').toUpperCase()}`
    return { serial, at: 1_780_272_000, reason: 'superseded' }
  })
  const times = { number: 1n, thisUpdate: 1_780_272_000, nextUpdate: 1_780_358_400 }
  const pem = toPem('X509 CRL', await encodeCrl({ issuer, ...times }, revoked, async () => new Uint8Array(70)))
  const written = performance.now()
  const [crl] = parseCrls(pem)
  process.stdout.write(
    `CRL of 100,000: written in ${Math.round(written - start)} ms, read in ${Math.round(performance.now() - written)} ms\n`,
  )
  expect(crl!.serials.size).toBe(100_000)
})
