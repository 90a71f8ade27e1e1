import { createPrivateKey } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { readEnvelopeKey, withoutEnvelope } from '#mdm/envelope.ts'
import type { Outcome } from '#mdm/intake.ts'
import { Receiver } from '#mdm/receive.ts'
import { BatchStore } from '#mdm/store.ts'
import { certificatesFromPem, type EnvelopeKey, encodeEnveloped } from '#pki/verify.ts'
import { Chain, sealerOf, seriesOf } from '#test/support/batches.ts'
import { linkKey } from '#test/support/datagrams.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

let pki: WithForeign
let mdm: FiledCertificate
let other: FiledCertificate
let key: EnvelopeKey
beforeAll(async () => {
  pki = await throwawayPki()
  mdm = await pki.issue('mdm', 'mdm-1')
  other = await pki.issue('mdm', 'mdm-2')
  key = readEnvelopeKey(filesOf(mdm))
})
afterAll(() => pki.close())

const filesOf = ({ keyFile, certificateFile }: FiledCertificate) => ({
  keyFile: keyFile!,
  certificateFile,
  passphraseFile: undefined,
})

/** A secret in a file of its own. */
function secret(text: string | Buffer): string {
  const file = join(tempFolder(), 'secret')
  writeFileSync(file, text, { mode: 0o600 })
  return file
}

describe('the key of envelopes', () => {
  test('is read encrypted too, with its passphrase', () => {
    const cipher = 'aes-256-cbc'
    const encrypted = createPrivateKey(mdm.privateKeyPem!).export({
      type: 'pkcs8',
      format: 'pem',
      cipher,
      passphrase: 'a long passphrase',
    })
    const keyFile = secret(encrypted)
    const files = { ...filesOf(mdm), keyFile, passphraseFile: secret('a long passphrase\n') }
    const envelope = Buffer.from(encodeEnveloped(Buffer.from('a batch'), key.certificate))
    expect(withoutEnvelope(envelope, [readEnvelopeKey(files)]).toString()).toBe('a batch')
    for (const passphraseFile of [secret('another\n'), undefined]) {
      expect(() => readEnvelopeKey({ ...files, passphraseFile })).toThrow(ConfigError)
    }
  })

  test('is refused where others may read it, it is not the certificate’s, or is none; nothing of it is told', () => {
    const open = secret(mdm.privateKeyPem!)
    chmodSync(open, 0o640)
    expect(() => readEnvelopeKey({ ...filesOf(mdm), keyFile: open })).toThrow('is open to others (640)')
    expect(() => readEnvelopeKey({ ...filesOf(mdm), keyFile: other.keyFile! })).toThrow('not the key of')
    expect(() => readEnvelopeKey({ ...filesOf(mdm), keyFile: secret('none at all') })).toThrow('not a key in PEM')
    expect(() => readEnvelopeKey({ ...filesOf(mdm), keyFile: secret('none at all') })).not.toThrow('none at all')
    expect(() => readEnvelopeKey({ ...filesOf(mdm), certificateFile: secret('') })).toThrow('no certificate in it')
  })
})

describe('the receiver of envelopes', () => {
  async function lab(envelopeKeys: readonly EnvelopeKey[] = [key]): Promise<{
    receiver: Receiver
    take: (sequence: number, octets: Uint8Array) => Promise<Outcome>
  }> {
    const store = new BatchStore(tempFolder())
    const receiver = new Receiver({
      store,
      roots: certificatesFromPem(pki.rootPem),
      keys: [linkKey],
      envelopeKeys,
      log: pino({ level: 'silent' }),
      onFailure: (error) => {
        throw error
      },
    })
    onTestFinished(async () => {
      await receiver.close()
      store.close()
    })
    return { receiver, take: (sequence, octets) => receiver.take({ epoch: 7, sequence, octets: Buffer.from(octets) }) }
  }

  test('takes enveloped batches and plain ones, and knows either again', async () => {
    const { receiver, take } = await lab()
    const chain = new Chain(await sealerOf(pki), 7)
    const [one, two] = [await chain.next([seriesOf(1)]), await chain.next([seriesOf(2)])]
    const envelope = (octets: Uint8Array): Uint8Array => encodeEnveloped(octets, key.certificate)
    expect(await take(1, envelope(one.octets))).toBe('stored')
    expect(await take(1, envelope(one.octets))).toBe('repeated')
    expect(await take(1, one.octets)).toBe('repeated')
    expect(await take(2, two.octets)).toBe('stored')
    expect(await take(2, envelope(two.octets))).toBe('repeated')
    expect(receiver.status()).toMatchObject({ batches: 2, readings: 6, repeated: 3, refused: {} })
  })

  test('opens an envelope before it looks at a signature, and refuses what it cannot open by code', async () => {
    const { take } = await lab()
    const good = await new Chain(await sealerOf(pki), 7).next([seriesOf(1)])
    const forged = await new Chain(await sealerOf(await pki.foreign()), 7).next([seriesOf(1)])
    const envelope = (octets: Uint8Array, of = key): Buffer => Buffer.from(encodeEnveloped(octets, of.certificate))
    const changed = envelope(good.octets)
    changed[changed.length - 1]! ^= 1
    expect(await take(1, changed)).toBe('ENVELOPE_UNAUTHENTIC')
    expect(await take(1, envelope(good.octets).subarray(0, -1))).toBe('ENVELOPE_MALFORMED')
    expect(await take(1, envelope(good.octets, readEnvelopeKey(filesOf(other))))).toBe('ENVELOPE_RECIPIENT')
    expect(await take(1, envelope(forged.octets))).toBe('BATCH_SIGNATURE')
    expect(await take(1, envelope(envelope(good.octets)))).toMatch(/^BATCH_/) // one envelope, not two
    expect(await take(1, envelope(good.octets))).toBe('stored')
  })

  test('has several keys while one certificate follows another, and none where none is configured', async () => {
    const good = await new Chain(await sealerOf(pki), 7).next([seriesOf(1)])
    const octets = encodeEnveloped(good.octets, key.certificate)
    expect(await (await lab([])).take(1, octets)).toBe('ENVELOPE_RECIPIENT')
    expect(await (await lab([readEnvelopeKey(filesOf(other)), key])).take(1, octets)).toBe('stored')
  })
})
