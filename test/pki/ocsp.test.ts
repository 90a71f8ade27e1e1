import { randomBytes, sign } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { context, encode, integer, octetString, oid, sequence } from '#pki/der.ts'
import { PkiError } from '#pki/errors.ts'
import { type BasicResponse, parseOcspResponse } from '#pki/ocsp/read-response.ts'
import { encodeCertId, encodeNonce, encodeOcspRequest, type OcspHash, parseOcspRequest } from '#pki/ocsp/request.ts'
import {
  cachedAnswersMax,
  cachedSecondsMax,
  type OcspIssuer,
  OcspResponder,
  ocspInFlightMax,
  ocspLifeSeconds,
} from '#pki/ocsp/responder.ts'
import { type CertificateStatus, encodeOcspResponse, encodeResponseData } from '#pki/ocsp/response.ts'
import { verifyOcsp } from '#pki/ocsp/verify.ts'
import { cast } from './ocsp-cast.ts'

const stage = cast()
afterAll(() => stage.close())
const { ca, root, server, statuses } = stage
const serial = server.certificate.serial
const stranger = `40${'0'.repeat(30)}`
const start = Math.floor(Date.now() / 1_000)
let now = start
let faults: unknown[] = []
let signatures = 0
beforeEach(() => {
  now = start
  faults = []
  signatures = 0
  statuses.clear()
  statuses.set(serial, { state: 'good' })
})
const issuer: OcspIssuer = {
  ...stage.issuer,
  sign: (octets) => {
    signatures += 1
    return stage.issuer.sign(octets)
  },
}
function responder(more: Partial<ConstructorParameters<typeof OcspResponder>[0]> = {}): OcspResponder {
  return new OcspResponder({ issuers: [issuer], now: () => now, onFault: (cause) => faults.push(cause), ...more })
}
function certId(of = serial, hash: OcspHash = 'sha1', by = ca.certificate): Uint8Array {
  return encodeCertId({ issuer: by, serial: of, hash })
}
const question = (response: Uint8Array, of = serial): Parameters<typeof verifyOcsp>[0] => ({
  response,
  serial: of,
  issuer: ca.certificate,
  at: now,
})

describe('a request', () => {
  test('is read as it was written, up to 16 certificates and 128 octets of nonce', () => {
    const serials = fc.array(fc.stringMatching(/^[4-7][0-9A-F]{31}$/), { minLength: 1, maxLength: 16 })
    const nonces = fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }), { nil: undefined })
    fc.assert(
      fc.property(serials, fc.constantFrom<OcspHash>('sha1', 'sha256'), nonces, (all, hash, nonce) => {
        const read = parseOcspRequest(
          encodeOcspRequest(
            all.map((one) => certId(one, hash)),
            nonce,
          ),
        )
        expect(read.asked.map((one) => one.serial)).toEqual(all)
        expect(read.nonce === undefined ? undefined : Buffer.from(read.nonce).toString('hex')).toBe(
          nonce && Buffer.from(nonce).toString('hex'),
        )
      }),
    )
  })

  const extended = (...extensions: Uint8Array[]): Uint8Array =>
    sequence(sequence(sequence(sequence(certId())), encode(context(2), sequence(...extensions))))
  const critical = sequence(oid('1.2.3.4'), Uint8Array.of(1, 1, 0xff), octetString(octetString(Uint8Array.of(1))))
  const harmless = sequence(oid('1.2.3.4'), octetString(octetString(Uint8Array.of(1))))
  const list = (length: number): Uint8Array[] => Array.from({ length }, () => certId())

  test.each([
    ['17 certificates', encodeOcspRequest(list(17)), 'OCSP_LIMIT'],
    ['none', sequence(sequence(sequence())), 'OCSP_MALFORMED'],
    ['a nonce of 0 octets', encodeOcspRequest(list(1), new Uint8Array(0)), 'OCSP_LIMIT'],
    ['a nonce of 129 octets', encodeOcspRequest(list(1), new Uint8Array(129)), 'OCSP_LIMIT'],
    ['an unknown critical extension', extended(critical), 'OCSP_EXTENSION'],
    [
      'an unknown critical extension of one certificate',
      sequence(sequence(sequence(sequence(certId(), encode(context(0), sequence(critical)))))),
      'OCSP_EXTENSION',
    ],
    ['two nonces', extended(encodeNonce(Uint8Array.of(1)), encodeNonce(Uint8Array.of(2))), 'OCSP_MALFORMED'],
    ['version 2', sequence(sequence(encode(context(0), integer(1)), sequence(sequence(certId())))), 'OCSP_MALFORMED'],
    ['octets behind it', Buffer.concat([encodeOcspRequest(list(1)), Buffer.of(0)]), 'OCSP_MALFORMED'],
    ['over 8 KiB', encodeOcspRequest(list(16), new Uint8Array(9_000)), 'OCSP_LIMIT'],
  ])('with %s is refused, and answered with malformedRequest', async (_, octets, code) => {
    expect(() => parseOcspRequest(octets)).toThrow(expect.objectContaining({ code }))
    expect(await responder().answer(octets)).toMatchObject({ status: 'malformedRequest', keep: undefined })
  })

  test('may carry an unknown extension that is not critical, and a signature', () => {
    expect(parseOcspRequest(extended(harmless)).asked).toHaveLength(1)
    const [tbs] = [sequence(sequence(sequence(certId())))]
    expect(parseOcspRequest(sequence(tbs!, encode(context(0), sequence()))).asked).toHaveLength(1)
  })

  test('of any octets gets an answer or a typed fault', async () => {
    const whole = encodeOcspRequest([certId(), certId(stranger, 'sha256')], randomBytes(16))
    const bent = fc
      .tuple(fc.nat(whole.length - 1), fc.nat(255), fc.constantFrom('set', 'cut', 'put'))
      .map(([at, octet, how]) => {
        const [head, tail] = [whole.subarray(0, at), whole.subarray(at + (how === 'set' ? 1 : 0))]
        return how === 'cut' ? head : Buffer.concat([head, Buffer.of(octet), tail])
      })
    const subject = responder()
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), bent), async (octets) => {
        const { status, octets: answer } = await subject.answer(octets)
        expect(['successful', 'malformedRequest', 'unauthorized']).toContain(status)
        expect(answer.length).toBeGreaterThan(4)
      }),
      { numRuns: 2_000 },
    )
    expect(faults).toEqual([])
  })

  test('is read in time linear in its size: 8 KiB of the smallest elements in under 20 ms', () => {
    const most = [
      encode(0x30, new Uint8Array(8_180)),
      encodeOcspRequest(list(16), new Uint8Array(128)),
      Buffer.alloc(8_192, 0x30),
    ]
    for (const octets of most) {
      const begin = performance.now()
      try {
        parseOcspRequest(octets)
      } catch (cause) {
        expect(cause).toBeInstanceOf(PkiError)
      }
      expect(performance.now() - begin).toBeLessThan(20)
    }
  })
})

describe('a responder', () => {
  const revoked: CertificateStatus = { state: 'revoked', at: start - 60, reason: 'keyCompromise' }

  test.each(['sha1', 'sha256'] as const)('answers good, revoked and unknown, the issuer named by %s', async (hash) => {
    for (const status of [
      { state: 'good' },
      revoked,
      { state: 'revoked', at: start, reason: 'unspecified' },
    ] as const) {
      statuses.set(serial, status)
      const { octets } = await responder().answer(encodeOcspRequest([certId(serial, hash)]))
      expect(verifyOcsp(question(octets))).toEqual({
        ok: true,
        status,
        thisUpdate: start,
        nextUpdate: start + ocspLifeSeconds,
      })
    }
    const { octets } = await responder().answer(encodeOcspRequest([certId(stranger, hash)]))
    expect(verifyOcsp(question(octets, stranger))).toMatchObject({ ok: true, status: { state: 'unknown' } })
  })

  test('answers each certificate of a request, as it was named', async () => {
    const asked = [certId(), certId(stranger, 'sha256'), certId(serial, 'sha256')]
    const response = parseOcspResponse((await responder().answer(encodeOcspRequest(asked))).octets) as BasicResponse
    expect(response.answers.map(({ certId: { octets } }) => Buffer.from(octets))).toEqual(
      asked.map((one) => Buffer.from(one)),
    )
    expect(response.answers.map(({ status }) => status.state)).toEqual(['good', 'unknown', 'good'])
  })

  test('says the nonce again, and such an answer is not kept', async () => {
    const nonce = randomBytes(32)
    const answer = await responder().answer(encodeOcspRequest([certId()], nonce))
    expect(answer.keep).toBeUndefined()
    expect(verifyOcsp({ ...question(answer.octets), nonce }).ok).toBe(true)
    expect(verifyOcsp({ ...question(answer.octets), nonce: randomBytes(32) })).toMatchObject({ code: 'NONCE' })
  })

  test('is unauthorized for other issuers, alone or among its own, and for other hashes', async () => {
    const other = certId(serial, 'sha1', root.certificate)
    expect(await responder().answer(encodeOcspRequest([other]))).toMatchObject({ status: 'unauthorized' })
    expect(await responder().answer(encodeOcspRequest([certId(), other]))).toMatchObject({ status: 'unauthorized' })
    const sha384 = sequence(
      sequence(oid('2.16.840.1.101.3.4.2.2')),
      octetString(randomBytes(48)),
      octetString(randomBytes(48)),
      integer(7),
    )
    expect(await responder().answer(encodeOcspRequest([sha384]))).toMatchObject({ status: 'unauthorized' })
    expect(signatures).toBe(0)
  })

  test('signs once for those who ask without a nonce, until the answer is old or no longer true', async () => {
    const subject = responder()
    const request = encodeOcspRequest([certId()])
    const first = await subject.answer(request)
    now = start + cachedSecondsMax - 1
    expect(await subject.answer(request)).toBe(first)
    expect(first.keep).toEqual({ thisUpdate: start, nextUpdate: start + ocspLifeSeconds, seconds: cachedSecondsMax })
    statuses.set(serial, revoked)
    expect(verifyOcsp(question((await subject.answer(request)).octets))).toMatchObject({ status: revoked })
    expect(signatures).toBe(2)
    now += cachedSecondsMax
    await subject.answer(request)
    expect(signatures).toBe(3)
    now -= 2 * cachedSecondsMax // a clock put back
    await subject.answer(request)
    expect(signatures).toBe(4)
  })

  test('keeps no answers about what was never issued, and no more than its limit', async () => {
    const subject = responder({
      issuers: [{ ...issuer, sign: () => new Uint8Array(8), statusOf: () => ({ state: 'good' }) }],
    })
    const ask = (number: number): Uint8Array =>
      encodeOcspRequest([certId(`40${number.toString(16).padStart(30, '0')}`)])
    const [first, second] = [await subject.answer(ask(0)), await subject.answer(ask(1))]
    for (let number = 2; number < cachedAnswersMax; number += 1) await subject.answer(ask(number))
    expect(await subject.answer(ask(0))).toBe(first) // used last now
    await subject.answer(ask(cachedAnswersMax))
    expect(await subject.answer(ask(0))).toBe(first)
    expect(await subject.answer(ask(1))).not.toBe(second)
    const strange = responder()
    const unknown = await strange.answer(encodeOcspRequest([certId(stranger)]))
    expect(unknown.keep).toBeUndefined()
    expect(await strange.answer(encodeOcspRequest([certId(stranger)]))).not.toBe(unknown)
  })

  test('asks to try later when its statuses are old, or too many wait for the key', async () => {
    expect(await responder({ ready: () => false }).answer(encodeOcspRequest([certId()]))).toMatchObject({
      status: 'tryLater',
    })
    const { promise, resolve } = Promise.withResolvers<Uint8Array>()
    const slow = responder({ issuers: [{ ...issuer, sign: () => promise }] })
    const waiting = Array.from({ length: ocspInFlightMax }, () =>
      slow.answer(encodeOcspRequest([certId()], randomBytes(8))),
    )
    expect(await slow.answer(encodeOcspRequest([certId()]))).toMatchObject({ status: 'tryLater' })
    resolve(new Uint8Array(8))
    expect((await Promise.all(waiting)).every(({ status }) => status === 'successful')).toBe(true)
  })

  test('has an internal error when its key or its statuses fail, and tells', async () => {
    const failing = (): never => {
      throw new Error('HSM gone')
    }
    for (const broken of [
      { ...issuer, sign: failing },
      { ...issuer, statusOf: failing },
      { ...issuer, sign: () => Promise.reject(new Error('HSM gone')) },
    ]) {
      expect(await responder({ issuers: [broken] }).answer(encodeOcspRequest([certId()]))).toMatchObject({
        status: 'internalError',
      })
    }
    expect(faults).toHaveLength(3)
  })

  test('does not sign with a certificate that has run out, nor beyond its end', async () => {
    const subject = responder()
    const { notAfter } = stage.responder.certificate
    now = notAfter - 100
    expect(verifyOcsp(question((await subject.answer(encodeOcspRequest([certId()]))).octets))).toMatchObject({
      ok: true,
      nextUpdate: notAfter,
    })
    now = notAfter + 61
    expect(await subject.answer(encodeOcspRequest([certId(stranger)]))).toMatchObject({ status: 'tryLater' })
    expect(faults).toHaveLength(1)
  })
})

describe('the verifier of responses', () => {
  async function answered(): Promise<Uint8Array> {
    return (await responder().answer(encodeOcspRequest([certId()]))).octets
  }
  function signedBy(actor: {
    key: Parameters<typeof sign>[2]
    certificate: { der: Uint8Array; publicKey: Uint8Array }
  }): Uint8Array {
    const times = { thisUpdate: start, nextUpdate: start + 60 }
    const data = encodeResponseData({
      responderKey: actor.certificate.publicKey,
      ...times,
      answers: [{ certId: certId(), status: { state: 'good' } }],
      nonce: undefined,
    })
    return encodeOcspResponse(data, sign('sha256', data, actor.key), actor.certificate)
  }

  test('takes the issuer’s own signature', () => {
    expect(verifyOcsp(question(signedBy(ca))).ok).toBe(true)
  })

  test('refuses a signer without the purpose, of another issuer, or run out', () => {
    const plain = stage.make('plain', { issuer: ca, purposes: ['1.3.6.1.5.5.7.3.2'] })
    const none = stage.make('none', { issuer: ca })
    const foreign = stage.make('foreign', { issuer: root, purposes: ['1.3.6.1.5.5.7.3.9'] })
    const old = stage.make('old', { issuer: ca, purposes: ['1.3.6.1.5.5.7.3.9'], days: -1 })
    const impostor = stage.make('CA', { ca: true })
    const forged = stage.make('forged', { issuer: impostor, purposes: ['1.3.6.1.5.5.7.3.9'] })
    for (const actor of [plain, none, foreign, old, forged]) {
      expect(verifyOcsp(question(signedBy(actor)))).toMatchObject({ ok: false, code: 'RESPONDER' })
    }
  })

  test('refuses every changed octet', async () => {
    const octets = await answered()
    for (let at = 0; at < octets.length; at += 1) {
      const changed = Uint8Array.from(octets)
      changed[at]! ^= 1 << (at % 8)
      const verdict = verifyOcsp(question(changed))
      if (verdict.ok) expect(at).toBe('refused')
    }
  })

  test('refuses what is about another, too old, or of the future', async () => {
    const octets = await answered()
    expect(verifyOcsp(question(octets, stranger))).toMatchObject({ code: 'OTHER_CERTIFICATE' })
    expect(verifyOcsp({ ...question(octets), issuer: root.certificate })).toMatchObject({ code: 'RESPONDER' })
    expect(verifyOcsp({ ...question(octets), at: start + ocspLifeSeconds + 1 })).toMatchObject({ code: 'STALE' })
    expect(verifyOcsp({ ...question(octets), at: start - 301 })).toMatchObject({ code: 'NOT_YET_VALID' })
    expect(
      verifyOcsp(question((await responder({ ready: () => false }).answer(encodeOcspRequest([certId()]))).octets)),
    ).toMatchObject({ code: 'RESPONSE_REFUSED', detail: 'tryLater' })
  })

  test('has a verdict for any octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
        expect(verifyOcsp(question(octets))).toMatchObject({ ok: false })
      }),
    )
  })
})

test('signs at least 1,000 answers a second, each with its own nonce', async () => {
  const subject = responder()
  const requests = Array.from({ length: 5_000 }, () => encodeOcspRequest([certId()], randomBytes(32)))
  for (const one of requests.slice(0, 1_000)) await subject.answer(one)
  const begin = performance.now()
  for (const one of requests) await subject.answer(one)
  const signed = Math.round(5e6 / (performance.now() - begin))
  const plain = encodeOcspRequest([certId()])
  const again = performance.now()
  for (let at = 0; at < 20_000; at += 1) await subject.answer(plain)
  const kept = Math.round(20e6 / (performance.now() - again))
  process.stdout.write(`OCSP answers/s, one core: signed on demand ${signed}, from the cache ${kept}\n`)
  expect(signed).toBeGreaterThan(1_000) // far below what an idle core does: it catches a change of order
})
