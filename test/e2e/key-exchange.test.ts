import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type ConnectionOptions, connect, type EphemeralKeyInfo } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { sessionGroup } from '#gateway/io/handshakes.ts'
import { listenEst } from '#pki/est/front.ts'
import { createListener } from '#studies/listener.ts'
import { hasOpenssl, opensslNote } from '#test/pki/openssl.ts'
import { type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'

let pki: WithForeign
let server: FiledCertificate
let device: FiledCertificate
beforeAll(async () => {
  pki = await throwawayPki()
  server = await pki.issue('gateway', 'gateway')
  device = await pki.issue('concentrator', 'dc-1')
})
afterAll(() => pki.close())

const host = '127.0.0.1'

async function est(): Promise<number> {
  const listener = await listenEst({
    ...{ host, port: 0, caCertificates: [], clientCas: pki.deviceTrustPem, now: Date.now, random: Math.random },
    tls: { key: server.privateKeyPem!, cert: server.chainPem },
    onOutcome: () => {},
  })
  onTestFinished(() => listener.close())
  return listener.port
}

async function studies(): Promise<number> {
  const credentials = { key: readFileSync(server.keyFile!), cert: readFileSync(server.certificateFile) }
  const listener = createListener((_request, response) => response.end(), { credentials, connectionsMax: 8 })
  listener.listen(0, host)
  await once(listener, 'listening')
  onTestFinished(() => {
    listener.closeAllConnections()
    listener.close()
  })
  return (listener.address() as AddressInfo).port
}

const listeners: Record<string, () => Promise<number>> = {
  'the front door': async () => (await openFrontDoor(pki, server)).port,
  'the enrolment listener': est,
  'the studies listener': studies,
}

/** @returns the group as Node names it at the client's side */
async function nodeAgrees(port: number, options: ConnectionOptions): Promise<string> {
  const { keyFile, certificateFile } = device
  const credentials = { key: readFileSync(keyFile!), cert: readFileSync(certificateFile), ca: pki.rootPem }
  const socket = connect({ host, port, servername: 'localhost', ...credentials, ...options })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return (socket.getEphemeralKeyInfo() as EphemeralKeyInfo).name!
}

/** @returns the line of the group in what `openssl s_client` says */
async function opensslAgrees(port: number, groups: string): Promise<string> {
  const options = ['-cert', device.certificateFile, '-key', device.keyFile!, '-CAfile', pki.rootFile]
  const args = ['s_client', '-connect', `${host}:${port}`, '-groups', groups, '-verify_return_error', ...options]
  const client = spawn('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] })
  onTestFinished(() => void client.kill('SIGKILL'))
  return /^(?:Server|Peer) Temp Key: .*$/m.exec(await text(client.stdout))?.[0] ?? 'none'
}

/** Groups of a client in its order, the first of which it sends a share of; and what is agreed on. */
const clients = [
  ['as Node comes', 'auto', 'X25519MLKEM768'],
  ['that has the hybrid, and sends a share of X25519', 'X25519:X25519MLKEM768', 'X25519MLKEM768'],
  ['that has the hybrid, and sends a share of P-256', 'P-256:X25519MLKEM768', 'X25519MLKEM768'],
  ['that has X25519', 'X25519', 'X25519'],
  ['that has P-256', 'P-256', 'prime256v1'],
] as const

describe.each(Object.entries(listeners))('%s', (_name, listen) => {
  test.for(clients)('agrees with a client %s (%s) on %s', async ([, ecdhCurve, agreed]) => {
    expect(await nodeAgrees(await listen(), { ecdhCurve })).toBe(agreed)
  })

  test('has nothing in common with a client of P-384', async () => {
    await expect(nodeAgrees(await listen(), { ecdhCurve: 'P-384' })).rejects.toThrow(/handshake failure/)
  })

  test.runIf(hasOpenssl).for([
    ['X25519:P-256', /X25519/],
    ['P-256', /(prime256v1|P-256)/],
  ] as const)(
    `agrees with openssl s_client -groups %s on the first of them${opensslNote}`,
    async ([groups, agreed]) => {
      expect(await opensslAgrees(await listen(), groups)).toMatch(agreed)
    },
  )
})

describe('the front door counts handshakes', () => {
  const seen = (door: FrontDoor): unknown => door.broker.status().handshakes

  test('by the group that was agreed on', async () => {
    const door = await openFrontDoor(pki, server)
    for (const ecdhCurve of ['auto', 'X25519', 'P-256', 'X25519']) {
      await nodeAgrees(door.port, { ecdhCurve })
    }
    await expect
      .poll(() => seen(door))
      .toEqual([
        { outcome: 'completed', protocol: 'TLSv1.3', group: 'X25519MLKEM768', count: 1 },
        { outcome: 'completed', protocol: 'TLSv1.3', group: 'X25519', count: 2 },
        { outcome: 'completed', protocol: 'TLSv1.3', group: 'P-256', count: 1 },
      ])
  })

  test('that failed too', async () => {
    const door = await openFrontDoor(pki, server)
    await expect(nodeAgrees(door.port, { ecdhCurve: 'P-384' })).rejects.toThrow()
    await nodeAgrees(door.port, { key: undefined, cert: undefined })
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_MISSING' })
    expect(seen(door)).toEqual([{ outcome: 'failed', protocol: 'none', group: 'none', count: 2 }])
  })
})

describe('the group of a session', () => {
  const session = Buffer.from('3009020101b304020211ec', 'hex')

  test('is its nineteenth field', () => {
    expect(sessionGroup(session)).toBe(0x11ec)
  })

  test('is not known of a session without, nor of octets that are cut short', () => {
    expect(sessionGroup(Buffer.from('3003020101', 'hex'))).toBeUndefined()
    for (let length = 0; length < session.length; length++) {
      expect(sessionGroup(session.subarray(0, length))).toBeUndefined()
    }
  })
})
