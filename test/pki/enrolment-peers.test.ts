import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseCertificate } from '#pki/certificate.ts'
import type { EstServer } from '#pki/est/client.ts'
import { privateZones } from '#pki/extensions.ts'
import { nameForm } from '#pki/name-constraints.ts'
import { fromPem } from '#pki/pem.ts'
import { issuingNames } from '#pki/profiles.ts'
import { throwawayPki } from '#test/support/pki.ts'
import { enrolmentStage, type Process, type Stage } from './enrolment-cast.ts'
import { openssl } from './openssl.ts'
import { hasTool, toolNote } from './tools.ts'

let stage: Stage
let est: Process
let server: EstServer
let clerk: Process
const file = (name: string): string => join(stage.dir, name)

beforeAll(async () => {
  // strongSwan 5.9.8 reads no certificate with a constraint on addresses.
  stage = await enrolmentStage({ zones: { dns: privateZones.dns, ip: 'any' } })
  stage.ship('dc-swan', 'dc-curl')
  ;({ est, server } = await stage.listener())
  clerk = await stage.clerk()
  for (const id of ['dc-swan', 'dc-curl']) {
    const { chainPem, privateKeyPem } = await stage.maker.make(`SN-${id}`)
    writeFileSync(file(`${id}.maker.pem`), chainPem)
    writeFileSync(file(`${id}.maker.key`), privateKeyPem, { mode: 0o600 })
  }
})
afterAll(async () => {
  await Promise.all([est.stop(), clerk.stop()])
  await stage.close()
})

function run(program: string, args: readonly string[]): { code: number | null; out: Buffer; err: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { timeout: 20_000 })
  return { code: status, out: stdout, err: stderr.toString() }
}

/** A key and a request for it, by openssl. The subject is one that nobody is to get. */
function request(name: string): string {
  const [key, csr] = [file(`${name}.key`), file(`${name}.csr`)]
  const making = [
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    '/CN=somebody',
  ]
  expect(openssl(...making, '-keyout', key, '-out', csr, '-outform', 'DER')).toMatchObject({ ok: true })
  return csr
}

function accepted(certificate: string, id: string): void {
  const crl = ['-crl_check_all', '-CRLfile', stage.crlFile, '-CAfile', stage.deviceTrustFile]
  expect(openssl('verify', '-x509_strict', '-purpose', 'sslclient', ...crl, certificate).output).toBe(
    `${certificate}: OK\n`,
  )
  const { output } = openssl('x509', '-in', certificate, '-noout', '-subject', '-ext', 'subjectAltName')
  expect(output).toContain(`CN = ${id}\n`)
  expect(output).toContain(`URI:urn:ami:concentrator:${id}\n`)
  expect(output).not.toContain('somebody')
}

describe('strongSwan', () => {
  const hasSwan = hasTool('pki')
  const note = toolNote('pki')
  const url = (): string => `https://127.0.0.1:${server.port}`

  test.runIf(hasSwan)(`fetches the root${note}`, () => {
    const { code, err } = run('pki', [
      '--estca',
      '--url',
      url(),
      '--cacert',
      stage.rootFile,
      '--caout',
      file('swan-ca.pem'),
      '--outform',
      'pem',
    ])
    expect(code, err).toBe(0)
    expect(openssl('x509', '-in', file('swan-ca.pem'), '-outform', 'DER', '-out', file('swan-ca.der')).ok).toBe(true)
    expect(openssl('x509', '-in', stage.rootFile, '-outform', 'DER', '-out', file('root.der')).ok).toBe(true)
    expect(readFileSync(file('swan-ca.der'))).toEqual(readFileSync(file('root.der')))
  })

  test.runIf(hasSwan)(`goes from its manufacturer certificate to an operational one, and renews that${note}`, () => {
    const asked = (name: string, cert: string, key: string): string => {
      const infra = join(stage.caDir, 'infrastructure', 'certificate.pem')
      const trust = [
        '--cacert',
        stage.rootFile,
        '--cacert',
        infra,
        '--cacert',
        file('device-ca.pem'),
        '--cacert',
        file('maker-ca.pem'),
      ]
      const args = ['--est', '--url', url(), '--in', request(name), '--cert', cert, '--key', key, '--outform', 'pem']
      const { code, out, err } = run('pki', [...args, ...trust])
      expect(code, err).toBe(0)
      writeFileSync(file(`${name}.pem`), out)
      return file(`${name}.pem`)
    }
    writeFileSync(file('device-ca.pem'), stage.pki.certificatePem('device'))
    writeFileSync(file('maker-ca.pem'), stage.maker.caPem)
    const first = asked('swan-1', file('dc-swan.maker.pem'), file('dc-swan.maker.key'))
    accepted(first, 'dc-swan')
    accepted(asked('swan-2', first, file('swan-1.key')), 'dc-swan')
  })
})

test('a PKI made for any address says nothing of addresses, and of all else what others say', async () => {
  const usual = await throwawayPki()
  const formsOf = (pem: string): number[] => {
    const { permitted, excluded } = parseCertificate(fromPem('CERTIFICATE', pem)[0]!).nameConstraints!
    return [...permitted, ...excluded].map(({ form }) => form)
  }
  for (const name of issuingNames) {
    const wanted = formsOf(usual.pki.certificatePem(name))
    expect(wanted).toContain(nameForm.ip)
    expect(formsOf(stage.pki.certificatePem(name))).toEqual(wanted.filter((form) => form !== nameForm.ip))
  }
  await usual.close()
})

describe('curl', () => {
  const common = (): string[] => ['--silent', '--show-error', '--cacert', stage.rootFile]
  const url = (operation: string): string => `https://localhost:${server.port}/.well-known/est/${operation}`
  const note = toolNote('curl')

  /** The base64 body of an answer, as openssl reads it. */
  const body = (out: Buffer, name: string): string => {
    writeFileSync(file(`${name}.b64`), out)
    expect(openssl('base64', '-d', '-A', '-in', file(`${name}.b64`), '-out', file(name)).ok).toBe(true)
    return file(name)
  }

  test.runIf(hasTool('curl'))(`asks without a certificate what to trust and what to send${note}`, () => {
    const certificates = body(run('curl', [...common(), url('cacerts')]).out, 'cacerts.p7')
    const printed = openssl('pkcs7', '-inform', 'DER', '-in', certificates, '-print_certs', '-out', file('cacerts.pem'))
    expect(printed).toMatchObject({ ok: true })
    expect(openssl('verify', '-CAfile', stage.rootFile, file('cacerts.pem')).ok).toBe(true)
    const attributes = body(run('curl', [...common(), url('csrattrs')]).out, 'csrattrs')
    const { output } = openssl('asn1parse', '-inform', 'DER', '-in', attributes)
    expect(output).toMatch(/id-ecPublicKey[\s\S]*prime256v1[\s\S]*ecdsa-with-SHA256/)
  })

  test.runIf(hasTool('curl'))(
    `enrols with its manufacturer certificate, by TLS 1.3 and 1.2, and not without one${note}`,
    () => {
      const csr = request('curl')
      expect(openssl('base64', '-in', csr, '-out', file('curl.csr.b64')).ok).toBe(true)
      const post = [
        '--data-binary',
        `@${file('curl.csr.b64')}`,
        '-H',
        'content-type: application/pkcs10',
        url('simpleenroll'),
      ]
      const status = ['-o', '/dev/null', '-w', '%{http_code}']
      expect(run('curl', [...common(), ...status, ...post]).out.toString()).toBe('401')
      const own = ['--cert', file('dc-curl.maker.pem'), '--key', file('dc-curl.maker.key')]
      const answers = ['1.3', '1.2'].map(
        (version) => run('curl', [...common(), ...own, '--tls-max', version, ...post]).out,
      )
      expect(answers[1]).toEqual(answers[0])
      const given = body(answers[0]!, 'curl.p7')
      expect(openssl('pkcs7', '-inform', 'DER', '-in', given, '-print_certs', '-out', file('curl.pem')).ok).toBe(true)
      accepted(file('curl.pem'), 'dc-curl')
      const other = ['-H', 'content-type: text/plain', ...post.slice(0, 2), url('simpleenroll')]
      expect(run('curl', [...common(), ...own, ...status, ...other]).out.toString()).toBe('415')
    },
  )
})
