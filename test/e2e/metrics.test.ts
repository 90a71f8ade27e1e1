import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { HeadEnd } from '#test/support/head-end.ts'
import { tempFolder } from '#test/support/temp.ts'

/** The values of a scrape by name and labels. */
async function scrape(port: number): Promise<Map<string, number>> {
  const body = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

test('a running gateway tells a scrape of its handshakes by group, its readings and its batches', async () => {
  const asked = { concentrators: 2, meters: 20, intervalSeconds: 0.5, passesAfterMs: [0] }
  const headEnd = await HeadEnd.layOut(tempFolder(), asked)
  const { gatewayConfig } = headEnd.layout
  const config = JSON.parse(readFileSync(gatewayConfig, 'utf8')) as object
  writeFileSync(gatewayConfig, JSON.stringify({ ...config, metrics: { port: 0 } }))
  await headEnd.start('gateway')
  const port = Number(headEnd.part('gateway').last('metrics.listening')?.port)
  await headEnd.start('simulator')
  await vi.waitFor(
    async () => {
      const seen = await scrape(port)
      expect(seen.get('ami_gateway_sessions')).toBe(2)
      const handshakes =
        'ami_gateway_tls_handshakes_total{outcome="completed",protocol="TLSv1.3",group="X25519MLKEM768"}'
      expect(seen.get(handshakes)).toBe(2)
      expect(seen.get('ami_gateway_readings_taken_total{effect="fresh"}')).toBeGreaterThan(0)
      expect(seen.get('ami_gateway_batches_sealed_total')).toBeGreaterThan(0)
      expect(seen.get('ami_gateway_datagrams_sent_total')).toBeGreaterThan(0)
    },
    { timeout: 20_000, interval: 200 },
  )
  expect(await headEnd.part('simulator').stop()).toBe(0)
  expect(await headEnd.part('gateway').stop()).toBe(0)
}, 60_000)
