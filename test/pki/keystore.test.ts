import { spawnSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publicKeyOctets } from '#pki/issue.ts'
import { keyAlgorithms, signedWith } from '#pki/key-algorithm.ts'
import type { KeyPlace, KeyStore } from '#pki/keystore/keystore.ts'
import { MemoryKeyStore } from '#pki/keystore/memory.ts'
import { Pkcs8KeyStore } from '#pki/keystore/pkcs8.ts'
import { Pkcs11KeyStore } from '#pki/keystore/pkcs11.ts'
import { SerialQueue } from '#pki/keystore/serial-queue.ts'
import { authorityNames } from '#pki/profiles.ts'
import { initPki, openPki } from '#pki/store.ts'
import { certificatesFromPem, parseCrls, verifyChain } from '#pki/verify.ts'
import { hasOpenssl, openssl } from './openssl.ts'
import { hasTool, toolNote } from './tools.ts'

const softhsm = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so'].find(existsSync)
const hasToken = hasTool('softhsm2-util') && softhsm !== undefined
const note = hasToken ? '' : toolNote('softhsm2-util')
const dir = mkdtempSync(join(tmpdir(), 'ami-keystore-'))
const file = (name: string): string => join(dir, name)
const pin = '7391'
const open = (prefix: string): Promise<Pkcs11KeyStore> =>
  Pkcs11KeyStore.open({ module: softhsm!, token: 'ami-test', pin, prefix })
afterAll(() => rmSync(dir, { recursive: true, force: true }))

beforeAll(() => {
  if (!hasToken) return
  const tokens = mkdtempSync(file('tokens-'))
  writeFileSync(file('softhsm2.conf'), `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`)
  process.env.SOFTHSM2_CONF = file('softhsm2.conf')
  writeFileSync(file('pin'), `${pin}\n`, { mode: 0o600 })
  const making = ['--init-token', '--free', '--label', 'ami-test', '--so-pin', '1234', '--pin', pin]
  expect(spawnSync('softhsm2-util', making, { timeout: 20_000 }).status).toBe(0)
})

async function checkStore(store: KeyStore): Promise<void> {
  const octets = Buffer.from('to be signed')
  const made = await store.generate('device', 'p256')
  expect(await store.has('device')).toBe(true)
  await expect(store.generate('device', 'p256')).rejects.toMatchObject({ code: 'KEYSTORE_EXISTS' })
  const again = await store.open('device')
  expect(Buffer.from(again.publicKey)).toEqual(Buffer.from(made.publicKey))
  for (const key of [made, again]) {
    const signature = await key.sign(octets)
    const { publicKey } = made
    expect(signedWith(keyAlgorithms.p256, octets, { publicKey, signature })).toBe(true)
    expect(signedWith(keyAlgorithms.p256, Buffer.from('other'), { publicKey, signature })).toBe(false)
  }
  await store.remove('device')
  expect(await store.has('device')).toBe(false)
  await expect(store.open('device')).rejects.toMatchObject({ code: 'KEYSTORE_KEY' })
  await store.remove('device')
  await store.close()
}

describe('a keystore makes, opens, uses and forgets keys', () => {
  test('in memory', () => checkStore(new MemoryKeyStore()))

  test('in encrypted files, which another passphrase does not open', async () => {
    await checkStore(new Pkcs8KeyStore(file('files'), 'the right passphrase'))
    await new Pkcs8KeyStore(file('files'), 'the right passphrase').generate('root', 'ml-dsa-44')
    expect(readFileSync(file('files/root/key.pem'), 'utf8')).toContain('ENCRYPTED PRIVATE KEY')
    const other = new Pkcs8KeyStore(file('files'), 'not the passphrase')
    await expect(other.open('root')).rejects.toMatchObject({ code: 'STORE_PASSPHRASE' })
  })

  test.runIf(hasToken)(`on a token${note}`, async () => checkStore(await open('one')))
})

describe.runIf(hasToken)(`a PKCS#11 token${note}`, () => {
  test('keeps the keys of two stores apart', async () => {
    const [one, two] = [await open('first'), await open('second')]
    await one.generate('device', 'p256')
    expect([await one.has('device'), await two.has('device')]).toEqual([true, false])
    await one.close()
    expect(await two.has('device')).toBe(false) // the session lives as long as one of them does
    await two.close()
  })

  test('signs for many callers at once, one after the other', async () => {
    const store = await open('many')
    const key = await store.generate('device', 'p256')
    const octets = Array.from({ length: 40 }, (_, at) => Buffer.from(`octets ${at}`))
    const signatures = await Promise.all(octets.map((one) => key.sign(one)))
    const { publicKey } = key
    const holds = octets.map((one, at) =>
      signedWith(keyAlgorithms.p256, one, { publicKey, signature: signatures[at]! }),
    )
    expect(holds.every(Boolean)).toBe(true)
    await store.close()
  })

  test('makes brainpool keys, and no others than on curves', async () => {
    const store = await open('curves')
    const { publicKey, ...key } = await store.generate('brainpool', 'brainpoolP256r1')
    const signature = await key.sign(Buffer.from('x'))
    expect(signedWith(keyAlgorithms.brainpoolP256r1, Buffer.from('x'), { publicKey, signature })).toBe(true)
    await expect(store.generate('late', 'ml-dsa-65')).rejects.toMatchObject({ code: 'KEYSTORE_ALGORITHM' })
    await store.close()
  })

  test('that is not there, or whose PIN is another, is told', async () => {
    const wrong = { module: softhsm!, prefix: 'x', pin }
    await expect(Pkcs11KeyStore.open({ ...wrong, token: 'nobody' })).rejects.toMatchObject({ code: 'KEYSTORE_MISSING' })
    const elsewhere = { ...wrong, module: file('none.so'), token: 'ami-test' }
    await expect(Pkcs11KeyStore.open(elsewhere)).rejects.toMatchObject({ code: 'KEYSTORE_MISSING' })
    const badPin = { ...wrong, token: 'ami-test', pin: '0000' }
    await expect(Pkcs11KeyStore.open(badPin)).rejects.toMatchObject({ code: 'KEYSTORE_PIN' })
  })

  test('holds every CA key of a PKI, none of which can be had out of it', async () => {
    const place: KeyPlace = { kind: 'pkcs11', module: softhsm!, token: 'ami-test', pinFile: file('pin') }
    const keys = Object.fromEntries(authorityNames.map((name) => [name, place]))
    const ca = file('ca')
    await initPki({ dir: ca, keys })
    const pki = await openPki({ dir: ca })
    const { chainPem } = await pki.issue({ profile: 'concentrator', id: 'c1' })
    await pki.refreshCrl('root')
    const [leaf, ...intermediates] = certificatesFromPem(chainPem)
    const roots = certificatesFromPem(pki.rootPem)
    const crls = parseCrls(readFileSync(pki.crlFile, 'utf8'))
    const question = { leaf: leaf!, intermediates, roots, crls, at: Date.now() / 1_000 }
    expect(verifyChain({ ...question, purpose: 'concentrator' })).toMatchObject({ ok: true })
    expect(authorityNames.filter((name) => existsSync(join(ca, name, 'key.pem')))).toEqual([])
    await pki.close()
    if (hasTool('pkcs11-tool')) {
      const listing = ['--module', softhsm!, '--token-label', 'ami-test', '--login', '--pin', pin, '--list-objects']
      const { stdout } = spawnSync('pkcs11-tool', [...listing, '--type', 'privkey'], {
        encoding: 'utf8',
        timeout: 20_000,
      })
      const id = JSON.parse(readFileSync(join(ca, 'store.json'), 'utf8')).id as string
      const own = stdout.split('Private Key Object').filter((text) => text.includes(`${id}:`))
      expect(own).toHaveLength(6) // the CAs', and the audit log's own
      expect(own.every((text) => /sensitive, always sensitive, never extractable/.test(text))).toBe(true)
    }
  })
})

test('a queue runs one after the other, and refuses what it cannot keep', async () => {
  const queue = new SerialQueue(2)
  const { promise, resolve } = Promise.withResolvers<void>()
  const order: string[] = []
  const first = queue.run(async () => {
    await promise
    order.push('first')
  })
  const second = queue.run(async () => {
    order.push('second')
    throw new Error('its own fault')
  })
  await expect(queue.run(async () => undefined)).rejects.toMatchObject({ code: 'KEYSTORE_BUSY' })
  resolve()
  await first
  await expect(second).rejects.toThrow('its own fault')
  await queue.run(async () => order.push('third'))
  expect(order).toEqual(['first', 'second', 'third'])
})

test.runIf(hasOpenssl)('what openssl makes of the encrypted file is the same key', async () => {
  const store = new Pkcs8KeyStore(file('shown'), 'the right passphrase')
  const { publicKey } = await store.generate('device', 'brainpoolP256r1')
  const { output } = openssl(
    'pkey',
    '-in',
    file('shown/device/key.pem'),
    '-passin',
    'pass:the right passphrase',
    '-pubout',
  )
  expect(Buffer.from(publicKeyOctets(createPublicKey(output)))).toEqual(Buffer.from(publicKey))
})
