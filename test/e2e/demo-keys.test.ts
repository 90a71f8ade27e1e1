import { spawnSync } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { hasTool, toolNote } from '#test/pki/tools.ts'
import { Demo } from '#test/support/run-demo.ts'
import { tempFolder } from '#test/support/temp.ts'

const modules = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so']
const module = modules.find(existsSync)
const hasToken = hasTool('softhsm2-util') && hasTool('pkcs11-tool') && module !== undefined
const note = `${toolNote('softhsm2-util')}${toolNote('pkcs11-tool')}`
const [token, pin] = ['ami-demo', '7391']
const small = ['--duration', '2', '--interval', '0.2', '--meters', '40', '--concentrators', '2']

/** The CAs, and where each one's certificate lies in the store. */
const certificates = {
  root: 'root.pem',
  device: 'device/certificate.pem',
  infrastructure: 'infrastructure/certificate.pem',
  signing: 'signing/certificate.pem',
  people: 'people/certificate.pem',
}

/** A token of SoftHSM2 of this test alone. @returns the file for `--keys`, every CA's key on the token */
function makeToken(folder: string): string {
  mkdirSync(join(folder, 'tokens'), { recursive: true })
  const before = process.env.SOFTHSM2_CONF
  process.env.SOFTHSM2_CONF = join(folder, 'softhsm2.conf')
  onTestFinished(() => {
    if (before === undefined) delete process.env.SOFTHSM2_CONF
    else process.env.SOFTHSM2_CONF = before
  })
  writeFileSync(
    process.env.SOFTHSM2_CONF,
    `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\n`,
  )
  const making = ['--init-token', '--free', '--label', token, '--so-pin', '1234', '--pin', pin]
  expect(spawnSync('softhsm2-util', making, { timeout: 20_000 }).status).toBe(0)
  const pinFile = join(folder, 'pin')
  writeFileSync(pinFile, `${pin}\n`, { mode: 0o600 })
  const keys = join(folder, 'keys.json')
  const place = { kind: 'pkcs11', module, token, pinFile }
  writeFileSync(keys, JSON.stringify(Object.fromEntries(Object.keys(certificates).map((name) => [name, place]))))
  return keys
}

function pkcs11Tool(...args: string[]): Buffer {
  const login = ['--module', module!, '--token-label', token, '--login', '--pin', pin]
  const { status, stdout, stderr } = spawnSync('pkcs11-tool', [...login, ...args], { timeout: 20_000 })
  if (status !== 0) throw new Error(stderr.toString())
  return stdout
}

/** What pkcs11-tool says of each private key, by its label. */
function privateKeys(): Map<string, string> {
  const said = pkcs11Tool('--list-objects', '--type', 'privkey')
    .toString()
    .split(/^(?=Private Key Object)/m)
  return new Map(said.map((one) => [/^\s*label:\s*(.*)$/m.exec(one)?.[1] ?? '', one]))
}

describe('ami demo --keys', () => {
  test.runIf(hasToken)(
    `runs the whole head-end on CA keys that lie on a token, and nowhere in the store${note}`,
    { timeout: 90_000 },
    async () => {
      const folder = tempFolder()
      const demo = new Demo(join(folder, 'demo'), '--keys', makeToken(folder), ...small)
      const { ok, readings } = await demo.verdict()
      expect(ok).toBe(true)
      expect(readings.verified).toBe(readings.acked)
      const store = join(demo.folder, 'pki')
      const { id } = JSON.parse(readFileSync(join(store, 'store.json'), 'utf8')) as { id: string }
      const held = privateKeys()
      for (const [name, certificate] of Object.entries(certificates)) {
        expect(held.get(`${id}:${name}`)).toMatch(/Access:\s+sensitive, always sensitive, never extract/)
        const shown = pkcs11Tool('--read-object', '--type', 'pubkey', '--label', `${id}:${name}`)
        const certified = new X509Certificate(readFileSync(join(store, certificate))).publicKey
        expect(createPublicKey({ key: shown, format: 'der', type: 'spki' }).equals(certified)).toBe(true)
      }
      const files = readdirSync(store, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
      expect(files.length).toBeGreaterThan(10)
      expect(files.filter(({ name }) => /key/.test(name) && name !== 'enrolment.sqlite')).toEqual([])
      const secret = files.filter(({ parentPath, name }) =>
        /PRIVATE KEY/.test(readFileSync(join(parentPath, name), 'latin1')),
      )
      expect(secret.map(({ name }) => name)).toEqual([])
    },
  )

  test.runIf(hasToken)(
    `ends for a token that is not there, with exit code 78${note}`,
    { timeout: 60_000 },
    async () => {
      const folder = tempFolder()
      const keys = makeToken(folder)
      writeFileSync(keys, readFileSync(keys, 'utf8').replaceAll(token, 'another'))
      const { code, stdout, stderr } = await new Demo(join(folder, 'demo'), '--keys', keys, ...small).end()
      expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
      expect(stderr).toContain('--keys: KEYSTORE_MISSING: ')
    },
  )

  test('says what is wrong with its file, with exit code 78', async () => {
    const folder = tempFolder()
    const keys = join(folder, 'keys.json')
    writeFileSync(keys, '{"device": {"kind": "memory"}}')
    const { code, stderr } = await new Demo(join(folder, 'demo'), '--keys', keys, ...small).end()
    expect(code).toBe(78)
    expect(stderr).toContain(`${keys}: device: {"kind": "pkcs8"} or`)
  })
})
