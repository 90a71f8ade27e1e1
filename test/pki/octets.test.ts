import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { Certificate as PkijsCertificate } from 'pkijs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSigner } from '#gateway/io/signer.ts'
import { DerReader, decodeOid, decodeSmall, decodeTime, type Element, integer, oid, only, tag, time } from '#pki/der.ts'
import { PkiError } from '#pki/errors.ts'
import { addressOctets } from '#pki/names.ts'
import { toPem } from '#pki/pem.ts'
import { provenKey } from '#pki/request.ts'
import { certificatesFromPem, parseCertificate, parseCrls, verifyChain, verifyDetached } from '#pki/verify.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'

const runs = { numRuns: 300 }
const at = Date.now() / 1_000
const content = Buffer.from('content')
const samples: Record<'leaf' | 'ca' | 'root' | 'crl' | 'cms', Uint8Array> = {} as never
let crlPem = ''
let pki: WithForeign

beforeAll(async () => {
  pki = await throwawayPki()
  const sealer = await pki.issue('sealer', 's1')
  await pki.revoke((await pki.issue('sealer', 's2')).serial, 'superseded')
  crlPem = await readFile(pki.crlFile, 'utf8')
  const [leaf, ca] = certificatesFromPem(sealer.chainPem)
  const [root] = certificatesFromPem(pki.rootPem)
  const signer = await openSigner({
    keyFile: sealer.keyFile!,
    certificateFile: sealer.certificateFile,
    crlFile: pki.crlFile,
  })
  const cms = await signer.sign(content)
  Object.assign(samples, { leaf, ca, root, crl: parseCrls(crlPem)[1]!.der, cms })
})
afterAll(() => pki.close())

/** A sample with octets overwritten, cut out or put in: near enough to right to get deep. */
const mutated = (name: keyof typeof samples): fc.Arbitrary<Uint8Array> =>
  fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 4 }), fc.nat({ max: 4 })).map(([place, put, cut]) => {
    const sample = samples[name]
    const start = place % sample.length
    return new Uint8Array(Buffer.concat([sample.subarray(0, start), put, sample.subarray(start + cut)]))
  })

/** A value or a typed fault, nothing else. */
function settles(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch (cause) {
    return cause instanceof PkiError
  }
}

describe('any octets get a verdict', () => {
  const anything = fc.uint8Array({ maxLength: 200 })

  test.each(['leaf', 'ca', 'root'] as const)('as the %s of a chain, random or mutated', (role) => {
    fc.assert(
      fc.property(fc.oneof(anything, mutated(role)), (octets) => {
        const question = { leaf: samples.leaf, intermediates: [samples.ca], roots: [samples.root] }
        const change =
          role === 'leaf' ? { leaf: octets } : role === 'ca' ? { intermediates: [octets] } : { roots: [octets] }
        const crls = parseCrls(crlPem)
        return typeof verifyChain({ ...question, ...change, crls, at, purpose: 'sealer' }).ok === 'boolean'
      }),
      runs,
    )
  })

  test('as a mutated leaf, and it is never accepted as another', () => {
    fc.assert(
      fc.property(mutated('leaf'), (leaf) => {
        const question = { leaf, intermediates: [samples.ca], roots: [samples.root], crls: parseCrls(crlPem), at }
        const verdict = verifyChain({ ...question, purpose: 'sealer' })
        return !verdict.ok || Buffer.compare(leaf, samples.leaf) === 0
      }),
      runs,
    )
  })

  test('as a detached signature', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(anything, mutated('cms')), async (cms) => {
        const verdict = await verifyDetached({ cms, content, roots: [samples.root], at })
        return !verdict.ok || Buffer.compare(cms, samples.cms) === 0
      }),
      runs,
    )
  })

  test('as CRL, certificate and request', () => {
    fc.assert(
      fc.property(fc.oneof(anything, mutated('crl'), mutated('leaf')), (octets) => {
        const pem = toPem('X509 CRL', octets)
        return (
          settles(() => parseCrls(pem)) && settles(() => parseCertificate(octets)) && settles(() => provenKey(octets))
        )
      }),
      runs,
    )
  })

  test('as PEM text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (noise) => {
        const torn = `${crlPem.slice(0, noise.length * 2)}${noise}-----BEGIN X509 CRL-----\n${noise}`
        return settles(() => parseCrls(torn)) && settles(() => certificatesFromPem(torn))
      }),
      runs,
    )
  })
})

describe('DER', () => {
  const element = (octets: Uint8Array, identifier: number): Element => only(octets, identifier)

  test('what is written is read back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 - 1 }), (value) => decodeSmall(element(integer(value), tag.integer)) === value),
    )
    fc.assert(
      fc.property(
        fc.tuple(fc.nat({ max: 39 }), fc.array(fc.bigInt({ min: 0n, max: 2n ** 128n }), { maxLength: 3 })),
        ([b, rest]) => {
          const dotted = [2, b, ...rest].join('.')
          return decodeOid(element(oid(dotted), tag.oid)) === dotted
        },
      ),
    )
    fc.assert(
      fc.property(fc.integer({ min: -631_152_000, max: 253_402_300_799 }), (seconds) => {
        return decodeTime(new DerReader(time(seconds)).next()) === seconds
      }),
    )
  })

  test('UTCTime until 2049, GeneralizedTime from 2050, never milliseconds', () => {
    expect(Buffer.from(time(2_524_607_999.9)).toString('latin1', 2)).toBe('491231235959Z')
    expect(Buffer.from(time(2_524_608_000)).toString('latin1', 2)).toBe('20500101000000Z')
  })

  test.each([
    ['an indefinite length', '3080' + '0000'],
    ['a length longer than it need be', '308101' + '00'],
    ['an identifier of two octets', '1f8101' + '00'],
    ['more announced than there is', '3005' + '00'],
    ['octets left over', '3000' + '00'],
  ])('refuses %s', (_, hex) => {
    expect(() => only(Buffer.from(hex, 'hex'), tag.sequence)).toThrow(PkiError)
  })

  test('pkijs reads what is issued and writes the same octets', () => {
    for (const name of ['leaf', 'ca', 'root'] as const) {
      const copy = new Uint8Array(PkijsCertificate.fromBER(samples[name]).toSchema(true).toBER())
      expect(Buffer.from(copy).equals(Buffer.from(samples[name]))).toBe(true)
    }
  })
})

test('addresses become their octets', () => {
  const hex = (address: string): string => Buffer.from(addressOctets(address)).toString('hex')
  expect(hex('127.0.0.1')).toBe('7f000001')
  expect(hex('::1')).toBe(`${'0'.repeat(31)}1`)
  expect(hex('fe80::1:2')).toBe('fe800000000000000000000000010002')
  expect(hex('1:2:3:4:5:6:7:8')).toBe('00010002000300040005000600070008')
  expect(hex('::ffff:1.2.3.4')).toBe('00000000000000000000ffff01020304')
  expect(() => addressOctets('1.2.3')).toThrow(PkiError)
})
