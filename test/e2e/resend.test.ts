import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { SimulatedUplink } from '#simulator/concentrator.ts'
import { heldMax, Session } from '#simulator/load.ts'
import { type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'

let pki: WithForeign
let gateway: FiledCertificate
let own: FiledCertificate
beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
  own = await pki.issue('concentrator', 'dc-1')
})
afterAll(() => pki.close())

const uplink = (sequence: number): SimulatedUplink => ({
  sequence,
  octets: Buffer.from(String(sequence)),
  readings: 1,
  series: [],
})
const uplinks = (from: number, to: number): SimulatedUplink[] =>
  Array.from({ length: to - from }, (_, i) => uplink(from + i))
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

function openSession(port: number): { session: Session; acknowledged: number[] } {
  const acknowledged: number[] = []
  const session = new Session({
    id: 'dc-1',
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    trust: Buffer.from(pki.rootPem),
    key: Buffer.from(own.privateKeyPem!),
    certificate: Buffer.from(own.chainPem),
    onAcknowledged: ({ sequence }) => acknowledged.push(sequence),
  })
  onTestFinished(() => session.close())
  return { session, acknowledged }
}

const arrived = ({ journal }: FrontDoor): number[] => journal.arrivals.map(({ payload }) => Number(payload.toString()))
/** What a gateway that is killed leaves: the publishes in its journal, none of them acknowledged. */
const kill = (door: FrontDoor): Promise<void> => door.broker.close()

describe("a simulated concentrator's session", () => {
  test('sends again, in order, what a gateway took and did not acknowledge, and only then what is new', async () => {
    const first = await openFrontDoor(pki, gateway)
    first.journal.hold()
    const { session, acknowledged } = openSession(first.port)
    session.offer(uplinks(0, 20))
    await first.journal.arrival(8)
    await kill(first)
    expect(arrived(first)).toEqual(upTo(8))
    expect(acknowledged).toEqual([])
    session.offer(uplinks(20, 30))
    const second = await openFrontDoor(pki, gateway, { port: first.port })
    await session.drained()
    expect(arrived(second)).toEqual(upTo(30))
    expect(acknowledged).toEqual(upTo(30))
  })

  test('keeps that order when the next gateway goes too, in the middle of what is sent again', async () => {
    const first = await openFrontDoor(pki, gateway)
    first.journal.hold()
    const { session, acknowledged } = openSession(first.port)
    session.offer(uplinks(0, 12))
    await first.journal.arrival(8)
    await kill(first)
    for (let n = 0; n < 3; n++) {
      const next = await openFrontDoor(pki, gateway, { port: first.port })
      await next.journal.arrival(2) // the first is acknowledged, the second on its way
      next.journal.hold()
      session.offer(uplinks(12 + n, 13 + n))
      await kill(next)
      expect(arrived(next)).toEqual([...arrived(next)].sort((a, b) => a - b))
    }
    const last = await openFrontDoor(pki, gateway, { port: first.port })
    await session.drained()
    expect(arrived(last)).toEqual([...arrived(last)].sort((a, b) => a - b))
    expect(acknowledged).toEqual(upTo(15))
  })

  test('holds what it can while there is no gateway, and says so when it is full', async () => {
    const away = await openFrontDoor(pki, gateway)
    await kill(away)
    const { session, acknowledged } = openSession(away.port)
    expect(session.offer(uplinks(0, heldMax - 1))).toBe(true)
    expect(session.offer(uplinks(heldMax - 1, heldMax + 1))).toBe(false)
    expect(session.waiting).toBe(heldMax - 1)
    await openFrontDoor(pki, gateway, { port: away.port })
    await session.drained()
    expect(acknowledged).toEqual(upTo(heldMax - 1))
  })

  test('takes a history longer than it may hold when it holds nothing', async () => {
    const door = await openFrontDoor(pki, gateway)
    const { session, acknowledged } = openSession(door.port)
    expect(session.offer(uplinks(0, heldMax * 2))).toBe(true)
    expect(session.offer(uplinks(0, 1))).toBe(false)
    await session.drained()
    expect(acknowledged).toEqual(upTo(heldMax * 2))
  })
})
