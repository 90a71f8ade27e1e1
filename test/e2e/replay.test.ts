import { spawnSync } from 'node:child_process'
import { expect, test, vi } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { decodeReplayCode, encodeReplayCode } from '#gateway/oneway/replay-code.ts'
import { HeadEnd, nothingLost } from '#test/support/head-end.ts'
import { tempFolder } from '#test/support/temp.ts'

interface Stream {
  epoch: number
  highest: number
  gaps: [number, number][]
  replay: string[]
}

test('what never arrived is named by the receiver, asked for by its code, and arrives', async () => {
  const headEnd = await HeadEnd.layOut(tempFolder(), {
    concentrators: 2,
    meters: 20,
    intervalSeconds: 0.2,
    passesAfterMs: [0],
  })
  const replay = (code: string, ...more: string[]): { code: number | null; out: string; err: string } => {
    const line = [mainFile, 'gateway', 'replay', '--config', headEnd.layout.gatewayConfig, code, ...more]
    const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8' })
    return { code: status, out: stdout, err: stderr }
  }
  await headEnd.start('gateway')
  await headEnd.start('simulator')
  const gateway = headEnd.part('gateway')
  await vi.waitFor(() => expect(gateway.last('gateway.status')?.batchesForwarded).toBeGreaterThanOrEqual(3), {
    timeout: 15_000,
    interval: 50,
  })
  await headEnd.start('mdm') // and what was sent before has no pass left
  const stream = (): Stream | undefined =>
    (headEnd.part('mdm').last('mdm.status')?.streams as Stream[] | undefined)?.[0]
  await vi.waitFor(() => expect(stream()?.gaps.length).toBeGreaterThan(0), { timeout: 10_000, interval: 50 })

  const { epoch, gaps, replay: codes } = stream()!
  const [first, last] = gaps[0]!
  expect([first, codes.length]).toEqual([1, gaps.length])
  expect(decodeReplayCode(codes[0]!)).toEqual({ epoch, from: first, to: last })

  const mistyped = codes[0]!.replace(/.$/, (end) => (end === '8' ? 'G' : '8'))
  expect(replay(mistyped)).toMatchObject({ code: 2, out: '', err: expect.stringContaining('REPLAY_CODE') })
  const foreign = encodeReplayCode({ epoch: (epoch ^ 1) >>> 0, from: 1, to: 1 })
  expect(replay(foreign)).toMatchObject({ code: 2, err: expect.stringContaining('REPLAY_EPOCH') })
  const future = encodeReplayCode({ epoch, from: 1, to: 90_000 })
  expect(replay(future)).toMatchObject({ code: 2, err: expect.stringContaining('REPLAY_UNKNOWN') })
  expect(stream()!.gaps[0]![0]).toBe(first)

  const answered = replay(codes[0]!.toLowerCase().replaceAll('-', ' '), '--json')
  expect(answered.code).toBe(0)
  expect(JSON.parse(answered.out)).toEqual({
    ok: true,
    epoch,
    from: first,
    to: last,
    batches: last - first + 1,
    erased: 0,
  })
  expect(await headEnd.drain()).toMatchObject(nothingLost) // waits until no gap is left
}, 60_000)
