import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate as soon } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { findEntries } from '#pki/audit/query.ts'
import { pack, unpack } from '#pki/backup/archive.ts'
import { backUp, seenFileOf } from '#pki/backup/make.ts'
import { type RestoreOptions, restore } from '#pki/backup/restore.ts'
import { newSealing, pieceOctets, seal, sealingOf, unseal } from '#pki/backup/seal.ts'
import { registerFile } from '#pki/enrolment/ca.ts'
import { EnrolmentRegister } from '#pki/enrolment/register.ts'
import { openPki, readRegister } from '#pki/store.ts'
import { parseCrls } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const now = (): number => Date.now() / 1_000
const root = join(import.meta.dirname, '..', '..')
let pki: WithForeign
let whole: string
beforeAll(async () => {
  pki = await throwawayPki()
  whole = join(pki.dir, 'whole.backup')
  await pki.issue('concentrator', 'dc-1')
  await backUp(pki.pki, { dir: pki.caDir, out: whole, passphraseFile: pki.passphraseFile, now })
})
afterAll(() => pki.close())

function restored(dir: string, changes: Partial<RestoreOptions> = {}): ReturnType<typeof restore> {
  const { passphraseFile } = pki
  return restore({ from: whole, dir, passphraseFile, backupPassphraseFile: passphraseFile, now, ...changes })
}

function auditHolds(dir: string): boolean {
  const line = ['pki', 'audit', 'verify', '--dir', join(dir, 'audit'), '--key', join(dir, 'audit', 'public.pem')]
  return spawnSync(process.execPath, [mainFile, ...line], { timeout: 60_000 }).status === 0
}

/** Issues, revokes and takes in devices until it is killed, and says what it issued. */
const busy = `
  import { registerFile } from '#pki/enrolment/ca.ts'
  import { EnrolmentRegister } from '#pki/enrolment/register.ts'
  import { openPki } from '#pki/store.ts'
  const [dir, passphraseFile, name] = process.argv.slice(1)
  const pki = await openPki({ dir, passphraseFile })
  const register = new EnrolmentRegister(registerFile(dir))
  for (let count = 0; ; count += 1) {
    register.import([{ manufacturer: 'M', serial: name + count, concentrator: name + '-' + count }])
    const { serial } = await pki.issue({ profile: 'concentrator', id: name + '-' + count })
    if (count % 2 === 0) await pki.revoke(serial, 'superseded')
    process.stdout.write(serial + '\\n')
  }`

describe('a backup', () => {
  test('taken while two others issue, revoke and enrol is a store that could have been', async () => {
    const own = await throwawayPki()
    const told: string[] = []
    const children = ['one', 'two'].map((name) => {
      const args = ['--input-type=module', '--eval', busy, own.caDir, own.passphraseFile, name]
      const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
      onTestFinished(() => void child.kill('SIGKILL'))
      return child
    })
    const lines = children.map(async ({ stdout }) => {
      for await (const line of createInterface({ input: stdout })) told.push(line)
    })
    const reached = async (count: number): Promise<void> => {
      while (told.length < count) await soon()
    }
    await reached(6)
    const { passphraseFile } = own
    for (let round = 0; round < 3; round += 1) {
      const before = [...told]
      const out = join(own.dir, `${round}.backup`)
      await backUp(own.pki, { dir: own.caDir, out, passphraseFile, now })
      await reached(before.length + 4)
      const dir = join(own.dir, `restored-${round}`)
      await restored(dir, { from: out, passphraseFile, backupPassphraseFile: passphraseFile })
      const again = await openPki({ dir, passphraseFile })
      const listed = await again.list()
      const serials = new Set(listed.map(({ serial }) => serial))
      expect(before.filter((serial) => !serials.has(serial))).toEqual([])
      const { serial: fresh } = await again.issue({ profile: 'sealer', id: 'after' })
      expect([...told, ...serials]).not.toContain(fresh)
      await again.close()
      const onCrl = new Set(parseCrls(readFileSync(again.crlFile, 'utf8')).flatMap((crl) => [...crl.serials]))
      expect(listed.filter((one) => one.revoked !== undefined && !onCrl.has(one.serial))).toEqual([])
      const issued = new Set(listed.map(({ serial }) => serial))
      const inAudit = findEntries(join(dir, 'audit'), { kind: 'issued', count: 100_000 })
      expect(inAudit.filter((entry) => entry.serial !== fresh && !issued.has(entry.serial!))).toEqual([])
      const register = new EnrolmentRegister(registerFile(dir))
      const devices = register.list().length
      register.close()
      expect(devices).toBeGreaterThanOrEqual(before.length)
      expect(auditHolds(dir)).toBe(true)
    }
    for (const child of children) child.kill('SIGKILL')
    await Promise.all(lines)
    await own.close()
  }, 120_000)

  test('is told of in the audit log, and its restoring in that of the store restored', async () => {
    const dir = join(tempFolder(), 'ca')
    await restored(dir)
    const entries = findEntries(join(dir, 'audit')).filter(({ kind }) => kind === 'restore')
    const made = findEntries(join(pki.caDir, 'audit')).find(({ kind }) => kind === 'backup')
    expect(entries).toMatchObject([{ actor: 'restore', digest: made!.digest }])
    expect((await readRegister(dir)).list()).toEqual((await readRegister(pki.caDir)).list())
  })

  test('shows nothing of what is in it, and is its owner’s alone', () => {
    const octets = readFileSync(whole).toString('latin1')
    expect(octets).not.toMatch(/BEGIN|journal|concentrator|dc-1/)
    expect(spawnSync('stat', ['-c', '%a', whole], { encoding: 'utf8' }).stdout).toBe('600\n')
  })

  test('is not written over a file that is there', async () => {
    const options = { dir: pki.caDir, out: whole, passphraseFile: pki.passphraseFile, now }
    await expect(backUp(pki.pki, options)).rejects.toMatchObject({ code: 'STORE_EXISTS' })
  })
})

describe('restoring', { timeout: 120_000 }, () => {
  test('refuses a folder that holds anything, and another passphrase', async () => {
    const folder = tempFolder()
    const used = join(folder, 'used')
    mkdirSync(used)
    writeFileSync(join(used, 'mine'), '')
    await expect(restored(used)).rejects.toMatchObject({ code: 'STORE_EXISTS' })
    const other = join(folder, 'other')
    writeFileSync(other, 'quite another passphrase\n', { mode: 0o600 })
    const dir = join(folder, 'ca')
    await expect(restored(dir, { backupPassphraseFile: other })).rejects.toMatchObject({ code: 'BACKUP_PASSPHRASE' })
    await expect(restored(dir, { passphraseFile: other })).rejects.toMatchObject({ code: 'STORE_PASSPHRASE' })
    expect(readdirSync(folder).toSorted()).toEqual(['other', 'used'])
  })

  test('refuses any flipped octet, a file cut short and one that is longer, and leaves nothing', async () => {
    const folder = tempFolder()
    const octets = readFileSync(whole)
    const changed = join(folder, 'changed')
    const head = octets.indexOf(0x0a)
    const refused = async (of: Uint8Array): Promise<void> => {
      writeFileSync(changed, of)
      await expect(restored(join(folder, 'ca'), { from: changed })).rejects.toMatchObject({
        code: expect.stringMatching(/^BACKUP_/),
      })
      expect(readdirSync(folder)).toEqual(['changed'])
    }
    const place = fc.oneof(fc.nat(head), fc.nat(octets.length - 1), fc.constant(octets.length - 1))
    const flips = fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, mask) => {
      const flipped = Buffer.from(octets)
      flipped[at]! ^= mask
      await refused(flipped)
    })
    await fc.assert(flips, { numRuns: 40 })
    for (const length of [0, 10, head + 1, head + 3, octets.length - 1]) await refused(octets.subarray(0, length))
    await refused(Buffer.concat([octets, Buffer.of(0)]))
  }, 120_000)

  test('refuses a backup behind what is known, by the place or by a note kept elsewhere, unless told', async () => {
    const own = await throwawayPki()
    const { passphraseFile, caDir } = own
    const [early, late] = [join(own.dir, 'early'), join(own.dir, 'late')]
    await backUp(own.pki, { dir: caDir, out: early, passphraseFile, now })
    const seen = readFileSync(seenFileOf(caDir), 'utf8')
    await own.issue('mdm', 'm1')
    await backUp(own.pki, { dir: caDir, out: late, passphraseFile, now })
    const dir = join(own.dir, 'again')
    const from = (file: string, more: Partial<RestoreOptions> = {}): ReturnType<typeof restore> =>
      restored(dir, { from: file, passphraseFile, backupPassphraseFile: passphraseFile, ...more })

    const newer = { seen: `${readFileSync(seenFileOf(caDir), 'utf8')}\n` }
    await expect(from(early, newer)).rejects.toMatchObject({ code: 'BACKUP_OLDER' })
    writeFileSync(seenFileOf(dir), newer.seen)
    await expect(from(early)).rejects.toMatchObject({ code: 'BACKUP_OLDER' })
    const foreign = readFileSync(seenFileOf(pki.caDir), 'utf8')
    await expect(from(late, { seen: `${foreign}\n` })).rejects.toMatchObject({ code: 'AUDIT_CHECKPOINT' })
    expect(existsSync(dir)).toBe(false)
    await from(late, { seen: `${seen}\n` })
    expect((await readRegister(dir)).list().filter(({ id }) => id === 'm1')).toHaveLength(1)
    expect(readFileSync(seenFileOf(dir), 'utf8')).not.toBe(newer.seen)

    const accepted = join(own.dir, 'accepted')
    writeFileSync(seenFileOf(accepted), newer.seen)
    const how = { from: early, passphraseFile, backupPassphraseFile: passphraseFile }
    await restored(accepted, { ...how, acceptOlder: true })
    expect(auditHolds(accepted)).toBe(true)
    await own.close()
  })

  test.each(['journal.ndjson', 'store.json', 'audit/lock'])(
    'killed when %s is there, it left no store',
    async (moment) => {
      const folder = tempFolder()
      const dir = join(folder, 'ca')
      const secret = ['--passphrase-file', pki.passphraseFile]
      const line = [mainFile, 'pki', 'restore', '--store', dir, '--from', whole, ...secret]
      const child = spawn(process.execPath, line, { stdio: 'ignore' })
      const gone = once(child, 'close')
      const there = (): boolean => readdirSync(folder).some((name) => existsSync(join(folder, name, moment)))
      while (!there() && child.exitCode === null) await soon()
      child.kill('SIGKILL')
      await gone
      if (existsSync(dir)) expect(auditHolds(dir)).toBe(true)
      else expect(spawnSync(process.execPath, line, { timeout: 60_000 }).status).toBe(0)
      expect((await readRegister(dir)).list().length).toBeGreaterThanOrEqual(6)
    },
  )
})

describe('the pieces of a backup', () => {
  const passphrase = 'a passphrase for pieces'
  async function* streamed(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    yield* parts
  }
  async function gathered(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const parts: Uint8Array[] = []
    for await (const one of stream) parts.push(one)
    return Buffer.concat(parts)
  }

  test('give back what was put in, of any size, and not in another order', async () => {
    const sealing = await newSealing(passphrase, { store: '00'.repeat(8), madeAt: 1, audit: 2 })
    for (const size of [0, 1, pieceOctets - 1, pieceOctets, pieceOctets + 1, 3 * pieceOctets]) {
      const plain = Buffer.alloc(size, 'octets')
      const sealed = await gathered(seal(sealing, streamed([plain])))
      const body = sealed.subarray(sealing.line.length)
      const opened = await sealingOf(sealing.line, passphrase)
      expect((await gathered(unseal(opened, taker(body)))).equals(plain)).toBe(true)
      if (size < 3 * pieceOctets) continue
      const one = 4 + pieceOctets + 16
      const swapped = Buffer.concat([body.subarray(one, 2 * one), body.subarray(0, one), body.subarray(2 * one)])
      const cut = body.subarray(0, 2 * one)
      for (const bad of [swapped, cut]) {
        await expect(gathered(unseal(opened, taker(bad)))).rejects.toMatchObject({ code: 'BACKUP_CHANGED' })
      }
    }
  })

  test('vouch for the head: no octet of it may be another', async () => {
    const sealing = await newSealing(passphrase, { store: '00'.repeat(8), madeAt: 1_790_000_000, audit: 20 })
    const sealed = await gathered(seal(sealing, streamed([Buffer.from('octets')])))
    const body = sealed.subarray(sealing.line.length)
    for (let at = 0; at < sealing.line.length; at += 1) {
      const line = Buffer.from(sealing.line)
      line[at]! ^= 1
      const opening = gathered(unseal({ key: sealing.key, line }, taker(body)))
      await expect(opening).rejects.toMatchObject({ code: 'BACKUP_CHANGED' })
    }
  })

  function taker(body: Buffer): (octets: number) => Promise<Buffer> {
    let at = 0
    return async (octets) => {
      at += octets
      return body.subarray(at - octets, at)
    }
  }

  test('hold files that come out as they went in, however they are cut, and none outside the folder', async () => {
    const file = fc.record({
      path: fc.constantFrom('a', 'a/b.pem', 'x-1/2_3.key'),
      content: fc.uint8Array({ maxLength: 3_000 }),
    })
    const property = fc.asyncProperty(
      fc.array(file, { maxLength: 5 }),
      fc.integer({ min: 1, max: 999 }),
      async (files, cut) => {
        async function* all(): AsyncGenerator<{ path: string; octets: number; content: AsyncIterable<Uint8Array> }> {
          for (const { path, content } of files) yield { path, octets: content.length, content: streamed([content]) }
        }
        const packed = await gathered(pack(all()))
        const parts = Array.from({ length: Math.ceil(packed.length / cut) }, (_, at) => {
          return packed.subarray(at * cut, (at + 1) * cut)
        })
        const out: { path: string; content: Buffer }[] = []
        await unpack(streamed(parts), {
          begin: async (path) => void out.push({ path, content: Buffer.alloc(0) }),
          write: async (octets) => {
            out.at(-1)!.content = Buffer.concat([out.at(-1)!.content, octets])
          },
          end: async () => undefined,
        })
        expect(out).toEqual(files.map(({ path, content }) => ({ path, content: Buffer.from(content) })))
        const short = unpack(streamed([packed.subarray(0, packed.length - 1)]), {
          begin: async () => undefined,
          write: async () => undefined,
          end: async () => undefined,
        })
        await expect(short).rejects.toMatchObject({ code: 'BACKUP_FORM' })
      },
    )
    await fc.assert(property, { numRuns: 50 })
    for (const path of ['../x', '/etc/x', 'a/../../x', '.hidden', '']) {
      const bad = Buffer.from(`${JSON.stringify({ path, octets: 0 })}\n`)
      const nothing = async (): Promise<void> => undefined
      const unpacking = unpack(streamed([bad]), { begin: nothing, write: nothing, end: nothing })
      await expect(unpacking).rejects.toMatchObject({ code: 'BACKUP_FORM' })
    }
  })
})
