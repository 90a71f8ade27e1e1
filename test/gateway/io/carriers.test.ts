import { once } from 'node:events'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Carrier, CarrierHeld, type Framed } from '#gateway/io/carrier.ts'
import { Carriers } from '#gateway/io/carriers.ts'
import { FileCarrier } from '#gateway/io/file-carrier.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { TcpCarrier } from '#gateway/io/tcp-carrier.ts'
import { bundleName } from '#gateway/oneway/carrier-name.ts'
import { encodeFrame, FrameReader, frameHeaderOctets } from '#gateway/oneway/frame.ts'
import type { Waiting } from '#gateway/oneway/schedule.ts'
import { linkKey } from '#test/support/datagrams.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { tempFolder } from '#test/support/temp.ts'

const reader = new FrameReader([linkKey], 8_388_608)
const never = new AbortController().signal
const keepMs = 1_000_000

function framed(sequence: number, octets = 5_000): Framed {
  const { frame, digest } = encodeFrame({ epoch: 7, sequence, octets: Buffer.alloc(octets, sequence) }, linkKey)
  return { frame, name: bundleName({ epoch: 7, sequence, digest }) }
}

describe('the carrier of files', () => {
  const carrierIn = (folder: string, octetsMax = 100_000): FileCarrier =>
    new FileCarrier({ kind: 'files', folder, octetsMax, keepMs })

  test('drops each bundle as a file of its own, whole under its name and nothing beside it', async () => {
    const folder = tempFolder()
    const carrier = carrierIn(folder)
    const bundles = [framed(1), framed(2)]
    for (const bundle of bundles) await carrier.carry(bundle)
    expect(readdirSync(folder).sort()).toEqual(bundles.map(({ name }) => name))
    expect(bundles.map(({ name }) => readFileSync(join(folder, name)))).toEqual(bundles.map(({ frame }) => frame))
  })

  test('is held by a folder that is full, counts what is ours alone, and goes on when a mover has taken some away', async () => {
    const folder = tempFolder()
    writeFileSync(join(folder, 'foreign'), Buffer.alloc(1_000_000))
    const carrier = carrierIn(folder, 11_000)
    await carrier.carry(framed(1))
    await carrier.carry(framed(2))
    await expect(carrier.carry(framed(3))).rejects.toThrow(
      new CarrierHeld('the folder is full: 2 bundles, 10144 octets'),
    )
    rmSync(join(folder, framed(1).name))
    const later = carrierIn(folder, 11_000) // or the same one, a second later
    await later.carry(framed(3))
    expect(readdirSync(folder).sort()).toEqual([framed(2).name, framed(3).name, 'foreign'])
  })

  test('takes away what nobody took in time and what a crash left half-written, and nothing else', async () => {
    const folder = tempFolder()
    const [old, fresh] = [framed(1), framed(2)]
    const old1970 = new Date(Date.now() - keepMs - 60_000)
    for (const name of [old.name, fresh.name, `.${framed(4).name}.partial`, 'foreign', '.partial', '.x.partial']) {
      writeFileSync(join(folder, name), 'x')
      if (name !== fresh.name) utimesSync(join(folder, name), old1970, old1970)
    }
    await carrierIn(folder).carry(framed(3))
    expect(readdirSync(folder).sort()).toEqual(['.partial', '.x.partial', fresh.name, framed(3).name, 'foreign'])
  })

  test('does not make a folder that is not there, and writes through no link', async () => {
    const folder = tempFolder()
    await expect(carrierIn(join(folder, 'mount')).carry(framed(1))).rejects.toThrow(new CarrierHeld('scandir: ENOENT'))
    const target = join(folder, 'target')
    writeFileSync(target, 'as it was')
    const drop = join(folder, 'drop')
    mkdirSync(drop)
    const carrier = carrierIn(drop)
    await carrier.carry(framed(1))
    symlinkSync(target, join(drop, `.${framed(2).name}.partial`))
    await expect(carrier.carry(framed(2))).rejects.toThrow(new CarrierHeld('open: ELOOP'))
    expect(readFileSync(target, 'utf8')).toBe('as it was')
  })
})

/** A proxy that keeps what each connection brings, to its end. */
async function proxy(options: { onConnection?: (n: number) => 'reset' | 'talk' | undefined } = {}): Promise<{
  port: number
  bundles: Buffer[]
  close: () => void
}> {
  const bundles: Buffer[] = []
  let connections = 0
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    const how = options.onConnection?.(++connections)
    const parts: Buffer[] = []
    socket.on('error', () => undefined)
    socket.on('data', (part) => {
      parts.push(part)
      if (how === 'talk' && !socket.write(part)) {
        socket.pause()
        socket.once('drain', () => socket.resume())
      }
      if (how === 'reset') socket.resetAndDestroy()
    })
    socket.on('end', () => {
      bundles.push(Buffer.concat(parts))
      socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = (): void => void server.close()
  onTestFinished(close)
  return { port: (server.address() as AddressInfo).port, bundles, close }
}

describe('the carrier over TCP', () => {
  const carrierTo = (port: number, bitsPerSecond = 1e9): TcpCarrier =>
    new TcpCarrier({ kind: 'tcp', host: '127.0.0.1', port, bitsPerSecond })

  test('brings each bundle on a connection of its own and ends its half', async () => {
    const { port, bundles } = await proxy()
    const carrier = carrierTo(port)
    const all = [framed(1), framed(2, 1_000_000)]
    for (const bundle of all) await carrier.carry(bundle, never)
    expect(bundles).toEqual(all.map(({ frame }) => frame))
  })

  test('throws away what a proxy says, also of one that reads on only when it is heard', async () => {
    const bundle = framed(1, 30_000_000)
    const { port, bundles } = await proxy({ onConnection: () => 'talk' })
    await carrierTo(port, 1e12).carry(bundle, never)
    await vi.waitFor(() => expect(bundles.map((one) => one.equals(bundle.frame))).toEqual([true]))
  })

  test('is held by a proxy that is not there, and by one that resets', async () => {
    const { port, close, bundles } = await proxy({ onConnection: () => 'reset' })
    await expect(carrierTo(port).carry(framed(1, 3_000_000), never)).rejects.toBeInstanceOf(CarrierHeld)
    expect(bundles).toEqual([])
    close()
    await vi.waitFor(() =>
      expect(carrierTo(port).carry(framed(1), never)).rejects.toThrow(new CarrierHeld('connect: ECONNREFUSED')),
    )
  })

  test('keeps the pace of the link', async () => {
    const { port } = await proxy()
    const started = performance.now()
    await carrierTo(port, 8_000_000).carry(framed(1, 500_000), never) // a megabyte a second, 131,072 octets at once
    expect(performance.now() - started).toBeGreaterThan(300)
  })

  test('lets go when it is told to', async () => {
    const { port } = await proxy()
    const stop = new AbortController()
    const carried = carrierTo(port, 8_000).carry(framed(1, 3_000_000), stop.signal)
    stop.abort()
    await expect(carried).rejects.toThrow(new CarrierHeld('ended'))
  })
})

/** A carrier that keeps the sequences it was given, and is held while it is told so. */
class Memory implements Carrier {
  readonly name: string
  readonly sequences: number[] = []
  held = false

  constructor(name: string) {
    this.name = name
  }

  async carry({ frame }: Framed): Promise<void> {
    if (this.held) throw new CarrierHeld('away')
    const header = reader.header(frame)
    this.sequences.push(reader.bundle(header, frame.subarray(frameHeaderOctets)).sequence)
  }
}

describe('the carriers beside the datagrams', () => {
  let ledger: SqliteLedger
  let folder: string
  beforeEach(() => {
    folder = tempFolder()
    ledger = ledgerIn(folder)
  })
  afterEach(() => ledger.close())

  function seal(sequence: number, more: Partial<Waiting> = {}): Waiting {
    const batch = {
      sequence,
      digest: Buffer.alloc(32),
      sealedAtMs: 1_000 * sequence,
      octets: Buffer.alloc(50, sequence),
    }
    ledger.outbox.seal({ upTo: 0, leaves: [], readings: 0, full: false }, batch)
    return { sequence, sealedAtMs: batch.sealedAtMs, passesDone: 0, ...more }
  }

  const told: [string, string | undefined][] = []
  function open(...carriers: Carrier[]): Carriers {
    told.length = 0
    const onHeld = (carrier: string, fault: string | undefined): void => void told.push([carrier, fault])
    return new Carriers({ carriers, database: ledger.database, outbox: ledger.outbox, key: linkKey, onHeld })
  }

  test('hand over every batch once, the urgent ones first, and after a restart none of them again', async () => {
    const one = new Memory('one')
    const first = open(one)
    for (const batch of [seal(1), seal(2), seal(3, { urgent: true })]) first.add(batch)
    await first.drain()
    expect(one.sequences).toEqual([3, 1, 2])
    expect(first.status).toEqual([{ name: 'one', carried: 3, waiting: 0, held: undefined }])
    const second = open(one)
    second.add(seal(4))
    await second.drain()
    expect(one.sequences).toEqual([3, 1, 2, 4])
  })

  test('one that is held keeps up no other, loses nothing, and is told of once', async () => {
    const [good, bad] = [new Memory('good'), new Memory('bad')]
    bad.held = true
    const first = open(good, bad)
    for (let n = 1; n <= 5; n++) first.add(seal(n))
    await vi.waitFor(() => expect(good.sequences).toEqual([1, 2, 3, 4, 5]))
    await first.drain()
    expect(first.status[1]).toEqual({ name: 'bad', carried: 0, waiting: 5, held: 'away' })
    expect(told).toEqual([['bad', 'away']])
    bad.held = false
    const second = open(good, bad)
    await second.drain()
    expect(bad.sequences).toEqual([1, 2, 3, 4, 5])
    expect(good.sequences).toHaveLength(5)
  })

  test('go on by themselves when what held them is mended', async () => {
    const bad = new Memory('bad')
    bad.held = true
    const carriers = open(bad)
    carriers.add(seal(1))
    await vi.waitFor(() => expect(told).toEqual([['bad', 'away']]))
    bad.held = false
    await vi.waitFor(
      () =>
        expect(told).toEqual([
          ['bad', 'away'],
          ['bad', undefined],
        ]),
      { timeout: 20_000 },
    )
    await carriers.drain()
    expect(bad.sequences).toEqual([1])
  })

  test('a carrier that is new brings what is still here, and what an operator asks for goes once more', async () => {
    const [old, fresh] = [new Memory('old'), new Memory('new')]
    const first = open(old)
    for (let n = 1; n <= 3; n++) first.add(seal(n))
    await first.drain()
    const second = open(old, fresh)
    second.replay(ledger.outbox.held(2, 2))
    await second.drain()
    expect(old.sequences).toEqual([1, 2, 3, 2])
    expect(fresh.sequences).toEqual([1, 2, 3])
  })

  test('keep a bounded number in memory, and hand over the rest in its turn', async () => {
    const one = new Memory('one')
    one.held = true
    const [backlogMax, count] = [4, 11]
    const { database, outbox } = ledger
    const carriers = new Carriers({
      carriers: [one],
      database,
      outbox,
      key: linkKey,
      backlogMax,
      onHeld: () => undefined,
    })
    for (let n = 1; n <= count; n++) carriers.add(seal(n))
    expect(carriers.status[0]!.waiting).toBe(backlogMax)
    one.held = false
    await carriers.drain()
    expect(one.sequences).toEqual(Array.from({ length: count }, (_, n) => n + 1))
  })

  test('one that does not come back with a bundle is told of', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const back = Promise.withResolvers<void>()
    const carriers = open({ name: 'mount', carry: () => back.promise })
    carriers.add(seal(1))
    await new Promise((turn) => setImmediate(turn))
    vi.advanceTimersByTime(60_000)
    expect(told).toEqual([['mount', 'no end after 60000 ms']])
    back.resolve()
    vi.useRealTimers()
    await carriers.drain()
    expect(told.at(-1)).toEqual(['mount', undefined])
  })

  test('forget what they have handed over when its batch is erased', async () => {
    const one = new Memory('one')
    const carriers = open(one)
    for (let n = 1; n <= 3; n++) carriers.add(seal(n))
    await vi.waitFor(() => expect(carriers.status[0]!.waiting).toBe(0))
    carriers.erase(2_500, 0)
    expect(ledger.outbox.held(1, 3).map(({ sequence }) => sequence)).toEqual([3])
    expect(ledger.database.prepare('SELECT sequence FROM carried').all()).toEqual([{ sequence: 3 }])
    await carriers.drain()
  })

  test('keep what one of them lacks, however long its window is over', async () => {
    const [good, bad] = [new Memory('good'), new Memory('bad')]
    bad.held = true
    const carriers = open(good, bad)
    for (let n = 1; n <= 3; n++) carriers.add(seal(n))
    await vi.waitFor(() => expect(carriers.status[0]!.waiting).toBe(0))
    carriers.erase(1_000_000, 0)
    bad.held = false
    await carriers.drain()
    expect(bad.sequences).toEqual([1, 2, 3])
  })

  test('hand over to a real folder what waited while it was full', async () => {
    const drop = join(folder, 'drop')
    mkdirSync(drop)
    const carriers = open(new FileCarrier({ kind: 'files', folder: drop, octetsMax: 300, keepMs }))
    for (let n = 1; n <= 6; n++) carriers.add(seal(n))
    const moved = new Set<string>()
    await vi.waitFor(
      () => {
        for (const name of readdirSync(drop).filter((one) => !one.startsWith('.'))) {
          moved.add(name)
          renameSync(join(drop, name), join(folder, name))
        }
        expect(moved.size).toBe(6)
      },
      { timeout: 30_000, interval: 50 },
    )
    expect(told[0]?.[1]).toContain('full')
    await carriers.drain()
    expect(carriers.status).toEqual([expect.objectContaining({ carried: 6, waiting: 0, held: undefined })])
  })
})
