import { spawn } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { Child } from '#cli/demo/child.ts'
import { responderOf } from '#pki/ocsp/staple.ts'
import { encryptKey } from '#pki/store/keys.ts'
import { certificatesFromPem, parseCertificate, type Staple, stapleOf } from '#pki/verify.ts'
import { hasOpenssl, opensslNote } from '#test/pki/openssl.ts'
import { openFrontDoor } from '#test/support/front-door.ts'
import { type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'

/** A port that is free now: the certificate must name it before the responder runs. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** `ami pki ocsp` for the Infrastructure CA, as an operator runs it. */
async function responder(pki: ThrowawayPki, port: number): Promise<void> {
  const { privateKeyPem, certificatePem } = await pki.pki.issue({
    profile: 'ocsp',
    id: 'ocsp-1',
    issuer: 'infrastructure',
  })
  const [key, certificate] = [join(pki.dir, 'ocsp.key.pem'), join(pki.dir, 'ocsp.pem')]
  writeFileSync(key, await encryptKey(createPrivateKey(privateKeyPem!), 'throwaway, for tests only'), { mode: 0o600 })
  writeFileSync(certificate, certificatePem)
  const files = [
    '--issuer',
    join(pki.caDir, 'infrastructure', 'certificate.pem'),
    '--responder',
    certificate,
    '--key',
    key,
  ]
  const where = ['--dir', pki.caDir, '--listen', `127.0.0.1:${port}`, '--passphrase-file', pki.passphraseFile]
  const child = new Child('ocsp', ['pki', 'ocsp', ...where, ...files], join(pki.dir, 'ocsp.log'))
  onTestFinished(() => child.kill())
  await child.until('ocsp.listening')
}

async function held(staple: Staple): Promise<void> {
  await expect.poll(() => staple.current !== undefined, { timeout: 10_000 }).toBe(true)
}

test.runIf(hasOpenssl)(
  `the gateway’s front staples what its responder says, and s_client -status reads it${opensslNote}`,
  async () => {
    const port = await freePort()
    const pki = await throwawayPki({ publication: { ocsp: `http://127.0.0.1:${port}` } })
    onTestFinished(() => pki.close())
    const gateway = await pki.issue('gateway', 'gateway')
    const chain = certificatesFromPem(gateway.chainPem)
    expect(responderOf(parseCertificate(chain[0]!))).toBe(`http://127.0.0.1:${port}`)
    await responder(pki, port)
    const faults: unknown[] = []
    const staple = stapleOf(chain, (fault) => faults.push(fault))!
    await held(staple)
    const door = await openFrontDoor(pki, gateway, { staple })
    const own = await pki.issue('concentrator', 'dc-1')
    const client = spawn(
      'openssl',
      [
        's_client',
        '-connect',
        `127.0.0.1:${door.port}`,
        '-status',
        '-CAfile',
        pki.rootFile,
        '-verify_return_error',
      ].concat(['-cert', own.certificateFile, '-key', own.keyFile!]),
      { stdio: ['pipe', 'pipe', 'inherit'] },
    )
    client.stdin.end()
    expect(await text(client.stdout)).toMatch(/OCSP Response Status: successful[\s\S]*Cert Status: good/)
    expect(faults).toEqual([])
  },
)

test('a certificate that names no responder has no staple', async () => {
  const pki = await throwawayPki()
  onTestFinished(() => pki.close())
  const { chainPem, certificatePem } = await pki.issue('gateway', 'gateway')
  expect(new X509Certificate(certificatePem).infoAccess).toBeUndefined()
  expect(stapleOf(certificatesFromPem(chainPem), () => undefined)).toBeUndefined()
})
