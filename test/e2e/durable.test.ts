import { once } from 'node:events'
import { connect } from 'node:net'
import type { Packet } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JournalFailed } from '#gateway/io/journal-record.ts'
import { type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { credentials, dial, publishPacket, type RawClient } from '#test/support/raw-client.ts'

let pki: WithForeign
let gateway: FiledCertificate
const concentrators = Array.from({ length: 8 }, (_, i) => `dc-${i}`)
const certificates: FiledCertificate[] = []
beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
  for (const id of concentrators) certificates.push(await pki.issue('concentrator', id))
})
afterAll(() => pki.close())

const openDoor = (): Promise<FrontDoor> => openFrontDoor(pki, gateway)
const openSession = async (door: FrontDoor, i = 0): Promise<RawClient> =>
  (await dial(door.port, credentials(pki, certificates[i]!))).open()

const publish = (i: number, n: number, octets = 40): Packet =>
  publishPacket(concentrators[i]!, { messageId: n + 1, payload: Buffer.alloc(octets, `${i}/${n} `) })

/** A round trip over the session: whatever the gateway had to say before has come when it returns. */
async function ping(client: RawClient): Promise<Packet[]> {
  const before = client.packets.length
  client.send({ cmd: 'pingreq' })
  for (let count = before + 1; ; count++) {
    const packets = await client.until(count)
    if (packets[count - 1]!.cmd === 'pingresp') return packets
  }
}

const pubacks = (packets: readonly Packet[]): number[] =>
  packets.flatMap(({ cmd, messageId }) => (cmd === 'puback' ? [messageId!] : []))

describe('a PUBACK', () => {
  test('comes only when the journal says durable', async () => {
    const door = await openDoor()
    const client = await openSession(door)
    door.journal.hold()
    client.send(publish(0, 0), publish(0, 1))
    await door.journal.arrival(2)
    const other = await openSession(door, 1)
    await ping(other)
    expect(pubacks(client.packets)).toEqual([])
    expect(door.broker.status().acknowledged).toBe(0)
    door.journal.letGo()
    expect(pubacks(await client.until(3))).toEqual([1, 2])
    expect(door.journal.records()).toHaveLength(2)
    expect(door.broker.status()).toMatchObject({ acknowledged: 2, octets: 80 })
  })

  test('never comes when the append fails, and the gateway is told', async () => {
    const door = await openDoor()
    const client = await openSession(door)
    door.journal.failure = new JournalFailed('no space left')
    client.send(publish(0, 0))
    await client.closed
    expect(pubacks(client.packets)).toEqual([])
    expect(door.failures).toEqual([door.journal.failure])
    expect(door.broker.status().refused).toEqual({}) // the disk's fault is no peer's
    expect(door.broker.status().acknowledged).toBe(0)
  })

  test('comes once for each of hundreds of publishes at one go over several sessions, journaled once and in order', async () => {
    const door = await openDoor()
    const clients = await Promise.all(concentrators.map((_, i) => openSession(door, i)))
    const each = 250
    for (const [i, client] of clients.entries()) client.send(...Array.from({ length: each }, (_, n) => publish(i, n)))
    await Promise.all(clients.map((client) => client.until(1 + each)))
    for (const client of clients) expect((await ping(client)).length).toBe(2 + each)
    const expected = Array.from({ length: each }, (_, n) => n)
    const records = door.journal.records()
    for (const [i, id] of concentrators.entries()) {
      expect(pubacks(clients[i]!.packets)).toEqual(expected.map((n) => n + 1))
      const own = records.filter(({ concentrator }) => concentrator === id)
      expect(own.map(({ payload }) => Buffer.from(payload).toString().split(' ')[0])).toEqual(
        expected.map((n) => `${i}/${n}`),
      )
    }
    expect(door.broker.status()).toMatchObject({ acknowledged: each * concentrators.length, sessions: clients.length })
  })

  test('to a publish that comes again is given again: the ledger tells repeats, not the session', async () => {
    const door = await openDoor()
    const client = await openSession(door)
    client.send(publish(0, 0))
    await client.until(2)
    client.send({ ...publish(0, 0), dup: true } as Packet)
    expect(pubacks(await client.until(3))).toEqual([1, 1])
    expect(door.journal.records()).toHaveLength(2)
  })
})

describe('a full journal', () => {
  test('makes a session wait, and everything it sent in the meantime arrives when there is room', async () => {
    const door = await openDoor()
    const client = await openSession(door)
    client.send(publish(0, 0))
    await client.until(2)
    door.journal.fill()
    const more = Array.from({ length: 40 }, (_, n) => publish(0, n + 1, 20_000))
    for (const packet of more) client.send(packet)
    await new Promise((read) => setImmediate(read))
    expect(door.journal.arrivals).toHaveLength(1)
    door.journal.makeRoom()
    expect(pubacks(await client.until(2 + more.length))).toEqual(Array.from({ length: 41 }, (_, n) => n + 1))
    expect(door.journal.records().map(({ payload }) => payload.length)).toEqual([40, ...more.map(() => 20_000)])
  })

  test('is waited for again and again', async () => {
    const door = await openDoor()
    const client = await openSession(door)
    for (let n = 0; n < 10; n++) {
      door.journal.fill()
      client.send(publish(0, n, 30_000))
      await new Promise((written) => client.socket.write('', written))
      door.journal.makeRoom()
      await client.until(2 + n)
    }
    expect(door.journal.records()).toHaveLength(10)
  })

  test('keeps a new session waiting, and lets it in when there is room', async () => {
    const door = await openDoor()
    door.journal.fill()
    const client = await dial(door.port, credentials(pki, certificates[0]!))
    const opened = client.open()
    await door.tail.until({ event: 'session.opened' })
    expect(client.packets).toEqual([])
    door.journal.makeRoom()
    await opened
    client.send(publish(0, 0))
    expect(pubacks(await client.until(2))).toEqual([1])
  })

  test('that drains after a session has gone disturbs nobody', async () => {
    const door = await openDoor()
    const [gone, stays] = [await openSession(door, 0), await openSession(door, 1)]
    door.journal.fill()
    gone.send(publish(0, 0))
    stays.send(publish(1, 0))
    const closed = door.tail.until({ event: 'session.closed', concentrator: 'dc-0' })
    gone.socket.destroy()
    door.journal.makeRoom()
    await closed
    expect(pubacks(await stays.until(2))).toEqual([1])
  })
})

describe('the end of the broker', () => {
  test('ends its sessions at once, and waits for no half-open connection', async () => {
    const door = await openDoor()
    const client = await openSession(door)
    const halfOpen = connect(door.port, '127.0.0.1')
    halfOpen.on('error', () => {})
    await once(halfOpen, 'connect')
    await ping(client) // the broker has accepted the half-open one by now
    const began = performance.now()
    await door.broker.close()
    await client.closed
    expect(performance.now() - began).toBeLessThan(2_000)
    halfOpen.destroy()
  })
})
