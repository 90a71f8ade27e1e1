import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { profiles } from '#pki/profiles.ts'
import { initPki, openPki, type Pki, readRegister } from '#pki/store.ts'
import { certificatesFromPem, parseCertificate, parseCrls, verifyChain } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'

const clock = (): number => Date.now() / 1_000
let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

function reopened(): Promise<Pki> {
  return openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
}

async function revokedSerials(): Promise<Set<string>> {
  return new Set(parseCrls(await readFile(pki.crlFile, 'utf8')).flatMap(({ serials }) => [...serials]))
}

describe('the store', () => {
  test('is for its owner only, directories and files', async () => {
    for (const name of await readdir(pki.caDir, { recursive: true })) {
      const found = await stat(join(pki.caDir, name))
      expect([name, found.mode & 0o777]).toEqual([name, found.isDirectory() ? 0o700 : 0o600])
    }
    expect((await stat(pki.caDir)).mode & 0o777).toBe(0o700)
  })

  test('keeps its keys encrypted', async () => {
    for (const name of ['root', 'device', 'infrastructure', 'signing', 'people']) {
      expect(await readFile(join(pki.caDir, name, 'key.pem'), 'utf8')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
    }
  })

  test('is made whole or not at all, and never over another', async () => {
    const { caDir: dir, passphraseFile } = pki
    await expect(initPki({ dir, passphraseFile })).rejects.toMatchObject({ code: 'STORE_EXISTS' })
    const parent = await mkdtemp(join(tmpdir(), 'ami-store-'))
    const bad = { dir: join(parent, 'new'), passphraseFile, organisation: 'x'.repeat(65) }
    await expect(initPki(bad)).rejects.toMatchObject({ code: 'REQUEST_NAMES' })
    expect(await readdir(parent)).toEqual([])
    await rm(parent, { recursive: true })
  })

  test('does not open with another passphrase, nor with a short one', async () => {
    const other = join(pki.dir, 'other')
    await writeFile(other, 'not the right passphrase\n', { mode: 0o600 })
    const opening = openPki({ dir: pki.caDir, passphraseFile: other })
    await expect(opening).rejects.toMatchObject({
      code: 'STORE_PASSPHRASE',
      message: expect.stringContaining('does not open'),
    })
    await writeFile(other, 'short\n')
    const short = openPki({ dir: pki.caDir, passphraseFile: other })
    await expect(short).rejects.toMatchObject({
      code: 'STORE_PASSPHRASE',
      message: expect.stringContaining('12 characters'),
    })
  })

  test('takes no passphrase that group or others may read, to open or to make one', async () => {
    const passphraseFile = join(pki.dir, 'open-to-others')
    await writeFile(passphraseFile, await readFile(pki.passphraseFile))
    const dir = join(pki.dir, 'never')
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(passphraseFile, mode)
      const refused = { code: 'STORE_PASSPHRASE', message: expect.stringContaining('chmod 600') }
      await expect(openPki({ dir: pki.caDir, passphraseFile })).rejects.toMatchObject(refused)
      await expect(initPki({ dir, passphraseFile })).rejects.toMatchObject(refused)
    }
    expect(await readdir(pki.dir)).not.toContain('never')
    await chmod(passphraseFile, 0o400)
    await (await openPki({ dir: pki.caDir, passphraseFile })).close()
  })

  test('refuses a key that is not the certificate’s', async () => {
    const foreign = await pki.foreign()
    const path = join(foreign.caDir, 'device', 'key.pem')
    const own = await readFile(path)
    await writeFile(path, await readFile(join(foreign.caDir, 'root', 'key.pem')))
    const opening = openPki({ dir: foreign.caDir, passphraseFile: foreign.passphraseFile })
    await expect(opening).rejects.toMatchObject({ code: 'STORE_KEY' })
    await writeFile(path, own)
  })
})

describe('issuing', () => {
  test.each(['concentrator', 'gateway', 'sealer', 'mdm', 'operator', 'researcher', 'ocsp'] as const)(
    'a %s chain is accepted for what it is',
    async (name) => {
      const { chainPem, serial } = await pki.issue(name, `${name}-1`)
      const [leaf, ...intermediates] = certificatesFromPem(chainPem)
      const verdict = verifyChain({
        leaf: leaf!,
        intermediates,
        roots: certificatesFromPem(pki.rootPem),
        crls: parseCrls(await readFile(pki.crlFile, 'utf8')),
        at: clock(),
        purpose: name,
      })
      const uri = name === 'gateway' || name === 'ocsp' ? undefined : `urn:ami:${name}:${name}-1`
      expect(verdict).toMatchObject({ ok: true, uri })
      const { notBefore, notAfter } = parseCertificate(leaf!)
      expect(notAfter - notBefore).toBe(profiles[name].days! * 86_400 + 300)
      expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/)
    },
  )

  test('is journaled before it is handed out, many in one go in their order', async () => {
    const requests = Array.from({ length: 30 }, (_, index) => ({
      profile: 'concentrator' as const,
      id: `many-${index}`,
    }))
    const issued = await pki.pki.issueMany(requests)
    const register = await readRegister(pki.caDir)
    expect(issued.map(({ serial }) => register.find(serial).id)).toEqual(requests.map(({ id }) => id))
    expect(new Set(issued.map(({ serial }) => serial)).size).toBe(30)
  })

  test('gives nothing when the journal cannot be written', async () => {
    const own = await reopened()
    await own.close()
    await expect(own.issue({ profile: 'mdm', id: 'never' })).rejects.toThrow()
    expect((await pki.pki.list()).filter(({ id }) => id === 'never')).toEqual([])
  })

  test.each([
    ['an id with a space', { profile: 'concentrator', id: 'a b' }, 'REQUEST_ID'],
    ['an empty id', { profile: 'mdm', id: '' }, 'REQUEST_ID'],
    [
      'host names for a concentrator',
      { profile: 'concentrator', id: 'a', names: { dns: ['a'], ip: [] } },
      'REQUEST_NAMES',
    ],
    ['a gateway without names', { profile: 'gateway', id: 'a' }, 'REQUEST_NAMES'],
    ['a wildcard', { profile: 'gateway', id: 'a', names: { dns: ['*.example'], ip: [] } }, 'REQUEST_NAMES'],
    ['no address', { profile: 'gateway', id: 'a', names: { dns: [], ip: ['localhost'] } }, 'REQUEST_NAMES'],
    ['more days than the profile has', { profile: 'concentrator', id: 'a', days: 91 }, 'REQUEST_VALIDITY'],
    ['half a day', { profile: 'concentrator', id: 'a', days: 0.5 }, 'REQUEST_VALIDITY'],
    ['a request of noise', { profile: 'mdm', id: 'a', csr: Uint8Array.of(0x30, 0) }, 'REQUEST_MALFORMED'],
  ] as const)('refuses %s, and journals nothing', async (_, request, code) => {
    const before = (await pki.pki.list()).length
    await expect(pki.pki.issue(request)).rejects.toMatchObject({ code })
    expect(await pki.pki.list()).toHaveLength(before)
  })

  test('refuses to outlive its CA', async () => {
    let now = clock()
    const own = await throwawayPki({ now: () => now })
    now += 4.5 * 365 * 86_400
    await expect(own.pki.issue({ profile: 'mdm', id: 'm' })).rejects.toMatchObject({ code: 'LINT' })
    await own.close()
  })
})

describe('revoking', () => {
  test('puts the serial on the CRL, in either spelling, once', async () => {
    const { serial } = await pki.issue('concentrator', 'bad-1')
    await pki.revoke(serial.toLowerCase().replace(/(..)(?=.)/g, '$1:'), 'keyCompromise')
    await pki.revoke(serial, 'superseded')
    expect(await revokedSerials()).toContain(serial)
    expect((await pki.pki.find(serial)).revoked).toMatchObject({ reason: 'keyCompromise' })
  })

  test('refuses a serial that was never issued', async () => {
    await expect(pki.revoke('00AA')).rejects.toMatchObject({ code: 'SERIAL_UNKNOWN' })
  })

  test('by two processes and twenty callers at once forgets none', async () => {
    const other = await reopened()
    const issued = await pki.pki.issueMany(
      Array.from({ length: 20 }, (_, at) => ({ profile: 'mdm' as const, id: `m${at}` })),
    )
    await Promise.all(issued.map(({ serial }, at) => (at % 2 === 0 ? pki.pki : other).revoke(serial, 'superseded')))
    await other.close()
    const revoked = await revokedSerials()
    expect(issued.filter(({ serial }) => !revoked.has(serial))).toEqual([])
  })

  test('sees what another process revokes between reading the journal and writing the CRL', async () => {
    const own = await throwawayPki()
    const [first, second] = await own.pki.issueMany([
      { profile: 'mdm', id: 'm1' },
      { profile: 'mdm', id: 'm2' },
    ])
    const entry = { event: 'revoked', serial: second!.serial, at: Math.floor(clock()), reason: 'unspecified' }
    let calls = 0
    const now = (): number => {
      calls += 1 // the last call before the CRL is written: the other process is quicker
      if (calls === 4) appendFileSync(join(own.caDir, 'journal.ndjson'), `${JSON.stringify(entry)}\n`)
      return clock()
    }
    const late = await openPki({ dir: own.caDir, passphraseFile: own.passphraseFile, now })
    await late.revoke(first!.serial, 'superseded')
    await late.close()
    expect(calls).toBeGreaterThan(4)
    const [, , , crl] = parseCrls(await readFile(own.crlFile, 'utf8')) // the Signing CA's
    expect(crl!.serials).toEqual(new Set([first!.serial, second!.serial]))
    await own.close()
  })

  test('a CA’s own needs the root key, which may be away', async () => {
    const own = await throwawayPki()
    const { serial } = (await own.pki.list()).find(({ profile }) => profile === 'device')!
    await rename(join(own.caDir, 'root'), join(own.dir, 'safe'))
    await expect(own.revoke(serial)).rejects.toMatchObject({ code: 'ROOT_OFFLINE' })
    expect((await own.pki.find(serial)).revoked).toBeUndefined()
    await own.issue('concentrator', 'still-issued')
    await rename(join(own.dir, 'safe'), join(own.caDir, 'root'))
    await own.revoke(serial, 'cACompromise')
    const [rootCrl] = parseCrls(await readFile(own.crlFile, 'utf8'))
    expect(rootCrl!.serials).toEqual(new Set([serial]))
    await own.close()
  })

  test('each CRL has a number above the last, and no list where nothing is revoked', async () => {
    const own = await throwawayPki({ now: () => 1_780_272_000 })
    const read = async (): Promise<string> =>
      Buffer.from(parseCrls(await readFile(own.crlFile, 'utf8'))[1]!.tbs).toString('hex')
    const first = await read()
    await own.pki.refreshCrl('device')
    const second = await read()
    expect(second.length).toBe(first.length)
    expect(second > first).toBe(true) // they differ in the number alone, which stands last
    await own.close()
  })
})

describe('after a crash', () => {
  test('temporary files left behind do not disturb', async () => {
    await writeFile(`${pki.crlFile}.1234.tmp`, 'half a CR')
    await mkdir(`${pki.caDir}.99-1.tmp`)
    await (await reopened()).close()
    await pki.pki.refreshCrl('device')
    expect(parseCrls(await readFile(pki.crlFile, 'utf8'))).toHaveLength(5)
  })

  test('a journal line cut short is passed over, and what follows it is kept', async () => {
    const journal = join(pki.caDir, 'journal.ndjson')
    await appendFile(journal, '{"event":"issued","serial":"41')
    const again = await reopened()
    const { serial } = await again.issue({ profile: 'mdm', id: 'after-the-crash' })
    await again.close()
    expect((await readRegister(pki.caDir)).find(serial).id).toBe('after-the-crash')
  })

  test('a journal line that is damaged is told', async () => {
    const own = await throwawayPki()
    await appendFile(join(own.caDir, 'journal.ndjson'), '{"event":"iss\n')
    await expect(readRegister(own.caDir)).rejects.toMatchObject({ code: 'JOURNAL_CORRUPT' })
    await own.close()
  })

  test('a revocation journaled and not yet on the CRL gets there at the next start', async () => {
    const { serial } = await pki.issue('concentrator', 'bad-2')
    const entry = { event: 'revoked', serial, at: Math.floor(clock()), reason: 'unspecified' }
    await appendFile(join(pki.caDir, 'journal.ndjson'), `${JSON.stringify(entry)}\n`)
    expect(await revokedSerials()).not.toContain(serial)
    await (await reopened()).close()
    expect(await revokedSerials()).toContain(serial)
  })

  test('a CRL half-way to its end is renewed at the next start', async () => {
    let now = clock()
    const own = await throwawayPki({ now: () => now })
    now += 4 * 86_400
    await (await openPki({ dir: own.caDir, passphraseFile: own.passphraseFile, now: () => now })).close()
    const [, issuing] = parseCrls(await readFile(own.crlFile, 'utf8'))
    expect(issuing!.nextUpdate! - now).toBeGreaterThan(6 * 86_400)
    await own.close()
  })

  test('killed while it issues and revokes, it has journaled all it gave', async () => {
    for (let round = 0; round < 3; round += 1) {
      const child = busyChild()
      const told: { issued: string[]; revoked: string[] } = { issued: [], revoked: [] }
      for await (const line of createInterface({ input: child.stdout! })) {
        const [what, serial] = line.split(' ')
        told[what as 'issued' | 'revoked'].push(serial!)
        if (told.revoked.length === 5 + round) child.kill('SIGKILL')
      }
      const again = await reopened()
      const listed = new Map((await again.list()).map((one) => [one.serial, one]))
      await again.close()
      expect(told.issued.filter((serial) => !listed.has(serial))).toEqual([])
      const revoked = await revokedSerials()
      expect(told.revoked.filter((serial) => !revoked.has(serial))).toEqual([])
    }
  })
})

/** Issues and revokes until it is killed, and says so after each. */
function busyChild(): ChildProcess {
  const program = `
    import { openPki } from '#pki/store.ts'
    const pki = await openPki({ dir: process.argv[1], passphraseFile: process.argv[2] })
    for (;;) {
      const { serial } = await pki.issue({ profile: 'concentrator', id: 'busy' })
      process.stdout.write('issued ' + serial + '\\n')
      await pki.revoke(serial, 'unspecified')
      process.stdout.write('revoked ' + serial + '\\n')
    }`
  const root = join(import.meta.dirname, '..', '..')
  const args = ['--input-type=module', '--eval', program, pki.caDir, pki.passphraseFile]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  void once(child, 'close')
  return child
}
