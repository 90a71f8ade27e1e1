import { spawn } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { type AuditSigner, openCheckpoint, signCheckpoint, splitNotes } from '#pki/audit/checkpoint.ts'
import { type AuditEntry, encodeEntry, parseEntry } from '#pki/audit/entry.ts'
import {
  type ConsistencyProof,
  checkConsistency,
  checkInclusion,
  type InclusionProof,
  parseProof,
} from '#pki/audit/proof.ts'
import { findEntries, proveEntry, proveGrowth, verifyAuditFiles } from '#pki/audit/query.ts'
import { type AuditAct, AuditLog, type AuditOptions } from '#pki/audit/store.ts'
import { type AuditEvidence, verifyAudit } from '#pki/audit/verify.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const top = mkdtempSync(join(tmpdir(), 'ami-audit-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))
const { privateKey, publicKey: publicKeyObject } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const publicKey = publicKeyOctets(publicKeyObject)
const signer: AuditSigner = { publicKey, sign: async (octets) => sign('sha256', octets, privateKey) }
const origin = 'test.example/audit'
const start = 1_780_272_000

let count = 0
const newDir = (): string => join(top, `log-${++count}`)
function options(dir: string, more: Partial<AuditOptions> = {}): AuditOptions {
  const onFault = (cause: unknown): void => {
    throw cause
  }
  return { dir, origin, signer, now: () => start, onFault, ...more }
}
const act = (at: number): AuditAct => ({
  kind: 'issued',
  actor: 'cli',
  subject: `urn:ami:concentrator:c${at}`,
  serial: '4A',
})
const acts = (size: number, from = 0): AuditAct[] => Array.from({ length: size }, (_, at) => act(from + at))

async function filled(size: number, more: Partial<AuditOptions> = {}): Promise<string> {
  const dir = newDir()
  const log = await AuditLog.open(options(dir, more))
  for (let at = 0; at < size; at += 1) await log.append([act(at)])
  await log.close()
  return dir
}
const file = (dir: string, name: string): string => join(dir, name)
const names = ['entries.ndjson', 'hashes.bin', 'checkpoints.txt'] as const

/** A log's files in memory, as `verifyAudit` takes them. */
function evidence(octets: Record<(typeof names)[number], Buffer>): AuditEvidence {
  const lines = octets['entries.ndjson'].toString('latin1').split('\n').slice(0, -1)
  const hashes = octets['hashes.bin']
  return {
    entries: lines.map((line) => Buffer.from(line, 'latin1')),
    checkpoints: octets['checkpoints.txt'].toString('utf8'),
    publicKey,
    hashes: Array.from({ length: Math.ceil(hashes.length / 32) }, (_, at) => hashes.subarray(at * 32, at * 32 + 32)),
  }
}
function load(dir: string): Record<(typeof names)[number], Buffer> {
  return Object.fromEntries(names.map((name) => [name, readFileSync(file(dir, name))])) as Record<
    (typeof names)[number],
    Buffer
  >
}

describe('an entry', () => {
  const entries = fc.record(
    {
      time: fc.nat(2 ** 31 - 1),
      kind: fc.constantFrom('issued', 'refused', 'enrolment-quarantined'),
      actor: fc.stringMatching(/^[\x21-\x7e]{1,128}$/),
      subject: fc.stringMatching(/^[\x21-\x7e]{1,256}$/),
      serial: fc.stringMatching(/^([0-9A-F]{2}){1,20}$/),
      digest: fc.stringMatching(/^[0-9a-f]{64}$/),
      reason: fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/),
    },
    { requiredKeys: ['time', 'kind', 'actor'] },
  ) as fc.Arbitrary<AuditEntry>

  test('is read as it was written, and fits', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const line = encodeEntry(entry)
        expect(line.length).toBeLessThan(4_096)
        expect(parseEntry(Buffer.from(line))).toEqual(entry)
      }),
    )
  })

  test.each([
    ['free text', { ...act(1), note: 'passphrase: hunter2' }],
    ['a name with a space', { ...act(1), actor: 'Jane Doe' }],
    ['an unknown kind', { ...act(1), kind: 'looked-at' }],
    ['a lower-case serial', { ...act(1), serial: 'ab' }],
    ['a digest of another length', { ...act(1), digest: 'ab' }],
    ['no actor', { kind: 'issued' }],
  ])('with %s is refused', async (_, bad) => {
    const log = await AuditLog.open(options(newDir()))
    await expect(log.append([bad as AuditAct])).rejects.toMatchObject({ code: 'AUDIT_ENTRY' })
    expect(log.size).toBe(0)
    await log.close()
  })

  test('in any other octets is an entry or a typed fault', () => {
    const line = encodeEntry({ ...act(1), time: start })
    const forms = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constantFrom(` ${line}`, line.replace(':', ': '), `${line}\r`, '[]', 'null'),
    )
    fc.assert(
      fc.property(forms, (text) => {
        expect(() => parseEntry(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'AUDIT_ENTRY' }))
      }),
    )
  })
})

describe('a log', () => {
  test('is on disk when told, in order, one fsync for those that wait, its files for the owner only', async () => {
    const dir = newDir()
    const log = await AuditLog.open(options(dir))
    const indices = await Promise.all([log.append(acts(2)), log.append(acts(3, 2)), log.append(acts(1, 5))])
    expect(indices).toEqual([0, 2, 5])
    expect(findEntries(dir).map(({ subject }) => subject)).toEqual(acts(6).map(({ subject }) => subject))
    await log.close()
    for (const name of names) expect([name, statSync(file(dir, name)).mode & 0o777]).toEqual([name, 0o600])
    expect(statSync(dir).mode & 0o777).toBe(0o700)
  })

  test('verifies, with every entry covered once it is closed', async () => {
    const dir = await filled(25, { everyEntries: 10 })
    expect(await verifyAuditFiles({ dir, publicKey })).toEqual({ ok: true, size: 25, covered: 25, checkpoints: 3 })
  })

  test('of no entries verifies', async () => {
    expect(await verifyAuditFiles({ dir: await filled(0), publicKey })).toEqual({
      ok: true,
      size: 0,
      covered: 0,
      checkpoints: 0,
    })
  })

  test('goes on after reopening, and asked twice gives one checkpoint', async () => {
    const dir = await filled(5)
    const log = await AuditLog.open(options(dir))
    expect(log.size).toBe(5)
    expect(await log.append(acts(4, 5))).toBe(5)
    const note = await log.checkpoint()
    expect(await log.checkpoint()).toBe(note)
    expect(openCheckpoint(note, publicKey)).toMatchObject({ origin, size: 9, time: start })
    await log.close()
    expect(await verifyAuditFiles({ dir, publicKey })).toEqual({ ok: true, size: 9, covered: 9, checkpoints: 2 })
  })

  test('signs a checkpoint when the seconds are over, and not before', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const dir = newDir()
      const log = await AuditLog.open(options(dir, { everySeconds: 60 }))
      await log.append(acts(3))
      vi.advanceTimersByTime(59_000)
      await log.append(acts(1, 3))
      expect(readFileSync(file(dir, 'checkpoints.txt'), 'utf8')).toBe('')
      vi.advanceTimersByTime(1_000)
      await log.append(acts(1, 4)) // behind it in the queue
      expect(splitNotes(readFileSync(file(dir, 'checkpoints.txt'), 'utf8')).notes).toHaveLength(1)
      await log.close()
    } finally {
      vi.useRealTimers()
    }
  })

  test('keeps its entries when the signer fails in between, and tells', async () => {
    const faults: unknown[] = []
    const dir = newDir()
    let broken = true
    const failing: AuditSigner = {
      publicKey,
      sign: (octets) => (broken ? Promise.reject(new Error('HSM gone')) : signer.sign(octets)),
    }
    const log = await AuditLog.open(
      options(dir, { signer: failing, everyEntries: 2, onFault: (cause) => faults.push(cause) }),
    )
    await log.append(acts(2))
    expect(faults).toHaveLength(1)
    broken = false
    await log.append(acts(1, 2))
    await log.close()
    expect(await verifyAuditFiles({ dir, publicKey })).toEqual({ ok: true, size: 3, covered: 3, checkpoints: 1 })
  })

  test('of another origin or key is not opened', async () => {
    const dir = await filled(2)
    await expect(AuditLog.open(options(dir, { origin: 'other.example' }))).rejects.toMatchObject({
      code: 'AUDIT_CHECKPOINT',
    })
    const other = publicKeyOctets(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
    await expect(AuditLog.open(options(dir, { signer: { ...signer, publicKey: other } }))).rejects.toMatchObject({
      code: 'AUDIT_CHECKPOINT',
    })
    expect((await verifyAuditFiles({ dir, publicKey })).ok).toBe(true)
  })

  test('refuses what waits beyond its limit', async () => {
    const log = await AuditLog.open(options(newDir()))
    const first = log.append(acts(60_000))
    await expect(log.append(acts(60_000))).rejects.toMatchObject({ code: 'AUDIT_FULL' })
    expect(await first).toBe(0)
    await log.close()
  })
})

describe('after a crash, a log', () => {
  test('cut off anywhere behind its last checkpoint opens without what was cut, and goes on', async () => {
    const dir = await filled(4)
    const covered = statSync(file(dir, 'entries.ndjson')).size
    const more = `${encodeEntry({ ...act(4), time: start })}\n`
    for (let length = 0; length <= more.length; length += 1) {
      truncateSync(file(dir, 'entries.ndjson'), covered)
      appendFileSync(file(dir, 'entries.ndjson'), more.slice(0, length))
      const log = await AuditLog.open(options(dir))
      expect([length, log.size]).toEqual([length, length === more.length ? 5 : 4])
      if (length < more.length) await log.close()
      else await expect(log.append(acts(1, 5)).finally(() => log.close())).resolves.toBe(5)
    }
    expect(await verifyAuditFiles({ dir, publicKey })).toMatchObject({ ok: true, size: 6, covered: 6 })
  })

  test.each([
    ['gone', 0, ''],
    ['cut', 100, ''],
    ['behind in garbage', 32 * 7, 'x'.repeat(64)],
    ['too long', 32 * 18, 'x'.repeat(640)],
  ])('whose hashes are %s has them anew', async (_, length, tail) => {
    const dir = await filled(10, { everyEntries: 4 })
    const whole = readFileSync(file(dir, 'hashes.bin'))
    writeFileSync(file(dir, 'hashes.bin'), Buffer.concat([whole.subarray(0, length), Buffer.from(tail)]))
    await (await AuditLog.open(options(dir))).close()
    expect(readFileSync(file(dir, 'hashes.bin')).subarray(0, whole.length)).toEqual(whole)
    expect((await verifyAuditFiles({ dir, publicKey })).ok).toBe(true)
  })

  test('whose last checkpoint is torn drops it', async () => {
    const dir = await filled(9, { everyEntries: 4 })
    const path = file(dir, 'checkpoints.txt')
    const { notes } = splitNotes(readFileSync(path, 'utf8'))
    for (const length of [0, 1, 20, Buffer.byteLength(notes[2]!), Buffer.byteLength(notes[2]!) - 1]) {
      const torn = Buffer.from(`${notes[0]}\n${notes[1]}\n${notes[2]}`).subarray(
        0,
        Buffer.byteLength(`${notes[0]}\n${notes[1]}\n`) + length,
      )
      writeFileSync(path, torn)
      await (await AuditLog.open(options(dir))).close()
      expect(splitNotes(readFileSync(path, 'utf8')).notes).toHaveLength(3)
      expect((await verifyAuditFiles({ dir, publicKey })).ok).toBe(true)
    }
  })

  test('whose signed entries are not those on disk does not open', async () => {
    for (const damage of [
      (octets: Buffer) => octets.subarray(0, octets.length - 1),
      (octets: Buffer) => Buffer.from(octets.toString('latin1').replace('c3', 'c9')),
    ]) {
      const dir = await filled(6)
      writeFileSync(file(dir, 'hashes.bin'), '')
      writeFileSync(file(dir, 'entries.ndjson'), damage(readFileSync(file(dir, 'entries.ndjson'))))
      await expect(AuditLog.open(options(dir))).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' })
    }
  })
})

describe('processes', () => {
  const keyFile = join(top, 'log.key')
  writeFileSync(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }))
  const child = (dir: string, name: string, size: number): ReturnType<typeof spawn> =>
    spawn(process.execPath, [join(import.meta.dirname, 'audit-child.ts'), dir, keyFile, name, `${size}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })

  /** What each said once all had opened the log; `enough` lines of one kill it. */
  async function together(
    ...all: (readonly [child: ReturnType<typeof spawn>, enough?: number])[]
  ): Promise<string[][]> {
    const closed = all.map(([one]) => once(one, 'close'))
    const lines = all.map(([one]) => createInterface({ input: one.stdout! })[Symbol.asyncIterator]())
    for (const one of lines) expect(await one.next()).toMatchObject({ value: 'open' })
    for (const [one] of all) one.stdin!.write('go')
    const told = all.map(async ([one, enough], at) => {
      const said: string[] = []
      for (let line = await lines[at]!.next(); !line.done; line = await lines[at]!.next()) {
        said.push(line.value)
        if (said.length === enough) one.kill('SIGKILL')
      }
      return said
    })
    await Promise.all(closed)
    return Promise.all(told)
  }

  test('that append at the same time have every entry in one sequence, at the index they were told', async () => {
    const dir = newDir()
    const all = (await together(...['a', 'b', 'c'].map((name) => [child(dir, name, 40)] as const))).flat()
    const found = findEntries(dir)
    expect(found).toHaveLength(120)
    expect(all.toSorted()).toEqual(found.map(({ index, subject }) => `${index} ${subject}`).toSorted())
    expect(await verifyAuditFiles({ dir, publicKey })).toMatchObject({ ok: true, size: 120, covered: 120 })
  })

  test('that are killed lose nothing they told of, and their lock goes with them', async () => {
    const dir = newDir()
    const [killed, living] = await together([child(dir, 'a', 10_000), 25], [child(dir, 'b', 60)])
    await (await AuditLog.open(options(dir))).close()
    const found = new Set(findEntries(dir).map(({ index, subject }) => `${index} ${subject}`))
    expect([...killed!, ...living!].filter((line) => !found.has(line))).toEqual([])
    expect(await verifyAuditFiles({ dir, publicKey })).toMatchObject({ ok: true, covered: found.size })
  })
})

describe('the verifier', () => {
  test('sees every changed octet of every file', async () => {
    const octets = load(await filled(13, { everyEntries: 5 }))
    expect(verifyAudit(evidence(octets))).toMatchObject({ ok: true, size: 13, covered: 13 })
    for (const name of names) {
      for (let at = 0; at < octets[name].length; at += 1) {
        const changed = Buffer.from(octets[name])
        changed[at]! ^= 1 << (at % 7) // seven bits, so that the text stays ASCII where it was
        const verdict = verifyAudit(evidence({ ...octets, [name]: changed }))
        if (verdict.ok) expect([name, at]).toBe('seen')
      }
    }
  })

  test('sees every octet taken out, put in or cut off', async () => {
    const octets = load(await filled(6, { everyEntries: 4 }))
    for (const name of names) {
      for (let at = 0; at < octets[name].length; at += 1) {
        const [head, tail] = [octets[name].subarray(0, at), octets[name].subarray(at)]
        for (const changed of [
          Buffer.concat([head, tail.subarray(1)]),
          Buffer.concat([head, Buffer.from('a'), tail]),
          head,
        ]) {
          const verdict = verifyAudit(evidence({ ...octets, [name]: changed }))
          const back =
            name === 'checkpoints.txt' && changed === head && (at === 0 || splitNotes(head.toString()).rest === '')
          if (verdict.ok && !back) expect([name, at, changed.length]).toBe('seen')
        }
      }
    }
  })

  /** Entries 20, checkpoints at 8, 16 and 20. */
  const forgeries = {
    removed: (lines: string[], at: number) => lines.toSpliced(at, 1),
    changed: (lines: string[], at: number) => lines.with(at, lines[at]!.replace(/c\d+/, 'c777')),
    inserted: (lines: string[], at: number) => lines.toSpliced(at, 0, lines[at]!.replace(/c\d+/, 'c777')),
    reordered: (lines: string[], at: number) => lines.with(at, lines[at + 1]!).with(at + 1, lines[at]!),
    truncated: (lines: string[], at: number) => lines.slice(0, at),
  }

  test.each(Object.entries(forgeries))('names the first entry that was %s, wherever it is', async (_, forge) => {
    const octets = load(await filled(20, { everyEntries: 8 }))
    const whole = evidence(octets)
    const lines = [...whole.entries].map((line) => Buffer.from(line).toString())
    for (let at = 0; at < 19; at += 1) {
      const entries = forge(lines, at).map((line) => Buffer.from(line))
      expect(verifyAudit({ ...whole, entries })).toMatchObject({ ok: false, index: at, exact: true })
      const { hashes, ...blind } = whole
      const verdict = verifyAudit({ ...blind, entries })
      expect(verdict).toMatchObject({ ok: false })
      if (!verdict.ok)
        expect(verdict.index).toBe(verdict.code === 'ENTRY_MISSING' ? entries.length : at < 8 ? 0 : at < 16 ? 8 : 16)
    }
  })

  test('sees a whole log rewritten without the key, and one cut back with its checkpoints by a note kept elsewhere', async () => {
    const dir = await filled(20, { everyEntries: 8 })
    const [own, forged] = [load(dir), load(await filled(20, { everyEntries: 8, now: () => start + 1 }))]
    expect(verifyAudit(evidence({ ...forged, 'checkpoints.txt': own['checkpoints.txt'] }))).toMatchObject({
      code: 'ENTRY_CHANGED',
      index: 0,
      exact: false,
    })
    const { notes } = splitNotes(own['checkpoints.txt'].toString())
    const whole = evidence(own)
    const back = {
      ...whole,
      entries: [...whole.entries].slice(0, 8),
      hashes: [...whole.hashes!].slice(0, 15),
      checkpoints: `${notes[0]}\n`,
    }
    expect(verifyAudit(back)).toMatchObject({ ok: true, size: 8 })
    expect(verifyAudit({ ...back, seen: `${notes[1]}\n` })).toMatchObject({
      ok: false,
      code: 'ENTRY_MISSING',
      index: 8,
    })
    expect(verifyAudit({ ...whole, checkpoints: `${notes[1]}\n${notes[0]}\n` })).toMatchObject({
      code: 'CHECKPOINT_ORDER',
    })
    expect(verifyAudit({ ...whole, checkpoints: '' })).toMatchObject({ code: 'CHECKPOINT_MISSING' })
  })

  test('does not take another log’s checkpoint, nor one signed over what is not there', async () => {
    const octets = load(await filled(3))
    const { notes } = splitNotes(octets['checkpoints.txt'].toString())
    const head = openCheckpoint(notes[0]!, publicKey)
    for (const other of [
      { ...head, origin: 'other.example' },
      { ...head, octets: head.octets - 1 },
    ]) {
      const checkpoints = `${notes[0]}\n${await signCheckpoint(other, signer)}\n`
      expect(verifyAudit({ ...evidence(octets), checkpoints })).toMatchObject({ ok: false })
    }
  })
})

describe('proofs', () => {
  test('of every entry and every growth hold with the key alone, through JSON and back', async () => {
    const dir = await filled(23, { everyEntries: 5 })
    for (let index = 0; index < 23; index += 1) {
      const proof = parseProof(JSON.stringify(await proveEntry({ dir, publicKey }, index))) as InclusionProof
      expect(checkInclusion(proof, publicKey)).toBe(23)
      expect(parseEntry(Buffer.from(proof.entry)).subject).toBe(`urn:ami:concentrator:c${index}`)
      const other = { ...proof, entry: proof.entry.replace('cli', 'clj') }
      expect(() => checkInclusion(other, publicKey)).toThrow(expect.objectContaining({ code: 'AUDIT_PROOF' }))
    }
    for (const first of [5, 10, 15, 20]) {
      const proof = parseProof(JSON.stringify(await proveGrowth({ dir, publicKey }, first))) as ConsistencyProof
      expect(checkConsistency(proof, publicKey)).toEqual({ first, second: 23 })
      const turned = { ...proof, first: proof.second, second: proof.first }
      expect(() => checkConsistency(turned, publicKey)).toThrow(expect.objectContaining({ code: 'AUDIT_PROOF' }))
    }
    await expect(proveEntry({ dir, publicKey }, 23)).rejects.toMatchObject({ code: 'AUDIT_PROOF' })
    await expect(proveGrowth({ dir, publicKey }, 7)).rejects.toMatchObject({ code: 'AUDIT_PROOF' })
  })

  test('are not made from hashes that were changed', async () => {
    const dir = await filled(8)
    const hashes = readFileSync(file(dir, 'hashes.bin'))
    hashes[33]! ^= 1
    writeFileSync(file(dir, 'hashes.bin'), hashes)
    await expect(proveEntry({ dir, publicKey }, 0)).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' })
  })

  test('of any JSON are read or a typed fault', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string(), fc.constant('{"path":[1],"first":"","second":""}')), (text) => {
        expect(() => parseProof(text)).toThrow(expect.objectContaining({ code: 'AUDIT_PROOF' }))
      }),
    )
  })

  test('are short: 15 hashes at most in a log of 20,000 entries', async () => {
    const dir = newDir()
    const log = await AuditLog.open(options(dir))
    await log.append(acts(20_000))
    await log.close()
    const proof = await proveEntry({ dir, publicKey }, 12_345)
    expect(proof.path.length).toBeLessThanOrEqual(15)
    expect(checkInclusion(proof, publicKey)).toBe(20_000)
  })
})

describe.runIf(hasOpenssl)(`OpenSSL${opensslNote}`, () => {
  test('verifies a checkpoint’s signature and finds the key’s hint', async () => {
    const dir = await filled(3)
    const { notes } = splitNotes(readFileSync(file(dir, 'checkpoints.txt'), 'utf8'))
    const at = notes[0]!.indexOf('\n\n')
    const proof = Buffer.from(notes[0]!.slice(at).trim().split(' ')[2]!, 'base64')
    writeFileSync(file(dir, 'body'), notes[0]!.slice(0, at + 1))
    writeFileSync(file(dir, 'signature'), proof.subarray(4))
    writeFileSync(file(dir, 'key.der'), publicKey)
    const verified = openssl(
      'dgst',
      '-sha256',
      '-verify',
      file(dir, 'key.der'),
      '-keyform',
      'DER',
      '-signature',
      file(dir, 'signature'),
      file(dir, 'body'),
    )
    expect(verified.output).toBe('Verified OK\n')
    expect(openssl('dgst', '-sha256', file(dir, 'key.der')).output.split('= ')[1]).toMatch(
      new RegExp(`^${proof.toString('hex', 0, 4)}`),
    )
  })
})
