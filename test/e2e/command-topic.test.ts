import type { ISubscribePacket } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concentratorId } from '#gateway/model.ts'
import { type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { credentials, dial, publishPacket, type RawClient } from '#test/support/raw-client.ts'

let pki: WithForeign
let [gateway, own, other]: FiledCertificate[] = []
beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
  own = await pki.issue('concentrator', 'dc-1')
  other = await pki.issue('concentrator', 'dc-2')
})
afterAll(() => pki.close())

const id = concentratorId('dc-1')
const topic = 'ami/v1/dc-1/down'
const payload = Buffer.from('an APDU')
const subscribe = (qos: 0 | 1 | 2, to = topic): ISubscribePacket => {
  return { cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: to, qos }] }
}

async function connected(door: FrontDoor, certificate = own!): Promise<RawClient> {
  return (await dial(door.port, credentials(pki, certificate))).open()
}

/** Subscribed, and its SUBACK is here: CONNACK was the first packet. */
async function listening(door: FrontDoor, certificate = own!, to = topic): Promise<RawClient> {
  const client = await connected(door, certificate)
  client.send(subscribe(1, to))
  await client.until(2)
  return client
}

describe('a command', () => {
  test('reaches the one session of its concentrator, at QoS 1, and no other', async () => {
    const door = await openFrontDoor(pki, gateway!)
    const second = await listening(door, other!, 'ami/v1/dc-2/down')
    const first = await listening(door)
    expect(door.broker.command(id, payload)).toBe(true)
    expect((await first.until(3))[2]).toMatchObject({
      cmd: 'publish',
      topic,
      payload,
      qos: 1,
      retain: false,
      dup: false,
    })
    second.send(publishPacket('dc-2')) // its PUBACK would come behind the command
    expect((await second.until(3))[2]).toMatchObject({ cmd: 'puback' })
    expect(door.broker.status()).toMatchObject({ sessions: 2, refused: {} })
  })

  test('goes nowhere without a session, and nothing is kept for one that comes later', async () => {
    const door = await openFrontDoor(pki, gateway!)
    expect(door.broker.command(id, payload)).toBe(false)
    const client = await listening(door)
    client.send(publishPacket('dc-1'))
    expect((await client.until(3))[2]).toMatchObject({ cmd: 'puback' })
  })

  test('goes nowhere where the session has not subscribed, or would not be sure to hear it', async () => {
    const door = await openFrontDoor(pki, gateway!)
    const client = await connected(door)
    expect(door.broker.command(id, payload)).toBe(false)
    client.send(subscribe(0))
    await client.until(2)
    expect(door.broker.command(id, payload)).toBe(false)
    client.send(subscribe(1))
    await client.until(3)
    expect(door.broker.command(id, payload)).toBe(true)
  })

  test('goes nowhere once the session has unsubscribed, or is gone', async () => {
    const door = await openFrontDoor(pki, gateway!)
    const client = await listening(door)
    client.send({ cmd: 'unsubscribe', messageId: 10, unsubscriptions: [topic] })
    await client.until(3)
    expect(door.broker.command(id, payload)).toBe(false)
    const again = await listening(door) // takes the other's place
    await client.closed
    expect(door.broker.command(id, payload)).toBe(true)
    again.socket.destroy()
    await expect.poll(() => door.broker.command(id, payload)).toBe(false)
  })
})
