import { spawnSync } from 'node:child_process'
import { createHash, createPublicKey } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { findEntries, verifyAuditFiles } from '#pki/audit/query.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { fromPem } from '#pki/pem.ts'
import { openPki } from '#pki/store.ts'
import { certificatesFromPem, parseCrls } from '#pki/verify.ts'
import { throwawayPki } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

/** DER of the Device CA's CRL in a bundle, which stands behind the root's. */
const deviceCrlOf = (file: string): Uint8Array => fromPem('X509 CRL', readFileSync(file, 'utf8'))[1]!

const publicKeyOf = (dir: string): Uint8Array => {
  return publicKeyOctets(createPublicKey(readFileSync(join(dir, 'audit', 'public.pem'))))
}

test('every act of a store stands in its audit log before it is handed out, in order, and a changed octet is found', async () => {
  const pki = await throwawayPki()
  onTestFinished(() => pki.close())
  const audit = join(pki.caDir, 'audit')
  const made = findEntries(audit)
  expect(made.filter(({ kind }) => kind === 'key-made').map(({ subject }) => subject)).toEqual([
    ...['root', 'device', 'infrastructure', 'signing', 'people'],
    'audit',
  ])
  expect(made.filter(({ kind }) => kind === 'issued').length).toBeGreaterThanOrEqual(5)
  expect(made.filter(({ kind, digest }) => kind === 'crl-signed' && digest !== undefined)).toHaveLength(5)

  const own = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile, actor: 'tester' })
  const { chainPem, serial } = await own.issue({ profile: 'concentrator', id: 'dc-7' })
  const digest = createHash('sha256').update(certificatesFromPem(chainPem)[0]!).digest('hex')
  const since = (): unknown[] => findEntries(audit, { from: made.length }).map(({ index, time, ...entry }) => entry)
  const used = { kind: 'key-used', actor: 'tester', subject: 'device' }
  const issued = { kind: 'issued', actor: 'tester', subject: 'concentrator:dc-7', serial, digest }
  expect(since()).toEqual([used, issued])

  await expect(own.issue({ profile: 'concentrator', id: 'dc-8', days: 4_000 })).rejects.toThrow()
  await expect(own.issue({ profile: 'concentrator', id: 'no id' })).rejects.toThrow()
  await own.revoke(serial, 'keyCompromise')
  await own.revoke(serial, 'keyCompromise') // which is no second revocation, but a new list
  const list = createHash('sha256').update(deviceCrlOf(own.crlFile)).digest('hex')
  await expect(own.revoke('0123', 'keyCompromise')).rejects.toMatchObject({ code: 'SERIAL_UNKNOWN' })
  const actor = 'tester'
  expect(since()).toEqual([
    used,
    issued,
    { kind: 'refused', actor, subject: 'concentrator:dc-8', reason: 'REQUEST_VALIDITY' },
    { kind: 'refused', actor, reason: 'REQUEST_ID' },
    { kind: 'revoked', actor, subject: 'concentrator:dc-7', serial, reason: 'keyCompromise' },
    { kind: 'crl-signed', actor, subject: 'device', digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
    { kind: 'crl-signed', actor, subject: 'device', digest: list },
    { kind: 'refused', actor, reason: 'SERIAL_UNKNOWN' },
  ])
  await own.close()

  const publicKey = publicKeyOf(pki.caDir)
  const size = made.length + 8
  expect(await verifyAuditFiles({ dir: audit, publicKey })).toMatchObject({ ok: true, size, covered: size })
  const line = ['pki', 'audit', 'verify', '--dir', audit, '--key', join(audit, 'public.pem')]
  expect(spawnSync(process.execPath, [mainFile, ...line]).status).toBe(0)

  const copy = tempFolder()
  cpSync(audit, copy, { recursive: true })
  const file = join(copy, 'entries.ndjson')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"concentrator:dc-7"', '"concentrator:dc-6"'))
  expect(await verifyAuditFiles({ dir: copy, publicKey })).toMatchObject({ ok: false, index: made.length + 1 })
})

test('an identity is revoked as a whole: all that it has, renewed or not, and nobody else', async () => {
  const pki = await throwawayPki()
  onTestFinished(() => pki.close())
  const own = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
  onTestFinished(() => own.close())
  const issue = async (id: string, at?: 'sealer'): Promise<string> =>
    (await own.issue({ profile: at ?? 'concentrator', id })).serial
  const [first, second, other, sealer] = [
    await issue('dc-1'),
    await issue('dc-1'),
    await issue('dc-2'),
    await issue('dc-1', 'sealer'),
  ]
  await own.revoke(first, 'superseded')
  expect(await own.revokeIdentity('concentrator', 'dc-1', 'keyCompromise')).toEqual([second])
  expect(await own.revokeIdentity('concentrator', 'dc-1', 'keyCompromise')).toEqual([])
  const revoked = new Set(parseCrls(readFileSync(own.crlFile, 'utf8')).flatMap(({ serials }) => [...serials]))
  expect([first, second, other, sealer].map((serial) => revoked.has(serial))).toEqual([true, true, false, false])
  expect(await own.find(first)).toMatchObject({ revoked: { reason: 'superseded' } })
  await expect(own.revokeIdentity('concentrator', 'dc-9', 'keyCompromise')).rejects.toMatchObject({
    code: 'SERIAL_UNKNOWN',
  })
})
