import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AuditLog } from '#pki/audit/store.ts'
import { publicKeyOctets } from '#pki/issue.ts'

const top = mkdtempSync(join(tmpdir(), 'ami-audit-cli-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))
const file = (name: string): string => join(top, name)
const dir = file('log')
const passphrase = 'a passphrase for the tests'
const module = join(import.meta.dirname, '..', '..', 'cli', 'pki', 'audit.ts')
const runner = `const { command } = await import(${JSON.stringify(module)}); process.exitCode = await command.run(process.argv.slice(1)).catch((error) => { console.error(error.name, error.message); return 70 })`

function audit(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', runner, '--', ...args], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  return { code: child.status, out: child.stdout, err: child.stderr }
}

beforeAll(async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeFileSync(
    file('log.key'),
    privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase }),
    { mode: 0o600 },
  )
  writeFileSync(file('log.pub'), publicKey.export({ format: 'pem', type: 'spki' }))
  writeFileSync(file('passphrase'), `${passphrase}\n`, { mode: 0o600 })
  const log = await AuditLog.open({
    dir,
    origin: 'test.example/audit',
    signer: { publicKey: publicKeyOctets(publicKey), sign: async (octets) => sign('sha256', octets, privateKey) },
    now: () => 1_780_272_000,
    onFault: (cause) => {
      throw cause
    },
    everyEntries: 3,
  })
  for (let at = 0; at < 7; at += 1) {
    await log.append([{ kind: at % 2 === 0 ? 'issued' : 'revoked', actor: 'cli', subject: `c${at}`, serial: `4${at}` }])
  }
  await log.close()
})

describe('ami pki audit', () => {
  const place = ['--dir', dir, '--key', file('log.pub')]

  test('verify says how much holds, and names what does not', () => {
    expect(audit('verify', ...place)).toEqual({
      code: 0,
      out: '7 entries hold, 7 of them beneath 3 signed checkpoints\n',
      err: '',
    })
    expect(JSON.parse(audit('verify', ...place, '--json').out)).toEqual({
      ok: true,
      size: 7,
      covered: 7,
      checkpoints: 3,
    })
    const entries = readFileSync(join(dir, 'entries.ndjson'), 'utf8')
    writeFileSync(join(dir, 'entries.ndjson'), entries.replace('"c4"', '"c9"'))
    const found = audit('verify', ...place)
    writeFileSync(join(dir, 'entries.ndjson'), entries)
    expect([found.code, found.out]).toEqual([1, expect.stringMatching(/^ENTRY_CHANGED: .*; first bad entry: 4\n$/)])
  })

  test('show prints what is asked for', () => {
    const shown = (...args: string[]): string[] =>
      audit('show', '--dir', dir, ...args)
        .out.split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).subject)
    expect(shown()).toEqual(['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6'])
    expect(shown('--kind', 'revoked', '--from', '2')).toEqual(['c3', 'c5'])
    expect(shown('--count', '2')).toEqual(['c0', 'c1'])
    expect(shown('--serial', '45')).toEqual(['c5'])
    expect(shown('--subject', 'c6')).toEqual(['c6'])
  })

  test('prove gives what verify --proof takes without the log, and refuses when it is bent', () => {
    for (const asked of [
      ['--index', '4'],
      ['--first', '3'],
      ['--first', '3', '--second', '6'],
    ]) {
      const { out } = audit('prove', ...place, ...asked)
      writeFileSync(file('proof'), out)
      expect(audit('verify', '--key', file('log.pub'), '--proof', file('proof'))).toMatchObject({ code: 0, err: '' })
      writeFileSync(file('proof'), out.replace(/"path":\["./, '"path":["/'))
      expect(audit('verify', '--key', file('log.pub'), '--proof', file('proof')).code).toBe(1)
    }
    expect(audit('prove', ...place, '--index', '7')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^ami: AUDIT_PROOF/),
    })
  })

  test('checkpoint prints a note, which shows later that the log was not cut back', () => {
    const keys = [
      '--dir',
      dir,
      '--key',
      file('log.key'),
      '--passphrase-file',
      file('passphrase'),
      '--origin',
      'test.example/audit',
    ]
    const { code, out } = audit('checkpoint', ...keys)
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^test\.example\/audit\n7\n[\s\S]*\n\n\u2014 test\.example\/audit \S+\n$/),
    ])
    writeFileSync(file('note'), out)
    expect(audit('verify', ...place, '--seen', file('note')).code).toBe(0)
    const kept = ['entries.ndjson', 'hashes.bin', 'checkpoints.txt'].map(
      (name) => [join(dir, name), readFileSync(join(dir, name))] as const,
    )
    writeFileSync(
      kept[0]![0],
      kept[0]![1]
        .toString()
        .split('\n')
        .slice(0, 3)
        .map((line) => `${line}\n`)
        .join(''),
    )
    writeFileSync(kept[1]![0], kept[1]![1].subarray(0, 4 * 32))
    writeFileSync(
      kept[2]![0],
      kept[2]![1]
        .toString()
        .split('\n')
        .slice(0, 8)
        .map((line) => `${line}\n`)
        .join(''),
    )
    expect(audit('verify', ...place)).toMatchObject({ code: 0, out: expect.stringContaining('3 entries hold') })
    expect(audit('verify', ...place, '--seen', file('note'))).toMatchObject({
      code: 1,
      out: expect.stringContaining('ENTRY_MISSING'),
    })
    for (const [path, octets] of kept) writeFileSync(path, octets)
  })

  test.each([
    ['no subcommand', [], 'UsageError'],
    ['another option', ['verify', '--index', '3'], 'UsageError'],
    ['no key', ['verify', '--dir', dir], 'UsageError'],
    ['an unknown kind', ['show', '--dir', dir, '--kind', 'seen'], 'UsageError'],
    ['no log there', ['verify', '--dir', top, '--key', file('log.pub')], 'ConfigError'],
    ['a key that is none', ['verify', '--dir', dir, '--key', file('passphrase')], 'ConfigError'],
  ])('with %s is refused', (_, args, name) => {
    expect(audit(...args)).toMatchObject({ code: 70, out: '', err: expect.stringContaining(name) })
  })
})
