import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import type { Child } from '#cli/demo/child.ts'
import type { Layout } from '#cli/demo/layout.ts'
import { type FleetConcentrator, makeFleet, type SimulatedMeter } from '#simulator/fleet.ts'
import { parseFleetFile } from '#simulator/prepare.ts'
import { protectionNames } from '#simulator/protections.ts'
import { sealOf } from '#simulator/seal.ts'
import { HeadEnd, type HeadEndOptions, nothingLost } from '#test/support/head-end.ts'
import { frame, monday, plainPush, uplink } from '#test/support/meters.ts'
import { dial, publishPacket } from '#test/support/raw-client.ts'
import { tempFolder } from '#test/support/temp.ts'

test('a fleet that protects its pushes in every way is read whole: what was sent was verified', {
  timeout: 60_000,
}, async () => {
  const headEnd = await HeadEnd.layOut(tempFolder(), {
    concentrators: 2,
    meters: 2 * protectionNames.length,
    intervalSeconds: 0.2,
    passesAfterMs: [0, 500],
    protection: protectionNames,
  })
  const lines = readFileSync(join(headEnd.layout.folder, 'fleet', 'registry.ndjson'), 'utf8')
    .trim()
    .split('\n')
  const ways = lines.map((line) => JSON.parse(line)).map(({ suite, forms }) => JSON.stringify([suite, forms]))
  expect(new Set(ways).size).toBe(protectionNames.length)
  await headEnd.start('mdm')
  await headEnd.start('gateway')
  await headEnd.start('simulator')
  await vi.waitFor(
    () => expect(Number(headEnd.part('gateway').last('gateway.status')?.sealed)).toBeGreaterThan(4_000),
    {
      timeout: 40_000,
      interval: 100,
    },
  )
  const reckoning = await headEnd.drain()
  expect(reckoning).toMatchObject(nothingLost)
  expect(reckoning.verified).toBe(reckoning.acked)
  const { sent, acked } = headEnd.part('simulator').last('simulator.status')!
  expect([sent, acked]).toEqual([reckoning.verified, reckoning.verified])
})

test('a dialect that a push was read through stands in the log, once a meter, and in the counts', async () => {
  const sizes = { concentrators: 1, meters: 2, intervalSeconds: 1, passesAfterMs: [0] }
  const { layout, ...headEnd } = await opened(sizes)
  const folder = join(layout.folder, 'fleet')
  const [concentrator] = makeFleet(parseFleetFile(readFileSync(join(folder, 'fleet.json'), 'utf8'))).substations[0]!
    .concentrators as [FleetConcentrator]
  const [meter] = concentrator.meters as [SimulatedMeter]
  const standard = plainPush({ counter: 1, rows: [[monday, 1]] })
  const tagged = Buffer.concat([standard.subarray(0, 5), Uint8Array.of(0x09), standard.subarray(5)])
  const frames = [1, 2].map((counter) => frame({ meter: meter.systemTitle }, sealOf(meter)(tagged, counter)))
  const client = await dial(headEnd.port, {
    host: '127.0.0.1',
    servername: 'localhost',
    ca: readFileSync(layout.rootFile),
    key: readFileSync(join(folder, 'concentrators', `${concentrator.id}.key.pem`)),
    cert: readFileSync(join(folder, 'concentrators', `${concentrator.id}.chain.pem`)),
  })
  await client.open()
  const { payload } = uplink(1, frames, concentrator.id)
  client.send(publishPacket(concentrator.id, { payload: Buffer.from(payload) }))
  expect(await headEnd.gateway.until('meter.dialect')).toMatchObject({
    meter: meter.systemTitle,
    dialect: 'tagged-date-time',
  })
  await vi.waitFor(() => expect(headEnd.gateway.last('gateway.status')!.dialects).toEqual({ 'tagged-date-time': 2 }), {
    timeout: 10_000,
    interval: 50,
  })
  expect(readFileSync(join(layout.folder, 'gateway.log'), 'utf8').match(/meter\.dialect/g)).toHaveLength(1)
})

/** A head-end whose gateway listens. */
async function opened(sizes: HeadEndOptions): Promise<{ layout: Layout; gateway: Child; port: number }> {
  const headEnd = await HeadEnd.layOut(tempFolder(), sizes)
  await headEnd.start('gateway')
  const gateway = headEnd.part('gateway')
  return { layout: headEnd.layout, gateway, port: Number(gateway.last('gateway.listening')!.port) }
}
