import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type DoorOptions, type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { credentials, dial } from '#test/support/raw-client.ts'
import { Demo } from '#test/support/run-demo.ts'
import { tempFolder } from '#test/support/temp.ts'

interface Fleet {
  pki: WithForeign
  gateway: FiledCertificate
  concentrator: FiledCertificate
}

async function fleet(profileSet: 'p256' | 'ml-dsa'): Promise<Fleet> {
  const pki = await throwawayPki({ profileSet })
  const [gateway, concentrator] = [await pki.issue('gateway', 'gateway'), await pki.issue('concentrator', 'dc-1')]
  return { pki, gateway, concentrator }
}

let [classical, quantum]: Fleet[] = []
beforeAll(async () => {
  ;[classical, quantum] = [await fleet('p256'), await fleet('ml-dsa')]
})
afterAll(() => Promise.all([classical!.pki.close(), quantum!.pki.close()]))

/** Whom it trusts and what is revoked is never the fault: it knows both fleets' CAs and their CRLs. */
function doorOf({ pki, gateway }: Fleet, options: DoorOptions = {}): Promise<FrontDoor> {
  const both = [classical!.pki, quantum!.pki]
  const crlFile = join(tempFolder(), 'crl.pem')
  writeFileSync(crlFile, both.map((one) => readFileSync(one.crlFile, 'utf8')).join(''))
  return openFrontDoor(pki, gateway, { crlFile, trustPem: both.map((one) => one.deviceTrustPem).join(''), ...options })
}

describe('a front door for ml-dsa', () => {
  test('opens a session of TLS 1.3 in which both sides signed with ML-DSA', async () => {
    const door = await doorOf(quantum!, { profileSet: 'ml-dsa' })
    const { pki, concentrator } = quantum!
    const client = await (await dial(door.port, credentials(pki, concentrator))).open()
    expect(client.packets).toMatchObject([{ cmd: 'connack', returnCode: 0 }])
    expect(client.socket.getProtocol()).toBe('TLSv1.3')
    const kinds = [client.socket.getPeerX509Certificate(), new X509Certificate(concentrator.chainPem)]
    expect(kinds.map((one) => one!.publicKey.asymmetricKeyType)).toEqual(['ml-dsa-44', 'ml-dsa-44'])
    expect(door.broker.status()).toMatchObject({ sessions: 1, refused: {} })
  })

  test('refuses a concentrator that signs with P-256, though its CA is trusted', async () => {
    const door = await doorOf(quantum!, { profileSet: 'ml-dsa' })
    const { key, cert } = credentials(classical!.pki, classical!.concentrator)
    await (await dial(door.port, { ...credentials(quantum!.pki), key, cert })).closed
    await door.tail.until({ event: 'peer.refused' })
    expect(door.broker.status().sessions).toBe(0)
  })

  test('cuts the session of a certificate that is revoked', async () => {
    const { pki } = quantum!
    const door = await doorOf(quantum!, { profileSet: 'ml-dsa', crlFile: pki.crlFile })
    const gone = await pki.issue('concentrator', 'dc-2')
    const client = await (await dial(door.port, credentials(pki, gone))).open()
    await pki.revoke(gone.serial, 'keyCompromise')
    await client.closed
    expect(door.tail.refusals()).toEqual(['CERTIFICATE_REVOKED'])
  })
})

describe('a front door that is told nothing', () => {
  test('refuses a concentrator that signs with ML-DSA, though its CA is trusted, and takes one of P-256', async () => {
    const door = await doorOf(classical!)
    const { key, cert } = credentials(quantum!.pki, quantum!.concentrator)
    await (await dial(door.port, { ...credentials(classical!.pki), key, cert })).closed
    await door.tail.until({ event: 'peer.refused' })
    expect(door.broker.status().sessions).toBe(0)
    const own = await (await dial(door.port, credentials(classical!.pki, classical!.concentrator))).open()
    expect(own.packets).toMatchObject([{ cmd: 'connack', returnCode: 0 }])
  })
})

test('a demo of ml-dsa, each part a process, delivers every reading with keys of ML-DSA alone', async () => {
  const folder = join(tempFolder(), 'demo')
  const small = ['--interval', '0.2', '--meters', '40', '--concentrators', '2']
  const demo = new Demo(folder, '--profile-set', 'ml-dsa', ...small)
  const arrived = (): void => expect(readFileSync(join(folder, 'mdm.log'), 'utf8')).toMatch(/"readings":[1-9]/)
  await vi.waitFor(arrived, { timeout: 60_000, interval: 100 })
  demo.kill('SIGINT')
  const verdict = await demo.verdict()
  expect(verdict).toMatchObject({ ok: true, readings: { lost: 0, duplicated: 0, quarantined: 0 } })
  expect(verdict.readings.acked).toBeGreaterThan(0)
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.chain.pem'))
  const kinds = names.map((name) => new X509Certificate(readFileSync(join(folder, name))).publicKey.asymmetricKeyType)
  expect(kinds).toEqual(['ml-dsa-44', 'ml-dsa-44', 'ml-dsa-44', 'ml-dsa-44'])
}, 120_000)
