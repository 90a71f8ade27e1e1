import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { openRevocation, type Revocation } from '#gateway/io/revocation.ts'
import { boolean } from '#pki/der.ts'
import { encodeIssuingDistributionPoint, issuingDistributionPointOid } from '#pki/distribution-point.ts'
import { fromPem, toPem } from '#pki/pem.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { extendCrl } from '../../pki/forge.ts'

const shard = {
  oid: issuingDistributionPointOid,
  critical: true,
  value: encodeIssuingDistributionPoint({ uris: ['http://crl.example/device/1.crl'], onlyUser: false }),
}

let pki: WithForeign
let certificate: X509Certificate
let serial: string
beforeAll(async () => {
  pki = await throwawayPki()
  const issued = await pki.issue('concentrator', 'dc-1')
  certificate = new X509Certificate(issued.chainPem)
  serial = issued.serial
})
afterAll(() => pki.close())

let file: string
let revocation: Revocation
let changes: number
let logged: string[]
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
  file = join(tempFolder(), 'crl.pem')
  writeFileSync(file, readFileSync(pki.crlFile))
  changes = 0
  logged = []
  const log = pino({}, { write: (line: string) => void logged.push((JSON.parse(line) as { event: string }).event) })
  revocation = openRevocation({ file, log, onChange: () => changes++ })
})
afterEach(() => {
  revocation.close()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

function replace(octets: string | Uint8Array): void {
  writeFileSync(`${file}.new`, octets)
  renameSync(`${file}.new`, file)
}

describe('revocation', () => {
  test('a certificate in good standing has no fault; without a CRL of its issuer it is not known to be good', () => {
    expect(revocation.fault(certificate)).toBeUndefined()
    const lists = readFileSync(pki.crlFile, 'utf8').match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g)!
    const verdicts = lists.map((list) => {
      const single = join(tempFolder(), 'one.pem')
      writeFileSync(single, list)
      const some = openRevocation({ file: single, log: pino({ level: 'silent' }), onChange: () => {} })
      some.close()
      return some.fault(certificate)?.code
    })
    expect(verdicts.sort()).toEqual([...new Array(4).fill('REVOCATION_UNKNOWN'), undefined])
  })

  test('a bundle that lacks a list it had changes nothing and is an error in the log', () => {
    const [root] = readFileSync(pki.crlFile, 'utf8').match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g)!
    replace(root!)
    vi.advanceTimersByTime(1_000)
    expect(revocation.fault(certificate)).toBeUndefined()
    expect(logged).toEqual(['crl.unreadable'])
  })

  test('a new CRL counts within a second, for open sessions too', async () => {
    await pki.revoke(serial)
    replace(readFileSync(pki.crlFile))
    expect(revocation.fault(certificate)).toBeUndefined()
    vi.advanceTimersByTime(1_000)
    expect(revocation.fault(certificate)).toMatchObject({ code: 'CERTIFICATE_REVOKED' })
    expect(changes).toBe(1)
    vi.advanceTimersByTime(10_000)
    expect(changes).toBe(1)
  })

  test.for([
    ['is no PEM', 'nothing'],
    ['is cut off', '-----BEGIN X509 CRL-----\nMIIB'],
    ['is empty', ''],
  ] as const)('a file that %s changes nothing and is an error in the log', ([, text]) => {
    const before = revocation.fault(certificate)?.code
    replace(text)
    vi.advanceTimersByTime(1_000)
    expect(revocation.fault(certificate)?.code).toBe(before)
    expect(logged).toContain('crl.unreadable')
    expect(changes).toBe(0)
  })

  test.for([
    ['covers some certificates only', shard],
    ['says what is not known', { oid: '1.2.3.4', critical: true, value: boolean(true) }],
  ] as const)('a bundle with a list that %s changes nothing and is an error in the log', ([, extension]) => {
    const lists = fromPem('X509 CRL', readFileSync(pki.crlFile, 'utf8'))
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const odd = lists.map((der, i) => toPem('X509 CRL', i === 0 ? extendCrl(der, privateKey, extension) : der))
    replace(odd.join(''))
    vi.advanceTimersByTime(1_000)
    expect(logged).toEqual(['crl.unreadable'])
    expect(changes).toBe(0)
  })

  test('a file that is gone changes nothing either', () => {
    renameSync(file, `${file}.gone`)
    const before = revocation.fault(certificate)?.code
    vi.advanceTimersByTime(2_000)
    expect(revocation.fault(certificate)?.code).toBe(before)
    expect(logged).toContain('crl.unreadable')
  })

  test('the same file, touched, is no other', () => {
    utimesSync(file, 1, 1)
    vi.advanceTimersByTime(1_000)
    expect(logged).toEqual(['crl.loaded'])
  })

  test('a list whose time has run out admits nobody', () => {
    vi.setSystemTime(Date.now() + 400 * 86_400_000)
    expect(revocation.fault(certificate)?.code).toMatch(/REVOCATION_UNKNOWN|CERTIFICATE_REVOKED/)
  })

  test('a certificate that TLS reads and we do not is refused, and nothing falls over', () => {
    const odd = { raw: Buffer.from('3003020100', 'hex'), issuerCertificate: undefined } as unknown as X509Certificate
    expect(revocation.fault(odd)).toMatchObject({ code: 'CERTIFICATE_UNTRUSTED' })
  })

  test('without a readable bundle to begin with there is no gateway', () => {
    const log = pino({ level: 'silent' })
    const open = (path: string): Revocation => openRevocation({ file: path, log, onChange: () => {} })
    expect(() => open(join(tempFolder(), 'none.pem'))).toThrow(ConfigError)
    replace('nothing')
    expect(() => open(file)).toThrow(ConfigError)
  })
})
