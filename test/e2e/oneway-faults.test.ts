import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import type { Child } from '#cli/demo/child.ts'
import { OnewayLink, received } from '#test/support/oneway-link.ts'
import { freePorts, openRelay } from '#test/support/relay.ts'
import { tempFolder } from '#test/support/temp.ts'

const batches = 40
/** The passes at 0, 60 s and 15 min and what goes round after them, a hundred times as fast. */
const passesAfterMs = [0, 600, ...Array.from({ length: 14 }, (_, round) => 9_000 * (round + 1))]
const kills = 10
/** Ten minutes, a hundred times as fast. */
const outageSeconds = 6

/** Readings of all files that the receiver wrote, how many and how many different ones. */
function stored(data: string): { readings: number; different: number } {
  const names = new Set<string>()
  let readings = 0
  for (const file of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ndjson')) continue
    for (const [, meter] of readFileSync(join(data, file), 'utf8').matchAll(/"meter":"([0-9a-f]+)"/g)) {
      names.add(meter!)
      readings++
    }
  }
  return { readings, different: names.size }
}

test(`bursts of 5,000, reorder, duplicates, delay, an outage and ${kills} kills of the receiver: nothing is lost or doubled`, {
  timeout: 400_000,
}, async () => {
  const folder = tempFolder()
  const [gatewayPort, mdmPort] = (await freePorts(2)) as [number, number]
  const link = await OnewayLink.layOut(folder, {
    batches,
    octets: 300_000,
    bitsPerSecond: 16_000_000,
    passesAfterMs,
    loopback: { gateway: gatewayPort, mdm: mdmPort },
  })
  const relay = await openRelay(
    link.layout.folder,
    { from: gatewayPort, to: mdmPort },
    {
      ...{ seed: 6, loss: 5, burst: 5_000, 'burst-every': 25_000, duplicate: 1, reorder: 1, delay: 20 },
      ...{ outage: outageSeconds, 'outage-after': 9 },
    },
  )
  let mdm: Child = await link.mdm()
  const gateway = await link.gateway()
  const taken = (): number => Number(mdm.last('mdm.status')?.datagrams ?? 0)
  for (let n = 0; n < kills; n++) {
    await vi.waitFor(() => expect(taken()).toBeGreaterThan(500), { timeout: 60_000, interval: 20 })
    mdm.kill()
    await mdm.ended
    mdm = await link.mdm()
  }
  expect(gateway.last('gateway.status')!.batchesWaiting).toBeGreaterThan(0) // all of it while it sends
  await vi.waitFor(() => expect(received(mdm.last('mdm.status'))).toBe(batches), { timeout: 200_000, interval: 200 })
  expect(await gateway.stop()).toBe(0)
  expect(await mdm.stop()).toBe(0)

  expect(gateway.last('gateway.status')).toMatchObject({ batchesForwarded: batches, datagramFaults: 0 })
  expect(mdm.last('mdm.status')).toMatchObject({ refused: {}, streams: [{ highest: batches, missing: 0 }] })
  const all = batches * link.readings
  expect(stored(link.layout.mdmData)).toEqual({ readings: all, different: all })
  const faults = relay.last('link.status')!
  for (const kind of ['lost', 'lostInBursts', 'lostInOutage', 'duplicated', 'reordered']) {
    expect(faults[kind], kind).toBeGreaterThan(100)
  }
  expect(faults.lostInBursts).toBeGreaterThanOrEqual(5_000)
})
