import { spawn, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setImmediate as soon } from 'node:timers/promises'
import { createServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { chainRevocationFault } from '#gateway/session/trust.ts'
import { extensionOid } from '#pki/certificate.ts'
import { StoreCa } from '#pki/enrolment/ca.ts'
import type { ProfileName } from '#pki/profiles.ts'
import { policy } from '#pki/purpose.ts'
import { initPki, openPki, type Pki, readRegister } from '#pki/store.ts'
import { certificatesFromPem, parseCertificate, parseCrls, verifyChain } from '#pki/verify.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { allAt } from './ceremony-cast.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'
import { makeToken, softhsm, softhsmNote } from './softhsm.ts'
import { hasTool, toolNote } from './tools.ts'

const now = (): number => Date.now() / 1_000
let pki: WithForeign
let old: FiledCertificate
let fresh: FiledCertificate
beforeAll(async () => {
  pki = await throwawayPki()
  old = await pki.issue('concentrator', 'dc-old')
  expect(await pki.pki.rotate('device')).toBe('device-2')
  fresh = await pki.issue('concentrator', 'dc-new')
})
afterAll(() => pki.close())

function judge(chainPem: string, { rootPem, crlFile }: Pick<Pki, 'rootPem' | 'crlFile'> = pki): string {
  const [leaf, ...intermediates] = certificatesFromPem(chainPem)
  const crls = parseCrls(readFileSync(crlFile, 'utf8'))
  const question = { leaf: leaf!, intermediates, roots: certificatesFromPem(rootPem), crls, at: now() }
  const verdict = verifyChain({ ...question, purpose: 'concentrator' satisfies ProfileName })
  return verdict.ok ? 'accepted' : verdict.code
}

describe('a CA that was given a new key', () => {
  test('issues with it, and what it issued before is still good', () => {
    expect([old.issuer, fresh.issuer]).toEqual(['device', 'device-2'])
    expect([judge(old.chainPem), judge(fresh.chainPem)]).toEqual(['accepted', 'accepted'])
    const [ca] = certificatesFromPem(pki.pki.certificatePem('device')).map(parseCertificate)
    const years = (ca!.notAfter - now()) / 86_400
    expect(Math.round(years)).toBe(1_826)
  })

  const strict = ['-x509_strict', '-explicit_policy', '-policy', policy.concentrator, '-crl_check_all']
  test.runIf(hasOpenssl)(`is trusted by both keys in its class’s file, by openssl’s word${opensslNote}`, () => {
    const trust = ['-no-CApath', '-no-CAstore', '-CAfile', pki.deviceTrustFile, '-CRLfile', pki.crlFile]
    for (const { certificateFile } of [old, fresh]) {
      expect(openssl('verify', ...strict, ...trust, certificateFile)).toMatchObject({ ok: true })
    }
    const people = ['-no-CApath', '-no-CAstore', '-CAfile', pki.pki.trustFile('people'), '-CRLfile', pki.crlFile]
    expect(openssl('verify', ...strict, ...people, fresh.certificateFile)).toMatchObject({ ok: false })
    expect(certificatesFromPem(readFileSync(pki.deviceTrustFile, 'utf8'))).toHaveLength(3)
    expect(parseCrls(readFileSync(pki.crlFile, 'utf8'))).toHaveLength(6)
  })

  test.runIf(hasTool('certtool'))(`whose chains certtool takes as well${toolNote('certtool')}`, () => {
    for (const { chainPem } of [old, fresh]) {
      const input = chainPem + pki.rootPem
      expect(spawnSync('certtool', ['--verify-chain'], { input, timeout: 20_000 }).status).toBe(0)
    }
  })

  test('is bound as before: the same names, purposes, policies and path length', () => {
    const [first, second] = pki.pki.certificates('device').map(parseCertificate)
    const bounds = ({ extensions }: typeof first & object): [string, Buffer][] => {
      const names = [extensionOid.authorityKeyId, extensionOid.subjectKeyId] as readonly string[]
      return extensions.filter(({ oid }) => !names.includes(oid)).map(({ oid, value }) => [oid, Buffer.from(value)])
    }
    expect(bounds(second!)).toEqual(bounds(first!))
    expect(bounds(second!).map(([oid]) => oid)).toContain(extensionOid.nameConstraints)
    expect(Buffer.from(second!.subject)).not.toEqual(Buffer.from(first!.subject))
  })

  test('keeps revoking under the old key and the new, each on its own CRL', async () => {
    const [gone, kept] = [await pki.issue('concentrator', 'dc-gone'), await pki.issue('concentrator', 'dc-kept')]
    await pki.revoke(gone.serial)
    expect([judge(gone.chainPem), judge(kept.chainPem), judge(old.chainPem)]).toEqual([
      'REVOKED',
      'accepted',
      'accepted',
    ])
    await pki.revoke(old.serial)
    expect([judge(old.chainPem), judge(kept.chainPem)]).toEqual(['REVOKED', 'accepted'])
    const listed = (name: string): string[] => {
      return parseCrls(readFileSync(join(pki.caDir, 'crl', `${name}.pem`), 'utf8')).flatMap(({ serials }) => [
        ...serials,
      ])
    }
    expect([listed('device'), listed('device-2')]).toEqual([[old.serial], [gone.serial]])
  })

  test('has both CRLs renewed when half their time is over, and the old one’s no more after its end', async () => {
    const begin = now()
    let at = begin
    const own = await throwawayPki({ now: () => at })
    onTestFinished(() => own.close())
    const until = (name: string): number => {
      return parseCrls(readFileSync(join(own.caDir, 'crl', `${name}.pem`), 'utf8'))[0]!.nextUpdate!
    }
    const reopened = async (): Promise<string[]> => {
      const again = await openPki({ dir: own.caDir, passphraseFile: own.passphraseFile, now: () => at })
      await again.issue({ profile: 'operator', id: 'op-1' })
      await again.close()
      return again.generations()
    }
    at += 100 * 86_400
    await own.pki.rotate('people')
    at += 4 * 86_400
    await reopened()
    expect([until('people') > at + 6 * 86_400, until('people-2') > at + 6 * 86_400]).toEqual([true, true])
    at = begin + 1_827 * 86_400
    expect(await reopened()).toEqual(['root', 'people-2'])
    expect([until('people') > at, until('people-2') > at + 6 * 86_400]).toEqual([false, true])
    expect(parseCrls(readFileSync(own.crlFile, 'utf8'))).toHaveLength(2)
  })

  test('is known to the enrolment CA by both keys, and answers with the one that issued', async () => {
    const ca = new StoreCa(pki.pki, { dir: pki.caDir, now })
    await ca.refresh()
    for (const { chainPem } of [await pki.issue('concentrator', 'dc-est')]) {
      const [leaf] = certificatesFromPem(chainPem)
      expect(ca.identify([leaf!])).toMatchObject({ kind: 'operational', concentrator: 'dc-est' })
      expect(ca.behind(leaf!)).toEqual([pki.pki.certificates('device')[1]])
    }
    const [first] = certificatesFromPem(old.chainPem)
    expect(ca.identify([first!])).toMatchObject({ kind: 'refused', detail: expect.stringContaining('REVOKED') })
    expect(ca.behind(first!)).toEqual([pki.pki.certificates('device')[0]])
  })

  test('is found by a gateway above either certificate', () => {
    const authorities = certificatesFromPem(readFileSync(pki.deviceTrustFile, 'utf8')).map(
      (der) => new X509Certificate(der),
    )
    for (const { certificatePem } of [old, fresh]) {
      const leaf = new X509Certificate(certificatePem)
      expect(chainRevocationFault(leaf, authorities, () => undefined)).toBeUndefined()
      expect(authorities.filter((one) => leaf.checkIssued(one) && leaf.verify(one.publicKey))).toHaveLength(1)
    }
  })

  test.runIf(hasOpenssl)(`lets devices of either key into a TLS listener${opensslNote}`, async () => {
    const own = await throwawayPki()
    onTestFinished(() => own.close())
    const devices = [await own.issue('concentrator', 'a')]
    await own.pki.rotate('device')
    devices.push(await own.issue('concentrator', 'b'))
    const { chainPem, privateKeyPem } = await own.issue('gateway', 'gw')
    const crl = readFileSync(own.crlFile, 'utf8').match(/-----BEGIN[\s\S]+?END X509 CRL-----\n/g)! // Node reads one of each text
    const files = { ca: readFileSync(own.deviceTrustFile), crl }
    const server = createServer({ cert: chainPem, key: privateKeyPem!, requestCert: true, ...files })
    const seen: unknown[] = []
    server.on('secureConnection', (socket) => {
      seen.push(socket.getPeerX509Certificate()?.subjectAltName)
      socket.end()
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    for (const { certificateFile, keyFile } of devices) {
      const identity = ['-cert', certificateFile, '-cert_chain', certificateFile, '-key', keyFile!]
      const line = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', own.rootFile, '-verify_return_error']
      const client = spawn('openssl', [...line, ...identity], { stdio: ['pipe', 'ignore', 'ignore'] }) // its input stays open: at its end it would leave
      onTestFinished(() => void client.kill('SIGKILL'))
      await once(client, 'close')
    }
    expect(seen).toEqual(['URI:urn:ami:concentrator:a', 'URI:urn:ami:concentrator:b'])
  })

  test('is seen by a process that had the store open, which issues with the new key at once', async () => {
    const other = await openPki({ dir: pki.caDir, passphraseFile: pki.passphraseFile })
    onTestFinished(() => other.close())
    await pki.pki.rotate('signing')
    const { issuer, chainPem } = await other.issue({ profile: 'mdm', id: 'm1' })
    expect(issuer).toBe('signing-2')
    expect(Buffer.from(certificatesFromPem(chainPem)[1]!)).toEqual(Buffer.from(pki.pki.certificates('signing')[1]!))
  })

  test('may be rotated until six keys are trusted, and not while the root is away', async () => {
    const own = await throwawayPki()
    onTestFinished(() => own.close())
    for (let number = 2; number <= 6; number += 1) expect(await own.pki.rotate('people')).toBe(`people-${number}`)
    await expect(own.pki.rotate('people')).rejects.toMatchObject({ code: 'ROTATION_LIMIT' })
    renameSync(join(own.caDir, 'root'), join(own.dir, 'root-away'))
    await expect(own.pki.rotate('device')).rejects.toMatchObject({ code: 'ROOT_OFFLINE' })
    expect(existsSync(join(own.caDir, 'device-2'))).toBe(false)
  })

  test('can itself be revoked, old key or new, without the other', async () => {
    const own = await throwawayPki()
    onTestFinished(() => own.close())
    const before = await own.issue('concentrator', 'a')
    await own.pki.rotate('device')
    const after = await own.issue('concentrator', 'b')
    const { serial } = (await own.pki.list()).find(({ id }) => id === 'device')!
    await own.revoke(serial, 'keyCompromise')
    expect([judge(before.chainPem, own.pki), judge(after.chainPem, own.pki)]).toEqual(['CA_REVOKED', 'accepted'])
  })
})

describe('an OCSP responder', { timeout: 120_000 }, () => {
  test.runIf(hasOpenssl)(`answers for each key of a CA, by a certificate of its own${opensslNote}`, async () => {
    const own = await throwawayPki()
    onTestFinished(() => own.close())
    const leaves = [await own.issue('concentrator', 'a')]
    await own.pki.rotate('device')
    leaves.push(await own.issue('concentrator', 'b'))
    await expect(own.pki.issue({ profile: 'concentrator', id: 'c', keyNumber: 1 })).rejects.toMatchObject({
      code: 'REQUEST_PROFILE',
    })
    const served: string[] = []
    for (const [at, name] of ['device', 'device-2'].entries()) {
      const [key, file] = [join(own.dir, `${name}.key`), join(own.dir, `${name}.pem`)]
      const secret = ['--dir', own.caDir, '--passphrase-file', own.passphraseFile]
      const how = ['--profile', 'ocsp', '--id', name, '--issuer', `device-${at + 1}`]
      const line = [mainFile, 'pki', 'issue', ...secret, ...how, '--out-key', key, '--out', file]
      expect(spawnSync(process.execPath, line, { timeout: 60_000 }).status).toBe(0)
      served.push('--issuer', join(own.caDir, name, 'certificate.pem'), '--responder', file, '--key', key)
    }
    const fixed = ['--dir', own.caDir, '--listen', '127.0.0.1:0', '--passphrase-file', own.passphraseFile]
    const child = spawn(process.execPath, [mainFile, 'pki', 'ocsp', ...fixed, ...served], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const port = await new Promise<number>((resolve) => {
      let said = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (text) => {
          said += text
          const found = /"port":(\d+)/.exec(said)
          if (found !== null) resolve(Number(found[1]))
        })
      }
    })
    for (const [at, name] of ['device', 'device-2'].entries()) {
      const files = ['-issuer', join(own.caDir, name, 'certificate.pem'), '-cert', leaves[at]!.certificateFile]
      const how = ['-CAfile', own.deviceTrustFile, '-url', `http://127.0.0.1:${port}`]
      const { output } = openssl('ocsp', ...how, ...files)
      expect(output).toMatch(/: good\n(.*\n)*Response verify OK/)
    }
  })
})

/** Kills a rotation as soon as a file is there, or after it is told. */
async function killAt(line: readonly string[], there: () => boolean): Promise<void> {
  const child = spawn(process.execPath, line, { stdio: 'ignore' })
  const gone = once(child, 'close')
  while (!there() && child.exitCode === null) await soon()
  child.kill('SIGKILL')
  await gone
}

describe('killed while it gives a CA a new key', { timeout: 120_000 }, () => {
  const moments = ['device-2/key.pem', 'crl/device-2.pem', 'device-2/certificate.pem']
  test.each([...moments, 'the journal'])(
    'when %s is there: the old key, or both and whole; the next goes through',
    async (moment) => {
      const own = await throwawayPki()
      onTestFinished(() => own.close())
      const lines = (): number => readFileSync(join(own.caDir, 'journal.ndjson'), 'utf8').split('\n').length
      const before = lines()
      const secret = ['--dir', own.caDir, '--passphrase-file', own.passphraseFile]
      const line = [mainFile, 'pki', 'rotate', ...secret, '--ca', 'device']
      await killAt(line, () => {
        return moment === 'the journal' ? lines() > before : existsSync(join(own.caDir, moment))
      })
      const again = await openPki({ dir: own.caDir, passphraseFile: own.passphraseFile })
      onTestFinished(() => again.close())
      const happened = (await again.list()).some(({ id }) => id === 'device-2')
      expect(existsSync(join(own.caDir, 'device-2', 'certificate.pem'))).toBe(happened)
      expect(certificatesFromPem(readFileSync(own.deviceTrustFile, 'utf8'))).toHaveLength(happened ? 3 : 2)
      expect(judge((await again.issue({ profile: 'concentrator', id: 'c' })).chainPem, again)).toBe('accepted')
      expect(await again.rotate('device')).toBe(happened ? 'device-3' : 'device-2')
      expect(judge((await again.issue({ profile: 'concentrator', id: 'd' })).chainPem, again)).toBe('accepted')
      const certified = (await readRegister(own.caDir)).list().filter(({ profile }) => profile === 'device')
      expect(new Set(certified.map(({ key }) => key)).size).toBe(certified.length)
      expect(certified).toHaveLength(happened ? 3 : 2)
    },
  )

  test('after the journal, its files are written by whoever opens the store', async () => {
    const own = await throwawayPki()
    onTestFinished(() => own.close())
    const two = readFileSync(own.deviceTrustFile)
    await own.pki.rotate('device')
    writeFileSync(own.deviceTrustFile, two)
    for (const name of ['device-2/certificate.pem', 'crl/device-2.pem']) rmSync(join(own.caDir, name))
    const again = await openPki({ dir: own.caDir, passphraseFile: own.passphraseFile })
    onTestFinished(() => again.close())
    expect(certificatesFromPem(readFileSync(own.deviceTrustFile, 'utf8'))).toHaveLength(3)
    const { chainPem, issuer } = await again.issue({ profile: 'concentrator', id: 'c' })
    expect([issuer, judge(chainPem, again)]).toEqual(['device-2', 'accepted'])
  })
})

test.runIf(softhsm !== undefined)(`a CA whose key is on a token gets its next one there${softhsmNote}`, async () => {
  const folder = tempFolder()
  const dir = join(folder, 'ca')
  await initPki({ dir, keys: allAt(makeToken(folder, 'rotation')) })
  const own = await openPki({ dir })
  expect(await own.rotate('device')).toBe('device-2')
  const { chainPem } = await own.issue({ profile: 'concentrator', id: 'c' })
  expect(judge(chainPem, own)).toBe('accepted')
  expect(readdirSync(join(dir, 'device-2'))).toEqual(['certificate.pem'])
  await own.close()
})
