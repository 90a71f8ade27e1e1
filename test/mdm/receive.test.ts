import { createSocket } from 'node:dgram'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { encodeSealedBatch } from '#gateway/codec/batch.ts'
import { ConfigError } from '#gateway/errors.ts'
import { DatagramWriter, heartbeatShape } from '#gateway/oneway/datagram.ts'
import { heartbeatOctets } from '#gateway/oneway/heartbeat.ts'
import { encodeReplayCode } from '#gateway/oneway/replay-code.ts'
import { toiOfManifest } from '#gateway/oneway/toi.ts'
import { LinkStore } from '#mdm/link-store.ts'
import { openReceiver, type Receiver } from '#mdm/receive.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { linkKey, datagramsOf as passOf } from '#test/support/datagrams.ts'
import { meter, monday } from '#test/support/meters.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const epoch = 7
let pki: WithForeign
let fresh: (epoch?: number) => Chain
beforeAll(async () => {
  pki = await throwawayPki()
  const signer = await sealerOf(pki)
  fresh = (of = epoch) => new Chain(signer, of)
})
afterAll(() => pki.close())

interface Lab {
  data: string
  receiver: Receiver
  send: Send
  restart: () => Promise<Lab>
  roots: Uint8Array[]
  /** what the disk said */
  failures: Error[]
}

/** A receiver on loopback in this folder, and a socket that sends to it. */
async function lab(data = tempFolder()): Promise<Lab> {
  const roots = certificatesFromPem(pki.rootPem)
  const failures: Error[] = []
  const receiver = await openReceiver({
    host: '127.0.0.1',
    port: 0,
    data,
    roots,
    keys: [linkKey],
    receiveBufferOctets: 100_000,
    log: pino({ level: 'silent' }),
    onFailure: (error) => failures.push(error),
  })
  const socket = createSocket('udp4')
  let open = true
  const end = async (): Promise<void> => {
    if (!open) return
    open = false
    socket.close()
    await receiver.close()
  }
  onTestFinished(end)
  const send: Send = async (datagrams, burst = false) => {
    let until = receiver.status().datagrams
    for (const one of datagrams) {
      await new Promise<void>((sent) => socket.send(one, receiver.port, '127.0.0.1', () => sent()))
      until++
      if (!burst) await poll(() => receiver.status().datagrams >= until) // so that no buffer overflows
    }
    await poll(() => receiver.status().datagrams >= until)
    await receiver.idle()
  }
  const restart = async (): Promise<Lab> => {
    await end()
    return lab(data)
  }
  return { data, receiver, send, restart, roots, failures }
}
type Send = (datagrams: readonly Uint8Array[], burst?: boolean) => Promise<void>

async function poll(holds: () => boolean): Promise<void> {
  for (const until = performance.now() + 10_000; !holds(); ) {
    if (performance.now() > until) throw new Error('it did not come about within 10 s')
    await new Promise((next) => setImmediate(next))
  }
}

function datagramsOf(
  { octets, sequence }: Pick<Sealed, 'octets' | 'sequence'>,
  of = epoch,
  symbolOctets = 300,
): Buffer[] {
  return passOf(octets, { epoch: of, sequence, symbolOctets })
}

const stream = (data: string, of = epoch): string => join(data, String(of).padStart(10, '0'))
const ndjsonFile = (data: string, sequence: number, of = epoch): string =>
  join(stream(data, of), 'readings', '000000000', `${String(sequence).padStart(12, '0')}.ndjson`)
const quarantined = (data: string): string[] => readdirSync(join(data, 'quarantine')).sort()

describe('the receiver', () => {
  test('takes a batch from datagrams in any order and twice over, once', async () => {
    const { data, receiver, send } = await lab()
    const sealed = await fresh().next([seriesOf(1, 96), seriesOf(2, 96)])
    const all = datagramsOf(sealed)
    expect(all.length).toBeGreaterThan(5)
    await send([...all.toReversed(), ...all, all[2]!])
    expect(receiver.status()).toMatchObject({
      batches: 1,
      readings: 192,
      repeated: 1,
      refused: {},
      streams: [{ epoch, highest: 1, missing: 0, gaps: [], replay: [] }],
    })
    expect(readFileSync(join(stream(data), 'batches', '000000000', '000000000001.batch'))).toEqual(
      Buffer.from(sealed.octets),
    )
  })

  test('takes a batch of which a pass lost what its repair symbols make good, and ignores the rest of the pass', async () => {
    const { receiver, send } = await lab()
    const { octets } = await fresh().next([seriesOf(1, 96), seriesOf(2, 96)])
    const all = passOf(octets, { epoch, sequence: 1, symbolOctets: 300, lossShare: 0.1 })
    const source = Math.ceil(octets.length / 300)
    expect(all.length).toBeGreaterThan(source + 5)
    await send(all.slice(4))
    expect(receiver.status()).toMatchObject({ batches: 1, readings: 192, refused: {} })
  })

  test('counts a symbol that disagrees with the one that it holds, and keeps that one', async () => {
    const { receiver, send } = await lab()
    const good = await fresh().next([seriesOf(1, 96)])
    const [first, ...rest] = datagramsOf(good) as [Buffer, ...Buffer[]]
    const [other] = datagramsOf({ ...good, octets: Buffer.alloc(good.octets.length) })
    await send([first, other!, ...rest])
    expect(receiver.status()).toMatchObject({ batches: 1, refused: { SYMBOL_CONTRADICTS: 1 } })
  })

  test('counts a batch once that becomes whole again while it is being verified', async () => {
    const { receiver, send } = await lab()
    const [whole, ...more] = datagramsOf(await fresh().next([seriesOf(1)]), epoch, 8_900)
    expect(more).toEqual([])
    await send([whole!, whole!, whole!, whole!], true)
    expect(receiver.status()).toMatchObject({ batches: 1, readings: 3, refused: {} })
  })

  test('writes each reading as a line of JSON that loses no digit', async () => {
    const { data, send } = await lab()
    const values = [-(2n ** 63n), 2n ** 63n - 1n, -1, 0, 2 ** 53 - 1]
    const extreme = seriesOf(3, 5, {
      values,
      scaler: -3,
      unit: 255,
      qualities: [0, 1, 2, 4, 8],
      revisions: [0, 0, 1, 0, 255],
    })
    await send(datagramsOf(await fresh().next([extreme, seriesOf(1, 1)])))
    const lines = readFileSync(ndjsonFile(data, 1), 'utf8').trimEnd().split('\n')
    const digits = lines.map((line) => BigInt(/"value":(-?\d+)/.exec(line)![1]!))
    expect(digits).toEqual([...values.map(BigInt), 100n])
    expect(lines.map((line) => JSON.parse(line) as unknown).slice(2)).toEqual([
      line(3, 2, { value: -1, scaler: -3, unit: 255, quality: 2, revision: 1 }),
      line(3, 3, { value: 0, scaler: -3, unit: 255, quality: 4, revision: 0 }),
      line(3, 4, { value: 2 ** 53 - 1, scaler: -3, unit: 255, quality: 8, revision: 255 }),
      line(1, 0, { value: 100, scaler: 0, unit: 'Wh', quality: 0, revision: 0 }),
    ])
  })

  test('takes heartbeats and manifests as such: nothing of them is stored, and what is forged lies in quarantine', async () => {
    const { data, receiver, send } = await lab()
    await send(datagramsOf(await fresh().next([seriesOf(1)])))
    const payload = Buffer.alloc(heartbeatOctets)
    const writer = new DatagramWriter({ key: linkKey, epoch, slots: 1, symbolOctets: heartbeatOctets })
    const forged = passOf(Buffer.from('no manifest'), { epoch, sequence: toiOfManifest(1), symbolOctets: 300 })
    await send([writer.write({ sequence: 0, shape: heartbeatShape, symbol: 0, payload }), ...forged])
    expect(receiver.status()).toMatchObject({
      batches: 1,
      refused: { HEARTBEAT_MALFORMED: 1, MANIFEST_MALFORMED: 1 },
      streams: [{ highest: 1 }],
    })
    expect(quarantined(data)).toEqual([`7-${toiOfManifest(1)}-MANIFEST_MALFORMED.batch`])
  })

  test('drops what comes of an epoch that nobody accepted, and takes it when somebody has', async () => {
    const one = await lab()
    await one.send(datagramsOf(await fresh().next([seriesOf(1)])))
    const other = datagramsOf(await fresh(9).next([seriesOf(2)]), 9)
    await one.send(other)
    expect(one.receiver.status()).toMatchObject({ batches: 1, refused: { EPOCH_UNACCEPTED: other.length } })
    expect(() => statSync(stream(one.data, 9))).toThrow('ENOENT')
    expect(quarantined(one.data)).toEqual([])
    const link = new LinkStore(one.data)
    link.accept(9, Date.now())
    link.close()
    await poll(() => one.receiver.status().link.epochs.every(({ accepted }) => accepted))
    await one.send(other)
    expect(one.receiver.status()).toMatchObject({ batches: 2 })
  })

  test('names what is missing, and takes it when a later pass brings it', async () => {
    const { receiver, send } = await lab()
    const chain = fresh()
    const all: Sealed[] = []
    for (let n = 1; n <= 5; n++) all.push(await chain.next([seriesOf(n)]))
    await send([all[4]!, all[1]!].flatMap((one) => datagramsOf(one)))
    expect(receiver.status().streams).toEqual([
      {
        epoch,
        highest: 5,
        missing: 3,
        gaps: [
          [1, 1],
          [3, 4],
        ],
        replay: [encodeReplayCode({ epoch, from: 1, to: 1 }), encodeReplayCode({ epoch, from: 3, to: 4 })],
      },
    ])
    await send([all[2]!, all[0]!, all[3]!].flatMap((one) => datagramsOf(one)))
    expect(receiver.status()).toMatchObject({
      batches: 5,
      refused: {},
      streams: [{ epoch, highest: 5, missing: 0, gaps: [], replay: [] }],
    })
  })

  test('keeps two streams apart, once the second one is accepted', async () => {
    const first = await lab()
    await first.send(datagramsOf(await fresh(7).next([seriesOf(1)]), 7))
    const link = new LinkStore(first.data)
    link.accept(4_294_967_295, Date.now())
    link.close()
    const { data, receiver, send } = await first.restart()
    await send(datagramsOf(await fresh(4_294_967_295).next([seriesOf(2)]), 4_294_967_295))
    expect(receiver.status().streams).toEqual([
      { epoch: 7, highest: 1, missing: 0, gaps: [], replay: [] },
      { epoch: 4_294_967_295, highest: 1, missing: 0, gaps: [], replay: [] },
    ])
    expect(readFileSync(ndjsonFile(data, 1, 4_294_967_295), 'utf8')).toContain(meter(2).meter)
  })

  const forgeries: Record<string, { code: string; forge: (good: Sealed) => Partial<Sealed> }> = {
    'a flipped bit in the header': {
      code: 'BATCH_SIGNATURE',
      forge: ({ header }) => ({ header: flipped(header, 6) }), // the time of sealing: form and root still hold
    },
    'a flipped bit in the root': {
      code: 'BATCH_SIGNATURE',
      forge: ({ header }) => ({ header: flipped(header, header.length - 1) }),
    },
    'a flipped bit in a series': { code: 'BATCH_ROOT', forge: ({ series }) => ({ series: [flipped(series[0]!, 30)] }) },
    'a series more': { code: 'BATCH_ROOT', forge: ({ series }) => ({ series: [...series, series[0]!] }) },
    'no series': { code: 'BATCH_ROOT', forge: () => ({ series: [] }) },
    'a flipped bit in the signature': {
      code: 'BATCH_SIGNATURE',
      forge: ({ signature }) => ({ signature: flipped(signature, signature.length - 3) }),
    },
    'no signature': { code: 'BATCH_SIGNATURE', forge: () => ({ signature: new Uint8Array(0) }) },
    'no header': { code: 'BATCH_SIGNATURE', forge: () => ({ header: new Uint8Array(0) }) },
  }
  test.for(Object.entries(forgeries))(
    'quarantines a batch with %s, and stores nothing of it',
    async ([, { code, forge }]) => {
      const { data, receiver, send } = await lab()
      const good = await fresh().next([seriesOf(1)])
      const octets = encodeSealedBatch({ ...good, ...forge(good) })
      await send(datagramsOf({ ...good, octets }))
      expect(receiver.status()).toMatchObject({ batches: 0, readings: 0, refused: { [code]: 1 }, streams: [] })
      expect(quarantined(data)).toEqual([`7-000000000001-${code}.batch`])
      expect(readFileSync(join(data, 'quarantine', quarantined(data)[0]!))).toEqual(Buffer.from(octets))
      expect(() => statSync(stream(data))).toThrow('ENOENT')
      await send(datagramsOf(good)) // the next pass brings the real one
      expect(receiver.status()).toMatchObject({
        batches: 1,
        streams: [{ epoch, highest: 1, missing: 0, gaps: [], replay: [] }],
      })
    },
  )

  test('takes nothing that a foreign sealer signed', async () => {
    const { receiver, send } = await lab()
    const foreign = new Chain(await sealerOf(await pki.foreign()), epoch)
    await send(datagramsOf(await foreign.next([seriesOf(1)])))
    expect(receiver.status()).toMatchObject({ batches: 0, refused: { BATCH_SIGNATURE: 1 } })
  })

  test('refuses a batch under another sequence or epoch than its header says', async () => {
    const { data, receiver, send } = await lab()
    const good = await fresh().next([seriesOf(1)])
    await send(datagramsOf({ ...good, sequence: 2 }))
    await send(datagramsOf(good, epoch + 1))
    expect(receiver.status()).toMatchObject({ batches: 0, refused: { BATCH_CHAIN: 2 }, streams: [] })
    expect(quarantined(data)).toEqual(['7-000000000002-BATCH_CHAIN.batch', '8-000000000001-BATCH_CHAIN.batch'])
  })

  test('refuses a batch that does not follow the one before, or that the one after does not follow', async () => {
    const [here, there] = [fresh(), fresh()]
    const [first, second] = [await here.next([seriesOf(1)]), await here.next([seriesOf(2)])]
    const [otherFirst, otherSecond] = [await there.next([seriesOf(3)]), await there.next([seriesOf(4)])]
    const forward = await lab()
    await forward.send([first, otherSecond].flatMap((one) => datagramsOf(one)))
    expect(forward.receiver.status()).toMatchObject({ batches: 1, refused: { BATCH_CHAIN: 1 } })
    const backward = await lab()
    await backward.send([second, otherFirst].flatMap((one) => datagramsOf(one)))
    expect(backward.receiver.status()).toMatchObject({ batches: 1, refused: { BATCH_CHAIN: 1 } })
  })

  test('refuses a signed batch whose header miscounts its readings', async () => {
    const { receiver, send } = await lab()
    await send(datagramsOf(await fresh().next([seriesOf(1)], { readingCount: 4 })))
    expect(receiver.status()).toMatchObject({ batches: 0, refused: { BATCH_MALFORMED: 1 } })
  })

  test('goes on after datagrams that are none, and remembers nothing of epochs that they name', async () => {
    const { receiver, send } = await lab()
    const good = await fresh().next([seriesOf(1)])
    const [first] = datagramsOf(good) as [Buffer]
    const named = Array.from({ length: 200 }, (_, n) => datagramsOf(good, 1_000 + n)[0]!)
    const forged = Buffer.from(first)
    forged[70]! ^= 1
    const [foreign] = passOf(good.octets, { epoch, sequence: 1, symbolOctets: 300, key: { ...linkKey, id: 6 } })
    await send([Buffer.alloc(0), Buffer.of(1, 2, 3), first.subarray(0, 50), forged, foreign!, ...named])
    await send(datagramsOf(good))
    expect(receiver.status()).toMatchObject({
      batches: 1,
      refused: { DATAGRAM_LENGTH: 3, DATAGRAM_UNAUTHENTIC: 1, DATAGRAM_KEY: 1 },
    })
    expect(receiver.status().streams).toEqual([{ epoch, highest: 1, missing: 0, gaps: [], replay: [] }])
  })

  test('after a restart knows what it has, and a file that a crash left half-written counts for nothing', async () => {
    const first = await lab()
    const chain = fresh()
    const [one, two, three] = [
      await chain.next([seriesOf(1)]),
      await chain.next([seriesOf(2)]),
      await chain.next([seriesOf(3)]),
    ]
    await first.send([one, two].flatMap((some) => datagramsOf(some)))
    const file = ndjsonFile(first.data, 2)
    renameSync(file, `${file}.partial`) // a crash before the rename: batch there, readings not
    writeFileSync(`${file}.partial`, 'half a li')
    const { receiver, send, data } = await first.restart()
    expect(receiver.status().streams).toEqual([{ epoch, highest: 1, missing: 0, gaps: [], replay: [] }])
    await send([one, two, three].flatMap((some) => datagramsOf(some)))
    expect(receiver.status()).toMatchObject({
      batches: 2,
      streams: [{ epoch, highest: 3, missing: 0, gaps: [], replay: [] }],
    })
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(4)
    expect(
      readdirSync(join(stream(data), 'readings', '000000000')).filter((name) => name.endsWith('.partial')),
    ).toEqual([])
  })

  test('goes on where somebody has taken a sealed batch away', async () => {
    const { data, receiver, send } = await lab()
    const chain = fresh()
    const [one, two] = [await chain.next([seriesOf(1)]), await chain.next([seriesOf(2)])]
    await send(datagramsOf(one))
    rmSync(join(stream(data), 'batches'), { recursive: true })
    await send(datagramsOf(two))
    expect(receiver.status()).toMatchObject({ batches: 2, refused: {} })
  })

  test('an exception of ours quarantines that batch as UNHANDLED, and the next one is taken', async () => {
    const { data, receiver, send, roots } = await lab()
    const chain = fresh()
    const [one, two] = [await chain.next([seriesOf(1)]), await chain.next([seriesOf(2)])]
    const [root] = roots.splice(0, 1, undefined as unknown as Uint8Array)
    await send(datagramsOf(one))
    expect(receiver.status()).toMatchObject({ batches: 0, refused: { UNHANDLED: 1 } })
    expect(quarantined(data)).toEqual(['7-000000000001-UNHANDLED.batch'])
    roots.splice(0, 1, root!)
    await send(datagramsOf(two))
    expect(receiver.status()).toMatchObject({ batches: 1 })
  })

  test.each(['a batch', 'its quarantine'] as const)(
    'tells when it cannot store %s, and counts nothing as received',
    async (what) => {
      const { data, receiver, send, roots, failures } = await lab()
      if (what === 'a batch') writeFileSync(join(data, String(epoch).padStart(10, '0')), 'a file where a folder is due')
      else {
        roots.pop() // so that nothing verifies
        rmSync(join(data, 'quarantine'), { recursive: true })
        writeFileSync(join(data, 'quarantine'), 'a file where a folder is due')
      }
      await send(datagramsOf(await fresh().next([seriesOf(1)])))
      expect(failures).toMatchObject([{ code: 'ENOTDIR' }])
      expect(receiver.status()).toMatchObject({ batches: 0, readings: 0, streams: [] })
    },
  )

  test('says that its port is taken', async () => {
    const { receiver } = await lab()
    const log = pino({ level: 'silent' })
    const options = {
      host: '127.0.0.1',
      data: tempFolder(),
      roots: [],
      keys: [],
      receiveBufferOctets: 65_536,
      log,
      onFailure: () => {},
    }
    await expect(openReceiver({ ...options, port: receiver.port })).rejects.toThrow(ConfigError)
  })

  test('keeps a bounded quarantine', async () => {
    const data = tempFolder()
    mkdirSync(join(data, 'quarantine'))
    for (let n = 0; n < 1_000; n++)
      writeFileSync(join(data, 'quarantine', `0-${String(n).padStart(12, '0')}-OLD.batch`), '')
    const { send } = await lab(data)
    const good = await fresh().next([seriesOf(1)])
    await send(datagramsOf({ ...good, sequence: 9 }))
    expect(quarantined(data)).toHaveLength(1_000)
    expect(quarantined(data)).toContain('7-000000000009-BATCH_CHAIN.batch')
  })
})

function line(n: number, i: number, rest: object): object {
  const end = new Date((monday + (i + 1) * 900) * 1000).toISOString().replace('.000Z', 'Z')
  return { batch: 1, meter: meter(n).meter, obis: '1-0:1.29.0', end, ...rest }
}

function flipped(octets: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(octets)
  changed[at]! ^= 1
  return changed
}
