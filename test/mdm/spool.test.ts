import { createSocket } from 'node:dgram'
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { receiveBufferOctetsMin } from '#mdm/receive-buffer.ts'
import { Spooler, type SpoolerOptions, spoolerStatusFile } from '#mdm/spool.ts'
import { type Spooled, SpoolReader } from '#mdm/spool-reader.ts'
import { readRecord, recordHeadOctets, writeRecord } from '#mdm/spool-record.ts'
import { SpoolRing, segmentsOf } from '#mdm/spool-ring.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { tempFolder } from '#test/support/temp.ts'

const ringOctets = 2_000_000
const datagram = (n: number, octets = 1_400): Buffer => Buffer.alloc(octets, n % 251)

/** What is there, copied out of the reader's memory, with its time. */
function readAll(reader: SpoolReader): { atMs: number; octets: Buffer }[] {
  const all: { atMs: number; octets: Buffer }[] = []
  for (let some = reader.read(); some.length > 0; some = reader.read()) all.push(...some.map(copy))
  return all
}
const copy = ({ atMs, datagram }: Spooled): { atMs: number; octets: Buffer } => ({
  atMs,
  octets: Buffer.from(datagram),
})

function readerOf(folder: string): SpoolReader {
  const reader = new SpoolReader(folder)
  onTestFinished(() => reader.close())
  return reader
}

describe('a record of the ring', () => {
  test('is read as it was written, and of any octets nothing is read that its CRC does not hold for', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 56, maxLength: 300 }),
        fc.nat(2 ** 48 - 1),
        fc.nat(),
        (octets, atMs, at) => {
          const memory = Buffer.alloc(recordHeadOctets + octets.length)
          expect(writeRecord(memory, 0, octets, atMs)).toBe(memory.length)
          expect(readRecord(memory, 0)).toEqual({ atMs, datagram: Buffer.from(octets), end: memory.length })
          expect(readRecord(memory.subarray(0, -1), 0)).toBe('short')
          memory[at % memory.length]! ^= 1 << (at % 8)
          expect(readRecord(memory, 0)).toBeTypeOf('string')
        },
      ),
    )
    expect(readRecord(Buffer.alloc(100), 0)).toBe('broken')
  })
})

describe('the ring', () => {
  test('gives what was put into it, in order, beside its writer and after another life of each', () => {
    const folder = tempFolder()
    const first = new SpoolRing(folder, ringOctets)
    const reader = readerOf(folder)
    for (let n = 0; n < 100; n++) first.append(datagram(n), n)
    expect(readAll(reader)).toEqual([]) // not written yet
    first.flush()
    expect(readAll(reader)).toEqual(Array.from({ length: 100 }, (_, n) => ({ atMs: n, octets: datagram(n) })))
    const second = new SpoolRing(folder, ringOctets) // the first was killed
    for (let n = 100; n < 150; n++) second.append(datagram(n), n)
    second.close()
    expect(readAll(reader).map(({ atMs }) => atMs)).toEqual(Array.from({ length: 50 }, (_, i) => 100 + i))
    expect(readAll(readerOf(folder))).toHaveLength(150)
    expect(reader.brokenOctets).toBe(0)
  })

  test('is read again from where it was released, and files that lie before are gone', () => {
    const folder = tempFolder()
    const ring = new SpoolRing(folder, ringOctets)
    for (let n = 0; n < 600; n++) {
      ring.append(datagram(n), n)
      ring.flush()
    }
    const files = segmentsOf(folder).length
    expect(files).toBeGreaterThan(10)
    const reader = readerOf(folder)
    let some = reader.read()
    while (!some.some(({ atMs }) => atMs === 300)) some = reader.read()
    reader.release(some.find(({ atMs }) => atMs === 300)!.position)
    expect(segmentsOf(folder).length).toBeLessThan(files / 2 + 2)
    expect(readAll(readerOf(folder)).map(({ atMs }) => atMs)).toEqual(Array.from({ length: 300 }, (_, i) => 300 + i))
  })

  test('never has more octets than it may, counts what it drops when full, and takes again what there is room for', () => {
    const folder = tempFolder()
    const ring = new SpoolRing(folder, ringOctets)
    for (let n = 0; n < 2_000; n++) {
      ring.append(datagram(n), n)
      if (n % 30 === 29) ring.flush()
    }
    const { octets, dropped, full } = ring.state()
    expect(octets).toBeLessThanOrEqual(ringOctets)
    expect(segmentsOf(folder).reduce((sum, one) => sum + one.octets, 0)).toBe(octets)
    expect(full).toBe(true)
    const reader = readerOf(folder)
    const kept = readAll(reader).map(({ atMs }) => atMs)
    expect(kept).toEqual(Array.from({ length: 2_000 - dropped.full }, (_, n) => n))
    ring.survey()
    reader.release(reader.position)
    ring.survey()
    expect(ring.state().full).toBe(false)
    expect(ring.state().octets).toBeLessThan(ringOctets / 32) // the file that is open
    ring.append(datagram(7), 7_777)
    ring.flush()
    expect(readAll(reader).map(({ atMs }) => atMs)).toEqual([7_777])
  })

  test('passes over an end that a crash of the machine tore, and says how much', () => {
    const folder = tempFolder()
    const ring = new SpoolRing(folder, ringOctets)
    for (let n = 0; n < 3; n++) ring.append(datagram(n), n)
    ring.flush()
    const [file] = readdirSync(folder).map((name) => join(folder, name))
    const whole = statSync(file!).size
    for (const tear of [
      (): void => appendFileSync(file!, Buffer.alloc(500)), // length written, data not
      (): void => appendFileSync(file!, readFileSync(file!).subarray(0, 700)), // half a record
    ]) {
      tear()
      const torn = statSync(file!).size - whole
      const again = new SpoolRing(folder, ringOctets)
      again.append(datagram(9), 9)
      again.close()
      const reader = readerOf(folder)
      expect(readAll(reader).map(({ atMs }) => atMs)).toEqual([0, 1, 2, 9])
      expect(reader.brokenOctets).toBe(torn)
      for (const name of readdirSync(folder).sort().slice(1)) rmSync(join(folder, name))
      writeFileSync(file!, readFileSync(file!).subarray(0, whole))
    }
  })

  test('whose position cannot be read, or lies beyond it, is read from its beginning', () => {
    const folder = tempFolder()
    const ring = new SpoolRing(folder, ringOctets)
    ring.append(datagram(1), 1)
    ring.close()
    for (const position of ['', 'x', '99999999\n']) {
      writeFileSync(join(folder, 'position'), position)
      expect(readAll(readerOf(folder))).toHaveLength(1)
    }
  })
})

describe('the spooler', () => {
  async function spoolerOf(
    more: Partial<SpoolerOptions> = {},
  ): Promise<{ spooler: Spooler; folder: string; log: LogTail }> {
    const [folder, log] = [tempFolder(), new LogTail('mdm')]
    const spooler = await Spooler.open({
      host: '127.0.0.1',
      port: 0,
      folder,
      octetsMax: 16_777_216,
      receiveBufferOctets: receiveBufferOctetsMin,
      allowSmallBuffer: true,
      log: log.log,
      ...more,
    })
    onTestFinished(() => spooler.close())
    return { spooler, folder, log }
  }

  async function send(port: number, datagrams: readonly Uint8Array[]): Promise<void> {
    const socket = createSocket('udp4')
    for (const one of datagrams) await new Promise<void>((sent) => socket.send(one, port, '127.0.0.1', () => sent()))
    socket.close()
  }

  test('writes what comes, with the time, and drops what no datagram of ours can be by its length', async () => {
    const { spooler, folder } = await spoolerOf()
    const before = Date.now()
    await send(spooler.port, [Buffer.alloc(0), datagram(1), Buffer.alloc(55), datagram(2, 56), Buffer.alloc(9_000)])
    await vi.waitFor(() => expect(spooler.status()).toMatchObject({ datagrams: 5, misfits: 3 }), 10_000)
    const reader = readerOf(folder)
    const came: ReturnType<typeof copy>[] = []
    await vi.waitFor(() => expect(came.push(...reader.read().map(copy))).toBe(2), 10_000)
    expect(came.map(({ octets }) => octets)).toEqual([datagram(1), datagram(2, 56)])
    for (const { atMs } of came) expect(atMs).toBeGreaterThanOrEqual(before)
  })

  test('says that its port is taken', async () => {
    const { spooler } = await spoolerOf()
    await expect(spoolerOf({ port: spooler.port })).rejects.toThrow(ConfigError)
  })

  test('keeps its status in a file', async () => {
    const { spooler, folder } = await spoolerOf()
    await vi.waitFor(
      () => expect(JSON.parse(readFileSync(spoolerStatusFile(folder), 'utf8'))).toMatchObject({ port: spooler.port }),
      10_000,
    )
  })

  test('alarms on a ring that is full, and says when it has room again', async () => {
    const { spooler, folder, log } = await spoolerOf({ octetsMax: 1_000_000 })
    const reader = readerOf(folder)
    await vi.waitFor(
      async () => {
        await send(
          spooler.port,
          Array.from({ length: 100 }, (_, i) => datagram(i)),
        )
        expect(log.find({ event: 'spool.full' })).toBeDefined()
      },
      { timeout: 10_000, interval: 5 },
    )
    expect((await log.until({ event: 'spool.full' })).level).toBe('error')
    expect(spooler.status().ring.octets).toBeLessThanOrEqual(1_000_000)
    readAll(reader)
    reader.release(reader.position)
    await log.until({ event: 'spool.freed' })
  })

  test('with a receive buffer below the least starts only when it is told to, and says which sysctl to set', async () => {
    const small = { receiveBufferOctets: 65_536 }
    const refused = await spoolerOf({ ...small, allowSmallBuffer: false }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(ConfigError)
    expect((refused as ConfigError).message).toMatch(/^RECEIVE_BUFFER: .* 65536 .*sysctl -w net.core.rmem_max=4194304/)
    const { log, spooler } = await spoolerOf(small)
    expect(log.find({ event: 'mdm.buffer', code: 'RECEIVE_BUFFER' })).toMatchObject({
      level: 'warn',
      octets: 65_536,
      mend: 'sysctl -w net.core.rmem_max=4194304',
    })
    expect(spooler.status().receiveBufferOctets).toBe(65_536)
  })

  test('tells what the kernel dropped because its buffer was full', async () => {
    const { spooler } = await spoolerOf({ receiveBufferOctets: 65_536 })
    const socket = createSocket('udp4')
    const sent = Array.from(
      { length: 500 },
      (_, n) => new Promise<void>((sent) => socket.send(datagram(n), spooler.port, '127.0.0.1', () => sent())),
    )
    for (const until = performance.now() + 150; performance.now() < until; ); // nothing is read meanwhile
    await Promise.all(sent)
    socket.close()
    await vi.waitFor(() => {
      const { datagrams, kernel } = spooler.status()
      expect(kernel.socket).toBeGreaterThan(0)
      expect(datagrams + kernel.socket).toBe(500)
      expect(kernel.rcvbufErrors).toBeGreaterThanOrEqual(kernel.socket)
    }, 10_000)
  })
})

test('a spooler on IPv6 counts its drops too', async () => {
  const log = pino({ level: 'silent' })
  const spooler = await Spooler.open({
    host: '::1',
    port: 0,
    folder: tempFolder(),
    octetsMax: 16_777_216,
    receiveBufferOctets: 65_536,
    allowSmallBuffer: true,
    log,
  })
  expect(spooler.status().kernel.socket).toBe(0)
  spooler.close()
})
