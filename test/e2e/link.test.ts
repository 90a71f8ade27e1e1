import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import type { LinkStatus, StreamLink } from '#mdm/link.ts'
import { HeadEnd, nothingLost } from '#test/support/head-end.ts'
import { tempFolder } from '#test/support/temp.ts'

const within = { timeout: 30_000, interval: 50 }

function ami(...line: string[]): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [mainFile, ...line], { encoding: 'utf8', timeout: 60_000 })
}

/** A head-end whose manifests come often and whose passes are over soon. */
async function layOut(): Promise<HeadEnd> {
  const headEnd = await HeadEnd.layOut(tempFolder(), {
    ...{ concentrators: 1, meters: 4, intervalSeconds: 0.2, passesAfterMs: [0, 300] },
  })
  const { gatewayConfig } = headEnd.layout
  const { forward, ...rest } = JSON.parse(readFileSync(gatewayConfig, 'utf8')) as { forward: object }
  writeFileSync(gatewayConfig, JSON.stringify({ ...rest, forward: { ...forward, manifestMs: 500 } }))
  return headEnd
}

const linkOf = (headEnd: HeadEnd): LinkStatus => headEnd.part('mdm').last('mdm.status')?.link as LinkStatus
const streamOf = (headEnd: HeadEnd): StreamLink | undefined => linkOf(headEnd)?.streams[0]

test('what is missing behind the last batch that came is named with its readings, asked for by its code, and comes', async () => {
  const headEnd = await layOut()
  await headEnd.start('mdm')
  await headEnd.start('gateway')
  await headEnd.start('simulator')
  const gateway = headEnd.part('gateway')
  await vi.waitFor(() => expect(streamOf(headEnd)?.manifests).toBeGreaterThan(0), within)
  await headEnd.kill('mdm')
  const before = Number(gateway.last('gateway.status')?.batchesSealed)
  await vi.waitFor(() => expect(gateway.last('gateway.status')?.batchesSealed).toBeGreaterThan(before + 3), within)
  await headEnd.part('simulator').stop()
  const stands = (): {
    batchesSealed: number
    link: { lastPassTo: number; oldestUnsentMs: number; firstPassTo: number }
  } => gateway.last('gateway.status') as never
  await vi.waitFor(() => {
    expect(stands().link.oldestUnsentMs).toBe(0)
    expect(stands().link.lastPassTo).toBe(stands().batchesSealed)
  }, within) // every batch has had every pass, and nobody heard the last ones
  await headEnd.start('mdm')
  await vi.waitFor(() => expect(streamOf(headEnd)?.gaps.at(-1)?.state).toBe('confirmed'), within)

  const { gaps, highest, epoch } = streamOf(headEnd)!
  expect(gaps.at(-1)!.to).toBe(highest)
  expect(highest).toBe(stands().batchesSealed)
  for (const { exact, readings, replay } of gaps) {
    expect([exact, Number(readings) > 0]).toEqual([true, true])
    const [code] = replay
    expect(ami('gateway', 'replay', '--config', headEnd.layout.gatewayConfig, code!).status).toBe(0)
  }
  await vi.waitFor(() => expect(streamOf(headEnd)?.gaps).toEqual([]), within)
  expect(linkOf(headEnd).epochs).toMatchObject([{ epoch, accepted: true }])
  expect(headEnd.log('mdm')).toMatch(/"event":"gap.confirmed"/)
  expect(stands().link).toMatchObject({ sendErrors: 0, heartbeatsSkipped: 0, manifestsFailed: 0 })
  expect(await headEnd.drain()).toMatchObject(nothingLost)
}, 120_000)

test('a sender that was installed anew is announced, and taken when an operator says so', async () => {
  const headEnd = await layOut()
  const { gatewayConfig, mdmConfig, folder } = headEnd.layout
  await headEnd.start('mdm')
  await headEnd.start('gateway')
  await vi.waitFor(() => expect(linkOf(headEnd)?.epochs).toMatchObject([{ accepted: true }]), within)
  const [first] = linkOf(headEnd).epochs
  await headEnd.part('gateway').stop()
  const config = JSON.parse(readFileSync(gatewayConfig, 'utf8')) as object
  writeFileSync(gatewayConfig, JSON.stringify({ ...config, data: `${folder}/anew` }))
  await headEnd.start('gateway')
  await vi.waitFor(
    () => expect(linkOf(headEnd).epochs).toMatchObject([{ accepted: true }, { accepted: false }]),
    within,
  )
  const second = linkOf(headEnd).epochs[1]!.epoch
  expect(streamOf(headEnd)?.epoch).toBe(first!.epoch)
  expect(headEnd.part('mdm').last('epoch.announced')).toMatchObject({ level: 'error', epoch: second })
  await vi.waitFor(() => expect(headEnd.part('mdm').last('link.silent')).toMatchObject({ epoch: first!.epoch }), within)

  const said = ami('mdm', 'accept-epoch', '--config', mdmConfig, String(second))
  expect([said.status, said.stdout]).toEqual([0, `epoch ${second}: accepted\n`])
  await vi.waitFor(() => {
    const stream = linkOf(headEnd).streams.find((one) => one.epoch === second)
    expect(stream?.heartbeats).toBeGreaterThan(0)
    expect(stream?.manifests).toBeGreaterThan(0)
  }, within)
}, 120_000)
