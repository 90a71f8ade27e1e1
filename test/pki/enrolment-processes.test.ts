import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findEntries } from '#pki/audit/query.ts'
import type { EstServer } from '#pki/est/client.ts'
import { makeDeviceKey } from '#pki/est/request.ts'
import { createMaker } from '#pki/manufacturers/maker.ts'
import { ami, enrolled, enrolmentStage, fromFactory, type Process, type Stage } from './enrolment-cast.ts'

let stage: Stage
let est: Process
let server: EstServer
let clerk: Process

beforeAll(async () => {
  stage = await enrolmentStage()
  stage.ship(...['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].map((letter) => `dc-${letter}`))
  ;({ est, server } = await stage.listener())
  clerk = await stage.clerk()
})
afterAll(async () => {
  expect(await Promise.all([est.stop(), clerk.stop()])).toEqual([0, 0])
  await stage.close()
})

const serialOf = (der: Uint8Array): string => new X509Certificate(der).serialNumber
const refusedWith = (code: string) => ({ code: 'EST_REFUSED', message: expect.stringContaining(code) })

describe('a device', () => {
  test('enrols with its factory identity, is named by the inventory, and renews with what it got', async () => {
    const first = await enrolled(server, await fromFactory(stage.maker, 'dc-a'))
    expect(new X509Certificate(first.der).subjectAltName).toBe('URI:urn:ami:concentrator:dc-a')
    const second = await enrolled(server, first.credentials)
    expect(serialOf(second.der)).not.toBe(serialOf(first.der))
    const third = await enrolled(server, second.credentials)
    const listed = await stage.pki.list()
    for (const one of [first, second, third]) {
      expect(listed.find(({ serial }) => serial === serialOf(one.der))).toMatchObject({
        id: 'dc-a',
        revoked: undefined,
      })
    }
  })

  test('that asks again with the same key gets the same certificate', async () => {
    const factory = await fromFactory(stage.maker, 'dc-b')
    const first = await enrolled(server, factory)
    expect(await enrolled(server, factory, first.key)).toEqual(first)
    const renewed = await enrolled(server, first.credentials)
    expect(await enrolled(server, first.credentials, renewed.key)).toEqual(renewed)
    expect((await stage.pki.list()).filter(({ id }) => id === 'dc-b')).toHaveLength(2)
  })

  test('that no manifest lists is refused', async () => {
    await expect(enrolled(server, await fromFactory(stage.maker, 'dc-nobody'))).rejects.toMatchObject(
      refusedWith('ENROLMENT_UNKNOWN'),
    )
  })

  test('of a maker that is not trusted is refused before it is listened to, whatever name the maker takes', async () => {
    const foreign = await createMaker('Acme', () => Date.now() / 1_000)
    await expect(enrolled(server, await fromFactory(foreign, 'dc-c'))).rejects.toMatchObject(
      refusedWith('a certificate of a known maker, or of ours, is needed'),
    )
    await expect(enrolled(server, { cert: '', key: '' })).rejects.toMatchObject({ code: 'EST_REFUSED' })
  })

  test.each(['operator', 'researcher', 'sealer'] as const)(
    'does not come with a certificate of the class %s',
    async (profile) => {
      const { chainPem, privateKeyPem } = await stage.pki.issue({ profile, id: 'dc-c' })
      await expect(enrolled(server, { cert: chainPem, key: privateKeyPem! })).rejects.toMatchObject({
        code: 'EST_REFUSED',
      })
    },
  )

  test('does not come with a gateway certificate, nor with one of the Device CA that enrolment did not give', async () => {
    const gateway = await stage.pki.issue({ profile: 'gateway', id: 'dc-c', names: { dns: ['localhost'], ip: [] } })
    const pair = { cert: gateway.chainPem, key: gateway.privateKeyPem! }
    await expect(enrolled(server, pair)).rejects.toMatchObject({ code: 'EST_REFUSED' })
    const other = await stage.pki.issue({ profile: 'concentrator', id: 'dc-c' })
    await expect(enrolled(server, { cert: other.chainPem, key: other.privateKeyPem! })).rejects.toMatchObject(
      refusedWith('ENROLMENT_CERTIFICATE'),
    )
  })

  test('may not bring the key of another', async () => {
    const { key } = await enrolled(server, await fromFactory(stage.maker, 'dc-d'))
    await expect(enrolled(server, await fromFactory(stage.maker, 'dc-e'), key)).rejects.toMatchObject(
      refusedWith('ENROLMENT_KEY'),
    )
    expect((await enrolled(server, await fromFactory(stage.maker, 'dc-e'))).key).not.toBe(key)
  })

  test('that comes twice is a clone: both stop, until an operator releases it', async () => {
    const factory = await fromFactory(stage.maker, 'dc-f')
    const first = await enrolled(server, factory)
    await expect(enrolled(server, factory)).rejects.toMatchObject(refusedWith('ENROLMENT_CLONE'))
    expect(await stage.pki.find(serialOf(first.der))).toMatchObject({ revoked: { reason: 'keyCompromise' } })
    expect(clerk.lines).toContainEqual(
      expect.objectContaining({ event: 'enrolment.clone', level: 'error', concentrator: 'dc-f' }),
    )
    await expect(enrolled(server, factory)).rejects.toMatchObject(refusedWith('ENROLMENT_QUARANTINED'))
    await expect(enrolled(server, first.credentials)).rejects.toMatchObject({ code: 'EST_REFUSED' })

    const [told] = findEntries(join(stage.caDir, 'audit'), { kind: 'enrolment-quarantined' })
    expect(told).toMatchObject({ actor: 'est', subject: 'concentrator:dc-f' })
    const where = ['--dir', stage.caDir, '--json']
    const quarantined = JSON.parse(ami('pki', 'inventory', 'list', ...where, '--quarantined').out)
    expect(quarantined.devices).toMatchObject([{ concentrator: 'dc-f', quarantined: expect.stringContaining('dc-f') }])
    expect(ami('pki', 'inventory', 'release', ...where, 'dc-f')).toMatchObject({ code: 0 })
    expect(ami('pki', 'inventory', 'release', ...where, 'dc-f')).toMatchObject({ code: 1 })
    await expect(enrolled(server, factory, first.key)).rejects.toMatchObject(refusedWith('ENROLMENT_KEY'))
    expect(serialOf((await enrolled(server, factory)).der)).not.toBe(serialOf(first.der))
  })

  test('that an operator quarantines loses what it has, and gets nothing', async () => {
    const factory = await fromFactory(stage.maker, 'dc-c')
    const { der, credentials } = await enrolled(server, factory)
    const where = ['--dir', stage.caDir, '--reason', 'stolen', 'dc-c']
    expect(ami('pki', 'inventory', 'quarantine', ...where)).toMatchObject({ code: 0 })
    expect(ami('pki', 'inventory', 'quarantine', ...where)).toMatchObject({ code: 1 })
    await vi.waitFor(
      async () => expect(await stage.pki.find(serialOf(der))).toMatchObject({ revoked: { reason: 'keyCompromise' } }),
      { timeout: 15_000, interval: 200 },
    )
    await expect(enrolled(server, factory)).rejects.toMatchObject(refusedWith('ENROLMENT_QUARANTINED'))
    await expect(enrolled(server, credentials)).rejects.toMatchObject(refusedWith('ENROLMENT_CERTIFICATE'))
  })

  test('by ami pki enrol and renew keeps its key before it asks, and asks again with it', async () => {
    const { cert, key } = await fromFactory(stage.maker, 'dc-g')
    const file = (name: string): string => join(stage.dir, name)
    writeFileSync(file('g.pem'), cert)
    writeFileSync(file('g.key'), key, { mode: 0o600 })
    const common = ['--url', `https://localhost:${server.port}`, '--trust', stage.rootFile, '--json']
    const factory = ['--cert', file('g.pem'), '--key', file('g.key')]
    const first = ['enrol', ...common, ...factory, '--out-key', file('g1.key'), '--out', file('g1.pem')]
    const given = ami('pki', ...first)
    expect(given).toMatchObject({ code: 0, err: '' })
    expect(ami('pki', ...first).out).toBe(given.out)
    const again = [
      '--cert',
      file('g1.pem'),
      '--key',
      file('g1.key'),
      '--out-key',
      file('g2.key'),
      '--out',
      file('g2.pem'),
    ]
    expect(ami('pki', 'renew', ...common, ...again)).toMatchObject({ code: 0, err: '' })
    const clone = ami('pki', 'enrol', ...common, ...factory, '--out-key', file('g3.key'), '--out', file('g3.pem'))
    expect([clone.code, JSON.parse(clone.out).fault.code]).toEqual([1, 'EST_REFUSED'])
  })
})

describe('without its other half', () => {
  test('the listener tells devices to come again, and the CA serves them when it is there', async () => {
    expect(await clerk.stop()).toBe(0)
    expect(await est.stop()).toBe(0)
    ;({ est, server } = await stage.listener({ waitingMax: 1, waitMs: 300 }))
    const [one, two] = [
      enrolled(server, await fromFactory(stage.maker, 'dc-h')),
      enrolled(server, await fromFactory(stage.maker, 'dc-i')),
    ]
    const outcome = async (status: number): Promise<void> => {
      while (!est.lines.some((line) => line.event === 'est.outcome' && line.status === status)) {
        await est.until('est.outcome', est.lines.length)
      }
    }
    await Promise.all([outcome(503), outcome(202)])
    clerk = await stage.clerk()
    expect((await Promise.all([one, two])).map(({ der }) => new X509Certificate(der).subjectAltName)).toEqual([
      'URI:urn:ami:concentrator:dc-h',
      'URI:urn:ami:concentrator:dc-i',
    ])
  })

  test('killed at any moment and started again, each device has one certificate, journaled, and no more', async () => {
    const ids = Array.from({ length: 24 }, (_, i) => `dk-${i}`)
    stage.ship(...ids)
    await est.stop('SIGKILL')
    await clerk.stop('SIGKILL')
    const { port } = server
    ;({ est } = await stage.listener({ port, waitMs: 1_000 }))
    clerk = await stage.clerk()
    const persistent = async (id: string): Promise<Uint8Array> => {
      const [factory, key] = [await fromFactory(stage.maker, id), makeDeviceKey()]
      for (;;) {
        const got = await enrolled(server, factory, key).catch((fault: { code: string }) => fault.code)
        if (typeof got !== 'string') return got.der
        expect(got).toBe('EST_UNREACHABLE')
      }
    }
    const coming = Promise.all(ids.map(persistent))
    await clerk.until('enrolment.issued')
    await clerk.stop('SIGKILL')
    clerk = await stage.clerk()
    await est.stop('SIGKILL')
    ;({ est } = await stage.listener({ port, waitMs: 1_000 }))
    const got = await coming
    const listed = (await stage.pki.list()).filter(({ id }) => id.startsWith('dk-'))
    expect(listed.map(({ serial }) => serial).sort()).toEqual(got.map(serialOf).sort())
    expect(listed.every(({ revoked }) => revoked === undefined)).toBe(true)
  })
})
