import { generate, type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DoorOptions, type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { connectPacket, credentials, dial, publishPacket, type RawClient } from '#test/support/raw-client.ts'

let pki: WithForeign
let [gateway, own, other]: FiledCertificate[] = []
beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
  own = await pki.issue('concentrator', 'dc-1')
  other = await pki.issue('concentrator', 'dc-2')
})
afterAll(() => pki.close())

const openDoor = (options?: DoorOptions): Promise<FrontDoor> => openFrontDoor(pki, gateway!, options)
const dialAs = (door: FrontDoor, certificate = own!): Promise<RawClient> =>
  dial(door.port, credentials(pki, certificate))

const subscribe = (topic: string): Packet => ({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos: 1 }] })
const will = { topic: 'ami/v1/dc-1/up', payload: Buffer.from('w'), qos: 1, retain: false } as const

describe('a session', () => {
  test.for([
    ["a publish on another concentrator's topic", 'TOPIC_FOREIGN', publishPacket('dc-2')],
    ['a publish on its own command topic', 'TOPIC_FOREIGN', publishPacket('', { topic: 'ami/v1/dc-1/down' })],
    ['a publish on $SYS', 'TOPIC_FOREIGN', publishPacket('', { topic: '$SYS/broker' })],
    ['a publish of QoS 0', 'QOS_REFUSED', publishPacket('dc-1', { qos: 0 })],
    ['a publish of QoS 2', 'QOS_REFUSED', publishPacket('dc-1', { qos: 2 })],
    ['a retained publish', 'RETAIN_REFUSED', publishPacket('dc-1', { retain: true })],
    ['a publish on a wildcard', 'PACKET_MALFORMED', Buffer.from('32090005616d692f230001', 'hex')],
    ["a subscription to another's commands", 'TOPIC_FOREIGN', subscribe('ami/v1/dc-2/down')],
    ["a subscription to another's uplink", 'TOPIC_FOREIGN', subscribe('ami/v1/dc-2/up')],
    ['a subscription to its own uplink', 'TOPIC_FOREIGN', subscribe('ami/v1/dc-1/up')],
    ['a subscription to everything', 'TOPIC_FOREIGN', subscribe('#')],
    ['a subscription to all commands', 'TOPIC_FOREIGN', subscribe('ami/v1/+/down')],
    ['a subscription to $SYS', 'TOPIC_FOREIGN', subscribe('$SYS/#')],
    ['a second CONNECT', 'PACKET_MALFORMED', connectPacket()],
    ['octets that are no MQTT', 'PACKET_MALFORMED', Buffer.from('f3021234', 'hex')],
  ] as const)('is ended by %s: %s, and nothing is journaled', async ([, code, packet]) => {
    const door = await openDoor()
    const client = await (await dialAs(door)).open()
    client.send(packet)
    await client.closed
    await door.tail.until({ event: 'peer.refused', code, concentrator: 'dc-1', address: '127.0.0.1' })
    expect(door.tail.refusals()).toEqual([code])
    expect(client.packets).toHaveLength(1) // the CONNACK
    expect(door.journal.arrivals).toEqual([])
  })

  test.for([
    ['a will', 'WILL_REFUSED', connectPacket({ will })],
    ['a keep-alive beyond the limit', 'PACKET_MALFORMED', connectPacket({ keepalive: 601 })],
    ['no keep-alive', 'PACKET_MALFORMED', connectPacket({ keepalive: 0 })],
    ['MQTT 5', 'PACKET_MALFORMED', connectPacket({ protocolVersion: 5 })],
    ['a publish before its CONNECT', 'PACKET_MALFORMED', publishPacket('dc-1')],
  ] as const)('is not opened by %s: %s', async ([, code, packet]) => {
    const door = await openDoor()
    const client = await dialAs(door)
    client.send(packet)
    await client.closed
    await door.tail.until({ event: 'peer.refused', code, concentrator: 'dc-1' })
    expect(door.tail.refusals()).toEqual([code])
    expect(client.packets.filter((one) => one.cmd === 'connack' && one.returnCode === 0)).toEqual([])
    expect(door.journal.arrivals).toEqual([])
  })

  test('is ended by a packet that only the server sends', async () => {
    const client = await (await dialAs(await openDoor())).open()
    client.send({ cmd: 'pingresp' })
    await client.closed
  })

  test('may subscribe to its own commands', async () => {
    const client = await (await dialAs(await openDoor())).open()
    client.send(subscribe('ami/v1/dc-1/down'))
    expect((await client.until(2))[1]).toMatchObject({ cmd: 'suback', granted: [1] })
  })

  test("under another's client id leaves that one alone and stays who its certificate says", async () => {
    const door = await openDoor()
    const second = await (await dialAs(door, other)).open({ clientId: 'dc-2' })
    const first = await (await dialAs(door)).open({ clientId: 'dc-2', clean: false })
    expect(first.packets).toMatchObject([{ cmd: 'connack', sessionPresent: false }])
    first.send(publishPacket('dc-1'))
    second.send(publishPacket('dc-2'))
    await Promise.all([first.until(2), second.until(2)])
    expect(door.journal.arrivals.map(({ concentrator }) => concentrator).sort()).toEqual(['dc-1', 'dc-2'])
    expect(door.broker.status()).toMatchObject({ sessions: 2, refused: {} })
  })

  test('of the same certificate takes the place of the one before', async () => {
    const door = await openDoor()
    const before = await (await dialAs(door)).open({ clientId: 'a' })
    const after = await (await dialAs(door)).open({ clientId: 'b' })
    await before.closed
    after.send(publishPacket('dc-1'))
    expect((await after.until(2))[1]).toMatchObject({ cmd: 'puback' })
  })

  test('whose keep-alive runs out ends, and that is no misbehaviour', async () => {
    const door = await openDoor()
    const client = await (await dialAs(door)).open({ keepalive: 1 })
    await client.closed
    await door.tail.until({ event: 'session.closed' })
    expect(door.tail.refusals()).toEqual([])
  })

  test('without a CONNECT ends at the deadline', async () => {
    const door = await openDoor({ limits: { connectDeadlineSeconds: 0.2 } })
    const client = await dialAs(door)
    await client.closed
    await door.tail.until({ event: 'peer.refused', code: 'CONNECT_LATE', concentrator: 'dc-1' })
  })

  test('with half a CONNECT ends at the deadline', async () => {
    const door = await openDoor({ limits: { connectDeadlineSeconds: 0.2 } })
    const client = await dialAs(door)
    client.send(Buffer.from('101300044d515454', 'hex'))
    await client.closed
    await door.tail.until({ event: 'peer.refused', code: 'CONNECT_LATE', concentrator: 'dc-1' })
  })
})

/** A fixed header of 200 MB and then as much as the peer takes. @returns octets that the socket took */
async function flood(client: RawClient): Promise<number> {
  client.send(Buffer.from([0x32, 0x80, 0x84, 0xaf, 0x5f]))
  const part = Buffer.alloc(65_536)
  for (let sent = 0; sent < 200_000_000 && client.socket.writable; sent += part.length) {
    if (client.socket.write(part)) continue
    const drained = new Promise((resolve) => client.socket.once('drain', resolve))
    await Promise.race([drained, client.closed])
  }
  await client.closed
  return client.socket.bytesWritten
}

describe('a packet', () => {
  /** What the kernel's buffers on both sides may hold of it, far below what was announced. */
  const bufferedMax = 20_000_000

  test.for(['before', 'after'] as const)(
    'of 200 MB announced %s CONNECT ends the session at its header',
    async (when) => {
      const door = await openDoor()
      const client = await dialAs(door)
      if (when === 'after') await client.open()
      expect(await flood(client)).toBeLessThan(bufferedMax)
      await door.tail.until({ event: 'peer.refused', code: 'PACKET_LENGTH', concentrator: 'dc-1' })
      expect(door.journal.arrivals).toEqual([])
    },
  )

  test('that follows a too long header in the same octets is not heard', async () => {
    const door = await openDoor()
    const client = await (await dialAs(door)).open()
    client.send(
      publishPacket('dc-1'),
      Buffer.from([0x32, 0x80, 0x84, 0xaf, 0x5f]),
      publishPacket('dc-1', { messageId: 2 }),
    )
    await client.closed
    expect(door.journal.arrivals.length).toBeLessThanOrEqual(1)
  })

  test('whose remaining length takes five octets ends the session', async () => {
    const door = await openDoor()
    const client = await (await dialAs(door)).open()
    client.send(Buffer.from([0x32, 0x81, 0x80, 0x80, 0x80, 0x01]))
    await client.closed
    await door.tail.until({ event: 'peer.refused', code: 'PACKET_MALFORMED', concentrator: 'dc-1' })
  })

  test.for([0, 1, 200_000])('of %i octets arrives as it was, however it is cut', async (octets) => {
    const door = await openDoor()
    const client = await (await dialAs(door)).open()
    const payload = Buffer.from(Array.from({ length: octets }, (_, i) => (i * 31 + (i >> 8)) & 0xff))
    const all = generate(publishPacket('dc-1', { payload }))
    client.socket.setNoDelay(true)
    for (let at = 0; at < all.length; at += at < 50 ? 1 : 1_777) {
      const to = at < 50 ? at + 1 : at + 1_777
      await new Promise((written) => client.socket.write(all.subarray(at, to), written)) // a TLS record each
    }
    expect((await client.until(2))[1]).toMatchObject({ cmd: 'puback', messageId: 1 })
    const [record] = door.journal.records()
    expect(Buffer.from(record!.payload).equals(payload)).toBe(true)
  })

  test('of the most that is allowed is taken, and one octet more is not', async () => {
    const door = await openDoor({ limits: { packetOctetsMax: 1_000 } })
    const client = await (await dialAs(door)).open()
    const head = 2 + 'ami/v1/dc-1/up'.length + 2
    client.send(publishPacket('dc-1', { payload: Buffer.alloc(1_000 - head) }))
    await client.until(2)
    client.send(publishPacket('dc-1', { payload: Buffer.alloc(1_001 - head) }))
    await client.closed
    expect(door.tail.refusals()).toEqual(['PACKET_LENGTH'])
  })
})
