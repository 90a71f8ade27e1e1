import { createSocket } from 'node:dgram'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { SpoolReader } from '#mdm/spool-reader.ts'
import { SpoolRing } from '#mdm/spool-ring.ts'
import { Chain, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf } from '#test/support/datagrams.ts'
import { layOutMdm, mdmProcess } from '#test/support/mdm.ts'
import { type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'
import { smallDisk, whyNoSmallDisk } from '#test/support/small-disk.ts'
import { tempFolder } from '#test/support/temp.ts'

const reason = whyNoSmallDisk()
if (reason !== undefined && process.env.CI !== undefined) {
  test('full disks are tried in CI', () => expect(reason).toBeUndefined())
}
const patience = { timeout: 30_000, interval: 50 }
const epoch = 7

let pki: ThrowawayPki
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

/** Takes what room there is, but for so much. @returns what gives it back */
function fill(disk: string, leave = 0): () => void {
  const file = join(disk, 'filler')
  const { bavail, bsize } = statfsSync(disk)
  writeFileSync(file, Buffer.alloc(Math.max(0, bavail * bsize - leave)))
  return () => rmSync(file)
}

function sender(port: number): (datagrams: readonly Buffer[]) => Promise<void> {
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  return async (datagrams) => {
    for (const one of datagrams) await new Promise<void>((done) => socket.send(one, port, '127.0.0.1', () => done()))
  }
}

describe.skipIf(reason !== undefined)(`a full disk${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  test('under the ring: whole records stay, the rest is counted, and it goes on when there is room', async () => {
    const disk = smallDisk(2_000_000)
    const free = fill(disk, 400_000)
    const ring = new SpoolRing(disk, 268_435_456) // so that the file goes on
    const datagram = Buffer.alloc(1_400, 1)
    for (let n = 0; n < 600; n++) ring.append(datagram, n)
    ring.flush()
    const { failure, dropped } = ring.state()
    expect(failure).toBe('ENOSPC')
    expect(dropped.failed).toBeGreaterThan(250)
    const reader = new SpoolReader(disk)
    onTestFinished(() => reader.close())
    const read = (): number[] => {
      const times: number[] = []
      for (let some = reader.read(); some.length > 0; some = reader.read()) times.push(...some.map(({ atMs }) => atMs))
      return times
    }
    expect(read()).toEqual(Array.from({ length: 600 - dropped.failed }, (_, n) => n))
    free()
    await vi.waitFor(() => {
      ring.append(datagram, 1_000)
      ring.flush()
      expect(ring.state().failure).toBeUndefined()
    }, patience)
    ring.append(datagram, 2_000)
    ring.flush()
    expect(read()).toEqual([1_000, 2_000])
    expect(reader.brokenOctets).toBe(0)
  })

  test('under what is stored: nothing is lost, an alarm says it, and it goes on by itself', async () => {
    const disk = smallDisk(8_000_000)
    const laidOut = layOutMdm(pki, { data: join(disk, 'data'), spool: { folder: join(tempFolder(), 'ring') } })
    const mdm = mdmProcess(laidOut, 'receive')
    const port = Number((await mdm.until('mdm.listening')).port)
    await mdm.until('mdm.status')
    const free = fill(disk)
    const chain = new Chain(await sealerOf(pki), epoch)
    const send = sender(port)
    for (let n = 1; n <= 5; n++) {
      const { octets, sequence } = await chain.next([seriesOf(n, 96)])
      await send(datagramsOf(octets, { epoch, sequence, symbolOctets: 1_400 })) // once
    }
    expect(await mdm.until('store.failed')).toMatchObject({ level: 'error', code: 'ENOSPC' })
    await vi.waitFor(
      () => expect(mdm.last('mdm.status')).toMatchObject({ storeFailure: 'ENOSPC', batches: 0 }),
      patience,
    )
    free()
    await mdm.until('store.resumed')
    await vi.waitFor(
      () => expect(mdm.last('mdm.status')).toMatchObject({ batches: 5, streams: [{ missing: 0 }] }),
      patience,
    )
    expect(mdm.last('mdm.status')?.storeFailure).toBeUndefined()
    expect(await mdm.stop()).toBe(0)
  }, 60_000)

  test('at the end leaves what was not stored for the next start, with exit code 74', async () => {
    const disk = smallDisk(8_000_000)
    const laidOut = layOutMdm(pki, { data: join(disk, 'data'), spool: { folder: join(tempFolder(), 'ring') } })
    const mdm = mdmProcess(laidOut, 'receive')
    const port = Number((await mdm.until('mdm.listening')).port)
    await mdm.until('mdm.status')
    const free = fill(disk)
    const { octets, sequence } = await new Chain(await sealerOf(pki), epoch).next([seriesOf(1, 96)])
    await sender(port)(datagramsOf(octets, { epoch, sequence, symbolOctets: 1_400 }))
    await mdm.until('store.failed')
    expect(await mdm.stop()).toBe(74)
    free()
    const again = mdmProcess(laidOut, 'receive')
    await vi.waitFor(() => expect(again.last('mdm.status')).toMatchObject({ batches: 1 }), patience)
  }, 60_000)
})
