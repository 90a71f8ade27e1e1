import { spawnSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Line } from '#cli/demo/child.ts'
import { capture } from '#test/support/capture.ts'
import {
  Diode,
  type DiodeOptions,
  diodeMac,
  gatewayAddress,
  linkPort,
  mdmAddress,
  type Space,
  whyNoDiode,
} from '#test/support/diode.ts'
import { judge } from '#test/support/judge.ts'
import { OnewayLink, received } from '#test/support/oneway-link.ts'
import { tempFolder } from '#test/support/temp.ts'

const reason = whyNoDiode()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

if (reason !== undefined && process.env.CI !== undefined) {
  test('the one-way link is tried in CI', () => expect(reason).toBeUndefined())
}

function openDiode(options: DiodeOptions = {}): Diode {
  const diode = new Diode(options)
  onTestFinished(() => diode.close())
  return diode
}

/** Frames that reach the DMZ's end of its cable. */
const returning = (diode: Diode): ReturnType<typeof capture> =>
  capture({ launcher: diode.within('dmz'), device: 'out', filter: `ether src ${diodeMac}` })

/** Datagrams on their way into the diode, as hex digits. */
const leaving = (diode: Diode): ReturnType<typeof capture> =>
  capture({
    launcher: diode.within('diode'),
    device: 'dmz',
    filter: `dst host ${mdmAddress}`,
    field: 'udp.payload',
  })

/** Heartbeats (TOI 0) and manifests (from 2^52 on) tell the time, and so are never the same twice. */
function isOfBatch(hex: string): boolean {
  const toi = BigInt(`0x${hex.slice(24, 40)}`)
  return toi > 0n && toi < 1n << 48n
}

/** As many as CI has time for; `npm run bench:oneway` sends ten thousand. */
const objects = 60
const objectOctets = 1_000_000
const symbolOctets = 1_400
/** Two objects a second: what a receiver on a busy machine verifies and stores of objects with 19,000 series each. */
const bitsPerSecond = 24_000_000

describe.skipIf(reason !== undefined)(`through a link on which nothing returns${note}`, () => {
  test(`${objects} objects of 1 MB at 10 % loss: one pass brings them all, nothing comes back`, {
    timeout: 480_000,
  }, async () => {
    const diode = openDiode({ lossPercent: 10 })
    const link = await OnewayLink.layOut(tempFolder(), {
      batches: objects,
      octets: objectOctets,
      bitsPerSecond,
      passesAfterMs: [0],
    })
    const returned = judge.tshark.here ? await returning(diode) : undefined
    const mdm = await link.mdm(diode.within('it'))
    const gateway = await link.gateway(diode.within('dmz'))
    await vi.waitFor(() => expect(received(mdm.last('mdm.status'))).toBe(objects), { timeout: 360_000, interval: 500 })
    expect(await gateway.stop()).toBe(0)
    expect(await mdm.stop()).toBe(0)

    const sent = gateway.last('gateway.status')!
    expect(sent).toMatchObject({ batchesForwarded: objects, batchesWaiting: 0, datagramFaults: 0 })
    expect(mdm.last('mdm.status')).toMatchObject({
      batches: objects,
      readings: objects * link.readings,
      refused: {},
      streams: [{ highest: objects, missing: 0 }],
    })
    const { admitted, lost, refused } = diode.counters()
    expect(admitted + lost).toBe(sent.datagrams)
    expect(refused).toBe(0)
    expect(lost / (admitted + lost)).toBeCloseTo(0.1, 2)
    const least = objects * Math.ceil(objectOctets / symbolOctets)
    expect(Number(sent.datagrams) / least).toBeLessThan(1.25)
    expect(diode.counters()).toMatchObject({ passedBack: 0 })
    expect(diode.receivedInDmz()).toBe(0)
    expect((await returned?.()) ?? []).toEqual([])
  })

  test.skipIf(!judge.tshark.here)(
    `the gateway sends the same datagrams to a receiver, to a closed port, heard or not, and into nothing${judge.tshark.note}`,
    { timeout: 240_000 },
    async () => {
      const link = await OnewayLink.layOut(tempFolder(), {
        batches: 4,
        octets: 100_000,
        bitsPerSecond: 20_000_000,
        passesAfterMs: [0, 200],
      })
      const data = join(link.layout.folder, 'gateway')
      cpSync(data, `${data}.before`, { recursive: true })
      /** What leaves the gateway, and what it says of it. */
      const sent = async (diode: Diode): Promise<{ datagrams: string[]; status: Line }> => {
        rmSync(data, { recursive: true })
        cpSync(`${data}.before`, data, { recursive: true })
        const captured = await leaving(diode)
        const gateway = await link.gateway(diode.within('dmz'))
        expect(await gateway.stop()).toBe(0)
        const status = gateway.last('gateway.status')!
        const all = await captured(Number(status.datagrams))
        return { datagrams: all.filter(isOfBatch).sort(), status }
      }
      const diode = openDiode()
      const mdm = await link.mdm(diode.within('it'))
      const present = await sent(diode)
      await vi.waitFor(() => expect(received(mdm.last('mdm.status'))).toBe(4), { timeout: 30_000, interval: 100 })
      await mdm.stop()
      const before = diode.counters().returned
      const closed = await sent(diode)
      expect(diode.counters().returned).toBeGreaterThan(before) // the errors were there to be heard
      diode.lose(100)
      const nothing = await sent(diode)
      const leaky = openDiode({ leaky: true })
      const told = await sent(leaky)
      expect(leaky.receivedInDmz()).toBeGreaterThan(0) // what a receiver's kernel says does reach it here

      expect(present.datagrams.length).toBeGreaterThan(2 * 4 * 70)
      expect(present.status).toMatchObject({ batchesForwarded: 4, batchesWaiting: 0, datagramFaults: 0 })
      for (const { datagrams, status } of [closed, nothing, told]) {
        expect(status).toMatchObject({ batchesForwarded: 4, datagramFaults: 0 })
        expect(datagrams).toEqual(present.datagrams)
      }
      expect(diode.counters()).toMatchObject({ passedBack: 0, refused: 0 })
      expect(diode.receivedInDmz()).toBe(0)
    },
  )

  test.skipIf(!judge.tshark.here)(
    `whatever the far side sends is dropped and counted; without the rules every judge sees it${judge.tshark.note}`,
    { timeout: 60_000 },
    async () => {
      for (const leaky of [false, true]) {
        const diode = openDiode({ leaky })
        const returned = await returning(diode)
        send(diode, 'dmz', mdmAddress, linkPort) // nobody listens: the kernel over there says so by ICMP
        send(diode, 'it', gatewayAddress, linkPort)
        send(diode, 'it', gatewayAddress, 9)
        await vi.waitFor(() => expect(diode.counters().returned).toBe(3), { timeout: 10_000, interval: 20 })
        const through = leaky ? 3 : 0
        expect(diode.counters()).toMatchObject({ admitted: 1, passedBack: through })
        expect(diode.receivedInDmz()).toBe(through)
        expect(await returned(through)).toHaveLength(through)
      }
    },
  )

  test('another port and another protocol are refused and counted', () => {
    const diode = openDiode()
    send(diode, 'dmz', mdmAddress, linkPort + 1)
    expect(diode.counters()).toMatchObject({ admitted: 0, refused: 1 })
    const [program, ...args] = diode.within('dmz')
    spawnSync(program, [...args, process.execPath, '-e', connectScript, '--', mdmAddress, String(linkPort)])
    expect(diode.counters().refused).toBeGreaterThan(1)
    expect(diode.counters()).toMatchObject({ admitted: 0, passedBack: 0 })
  })
})

const sendScript = `
const [host, port] = process.argv.slice(1)
const socket = require('node:dgram').createSocket('udp4')
socket.send('hello', Number(port), host, () => socket.close())`

const connectScript = `
const [host, port] = process.argv.slice(1)
require('node:net').connect({ host, port: Number(port), timeout: 500 }).on('timeout', process.exit).on('error', process.exit)`

function send(diode: Diode, from: Space, host: string, port: number): void {
  const [program, ...args] = diode.within(from)
  const { status, stderr } = spawnSync(
    program,
    [...args, process.execPath, '-e', sendScript, '--', host, String(port)],
    {
      encoding: 'utf8',
    },
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
}
