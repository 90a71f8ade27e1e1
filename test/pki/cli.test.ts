import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts')
const dir = mkdtempSync(join(tmpdir(), 'ami-pki-cli-'))
const ca = join(dir, 'ca')
const passphrase = join(dir, 'passphrase')
const store = ['--dir', ca, '--passphrase-file', passphrase]
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function ami(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'pki', ...args], { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

const file = (name: string): string => join(dir, name)

beforeAll(() => {
  writeFileSync(passphrase, 'a passphrase for the tests\n', { mode: 0o600 })
  expect(ami('init', ...store, '--organisation', 'Test Grid')).toMatchObject({ code: 0, err: '' })
})

describe('ami pki', () => {
  test('issues, lists, shows, lints, verifies, revokes, and refuses the revoked', () => {
    const issue = ['issue', ...store, '--profile', 'concentrator', '--id', 'c1']
    const issued = ami(...issue, '--out-key', file('c1.key'), '--out', file('c1.pem'), '--json')
    expect(issued.code).toBe(0)
    const { serial } = JSON.parse(issued.out)
    expect(statSync(file('c1.key')).mode & 0o777).toBe(0o600)
    expect(readFileSync(file('c1.key'), 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----/)

    expect(ami('list', '--dir', ca).out).toMatch(new RegExp(`${serial}  concentrator .* c1  valid\n`))
    expect(JSON.parse(ami('list', '--dir', ca, '--json').out).certificates).toHaveLength(6)
    expect(JSON.parse(ami('show', '--dir', ca, serial, '--json').out)).toMatchObject({ id: 'c1', state: 'valid' })
    expect(ami('lint', '--profile', 'concentrator', file('c1.pem'))).toMatchObject({
      code: 0,
      out: 'every rule holds\n',
    })

    const crl = join(ca, 'crl', 'crl.pem')
    const verify = [
      'verify',
      '--trust',
      join(ca, 'root.pem'),
      '--crl',
      crl,
      '--purpose',
      'concentrator',
      file('c1.pem'),
    ]
    expect(ami(...verify)).toMatchObject({ code: 0, out: 'accepted: urn:ami:concentrator:c1\n' })
    expect(ami('revoke', ...store, '--reason', 'keyCompromise', serial).code).toBe(0)
    const refused = ami(...verify, '--json')
    expect([refused.code, JSON.parse(refused.out).fault.code]).toEqual([1, 'REVOKED'])
    expect(ami('show', '--dir', ca, serial).out).toMatch(/revoked .* keyCompromise\n-----BEGIN CERTIFICATE/)
  })

  test('never prints a private key or the passphrase', () => {
    const issue = ['issue', ...store, '--profile', 'gateway', '--id', 'g1', '--dns', 'localhost', '--ip', '127.0.0.1']
    const { code, out, err } = ami(...issue, '--out-key', file('g1.key'))
    expect(code).toBe(0)
    expect(out.match(/-----BEGIN [A-Z ]+-----/g)).toEqual(new Array(2).fill('-----BEGIN CERTIFICATE-----'))
    expect(out + err).not.toMatch(/PRIVATE KEY|a passphrase/)
  })

  test('keeps an existing key file, and leaves none behind for a refusal', () => {
    writeFileSync(file('kept.key'), 'precious')
    const issue = ['issue', ...store, '--profile', 'mdm', '--id']
    expect(ami(...issue, 'm1', '--out-key', file('kept.key')).code).toBe(78)
    expect(readFileSync(file('kept.key'), 'utf8')).toBe('precious')
    expect(ami(...issue, 'not an id', '--out-key', file('none.key'))).toMatchObject({ code: 1, out: '' })
    expect(() => statSync(file('none.key'))).toThrow()
  })

  test('lint names the rules that a certificate breaks, and exits 1', () => {
    const { code, out } = ami(
      'lint',
      '--profile',
      'root',
      '--issuer',
      join(ca, 'root.pem'),
      join(ca, 'device', 'certificate.pem'),
      '--json',
    )
    expect(code).toBe(1)
    expect(JSON.parse(out).broken.map(({ name }: { name: string }) => name)).toEqual([
      'path-length-is-the-profiles',
      'extended-key-usage-is-the-profiles',
      'policies-are-the-profiles',
    ])
    expect(ami('lint', '--profile', 'root', join(ca, 'root.pem')).code).toBe(0)
  })

  test('crl writes a fresh one, of the root too while its key is here', () => {
    const first = readFileSync(join(ca, 'crl', 'crl.pem'), 'utf8')
    expect(JSON.parse(ami('crl', ...store, '--root', '--json').out).crls).toHaveLength(5)
    expect(readFileSync(join(ca, 'crl', 'crl.pem'), 'utf8')).not.toBe(first)
  })

  test.each([
    ['no subcommand', [], 64],
    ['an unknown one', ['mint'], 64],
    ['an unknown option', ['list', '--dir', 'x', '--colour'], 64],
    ['an option of another subcommand', ['list', '--dir', 'x', '--root'], 64],
    ['a missing option', ['list'], 64],
    ['a missing serial', ['show', '--dir', 'x'], 64],
    ['an unknown profile', ['issue', ...store, '--profile', 'king', '--id', 'a', '--out-key', 'k'], 64],
    ['neither key nor request', ['issue', ...store, '--profile', 'mdm', '--id', 'a'], 64],
    ['an identity and a serial', ['revoke', ...store, '--id', 'dc-1', '00'], 64],
    ['neither of them', ['revoke', ...store], 64],
    ['an unknown reason', ['revoke', ...store, '--reason', 'mood', '00'], 64],
    ['a directory that is not there', ['list', '--dir', join(dir, 'nowhere')], 78],
    ['a directory in use', ['init', ...store], 78],
    ['a passphrase file that is not there', ['crl', '--dir', ca, '--passphrase-file', join(dir, 'nowhere')], 78],
    ['a serial nobody has', ['show', '--dir', ca, '00'], 1],
  ])('%s: exit code', (_, args, code) => {
    const result = ami(...args)
    expect([result.code, result.out]).toEqual([code, ''])
    expect(result.err).toMatch(/^ami: /)
  })

  test('--help says what there is', () => {
    expect(ami('--help')).toMatchObject({ code: 0, err: '' })
    expect(ami('issue', '--help').out).toMatch(/^usage: ami pki init/)
  })

  test.runIf(hasOpenssl)(`certifies the key of a request that openssl made${opensslNote}`, () => {
    const making = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x']
    openssl(...making, '-keyout', file('r.key'), '-out', file('r.csr'))
    const issued = ami('issue', ...store, '--profile', 'mdm', '--id', 'm2', '--csr', file('r.csr'))
    expect(issued).toMatchObject({ code: 0, err: '' })
    writeFileSync(file('r.pem'), issued.out)
    expect(openssl('x509', '-in', file('r.pem'), '-noout', '-subject').output).toBe(
      'subject=O = Test Grid, OU = Signing, CN = m2\n',
    )
  })
})
