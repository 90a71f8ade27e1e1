import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { batchOctetsMax, encodeSealedBatch } from '#gateway/codec/batch.ts'
import { bundleName } from '#gateway/oneway/carrier-name.ts'
import { encodeFrame, FrameReader } from '#gateway/oneway/frame.ts'
import { FileIntake } from '#mdm/file-intake.ts'
import type { TakeBundle } from '#mdm/intake.ts'
import { Receiver } from '#mdm/receive.ts'
import { Dispatcher } from '#mdm/sinks/dispatch.ts'
import { FileSink } from '#mdm/sinks/files.ts'
import { BatchStore } from '#mdm/store.ts'
import { openTcpIntake, type TcpIntake } from '#mdm/tcp-intake.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf, linkKey } from '#test/support/datagrams.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const epoch = 7
let pki: WithForeign
let fresh: () => Chain
beforeAll(async () => {
  pki = await throwawayPki()
  const signer = await sealerOf(pki)
  fresh = () => new Chain(signer, epoch)
})
afterAll(() => pki.close())

type Carrier = 'udp' | 'files' | 'tcp'
const carriers: readonly Carrier[] = ['udp', 'files', 'tcp']

/** A receiver with all three ways in, and what brings a batch over each. */
class Lab {
  readonly receiver: Receiver
  readonly files: FileIntake
  readonly tcp: TcpIntake
  readonly data: string
  readonly #folder: string
  readonly #store: BatchStore
  readonly #dispatcher: Dispatcher

  private constructor(parts: {
    receiver: Receiver
    store: BatchStore
    dispatcher: Dispatcher
    files: FileIntake
    tcp: TcpIntake
    folder: string
    data: string
  }) {
    this.#store = parts.store
    this.#dispatcher = parts.dispatcher
    this.receiver = parts.receiver
    this.files = parts.files
    this.tcp = parts.tcp
    this.data = parts.data
    this.#folder = parts.folder
  }

  static async open(): Promise<Lab> {
    const [data, folder] = [tempFolder(), tempFolder()]
    const log = pino({ level: 'silent' })
    const onFailure = (error: Error): void => {
      throw error
    }
    const roots = certificatesFromPem(pki.rootPem)
    const [host, keys] = ['127.0.0.1', [linkKey]]
    const store = new BatchStore(data)
    const dispatcher = new Dispatcher({ store, sinks: [new FileSink('ndjson', 'readings', data)], log })
    const receiver = new Receiver({ store, roots, keys, log, onFailure })
    const take: TakeBundle = (bundle) => receiver.take(bundle)
    const shared = { reader: new FrameReader(keys, batchOctetsMax), take, log, onFailure }
    const files = new FileIntake({ folder, pollMs: 5, stableMs: 0, staleMs: 600_000, ...shared }).start()
    const tcp = await openTcpIntake({ host, port: 0, ...shared })
    const lab = new Lab({ receiver, store, dispatcher, files, tcp, folder, data })
    onTestFinished(() => lab.#close())
    return lab
  }

  /** Resolves when this carrier is through with it. */
  async bring(by: Carrier, { sequence, octets }: Pick<Sealed, 'sequence' | 'octets'>): Promise<void> {
    const { frame, digest } = encodeFrame({ epoch, sequence, octets: Buffer.from(octets) }, linkKey)
    if (by === 'udp') await this.#receive(sequence, octets)
    else if (by === 'files') {
      const name = bundleName({ epoch, sequence, digest })
      writeFileSync(join(this.#folder, name), frame)
    } else {
      const socket = connect({ host: '127.0.0.1', port: this.tcp.port })
      socket.end(frame)
      socket.resume()
      await once(socket, 'close')
    }
  }

  /** As the assembler hands over what the ring has. */
  async #receive(sequence: number, octets: Uint8Array): Promise<void> {
    for (const [mark, one] of datagramsOf(octets, { epoch, sequence, symbolOctets: 1_400 }).entries()) {
      this.receiver.datagram(one, { mark, atMs: Date.now() })
    }
    await this.receiver.idle()
  }

  async settled(): Promise<void> {
    await vi.waitFor(() => expect(readdirSync(this.#folder)).toEqual([]), { interval: 5, timeout: 20_000 })
    await this.receiver.idle()
    await this.#dispatcher.idle()
  }

  /** the sequence of each reading's file, a line a reading */
  readings(): Map<string, number> {
    const folder = join(this.data, String(epoch).padStart(10, '0'), 'readings', '000000000')
    return new Map(
      readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8').trimEnd().split('\n').length]),
    )
  }

  async #close(): Promise<void> {
    await this.files.close()
    await this.tcp.close()
    await this.receiver.close()
    await this.#dispatcher.close()
    this.#store.close()
  }
}

describe('a batch that comes by several carriers', () => {
  test('is taken once, by whichever brings it first', async () => {
    const chain = fresh()
    const lab = await Lab.open()
    for (const order of [carriers, carriers.toReversed(), ['files', 'udp', 'tcp'] as const]) {
      const batch = await chain.next([seriesOf(1, 4)])
      for (const by of order) {
        await lab.bring(by, batch)
        await lab.settled()
      }
    }
    expect(lab.receiver.status()).toMatchObject({ batches: 3, readings: 12, refused: {} })
    expect([lab.files.status(), lab.tcp.status()]).toMatchObject([
      { stored: 1, repeated: 2 },
      { stored: 1, repeated: 2 },
    ])
    expect([...lab.readings().values()]).toEqual([4, 4, 4])
  })

  test('arrives exactly once where each carrier loses some and none loses the same, all at the same time', async () => {
    const count = 24
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.subarray([...carriers], { minLength: 1 }), { minLength: count, maxLength: count }),
        async (ways) => {
          const [chain, lab] = [fresh(), await Lab.open()]
          const batches: Sealed[] = []
          for (let n = 1; n <= count; n++) batches.push(await chain.next([seriesOf(n, 3)]))
          const lines = carriers.map(async (by) => {
            for (const [at, batch] of batches.entries()) if (ways[at]!.includes(by)) await lab.bring(by, batch)
          })
          await Promise.all(lines)
          await lab.settled()
          expect(lab.receiver.status()).toMatchObject({
            batches: count,
            readings: 3 * count,
            refused: {},
            streams: [{ highest: count, missing: 0 }],
          })
          expect([...lab.readings().values()]).toEqual(Array(count).fill(3))
        },
      ),
      { numRuns: 4 },
    )
  })

  test('is an alarm and in quarantine where it contradicts the one that is held, though both are signed', async () => {
    const lab = await Lab.open()
    const [first, other] = [await fresh().next([seriesOf(1)]), await fresh().next([seriesOf(2)])]
    await lab.bring('udp', first)
    await lab.settled()
    for (const by of ['tcp', 'files'] as const) {
      await lab.bring(by, other)
      await lab.settled()
    }
    expect(lab.receiver.status()).toMatchObject({ batches: 1, refused: { BATCH_CONTRADICTS: 2 } })
    expect([lab.files.status().refused, lab.tcp.status().refused]).toEqual([
      { BATCH_CONTRADICTS: 1 },
      { BATCH_CONTRADICTS: 1 },
    ])
    expect(readFileSync(join(lab.data, 'quarantine', '7-000000000001-BATCH_CONTRADICTS.batch'))).toEqual(
      Buffer.from(other.octets),
    )
  })

  test('is no contradiction where the same header is signed once more', async () => {
    const lab = await Lab.open()
    const first = await fresh().next([seriesOf(1)])
    const again = { ...first, signature: await (await sealerOf(pki)).sign(first.header) }
    await lab.bring('udp', first)
    await lab.settled()
    await lab.bring('tcp', { ...again, octets: encodeSealedBatch(again) })
    expect(lab.receiver.status()).toMatchObject({ batches: 1, repeated: 1, refused: {} })
  })

  test('must be the one that its frame says, and be signed', async () => {
    const lab = await Lab.open()
    const good = await fresh().next([seriesOf(1)])
    await lab.bring('tcp', { ...good, sequence: 2 })
    await lab.bring('tcp', { ...good, octets: encodeSealedBatch({ ...good, signature: new Uint8Array(0) }) })
    await lab.bring('tcp', { ...good, octets: Buffer.from('no batch') })
    expect(lab.receiver.status()).toMatchObject({
      batches: 0,
      refused: { BATCH_CHAIN: 1, BATCH_SIGNATURE: 1, BATCH_MALFORMED: 1 },
    })
    await lab.bring('tcp', good)
    expect(lab.receiver.status()).toMatchObject({ batches: 1 })
  })
})
