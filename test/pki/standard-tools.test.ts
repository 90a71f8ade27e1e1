import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromPem } from '#pki/pem.ts'
import { authorityProfiles, issuingNames } from '#pki/profiles.ts'
import { type PolicyName, policy } from '#pki/purpose.ts'
import { parseCrls } from '#pki/verify.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

function accepted(profile: PolicyName, { certificateFile }: FiledCertificate, ...more: string[]): boolean {
  const lists = ['-crl_check_all', '-CRLfile', pki.crlFile]
  const trust = ['-no-CApath', '-no-CAstore', '-CAfile', pki.rootFile, '-untrusted', certificateFile]
  const policies = ['-explicit_policy', '-policy', policy[profile]]
  return openssl('verify', '-x509_strict', ...policies, ...lists, ...trust, ...more, certificateFile).ok
}

/** What OpenSSL should print for each profile, beside what it prints for all. */
const shown = {
  concentrator: [/URI:urn:ami:concentrator:concentrator-x/, /TLS Web Client Authentication/, /Digital Signature/],
  gateway: [/DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1/, /TLS Web Server Authentication/],
  sealer: [/URI:urn:ami:sealer:sealer-x/, /2\.25\.151989430694079106557048502187836560017, E-mail Protection/],
  mdm: [/URI:urn:ami:mdm:mdm-x/, /Key Agreement/, /2\.25\.272044487353006452503329549861287595079/],
  operator: [
    /URI:urn:ami:operator:operator-x/,
    /TLS Web Client Authentication/,
    new RegExp(`Policy: ${policy.operator}`),
  ],
  researcher: [/URI:urn:ami:researcher:researcher-x/, new RegExp(`Policy: ${policy.researcher}`)],
  ocsp: [/OCSP Signing/, /OCSP No Check/],
} as const
const purposes = {
  concentrator: 'sslclient',
  gateway: 'sslserver',
  sealer: 'smimesign',
  mdm: 'any',
  operator: 'sslclient',
  researcher: 'sslclient',
  ocsp: 'ocsphelper',
} as const

describe.runIf(hasOpenssl)(`OpenSSL${opensslNote}`, () => {
  describe.each(Object.keys(shown) as (keyof typeof shown)[])('for a %s', (profile) => {
    test('accepts the chain, strictly and for its purpose, and refuses it once revoked', async () => {
      const certificate = await pki.issue(profile, `${profile}-1`)
      expect(accepted(profile, certificate, '-purpose', purposes[profile])).toBe(true)
      await pki.revoke(certificate.serial, 'keyCompromise')
      expect(accepted(profile, certificate, '-purpose', purposes[profile])).toBe(false)
      expect(
        openssl('crl', '-in', join(pki.caDir, 'crl', `${certificate.issuer}.pem`), '-noout', '-text').output,
      ).toMatch(new RegExp(`Serial Number: ${certificate.serial}[\\s\\S]*?Key Compromise`))
    })

    test('shows what the profile says', async () => {
      const { certificateFile, serial } = await pki.issue(profile, `${profile}-x`)
      const { output } = openssl('x509', '-in', certificateFile, '-noout', '-text', '-serial')
      const common = [
        /Version: 3/,
        /CA:FALSE/,
        new RegExp(`Subject: O = AMI, OU = [A-Z][a-z]+, CN = ${profile}-x`),
        /NIST CURVE: P-256/,
      ]
      for (const pattern of [...common, ...shown[profile]]) expect(output).toMatch(pattern)
      expect(output).toContain(`serial=${serial}`)
    })
  })

  test('refuses a chain under a foreign root', async () => {
    expect(accepted('mdm', await (await pki.foreign()).issue('mdm', 'm1'))).toBe(false)
  })

  test('shows one attribute an RDN and the path lengths and constraints of every CA', () => {
    const root = openssl('x509', '-in', pki.rootFile, '-noout', '-text').output
    expect(root).toMatch(/Subject: O = AMI, CN = AMI Root CA/)
    expect(root).toMatch(/CA:TRUE, pathlen:1/)
    for (const name of issuingNames) {
      const { output } = openssl('x509', '-in', join(pki.caDir, name, 'certificate.pem'), '-noout', '-text')
      expect(output).toMatch(/CA:TRUE, pathlen:0[\s\S]*Certificate Sign, CRL Sign[\s\S]*Name Constraints: critical/)
      expect(output).toMatch(new RegExp(`DirName:O = AMI, OU = ${authorityProfiles[name].scope!.unit}`))
    }
  })

  test('opens the CA keys with the passphrase and not without', () => {
    const key = join(pki.caDir, 'root', 'key.pem')
    expect(openssl('pkey', '-in', key, '-passin', `file:${pki.passphraseFile}`, '-noout').ok).toBe(true)
    expect(openssl('pkey', '-in', key, '-passin', 'pass:wrong', '-noout').ok).toBe(false)
    expect(openssl('asn1parse', '-in', key).output).toMatch(/scrypt[\s\S]*aes-256-cbc/)
  })

  test('verifies every CRL with their issuers', () => {
    for (const [name, issuer] of [
      ['root', pki.rootFile],
      ...issuingNames.map((name) => [name, join(pki.caDir, name, 'certificate.pem')] as const),
    ] as const) {
      const { output } = openssl('crl', '-in', join(pki.caDir, 'crl', `${name}.pem`), '-noout', '-CAfile', issuer)
      expect(output).toMatch(/verify OK/)
    }
  })

  test('makes requests whose key is certified and whose names are not', async () => {
    const [key, request] = [join(pki.dir, 'device.key'), join(pki.dir, 'device.csr')]
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key)
    openssl('req', '-new', '-key', key, '-subj', '/CN=someone-else/O=Elsewhere', '-out', request)
    const [csr] = fromPem('CERTIFICATE REQUEST', await readFile(request, 'utf8'))
    const issued = await pki.issue('concentrator', 'device-1', { csr: csr! })
    expect(issued.privateKeyPem).toBeUndefined()
    expect(accepted('concentrator', issued, '-purpose', 'sslclient')).toBe(true)
    const { output } = openssl('x509', '-in', issued.certificateFile, '-noout', '-subject', '-pubkey')
    expect(output).toMatch(/subject=O = AMI, OU = Devices, CN = device-1\n/)
    expect(output).toContain(openssl('pkey', '-in', key, '-pubout').output.trim())
    const forged = Uint8Array.from(csr!)
    forged[forged.length - 1]! ^= 1
    await expect(pki.issue('concentrator', 'device-2', { csr: forged })).rejects.toMatchObject({
      code: 'REQUEST_POSSESSION',
    })
  })

  test('makes requests on other curves, which are refused', async () => {
    const [key, request] = [join(pki.dir, 'p384.key'), join(pki.dir, 'p384.csr')]
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384', '-out', key)
    openssl('req', '-new', '-key', key, '-subj', '/CN=x', '-out', request)
    const [csr] = fromPem('CERTIFICATE REQUEST', await readFile(request, 'utf8'))
    await expect(pki.issue('concentrator', 'd3', { csr: csr! })).rejects.toMatchObject({ code: 'REQUEST_KEY' })
  })

  test('lists the same revoked serials as parseCrls', async () => {
    const { output } = openssl('crl', '-in', join(pki.caDir, 'crl', 'device.pem'), '-noout', '-text')
    const theirs = [...output.matchAll(/Serial Number: ([0-9A-F]+)/g)].map((match) => match[1]!)
    const [, device] = parseCrls(await readFile(pki.crlFile, 'utf8'))
    expect([...device!.serials].toSorted()).toEqual(theirs.toSorted())
    expect(theirs.length).toBeGreaterThan(0)
  })
})
