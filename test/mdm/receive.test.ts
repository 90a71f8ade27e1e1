import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { encodeSealedBatch } from '#gateway/codec/batch.ts'
import { encodeReplayCode } from '#gateway/oneway/replay-code.ts'
import { Receiver, type ReceiverOptions } from '#mdm/receive.ts'
import { ReplayGuard } from '#mdm/replay-guard.ts'
import { Dispatcher } from '#mdm/sinks/dispatch.ts'
import { FileSink } from '#mdm/sinks/files.ts'
import { BatchStore } from '#mdm/store.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { linkKey, datagramsOf as passOf } from '#test/support/datagrams.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { meter, monday } from '#test/support/meters.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const epoch = 7
/** when datagrams came */
const atMs = 1_000
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
  store: BatchStore
  receiver: Receiver
  dispatcher: Dispatcher
  send: (datagrams: readonly Buffer[]) => Promise<void>
  restart: () => Promise<Lab>
  roots: Uint8Array[]
  log: LogTail
}

/** A receiver that stores in this folder, fed as the assembler feeds it. */
async function lab(data = tempFolder(), checks: ReceiverOptions['checks'] = {}): Promise<Lab> {
  const roots = certificatesFromPem(pki.rootPem)
  const [log, store] = [new LogTail('mdm'), new BatchStore(data)]
  const onFailure = (error: Error): void => {
    throw error
  }
  const receiver = new Receiver({ store, roots, keys: [linkKey], log: log.log, onFailure, checks })
  const dispatcher = new Dispatcher({ store, sinks: [new FileSink('ndjson', 'readings', data)], log: log.log })
  let open = true
  const end = async (): Promise<void> => {
    if (!open) return
    open = false
    await receiver.close()
    await dispatcher.close()
    store.close()
  }
  onTestFinished(end)
  const send: Lab['send'] = async (datagrams) => {
    for (const [mark, one] of datagrams.entries()) receiver.datagram(one, { mark, atMs })
    await receiver.idle()
    await dispatcher.idle()
  }
  const restart = async (): Promise<Lab> => {
    await end()
    return lab(data)
  }
  return { data, store, dispatcher, receiver, send, restart, roots, log }
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
const batchFile = (data: string, sequence: number): string =>
  join(stream(data), 'batches', '000000000', `${String(sequence).padStart(12, '0')}.batch`)
const quarantined = (data: string): string[] => readdirSync(join(data, 'quarantine')).sort()

describe('the receiver', () => {
  test('takes a batch from datagrams in any order and twice over, once', async () => {
    const { data, receiver, send } = await lab()
    const sealed = await fresh().next([seriesOf(1, 96), seriesOf(2, 96)])
    const all = datagramsOf(sealed)
    expect(all.length).toBeGreaterThan(5)
    await send(all.toReversed())
    await send([...all, all[2]!])
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
    await send([whole!, whole!, whole!, whole!])
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

  test('keeps two streams apart', async () => {
    const { data, receiver, send } = await lab()
    await send(datagramsOf(await fresh(7).next([seriesOf(1)]), 7))
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

  test('after a restart knows what it has, and a batch that a crash left half-written counts for nothing', async () => {
    const first = await lab()
    const chain = fresh()
    const [one, two, three] = [
      await chain.next([seriesOf(1)]),
      await chain.next([seriesOf(2)]),
      await chain.next([seriesOf(3)]),
    ]
    await first.send(datagramsOf(one))
    const [batch, readings] = [batchFile(first.data, 2), ndjsonFile(first.data, 2)]
    writeFileSync(`${batch}.partial`, 'half a batch') // a crash before the rename
    const { receiver, send } = await first.restart()
    expect(receiver.status().streams).toEqual([{ epoch, highest: 1, missing: 0, gaps: [], replay: [] }])
    await send([one, two, three].flatMap((some) => datagramsOf(some)))
    expect(receiver.status()).toMatchObject({
      batches: 2,
      streams: [{ epoch, highest: 3, missing: 0, gaps: [], replay: [] }],
    })
    expect(readFileSync(readings, 'utf8').split('\n')).toHaveLength(4)
    expect(readdirSync(dirname(batch)).filter((name) => name.endsWith('.partial'))).toEqual([])
  })

  test('after a restart writes the readings of a batch that a crash kept it from, and needs no repeat', async () => {
    const first = await lab()
    await first.send(datagramsOf(await fresh().next([seriesOf(1)])))
    const file = ndjsonFile(first.data, 1)
    const lines = readFileSync(file, 'utf8')
    rmSync(file)
    writeFileSync(`${file}.partial`, 'half a li')
    const { receiver, dispatcher } = await first.restart()
    expect(receiver.status().streams).toMatchObject([{ epoch, highest: 1, missing: 0 }])
    await dispatcher.idle()
    expect(readFileSync(file, 'utf8')).toBe(lines)
    expect(readdirSync(dirname(file))).toEqual(['000000000001.ndjson'])
  })

  test('after a restart has received what lies there as readings only', async () => {
    const first = await lab()
    await first.send(datagramsOf(await fresh().next([seriesOf(1)])))
    rmSync(join(stream(first.data), 'batches'), { recursive: true })
    const { receiver, dispatcher } = await first.restart()
    expect(receiver.status()).toMatchObject({ streams: [{ epoch, highest: 1 }] })
    expect(dispatcher.status()).toMatchObject([{ behind: 0, skipped: 0 }])
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
    'that cannot store %s says so, counts nothing as received, and goes on by itself when it can',
    async (what) => {
      const { data, receiver, roots, log } = await lab()
      const inTheWay = join(data, what === 'a batch' ? String(epoch).padStart(10, '0') : 'quarantine')
      if (what === 'its quarantine') roots.pop() // so that nothing verifies
      rmSync(inTheWay, { recursive: true, force: true })
      writeFileSync(inTheWay, 'a file where a folder is due')
      for (const one of datagramsOf(await fresh().next([seriesOf(1)]))) receiver.datagram(one, { mark: 0, atMs })
      await log.until({ event: 'store.failed', code: 'ENOTDIR' })
      expect(receiver.status()).toMatchObject({ batches: 0, refused: {}, storeFailure: 'ENOTDIR', streams: [] })
      expect(receiver.heldFrom(0)).toBe(0)
      rmSync(inTheWay)
      mkdirSync(inTheWay)
      await receiver.idle()
      expect(log.find({ event: 'store.resumed' })).toBeDefined()
      const done = what === 'a batch' ? { batches: 1, refused: {} } : { batches: 0, refused: { BATCH_SIGNATURE: 1 } }
      expect(receiver.status()).toMatchObject({ ...done, storeFailure: undefined })
      expect(receiver.heldFrom(0)).toBeUndefined()
    },
  )

  test('that is closed while it cannot store keeps nothing, and holds its place for the next start', async () => {
    const { data, receiver, log } = await lab()
    writeFileSync(join(data, String(epoch).padStart(10, '0')), 'a file where a folder is due')
    for (const one of datagramsOf(await fresh().next([seriesOf(1)]))) receiver.datagram(one, { mark: 9, atMs })
    await log.until({ event: 'store.failed' })
    await receiver.close()
    expect(receiver.heldFrom(0)).toBe(9)
    expect(receiver.status()).toMatchObject({ batches: 0, storeFailure: 'ENOTDIR' })
  })

  test('remembers what it stored when somebody has taken the files away', async () => {
    const first = await lab()
    const one = await fresh().next([seriesOf(1)])
    await first.send(datagramsOf(one))
    rmSync(stream(first.data), { recursive: true })
    const { receiver, send } = await first.restart()
    await send(datagramsOf(one))
    expect(receiver.status()).toMatchObject({ batches: 0, repeated: 1, streams: [{ epoch, highest: 1, missing: 0 }] })
  })

  test('lets one process at a time store', async () => {
    const { data } = await lab()
    expect(() => new ReplayGuard(data, 10)).toThrow(/locked/)
  })

  test('names what lies in quarantine, with the code to ask for it, until its like has come', async () => {
    const { receiver, send } = await lab()
    const good = await fresh().next([seriesOf(1)])
    const octets = encodeSealedBatch({ ...good, signature: new Uint8Array(0) })
    await send(datagramsOf({ ...good, octets }))
    const replay = encodeReplayCode({ epoch, from: 1, to: 1 })
    expect(receiver.status().quarantine).toEqual([{ epoch, sequence: 1, code: 'BATCH_SIGNATURE', replay }])
    await send(datagramsOf(good))
    expect(receiver.status()).toMatchObject({ batches: 1, quarantine: [] })
  })

  test('takes whole objects of another carrier, and says what became of each', async () => {
    const { receiver } = await lab()
    const good = await fresh().next([seriesOf(1)])
    const object = { epoch, sequence: 1, octets: Buffer.from(good.octets) }
    expect(await receiver.object({ ...object, octets: Buffer.alloc(8_388_609) })).toBe('DATAGRAM_LIMIT')
    expect(await receiver.object({ ...object, octets: Buffer.alloc(10) })).toBe('BATCH_MALFORMED')
    expect(await receiver.object(object)).toBe('stored')
    expect(await receiver.object(object)).toBe('repeated')
    expect(receiver.status()).toMatchObject({ batches: 1, refused: { DATAGRAM_LIMIT: 1, BATCH_MALFORMED: 1 } })
  })

  test('is busy while as much waits as it may hold', async () => {
    const { receiver, send } = await lab()
    const chain = fresh()
    const all: Sealed[] = []
    for (let n = 1; n <= 64; n++) all.push(await chain.next([seriesOf(n, 1)]))
    const datagrams = all.flatMap((one) => datagramsOf(one, epoch, 8_900))
    for (const one of datagrams.slice(0, -1)) receiver.datagram(one, { mark: 0, atMs })
    expect(receiver.busy).toBe(false)
    receiver.datagram(datagrams.at(-1)!, { mark: 0, atMs })
    expect(receiver.busy).toBe(true)
    await send([])
    expect(receiver.busy).toBe(false)
    expect(receiver.status()).toMatchObject({ batches: 64, refused: {} })
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
