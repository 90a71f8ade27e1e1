import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSigner } from '#gateway/io/signer.ts'
import { type AuthorityName, authorityNames, issuingNames } from '#pki/profiles.ts'
import type { PolicyName } from '#pki/purpose.ts'
import { parseCrls } from '#pki/verify.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { hasTool, toolNote } from './tools.ts'

let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

function certtool(...args: readonly string[]): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync('certtool', args, { encoding: 'utf8', timeout: 20_000 })
  return { ok: status === 0, output: `${stdout}${stderr}` }
}

function verified({ certificateFile }: FiledCertificate, rootFile: string, ...more: string[]): boolean {
  const lists = ['--load-crl', pki.crlFile]
  return certtool('--verify', '--load-ca-certificate', rootFile, ...lists, ...more, '--infile', certificateFile).ok
}

/** A ceremony's certificate is made where the ceremony is held. */
type Issued = Exclude<PolicyName, 'ceremony'>

/** What certtool should print for each profile, and the purpose that it is asked about, where it can read them. */
const shown = {
  concentrator: { print: [/URI: urn:ami:concentrator:concentrator-x/, /TLS WWW Client/], purpose: '1.3.6.1.5.5.7.3.2' },
  gateway: { print: [/DNSname: localhost/, /IPAddress: ::1/, /TLS WWW Server/], purpose: '1.3.6.1.5.5.7.3.1' },
  sealer: { print: [/URI: urn:ami:sealer:sealer-x/, /Digital signature/], purpose: undefined },
  mdm: { print: [/URI: urn:ami:mdm:mdm-x/, /Key agreement/], purpose: undefined },
  operator: { print: [/URI: urn:ami:operator:operator-x/, /TLS WWW Client/], purpose: '1.3.6.1.5.5.7.3.2' },
  researcher: { print: [/URI: urn:ami:researcher:researcher-x/, /TLS WWW Client/], purpose: '1.3.6.1.5.5.7.3.2' },
  ocsp: { print: [/OCSP signing/], purpose: '1.3.6.1.5.5.7.3.9' },
} as const satisfies Record<Issued, { print: readonly RegExp[]; purpose: string | undefined }>

/**
 * Its ASN.1 library reads no arc over 64 bits, so neither our policies nor our private purposes; it says so and goes on. Nor does
 * it know that a responder is not to be asked about, which is not critical.
 */
const unreadable =
  /^error: (certificate policies import|gnutls_x509_ext_import_key_purposes): |Unknown extension 1\.3\.6\.1\.5\.5\.7\.48\.1\.5 \(not critical\)/

describe.runIf(hasTool('certtool'))(`GnuTLS certtool${toolNote('certtool')}`, () => {
  describe.each(Object.keys(shown) as Issued[])('for a %s', (profile) => {
    test('verifies the chain and its purpose, under our root alone, until it is revoked', async () => {
      const certificate = await pki.issue(profile, `${profile}-1`)
      const { purpose } = shown[profile]
      const asked = purpose === undefined ? [] : [`--verify-purpose=${purpose}`]
      expect(verified(certificate, pki.rootFile, ...asked)).toBe(true)
      expect(verified(certificate, (await pki.foreign()).rootFile, ...asked)).toBe(false)
      await pki.revoke(certificate.serial, 'keyCompromise')
      expect(verified(certificate, pki.rootFile, ...asked)).toBe(false)
    })

    test('prints the certificate, but for the numbers that it cannot read', async () => {
      const { certificateFile, serial } = await pki.issue(profile, `${profile}-x`)
      const { ok, output } = certtool('-i', '--infile', certificateFile)
      expect(ok).toBe(true)
      const common = [/Version: 3/, /Certificate Authority \(CA\): FALSE/, /Curve:\tSECP256R1/, /ECDSA-SHA256/]
      const named = new RegExp(`Subject: CN=${profile}-x,OU=[A-Z][a-z]+,O=AMI`)
      for (const pattern of [...common, named, ...shown[profile].print]) expect(output).toMatch(pattern)
      expect(output).toContain(`Serial Number (hex): ${serial.toLowerCase()}`)
      expect(
        output.split('\n').filter((line) => /error|unknown|warning/i.test(line) && !unreadable.test(line)),
      ).toEqual([])
    })
  })

  const certificateOf = (name: AuthorityName): string =>
    name === 'root' ? pki.rootFile : join(pki.caDir, name, 'certificate.pem')

  test.each(issuingNames)('prints the name constraints of the %s CA, critical and whole', (name) => {
    const { ok, output } = certtool('-i', '--infile', certificateOf(name))
    expect(ok).toBe(true)
    expect(output).toMatch(
      /Path Length Constraint: 0[\s\S]*Certificate signing\.\s+CRL signing\.[\s\S]*Name Constraints \(critical\)/,
    )
    expect(output).toMatch(/Permitted:\s+directoryName: OU=[A-Z][a-z]+,O=AMI/)
  })

  test.each(authorityNames)('reads the CRL of the CA %s and verifies it with that CA alone', async (name) => {
    const file = join(pki.caDir, 'crl', `${name}.pem`)
    const judged = (issuer: AuthorityName): boolean =>
      certtool('--verify-crl', '--load-ca-certificate', certificateOf(issuer), '--infile', file).ok
    expect(authorityNames.filter(judged)).toEqual([name])
    const { ok, output } = certtool('--crl-info', '--infile', file)
    const [crl] = parseCrls(await readFile(file, 'utf8'))
    expect(ok).toBe(true)
    expect(output).toMatch(
      /Version: 2[\s\S]*Authority Key Identifier \(not critical\)[\s\S]*CRL Number \(not critical\)/,
    )
    const listed = [...output.matchAll(/Serial Number \(hex\): ([0-9a-f]+)/g)].map(([, serial]) =>
      serial!.toUpperCase(),
    )
    expect(listed.toSorted()).toEqual([...crl!.serials].toSorted())
  })

  test('verifies a batch’s detached signature, and refuses it for other content', async () => {
    const { keyFile, certificateFile } = await pki.issue('sealer', 'sealer-2')
    const signer = await openSigner({ keyFile: keyFile!, certificateFile, crlFile: pki.crlFile })
    const [signature, right, wrong] = ['p7s', 'right', 'wrong'].map((name) => join(pki.dir, name))
    await writeFile(signature!, await signer.sign(Buffer.from('a batch')))
    await writeFile(right!, 'a batch')
    await writeFile(wrong!, 'another')
    const judged = (content: string): boolean => {
      const how = ['--p7-verify', '--inder', '--load-ca-certificate', pki.rootFile, '--load-data', content]
      return certtool(...how, '--infile', signature!).ok
    }
    expect([right!, wrong!].map(judged)).toEqual([true, false])
  })
})
