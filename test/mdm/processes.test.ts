import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Child } from '#cli/demo/child.ts'
import { type RestartPolicy, supervise } from '#mdm/supervise.ts'
import { Chain, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf } from '#test/support/datagrams.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { type LaidOutMdm, layOutMdm, mdmProcess } from '#test/support/mdm.ts'
import { type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'

const epoch = 7
const batches = 60
/** How long anything may take on a machine that others use too. */
const patience = { timeout: 60_000, interval: 20 }

let pki: ThrowawayPki
/** of each batch, the datagrams of one pass */
let sent: Buffer[][]
beforeAll(async () => {
  pki = await throwawayPki()
  const chain = new Chain(await sealerOf(pki), epoch)
  sent = []
  for (let n = 1; n <= batches; n++) {
    const { octets, sequence } = await chain.next(Array.from({ length: 20 }, (_, i) => seriesOf(n * 100 + i, 96)))
    sent.push(datagramsOf(octets, { epoch, sequence, symbolOctets: 1_400 }))
  }
}, 60_000)
afterAll(() => pki.close())

/** One pass without a repair symbol, one datagram after the other: nothing may be lost on the way. */
function sender(port: number): (datagrams: readonly Buffer[]) => Promise<void> {
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  return async (datagrams) => {
    for (const one of datagrams) await new Promise<void>((done) => socket.send(one, port, '127.0.0.1', () => done()))
  }
}

function stored({ data }: LaidOutMdm): string[] {
  const folder = join(data, String(epoch).padStart(10, '0'), 'readings')
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ndjson'))
      .sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

const portOf = async (spooler: Child): Promise<number> => Number((await spooler.until('mdm.listening')).port)

describe('the two processes of the receiver', () => {
  test('SIGKILL of the assembler, ten times in mid-pass, loses nothing of a single pass', async () => {
    const laidOut = layOutMdm(pki)
    const mdm = mdmProcess(laidOut, 'receive')
    const send = sender(await portOf(mdm))
    let killed = 0
    for (const [n, datagrams] of sent.entries()) {
      const half = Math.ceil(datagrams.length / 2)
      await send(datagrams.slice(0, half))
      const pid = mdm.last('mdm.assembling')?.pid
      if (n % 6 === 0 && pid !== undefined) {
        await vi.waitFor(() => expect(mdm.last('mdm.assembling')?.pid).toBe(pid), patience)
        process.kill(Number(pid), 'SIGKILL')
        killed++
        await vi.waitFor(() => expect(mdm.last('mdm.assembling')?.pid).not.toBe(pid), patience)
      }
      if (pid === undefined) await mdm.until('mdm.assembling')
      await send(datagrams.slice(half))
    }
    expect(killed).toBeGreaterThanOrEqual(9)
    await vi.waitFor(() => expect(stored(laidOut)).toHaveLength(batches), patience)
    await vi.waitFor(
      () => expect(mdm.last('mdm.status')).toMatchObject({ streams: [{ highest: batches, missing: 0 }] }),
      patience,
    )
    expect(mdm.last('mdm.status')).toMatchObject({ quarantine: [], refused: {} })
    expect(await mdm.stop()).toBe(0)
  }, 120_000)

  test('run apart; what came while no assembler ran is stored when one does, and then the ring is released', async () => {
    const laidOut = layOutMdm(pki)
    const spooler = mdmProcess(laidOut, 'spool')
    await sender(await portOf(spooler))(sent.flat())
    const first = mdmProcess(laidOut, 'assemble')
    await vi.waitFor(() => expect(stored(laidOut)).toHaveLength(batches), patience)
    const position = (): number => Number(readFileSync(join(laidOut.spool, 'position'), 'utf8'))
    await vi.waitFor(() => expect(position()).toBeGreaterThan(sent.flat().length * 1_000), patience)
    expect(await first.stop()).toBe(0)
    expect(await spooler.stop()).toBe(0)
    const second = mdmProcess(laidOut, 'assemble')
    await second.until('mdm.status')
    expect(second.last('mdm.status')).toMatchObject({ datagrams: 0, streams: [{ highest: batches, missing: 0 }] })
  }, 120_000)

  test('a fault in the configuration that the assembler finds ends both, with exit code 78', async () => {
    const laidOut = layOutMdm(pki)
    writeFileSync(join(laidOut.folder, 'link.key'), 'no key')
    const mdm = mdmProcess(laidOut, 'receive')
    expect(await mdm.ended).toBe(78)
    expect(mdm.complaint).toMatch(/ami: linkKeys: .*64 hex digits/)
  }, 60_000)

  test('with a small receive buffer exits 78 with the sysctl to set; an option starts it anyway', async () => {
    const small = { receiveBufferOctets: 65_536, allowSmallBuffer: false }
    const refused = mdmProcess(layOutMdm(pki, small), 'receive')
    expect(await refused.ended).toBe(78)
    expect(refused.complaint).toMatch(/ami: RECEIVE_BUFFER: .*sysctl -w net\.core\.rmem_max=4194304/)
    const started = mdmProcess(layOutMdm(pki, small), 'spool', '--allow-small-buffer')
    await portOf(started)
    expect(started.last('mdm.buffer')).toMatchObject({ level: 'warn', octets: 65_536 })
  }, 60_000)

  test('the assembler ends when the spooler that started it is gone', async () => {
    const laidOut = layOutMdm(pki)
    const mdm = mdmProcess(laidOut, 'receive')
    const { pid } = await mdm.until('mdm.assembling')
    mdm.kill()
    await vi.waitFor(() => expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH'), patience)
    await mdmProcess(laidOut, 'receive').until('mdm.assembling')
  }, 60_000)
})

describe('supervision', () => {
  const policy: RestartPolicy = { startsMax: 4, aliveMs: 60_000, waitMs: { first: 1, last: 4 } }
  const ending = (code: number) => () => spawn(process.execPath, ['-e', `process.exit(${code})`], { stdio: 'ignore' })

  test('gives up a process that ends too often in a row, after waiting longer each time', async () => {
    const log = new LogTail('mdm')
    expect(await supervise(ending(3), log.log, policy).failed).toEqual({
      code: 70,
      detail: 'the assembler ended 4 times in a row, the last time with 3',
    })
    expect(log.lines.map(({ code, row, restartInMs }) => [code, row, restartInMs])).toEqual([
      [3, 1, 1],
      [3, 2, 2],
      [3, 3, 4],
    ])
  })

  test('counts anew after a process that lived long enough', async () => {
    const log = new LogTail('mdm')
    const child = supervise(ending(3), log.log, { ...policy, aliveMs: 0 })
    await vi.waitFor(() => expect(log.lines.length).toBeGreaterThan(6), patience)
    expect(new Set(log.lines.map(({ row }) => row))).toEqual(new Set([1]))
    await child.stop()
  })

  test('stops what it started, and gives its exit code', async () => {
    const log = new LogTail('mdm')
    const text = "process.on('SIGTERM', () => process.exit(9)); setInterval(() => {}, 1000); console.log('up')"
    const up = Promise.withResolvers<void>()
    const child = supervise(() => {
      const started = spawn(process.execPath, ['-e', text], { stdio: ['ignore', 'pipe', 'ignore'] })
      started.stdout!.once('data', () => up.resolve())
      return started
    }, log.log)
    await up.promise
    expect(await child.stop()).toBe(9)
  })
})
