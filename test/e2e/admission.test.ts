import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openFrontDoor } from '#test/support/front-door.ts'
import { judge } from '#test/support/judge.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { connectPacket, credentials, dial, publishPacket } from '#test/support/raw-client.ts'

let pki: WithForeign
let gateway: FiledCertificate
beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
})
afterAll(() => pki.close())

const yearSeconds = 31_536_000

/** Peers that must get nowhere, and the code that the log must give. */
const refused: Record<string, { code: string; make: () => Promise<FiledCertificate | undefined> }> = {
  'no certificate': { code: 'CERTIFICATE_MISSING', make: async () => undefined },
  'a certificate of a foreign CA of the same names': {
    code: 'CERTIFICATE_UNTRUSTED',
    make: async () => (await pki.foreign()).issue('concentrator', 'dc-1'),
  },
  "the gateway's own role": { code: 'CERTIFICATE_ROLE', make: () => pki.issue('gateway', 'dc-1') },
  "the sealer's role": { code: 'CERTIFICATE_ROLE', make: () => pki.issue('sealer', 'dc-1') },
  "the MDM's role": { code: 'CERTIFICATE_ROLE', make: () => pki.issue('mdm', 'dc-1') },
  'a revoked certificate': {
    code: 'CERTIFICATE_REVOKED',
    make: async () => {
      const certificate = await pki.issue('concentrator', 'dc-revoked')
      await pki.revoke(certificate.serial)
      return certificate
    },
  },
}

describe('a peer', () => {
  test.for(Object.entries(refused))('with %s gets nowhere, and the log says which', async ([, { code, make }]) => {
    const certificate = await make()
    const door = await openFrontDoor(pki, gateway)
    const client = await dial(door.port, credentials(pki, certificate))
    client.send(connectPacket(), publishPacket('dc-1'))
    await client.closed
    await door.tail.until({ event: 'peer.refused', code })
    expect(door.tail.refusals()).toEqual([code])
    expect(client.packets).toEqual([])
    expect(door.journal.arrivals).toEqual([])
    expect(door.broker.status()).toMatchObject({ sessions: 0, acknowledged: 0, refused: { [code]: 1 } })
  })

  test.for([
    ['has run out', Math.floor(Date.now() / 1000) - yearSeconds],
    ['is not valid yet', Math.floor(Date.now() / 1000) + yearSeconds],
  ] as const)('whose certificate %s gets nowhere, and the log says so', async ([, at]) => {
    const other = await throwawayPki({ now: () => at })
    try {
      const trusting = { ...other, issue: pki.issue }
      const certificate = await other.issue('concentrator', 'dc-1')
      const door = await openFrontDoor(trusting, gateway)
      const client = await dial(door.port, credentials(pki, certificate))
      client.send(connectPacket(), publishPacket('dc-1'))
      await client.closed
      await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_EXPIRED' })
      expect(door.journal.arrivals).toEqual([])
    } finally {
      await other.close()
    }
  })

  test('that sends its leaf without its CA is known all the same: the CA of its class lies here', async () => {
    const certificate = await pki.issue('concentrator', 'dc-leaf')
    const door = await openFrontDoor(pki, gateway)
    const client = await dial(door.port, { ...credentials(pki, certificate), cert: certificate.certificatePem })
    await client.open()
    client.socket.destroy()
  })

  test.for([
    ['operator', 'CERTIFICATE_UNTRUSTED'],
    ['researcher', 'CERTIFICATE_UNTRUSTED'],
    ['sealer', 'CERTIFICATE_ROLE'], // TLS sees that it may not be a client
    ['gateway', 'CERTIFICATE_ROLE'],
  ] as const)(
    'that shows the certificate of a %s, from another CA under the same root, gets no session',
    async ([profile, code]) => {
      const certificate = await pki.issue(profile, `other-${profile}`)
      const door = await openFrontDoor(pki, gateway)
      const cert = certificate.chainPem + pki.rootPem
      const client = await dial(door.port, { ...credentials(pki, certificate), cert })
      await client.closed
      await door.tail.until({ event: 'peer.refused', code, address: '127.0.0.1' })
      expect(client.packets).toEqual([])
    },
  )

  test('that speaks TLS 1.2 at most gets no handshake', async () => {
    const certificate = await pki.issue('concentrator', 'dc-12')
    const door = await openFrontDoor(pki, gateway)
    const client = await dial(door.port, { ...credentials(pki, certificate), maxVersion: 'TLSv1.2' })
    await client.closed
    expect(client.socket.getProtocol()).toBeNull()
    await door.tail.until({ event: 'peer.refused', code: 'TLS_FAILED' })
  })

  test('that speaks MQTT over plain TCP is cut off', async () => {
    const door = await openFrontDoor(pki, gateway)
    const socket = connectTcp(door.port, '127.0.0.1')
    socket.write(Buffer.from('101300044d51545404020000000764632d303030', 'hex'))
    socket.on('error', () => {})
    const answer = socket.toArray()
    await once(socket, 'close')
    expect(Buffer.concat(await answer.catch(() => [])).includes(0x20)).toBe(false) // no CONNACK
    await door.tail.until({ event: 'peer.refused', code: 'TLS_FAILED' })
  })

  test('that opens a connection and says nothing is cut off at the handshake deadline', async () => {
    const door = await openFrontDoor(pki, gateway, { limits: { handshakeDeadlineSeconds: 0.2 } })
    const socket = connectTcp(door.port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'close')
    await door.tail.until({ event: 'peer.refused', code: 'TLS_FAILED', detail: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  })

  test('with a certificate of its own is let in', async () => {
    const certificate = await pki.issue('concentrator', 'dc-good')
    const door = await openFrontDoor(pki, gateway)
    const client = await (await dial(door.port, credentials(pki, certificate))).open()
    expect(client.packets).toMatchObject([{ cmd: 'connack', returnCode: 0, sessionPresent: false }])
    expect(client.socket.getProtocol()).toBe('TLSv1.3')
    expect(door.broker.status()).toMatchObject({ sessions: 1, refused: {} })
  })

  test('beyond the handshakes of one second is cut off before its handshake, and let in later', async () => {
    const certificate = await pki.issue('concentrator', 'dc-storm')
    const door = await openFrontDoor(pki, gateway, { limits: { handshakesPerSecondMax: 1 } })
    const storm = Array.from({ length: 4 }, () => {
      const socket = connectTcp(door.port, '127.0.0.1')
      socket.on('error', () => {})
      onTestFinished(() => void socket.destroy())
      return once(socket, 'close')
    })
    await Promise.race(storm) // at most two seconds begin within it, so of four at least two are cut off at once
    await door.tail.until({ event: 'peer.refused', code: 'HANDSHAKE_LIMIT', address: '127.0.0.1' })
    expect(door.broker.status().sessions).toBe(0)
    const isLetIn = async (): Promise<boolean> => {
      const client = await dial(door.port, credentials(pki, certificate))
      return Promise.race([client.open().then(() => true), client.closed.then(() => false)])
    }
    await expect.poll(isLetIn, { interval: 300, timeout: 10_000 }).toBe(true)
  })

  test('beyond the limit of sessions is cut off, and let in when there is room again', async () => {
    const certificate = await pki.issue('concentrator', 'dc-many')
    const door = await openFrontDoor(pki, gateway, { limits: { sessionsMax: 2 } })
    const first = await dial(door.port, credentials(pki, certificate))
    await (await dial(door.port, credentials(pki, certificate))).open()
    const third = await dial(door.port, credentials(pki, certificate))
    await third.closed
    await door.tail.until({ event: 'peer.refused', code: 'SESSION_LIMIT', address: '127.0.0.1' })
    const left = door.tail.until({ event: 'session.closed' })
    first.socket.destroy()
    await left
    await (await dial(door.port, credentials(pki, certificate))).open()
  })
})

/** Runs a client of somebody else's to its end. */
async function run(command: string, args: readonly string[], input = ''): Promise<{ code: number; output: string }> {
  const child = spawn(command, args, { timeout: 20_000 })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [out, err] = [text(child.stdout), text(child.stderr)]
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? -1, output: (await out) + (await err) }
}

describe.runIf(judge.openssl.here)(`openssl s_client${judge.openssl.note}`, () => {
  const sClient = (port: number, ...more: string[]): Promise<{ code: number; output: string }> =>
    run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', ...more], 'Q\n')

  test('agrees to TLS 1.3, verifies the gateway, and is asked for a certificate', async () => {
    const { certificateFile, keyFile } = await pki.issue('concentrator', 'dc-openssl')
    const door = await openFrontDoor(pki, gateway)
    const trust = [
      '-no-CApath',
      '-no-CAstore',
      '-CAfile',
      pki.rootFile,
      '-verify_return_error',
      '-verify_hostname',
      'localhost',
    ]
    const own = ['-cert', certificateFile, '-cert_chain', certificateFile, '-key', keyFile!]
    const { output } = await sClient(door.port, ...trust, ...own)
    expect(output).toMatch(/Verify return code: 0 \(ok\)/)
    expect(output).toMatch(/New, TLSv1\.3/)
    expect(output).toMatch(/Requested Signature Algorithms: ECDSA\+SHA256/)
    await door.tail.until({ event: 'session.opened', concentrator: 'dc-openssl' })
    expect(door.tail.refusals()).toEqual([])
  })

  test('gets no TLS 1.2', async () => {
    const door = await openFrontDoor(pki, gateway)
    const { code, output } = await sClient(door.port, '-tls1_2')
    expect(code).not.toBe(0)
    expect(output).toMatch(/alert protocol version/)
  })

  test('without a certificate is refused by an alert', async () => {
    const door = await openFrontDoor(pki, gateway)
    await sClient(door.port, '-ign_eof')
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_MISSING' })
  })
})

describe.runIf(judge.mosquitto.here)(`mosquitto_pub${judge.mosquitto.note}`, () => {
  const publish = async (port: number, id: string, { certificateFile, keyFile }: FiledCertificate, ...more: string[]) =>
    run('mosquitto_pub', [
      ...['-h', 'localhost', '-p', String(port), '-V', 'mqttv311', '-i', 'whatever'],
      ...['--cafile', pki.rootFile, '--cert', certificateFile, '--key', keyFile!],
      ...['-t', `ami/v1/${id}/up`, '-m', 'from mosquitto', ...more],
    ])

  test('publishes at QoS 1 on its own topic and is acknowledged', async () => {
    const certificate = await pki.issue('concentrator', 'dc-mosquitto')
    const door = await openFrontDoor(pki, gateway)
    expect(await publish(door.port, 'dc-mosquitto', certificate, '-q', '1')).toMatchObject({ code: 0 })
    expect(door.journal.records()).toMatchObject([
      { concentrator: 'dc-mosquitto', payload: Buffer.from('from mosquitto') },
    ])
  })

  test.for([
    ['another topic', 'TOPIC_FOREIGN', 'dc-other', ['-q', '1']],
    ['QoS 0', 'QOS_REFUSED', 'dc-m', ['-q', '0']],
    ['QoS 2', 'QOS_REFUSED', 'dc-m', ['-q', '2']],
    ['retain', 'RETAIN_REFUSED', 'dc-m', ['-q', '1', '-r']],
    ['a will', 'WILL_REFUSED', 'dc-m', ['-q', '1', '--will-topic', 'ami/v1/dc-m/up', '--will-payload', 'w']],
  ] as const)('with %s is refused with %s', async ([, code, id, more]) => {
    const certificate = await pki.issue('concentrator', 'dc-m')
    const door = await openFrontDoor(pki, gateway)
    await publish(door.port, id, certificate, ...more)
    await door.tail.until({ event: 'peer.refused', code, concentrator: 'dc-m' })
    expect(door.journal.arrivals).toEqual([])
  })
})
