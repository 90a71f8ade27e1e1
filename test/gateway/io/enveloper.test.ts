import { createPrivateKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { openEnveloper } from '#gateway/io/enveloper.ts'
import { certificatesFromPem, openEnveloped, parseCertificate } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'

let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

const files = (certificate: string) => ({ certificate, trustFile: pki.deviceTrustFile, crlFile: pki.crlFile })
async function faultOf(certificate: string, now?: () => number): Promise<string> {
  const error = await openEnveloper({ ...files(certificate), ...(now && { now }) }).catch((fault: unknown) => fault)
  expect(error).toBeInstanceOf(ConfigError)
  return (error as ConfigError).message
}

describe('the enveloper', () => {
  test('envelopes for the MDM that the certificate names', async () => {
    const mdm = await pki.issue('mdm', 'mdm-1')
    const enveloper = await openEnveloper(files(mdm.certificateFile))
    const envelope = await enveloper.wrap(Buffer.from('a batch'))
    const certificate = parseCertificate(certificatesFromPem(mdm.chainPem)[0]!)
    const privateKey = createPrivateKey(mdm.privateKeyPem!)
    expect(openEnveloped(envelope, [{ certificate, privateKey }]).toString()).toBe('a batch')
  })

  test('does not start for a certificate of another role, of another PKI, out of date, or that is none', async () => {
    const sealer = await pki.issue('sealer', 'gw-1')
    expect(await faultOf(sealer.certificateFile)).toContain('forward.envelope')
    const foreign = await (await pki.foreign()).issue('mdm', 'mdm-1')
    expect(await faultOf(foreign.certificateFile)).toContain('forward.envelope')
    const { certificateFile } = await pki.issue('mdm', 'mdm-2')
    expect(await faultOf(certificateFile, () => Date.now() / 1000 - 86_400)).toContain('forward.envelope')
    const none = join(pki.dir, 'none.pem')
    writeFileSync(none, 'none')
    expect(await faultOf(none)).toContain('no certificate in it')
    expect(await faultOf(join(pki.dir, 'absent.pem'))).toContain('absent.pem')
  })

  test('holds batches back from the moment that the certificate is revoked', async () => {
    const mdm = await pki.issue('mdm', 'mdm-3')
    const enveloper = await openEnveloper(files(mdm.certificateFile))
    await enveloper.wrap(Buffer.from('a batch'))
    await pki.revoke(mdm.serial, 'keyCompromise')
    await expect(enveloper.wrap(Buffer.from('another'))).rejects.toThrow('REVOKED')
  })
})
