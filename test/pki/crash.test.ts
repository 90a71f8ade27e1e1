import { spawnSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditEntry } from '#pki/audit/entry.ts'
import { findEntries, verifyAuditFiles } from '#pki/audit/query.ts'
import { parseCrl } from '#pki/crl.ts'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { fromPem } from '#pki/pem.ts'
import { openPki, type Pki } from '#pki/store.ts'
import { parseCrls } from '#pki/verify.ts'
import { type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'

/** Steps of `crash-child.ts` on a quiet store: fewer would mean that the counting is blind. */
const stepsMin = 25
const stepsMax = 200

let pki: ThrowawayPki

beforeAll(async () => {
  pki = await throwawayPki({ publication: { crl: 'http://crl.test' } })
})
afterAll(() => pki.close())

interface Told {
  issued: string[]
  revoked: string[]
  done: boolean
}

/** Runs the child until it is killed at a step, or done. */
function runUntil(step: number): Told {
  const child = join(import.meta.dirname, 'crash-child.ts')
  const { stdout, signal, status, stderr } = spawnSync(
    process.execPath,
    [child, pki.caDir, pki.passphraseFile, String(step)],
    { encoding: 'utf8', timeout: 60_000 },
  )
  const done = stdout.includes('done')
  expect({ signal, status }, stderr).toEqual(done ? { signal: null, status: 0 } : { signal: 'SIGKILL', status: null })
  const of = (word: string): string[] =>
    [...stdout.matchAll(new RegExp(`^${word} (\\w+)$`, 'gm'))].map(([, one]) => one!)
  return { issued: of('issued'), revoked: of('revoked'), done }
}

/** Kind and serial of each line of the journal, and of each entry of the audit log that tells of one. */
function journaled(): string[] {
  const lines = readFileSync(join(pki.caDir, 'journal.ndjson'), 'utf8').split('\n').slice(0, -1)
  return lines.flatMap((line) => (line.endsWith('\tmended') ? [] : [nameOf(JSON.parse(line))]))
}
const nameOf = ({ event, serial }: { event: string; serial: string }): string => `${event} ${serial}`

function told(): string[] {
  const acts = findEntries(join(pki.caDir, 'audit')).filter(({ kind }) => kind === 'issued' || kind === 'revoked')
  return acts.map(({ kind, serial }: AuditEntry) => `${kind} ${serial}`)
}

const listedAsRevoked = (file: string): Set<string> =>
  new Set(parseCrls(readFileSync(file, 'utf8')).flatMap(({ serials }) => [...serials]))

describe('killed at any step of issuing, revoking and writing a CRL', () => {
  test('the store has all that was given, once, its audit log tells of the same acts, and nothing revoked comes back', {
    timeout: 300_000,
  }, async () => {
    const revoked = new Set<string>()
    let step = 1
    for (let done = false; !done; step += 1) {
      const given = runUntil(step)
      done = given.done
      for (const serial of given.revoked) revoked.add(serial)
      const again = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
      const serials = new Set((await again.list()).map(({ serial }) => serial))
      expect(given.issued.filter((serial) => !serials.has(serial))).toEqual([])
      const onList = listedAsRevoked(again.crlFile)
      expect([...revoked].filter((serial) => !onList.has(serial))).toEqual([])
      await again.close()
      const acts = journaled()
      expect(told(), `killed at step ${step}`).toEqual(acts)
      expect(new Set(acts).size).toBe(acts.length)
      if (step > stepsMax) throw new Error('the child does not come to an end')
    }
    expect(step).toBeGreaterThan(stepsMin)
    const publicKey = publicKeyOctets(createPublicKey(readFileSync(join(pki.caDir, 'audit', 'public.pem'))))
    expect(await verifyAuditFiles({ dir: join(pki.caDir, 'audit'), publicKey })).toMatchObject({ ok: true })
  })

  test('what a dead process left untold is told before the next act of one that lives on', async () => {
    const living = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
    const other = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
    const { serial } = await other.issue({ profile: 'concentrator', id: 'told' })
    await other.close()
    const journal = join(pki.caDir, 'journal.ndjson')
    const entry = { event: 'revoked', serial, at: Math.floor(Date.now() / 1_000), reason: 'unspecified' }
    writeFileSync(journal, `${JSON.stringify(entry)}\n`, { flag: 'a' }) // as by a process that died before it told
    await living.issue({ profile: 'concentrator', id: 'next' })
    await living.close()
    expect(told()).toEqual(journaled())
  })

  test('of two processes that certify one key for two devices, one is refused', async () => {
    const open = (): Promise<Pki> => openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
    const [one, other] = [await open(), await open()]
    const csr = makeRequest(makeDeviceKey())
    const results = await Promise.allSettled([
      one.issue({ profile: 'concentrator', id: 'twin-1', csr }),
      other.issue({ profile: 'concentrator', id: 'twin-2', csr }),
    ])
    await Promise.all([one.close(), other.close()])
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'KEY_REUSED' } })
  })

  test('a shard stands there from its first certificate on, and says what is revoked', async () => {
    const own = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
    const shard = (): Set<string> => parseCrl(readFileSync(join(pki.caDir, 'public', 'people', '0.crl'))).serials
    const { serial } = await own.issue({ profile: 'operator', id: 'op-1' })
    expect(shard()).toEqual(new Set())
    await own.revoke(serial, 'keyCompromise')
    expect(shard()).toEqual(new Set([serial]))
    const whole = readFileSync(join(pki.caDir, 'public', 'people', 'full.crl'))
    expect(whole).toEqual(
      Buffer.from(fromPem('X509 CRL', readFileSync(join(pki.caDir, 'crl', 'people.pem'), 'utf8'))[0]!),
    )
    expect(parseCrl(whole).serials).toEqual(new Set([serial]))
    await own.close()
  })

  test('a journal that lacks what the audit log tells of does not open', async () => {
    const journal = join(pki.caDir, 'journal.ndjson')
    const whole = readFileSync(journal, 'utf8')
    writeFileSync(journal, `${whole.trimEnd().split('\n').slice(0, -1).join('\n')}\n`)
    await expect(openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })).rejects.toMatchObject({
      code: 'JOURNAL_CORRUPT',
    })
    writeFileSync(journal, whole)
    await (await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })).close()
  })
})
