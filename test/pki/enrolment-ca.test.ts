import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { registerFile, StoreCa } from '#pki/enrolment/ca.ts'
import { Clerk, type ClerkEvent } from '#pki/enrolment/clerk.ts'
import { readManifest } from '#pki/enrolment/inventory.ts'
import { type Drawing, drawQuestions, type QueueServer, serveQueue } from '#pki/enrolment/link.ts'
import type { Answer, Waiting } from '#pki/enrolment/queue.ts'
import { EnrolmentRegister } from '#pki/enrolment/register.ts'
import { PkiError } from '#pki/errors.ts'
import { certificatesMax, decodeBody, decodeCertsOnly, encodeBody, encodeCertsOnly } from '#pki/est/body.ts'
import type { EstServer } from '#pki/est/client.ts'
import { type EstListener, listenEst } from '#pki/est/front.ts'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { createMaker, type Maker } from '#pki/manufacturers/maker.ts'
import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { fromPem } from '#pki/pem.ts'
import { provenKey } from '#pki/request.ts'
import { type ThrowawayPki, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { enrolled, fromFactory } from './enrolment-cast.ts'

const day = 86_400
/** The clock of the CA, which a test may move; TLS has the wall's. */
let at = Date.now() / 1_000 - 100 * day
const now = (): number => at

let pki: WithForeign
let maker: Maker
let register: EnrolmentRegister
let ca: StoreCa
let clerk: Clerk
const told: ClerkEvent[] = []

beforeAll(async () => {
  pki = await throwawayPki({ now })
  maker = await createMaker('Acme', now)
  await new ManufacturerStore(pki.caDir).add(maker.caPem, at)
  register = new EnrolmentRegister(registerFile(pki.caDir))
  await ship('dc-1', 'dc-2', 'dc-3', 'dc-4', 'dc-5', 'dc-6')
  ca = new StoreCa(pki.pki, { dir: pki.caDir, now })
  clerk = newClerk(ca)
})
afterAll(async () => {
  register.close()
  await pki.close()
})

function newClerk(own: StoreCa): Clerk {
  return new Clerk({ register, ca: own, now, tell: (event) => void told.push(event) })
}

async function ship(...ids: string[]): Promise<void> {
  const text = `manufacturer,serial,concentrator\n${ids.map((id) => `Acme,SN-${id},${id}\n`).join('')}`
  register.import(readManifest(text, await new ManufacturerStore(pki.caDir).list()))
}

const chainOf = (pem: string): Uint8Array[] => fromPem('CERTIFICATE', pem)
const given = (answer: Answer): Uint8Array => {
  if (answer.kind !== 'certificates') throw new Error(`${answer.code}: ${answer.detail}`)
  return answer.certificates[0]!
}

describe('the clerk over a store', () => {
  test('refuses one of a bunch and serves its neighbours', async () => {
    const { fingerprint } = (await new ManufacturerStore(pki.caDir).list())[0]!
    register.import([{ manufacturer: fingerprint, serial: 'SN-dc.host', concentrator: 'dc.host' }]) // a store takes no such id
    const ids = ['dc-1', 'dc.host', 'dc-2']
    const makers = await Promise.all(ids.map((id) => maker.make(`SN-${id}`)))
    const answers = await clerk.answer(
      makers.map(({ chainPem }) => ({ chain: chainOf(chainPem), request: makeRequest(makeDeviceKey()) })),
    )
    expect(answers.map(({ kind }) => kind)).toEqual(['certificates', 'refused', 'certificates'])
    expect(answers[1]).toMatchObject({ code: 'REQUEST_ID' })
  })

  test('gives what was journaled before a crash, and issues nothing anew', async () => {
    const { chainPem } = await maker.make('SN-dc-3')
    const question = { chain: chainOf(chainPem), request: makeRequest(makeDeviceKey()) }
    const lost = given((await clerk.answer([question]))[0]!)
    const after = newClerk(new StoreCa(pki.pki, { dir: pki.caDir, now }))
    await after.mend()
    expect(new Uint8Array(given((await after.answer([question]))[0]!))).toEqual(lost)
  })

  test('revokes after a crash what a quarantine left', async () => {
    const { chainPem } = await maker.make('SN-dc-4')
    const got = given((await clerk.answer([{ chain: chainOf(chainPem), request: makeRequest(makeDeviceKey()) }]))[0]!)
    register.quarantine('dc-4', 'crashed here')
    await newClerk(ca).mend()
    expect(await pki.pki.find(new X509Certificate(got).serialNumber)).toMatchObject({
      revoked: { reason: 'keyCompromise' },
    })
  })

  test('takes two questions of one device in one bunch one after the other: a clone', async () => {
    const { chainPem } = await maker.make('SN-dc-5')
    const ask = () => ({ chain: chainOf(chainPem), request: makeRequest(makeDeviceKey()) })
    const answers = await clerk.answer([ask(), ask()])
    expect(answers.map((one) => (one.kind === 'refused' ? one.code : one.kind))).toEqual([
      'certificates',
      'ENROLMENT_CLONE',
    ])
    expect(told).toContainEqual(expect.objectContaining({ kind: 'clone', concentrator: 'dc-5' }))
  })

  test('asks for proof that the key is held', async () => {
    const { chainPem } = await maker.make('SN-dc-6')
    const request = makeRequest(makeDeviceKey())
    request[request.length - 1]! ^= 1
    const [answer] = await clerk.answer([{ chain: chainOf(chainPem), request }])
    expect(answer).toMatchObject({ kind: 'refused', code: 'REQUEST_POSSESSION' })
  })

  test('trusts no chain because the listener sent it', async () => {
    const foreign = await createMaker('Acme', now)
    const chains = [
      chainOf((await foreign.make('SN-dc-6')).chainPem),
      chainOf((await (await pki.foreign()).issue('concentrator', 'dc-6')).chainPem),
      chainOf((await pki.issue('operator', 'dc-6')).chainPem),
      chainOf((await pki.issue('gateway', 'dc-6')).chainPem),
      [chainOf(maker.caPem)[0]!],
      [],
      [Uint8Array.of(0x30, 0)],
    ]
    const request = makeRequest(makeDeviceKey())
    for (const answer of await clerk.answer(chains.map((chain) => ({ chain, request })))) {
      expect(answer).toMatchObject({ kind: 'refused', code: 'ENROLMENT_CERTIFICATE' })
    }
  })
})

describe('an expired device', () => {
  let listener: EstListener
  let line: QueueServer
  let drawing: Drawing
  let server: EstServer
  const outcomes: number[] = []

  beforeAll(async () => {
    const expiring = at
    at = Date.now() / 1_000
    const own = await pki.issue('gateway', 'est')
    at = expiring
    const folder = join(pki.dir, 'queue')
    mkdirSync(folder, { mode: 0o700 })
    listener = await listenEst({
      host: '127.0.0.1',
      port: 0,
      tls: { key: own.privateKeyPem!, cert: own.chainPem },
      clientCas: readFileSync(new ManufacturerStore(pki.caDir).trustFile, 'utf8') + pki.deviceTrustPem,
      caCertificates: chainOf(pki.rootPem),
      now: Date.now,
      random: Math.random,
      onOutcome: ({ status }) => outcomes.push(status),
    })
    line = await serveQueue(listener.queue, join(folder, 'ca.sock'))
    drawing = drawQuestions(join(folder, 'ca.sock'), { together: 10, answer: (all) => clerk.answer(all) })
    server = { host: '127.0.0.1', port: listener.port, trust: pki.rootPem }
  })
  afterAll(async () => {
    await drawing.close()
    await line.close()
    await listener.close()
  })

  test('is not listened to with its old certificate, and enrols anew with its manufacturer’s, no clone', async () => {
    const factory = await fromFactory(maker, 'dc-6')
    const old = await enrolled(server, factory)
    at = Date.now() / 1_000
    await pki.pki.mendCrl()
    await expect(enrolled(server, old.credentials)).rejects.toMatchObject({ code: 'EST_REFUSED' })
    expect(outcomes.at(-1)).toBe(401)
    const [answer] = await clerk.answer([
      { chain: chainOf(old.credentials.cert), request: makeRequest(makeDeviceKey()) },
    ])
    expect(answer).toMatchObject({
      code: 'ENROLMENT_CERTIFICATE',
      detail: expect.stringMatching(/^EXPIRED|^NOT_VALID|valid/i),
    })
    const fresh = await enrolled(server, factory)
    expect(new X509Certificate(fresh.der).validToDate.getTime()).toBeGreaterThan(Date.now())
    await expect(enrolled(server, fresh.credentials)).resolves.toBeDefined()
  })
})

test('a device takes no certificate that does not lead to its root, or is not for its key', async () => {
  const own = await pki.issue('gateway', 'lying-est')
  const listener = await listenEst({
    host: '127.0.0.1',
    port: 0,
    tls: { key: own.privateKeyPem!, cert: own.chainPem },
    clientCas: maker.caPem,
    caCertificates: chainOf(pki.rootPem),
    now: Date.now,
    random: Math.random,
    onOutcome: () => undefined,
  })
  try {
    const server = { host: '127.0.0.1', port: listener.port, trust: pki.rootPem }
    const answerWith = async (certificates: (csr: Uint8Array) => Promise<Uint8Array[]>): Promise<unknown> => {
      const asked = enrolled(server, await fromFactory(maker, 'dc-1'))
      await vi.waitFor(() => expect(listener.queue.size).toBe(1))
      const [{ id, request }] = listener.queue.take(1) as [Waiting]
      listener.queue.answer(id, { kind: 'certificates', certificates: await certificates(request) })
      return asked
    }
    const from = async (who: ThrowawayPki, csr?: Uint8Array): Promise<Uint8Array[]> =>
      chainOf((await who.issue('concentrator', 'dc-lie', csr === undefined ? {} : { csr })).chainPem)
    const foreign = await pki.foreign()
    await expect(answerWith((csr) => from(pki, csr))).resolves.toBeDefined()
    for (const lie of [(csr: Uint8Array) => from(foreign, csr), () => from(pki)]) {
      await expect(answerWith(lie)).rejects.toMatchObject({ code: 'EST_BODY' })
    }
  } finally {
    await listener.close()
  }
})

describe('a manifest’s manufacturer', () => {
  const one = (name: string): string => `manufacturer,serial,concentrator\n${name},SN-1,dc-1\n`

  test('is found by organisation, or by 8 digits of its fingerprint and more', async () => {
    const all = await new ManufacturerStore(pki.caDir).list()
    const { fingerprint } = all[0]!
    for (const name of ['Acme', fingerprint, fingerprint.slice(0, 8), fingerprint.slice(0, 12).toUpperCase()]) {
      expect(readManifest(one(name), all)).toMatchObject([{ manufacturer: fingerprint }])
    }
    for (const name of ['acme', fingerprint.slice(0, 7), 'nobody']) {
      expect(() => readManifest(one(name), all)).toThrow(expect.objectContaining({ code: 'MANIFEST_MANUFACTURER' }))
    }
    expect(() => readManifest(one('Acme'), [...all, ...all])).toThrow('2 manufacturer CAs are')
  })
})

describe('what EST carries', () => {
  const refusedRightly = (fault: unknown): void => {
    if (!(fault instanceof PkiError)) throw fault
  }

  test('any text as a body gives octets or a PkiError, and what is encoded is read back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.string({ unit: 'binary' })), (text) => {
        try {
          const octets = decodeBody(text)
          expect(Buffer.from(octets).toString('base64')).toBe(text.replace(/\s/g, ''))
        } catch (fault) {
          refusedRightly(fault)
        }
      }),
      { numRuns: 2_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 2_000 }), (octets) => {
        expect(new Uint8Array(decodeBody(encodeBody(octets)))).toEqual(octets)
      }),
    )
  })

  test('certificates are read back, up to the most and no more', () => {
    const certificate = chainOf(maker.caPem)[0]!
    for (const count of [1, certificatesMax]) {
      expect(decodeCertsOnly(encodeCertsOnly(new Array(count).fill(certificate)))).toHaveLength(count)
    }
    for (const count of [0, certificatesMax + 1]) {
      expect(() => decodeCertsOnly(encodeCertsOnly(new Array(count).fill(certificate)))).toThrow(
        expect.objectContaining({ code: 'EST_BODY' }),
      )
    }
  })

  test('any octets, and a right message with any octet changed or cut, give certificates or a PkiError', () => {
    const right = encodeCertsOnly([chainOf(maker.caPem)[0]!])
    const changed = fc
      .tuple(fc.nat(right.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(right.length))
      .map(([place, flip, end]) => {
        const copy = Uint8Array.from(right)
        copy[place]! ^= flip
        return end % 4 === 0 ? copy.subarray(0, end) : copy
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), changed), (octets) => {
        try {
          for (const one of decodeCertsOnly(octets)) expect(one[0]).toBe(0x30)
        } catch (fault) {
          refusedRightly(fault)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test('a request of ours proves its key, and with any octet changed gives a PkiError', () => {
    const right = makeRequest(makeDeviceKey())
    expect(provenKey(right)).toHaveLength(91)
    fc.assert(
      fc.property(fc.nat(right.length - 1), fc.integer({ min: 1, max: 255 }), (place, flip) => {
        const copy = Uint8Array.from(right)
        copy[place]! ^= flip
        expect(() => provenKey(copy)).toThrow(PkiError)
      }),
      { numRuns: 500 },
    )
    expect(() => makeRequest('not a key')).toThrow(expect.objectContaining({ code: 'REQUEST_KEY' }))
  })
})
