import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { encodeCertId, encodeOcspRequest } from '#pki/ocsp/request.ts'
import { fetchOcsp } from '#pki/ocsp/staple.ts'
import { JournalStatuses } from '#pki/ocsp/statuses.ts'
import { verifyOcsp } from '#pki/ocsp/verify.ts'
import { type Actor, cast } from './ocsp-cast.ts'

const stage = cast()
afterAll(() => stage.close())
const { ca, responder, root, server, dir } = stage
const passphraseFile = join(dir, 'passphrase')
writeFileSync(passphraseFile, 'a passphrase for the tests\n', { mode: 0o600 })
const module = join(import.meta.dirname, '..', '..', 'cli', 'pki', 'ocsp.ts')
const runner = `const { command } = await import(${JSON.stringify(module)}); process.exitCode = await command.run(process.argv.slice(1)).catch((error) => { console.error(error.name, error.message); return 70 })`
const start = (...args: readonly string[]): string[] => ['--input-type=module', '-e', runner, '--', ...args]

/** A journal as the PKI keeps it. */
let count = 0
function journal(...issued: Actor[]): string {
  const store = join(dir, `store-${++count}`)
  mkdirSync(store)
  const entries = issued.map(({ certificate }) => ({
    event: 'issued',
    at: certificate.notBefore,
    serial: certificate.serial,
    profile: 'gateway',
    id: 'g1',
    issuer: 'issuing',
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    certificate: Buffer.from(certificate.der).toString('base64'),
  }))
  writeFileSync(join(store, 'journal.ndjson'), entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
  return store
}
function revoke(store: string, { certificate }: Actor): void {
  const entry = { event: 'revoked', serial: certificate.serial, at: 1_780_272_000, reason: 'superseded' }
  appendFileSync(join(store, 'journal.ndjson'), `${JSON.stringify(entry)}\n`)
}
const faults: unknown[] = []
const open = (store: string): Promise<JournalStatuses> => JournalStatuses.open(store, (cause) => faults.push(cause))

describe('statuses out of the journal', () => {
  test('are good, revoked once that is journaled, unknown for what was not issued or by another CA', async () => {
    const store = journal(server, ca)
    const statuses = await open(store)
    expect(statuses.statusOf(ca.certificate, server.certificate.serial)).toEqual({ state: 'good' })
    expect(statuses.statusOf(root.certificate, server.certificate.serial)).toEqual({ state: 'unknown' })
    expect(statuses.statusOf(root.certificate, ca.certificate.serial)).toEqual({ state: 'good' })
    expect(statuses.statusOf(ca.certificate, responder.certificate.serial)).toEqual({ state: 'unknown' })
    revoke(store, server)
    await statuses.look()
    expect(statuses.statusOf(ca.certificate, server.certificate.serial)).toEqual({
      state: 'revoked',
      at: 1_780_272_000,
      reason: 'superseded',
    })
    await statuses.close()
  })

  test('are relied on for 5 seconds without a good look, and no longer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      const store = journal(server)
      const statuses = await open(store)
      appendFileSync(join(store, 'journal.ndjson'), 'not json\n')
      await expect(statuses.look()).rejects.toMatchObject({ code: 'JOURNAL_CORRUPT' })
      vi.advanceTimersByTime(900)
      expect(statuses.ready()).toBe(true)
      await statuses.close()
      vi.advanceTimersByTime(4_101)
      expect(statuses.ready()).toBe(false)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('ami pki ocsp', () => {
  const files = ['--issuer', ca.certificateFile, '--responder', responder.certificateFile, '--key', responder.keyFile]
  const request = encodeOcspRequest([
    encodeCertId({ issuer: ca.certificate, serial: server.certificate.serial, hash: 'sha256' }),
  ])

  async function port(child: ChildProcess): Promise<number> {
    for await (const line of createInterface({ input: child.stdout! })) {
      const { event, port: found } = JSON.parse(line) as { event: string; port: number }
      if (event === 'ocsp.listening') return found
    }
    throw new Error('it ended before it listened')
  }

  test('answers out of the journal, hears of a revocation by itself, and ends by SIGTERM with 0', async () => {
    const store = journal(server)
    const common = ['--dir', store, '--listen', '127.0.0.1:0', '--passphrase-file', passphraseFile]
    const child = spawn(process.execPath, start(...common, ...files), { stdio: ['ignore', 'pipe', 'inherit'] })
    const closed = once(child, 'close')
    try {
      const url = `http://127.0.0.1:${await port(child)}/`
      const asked = async (): Promise<unknown> => {
        const response = await fetchOcsp(url, request)
        const verdict = verifyOcsp({
          response,
          serial: server.certificate.serial,
          issuer: ca.certificate,
          at: Date.now() / 1_000,
        })
        return verdict.ok ? verdict.status.state : verdict.code
      }
      expect(await asked()).toBe('good')
      revoke(store, server)
      await vi.waitFor(async () => expect(await asked()).toBe('revoked'), { timeout: 5_000, interval: 100 })
    } finally {
      child.kill('SIGTERM')
    }
    expect(await closed).toEqual([0, null])
  })

  test.each([
    ['no issuer', [], 'UsageError'],
    ['a key too few', files.slice(0, 4), 'UsageError'],
    ['another’s key', [...files.slice(0, 5), server.keyFile], 'ConfigError'],
    [
      'a responder that its CA did not name',
      ['--issuer', ca.certificateFile, '--responder', server.certificateFile, '--key', server.keyFile],
      'ConfigError',
    ],
    ['no such file', ['--issuer', join(dir, 'none'), ...files.slice(2)], 'ConfigError'],
  ])('with %s is refused', (_, args, name) => {
    const common = ['--dir', journal(server), '--listen', '127.0.0.1:0', '--passphrase-file', passphraseFile]
    const { status, stderr } = spawnSync(process.execPath, start(...common, ...args), {
      encoding: 'utf8',
      timeout: 20_000,
    })
    expect([status, stderr]).toEqual([70, expect.stringContaining(name)])
  })

  test.each(['localhost', ':1', '127.0.0.1:70000', '::1:80'])('takes no --listen %s', (listen) => {
    const common = ['--dir', dir, '--listen', listen, '--passphrase-file', passphraseFile]
    const { status, stderr } = spawnSync(process.execPath, start(...common, ...files), {
      encoding: 'utf8',
      timeout: 20_000,
    })
    expect([status, stderr]).toEqual([70, expect.stringContaining('UsageError')])
  })
})
