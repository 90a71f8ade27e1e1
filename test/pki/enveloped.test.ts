import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EnvelopeKey, encodeEnveloped, openEnveloped } from '#pki/enveloped.ts'
import { PkiError } from '#pki/errors.ts'
import { certificatesFromPem, parseCertificate } from '#pki/verify.ts'
import { type FiledCertificate, type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

let pki: ThrowawayPki
let mdm: FiledCertificate
let own: EnvelopeKey
let other: EnvelopeKey
beforeAll(async () => {
  pki = await throwawayPki()
  mdm = await pki.issue('mdm', 'mdm-1')
  own = keyOf(mdm)
  other = keyOf(await pki.issue('mdm', 'mdm-2'))
})
afterAll(() => pki.close())

function keyOf({ chainPem, privateKeyPem }: FiledCertificate): EnvelopeKey {
  const privateKey: KeyObject = createPrivateKey(privateKeyPem!)
  return { certificate: parseCertificate(certificatesFromPem(chainPem)[0]!), privateKey }
}

function codeOf(octets: Uint8Array, keys: readonly EnvelopeKey[] = [own]): string {
  try {
    openEnveloped(octets, keys)
    return 'opened'
  } catch (error) {
    if (error instanceof PkiError) return error.code
    throw error
  }
}

const content = Buffer.from('a sealed batch, as it were')

describe('an envelope', () => {
  test('is opened by the key that it is for, among others, whatever is in it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), (octets) => {
        const opened = openEnveloped(encodeEnveloped(octets, own.certificate), [other, own])
        expect(opened).toEqual(Buffer.from(octets))
      }),
      { numRuns: 50 },
    )
  })

  test('hides its content, and is another each time', () => {
    const [one, two] = [encodeEnveloped(content, own.certificate), encodeEnveloped(content, own.certificate)]
    expect(Buffer.from(one).includes(content.subarray(0, 8))).toBe(false)
    expect(Buffer.from(one).equals(two)).toBe(false)
  })

  test('is refused whichever of its bits is flipped', () => {
    const envelope = encodeEnveloped(content, own.certificate)
    const codes = new Set<string>()
    for (let bit = 0; bit < envelope.length * 8; bit++) {
      const changed = Uint8Array.from(envelope)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      codes.add(codeOf(changed))
    }
    expect([...codes].sort()).toEqual(['ENVELOPE_MALFORMED', 'ENVELOPE_RECIPIENT', 'ENVELOPE_UNAUTHENTIC'])
  })

  test('is refused whichever octets are changed, cut away or put in', () => {
    const envelope = Buffer.from(encodeEnveloped(content, own.certificate))
    const spans = fc.record({
      at: fc.nat(envelope.length),
      cut: fc.nat(40),
      put: fc.uint8Array({ maxLength: 40 }),
    })
    fc.assert(
      fc.property(spans, ({ at, cut, put }) => {
        const changed = Buffer.concat([envelope.subarray(0, at), put, envelope.subarray(at + cut)])
        fc.pre(!changed.equals(envelope))
        expect(codeOf(changed)).toMatch(/^ENVELOPE_/)
      }),
      { numRuns: 2_000 },
    )
  })

  test.for([
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(300)],
    ['an empty sequence', Buffer.of(0x30, 0)],
  ] as const)('is not %s', ([, octets]) => expect(codeOf(octets)).toBe('ENVELOPE_MALFORMED'))

  test('is opened by no other key: its number is another, or its secret is', () => {
    const envelope = encodeEnveloped(content, own.certificate)
    expect(codeOf(envelope, [other])).toBe('ENVELOPE_RECIPIENT')
    expect(codeOf(envelope, [{ ...own, privateKey: other.privateKey }])).toBe('ENVELOPE_UNAUTHENTIC')
    expect(codeOf(envelope, [])).toBe('ENVELOPE_RECIPIENT')
  })

  test.runIf(hasOpenssl)(`is opened by openssl${opensslNote}`, () => {
    const file = join(pki.dir, 'envelope.der')
    const batch = Buffer.alloc(100_000, 'batch ')
    writeFileSync(file, encodeEnveloped(batch, own.certificate))
    const out = join(pki.dir, 'opened')
    const line = ['cms', '-decrypt', '-binary', '-inform', 'DER', '-in', file, '-recip', mdm.certificateFile]
    const open = (): ReturnType<typeof openssl> => openssl(...line, '-inkey', mdm.keyFile!, '-out', out)
    expect(open()).toMatchObject({ ok: true })
    expect(readFileSync(out)).toEqual(batch)
    const changed = readFileSync(file)
    changed[changed.length - 1]! ^= 1
    writeFileSync(file, changed)
    expect(open()).toMatchObject({ ok: false })
  })

  test.runIf(hasOpenssl)(`that openssl made is opened here, and one under SHA-1 is refused${opensslNote}`, () => {
    const [input, out] = [join(pki.dir, 'content'), join(pki.dir, 'envelope.openssl')]
    writeFileSync(input, content)
    const made = (digest: string): Buffer => {
      const line = ['cms', '-encrypt', '-binary', '-aes-256-gcm', '-outform', 'DER', '-in', input, '-out', out]
      const recipient = ['-recip', mdm.certificateFile, '-keyopt', `ecdh_kdf_md:${digest}`]
      expect(openssl(...line, ...recipient)).toEqual({ ok: true, output: '' })
      return readFileSync(out)
    }
    expect(openEnveloped(made('sha256'), [own])).toEqual(content)
    expect(codeOf(made('sha1'))).toBe('ENVELOPE_MALFORMED')
  })

  test('is made for no key but one on P-256', () => {
    const foreign = { ...own.certificate, publicKey: own.certificate.publicKey.subarray(0, -1) }
    expect(() => encodeEnveloped(content, foreign)).toThrow(
      new PkiError('ENVELOPE_RECIPIENT', "the certificate's key is not on P-256"),
    )
  })
})
