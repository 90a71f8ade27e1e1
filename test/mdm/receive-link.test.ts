import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { encodeManifest, encodeSealedManifest } from '#gateway/codec/manifest.ts'
import type { Signer } from '#gateway/io/signer.ts'
import { DatagramWriter, heartbeatShape } from '#gateway/oneway/datagram.ts'
import { heartbeatOctets } from '#gateway/oneway/heartbeat.ts'
import { toiOfManifest } from '#gateway/oneway/toi.ts'
import { LinkMonitor } from '#mdm/link.ts'
import { LinkStore } from '#mdm/link-store.ts'
import { Receiver } from '#mdm/receive.ts'
import { BatchStore } from '#mdm/store.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf, linkKey } from '#test/support/datagrams.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const epoch = 7
let pki: WithForeign
let signer: Signer
beforeAll(async () => {
  pki = await throwawayPki()
  signer = await sealerOf(pki)
})
afterAll(() => pki.close())

interface Lab {
  data: string
  receiver: Receiver
  link: LinkMonitor
  tail: LogTail
  store: BatchStore
  send: (datagrams: readonly Buffer[]) => Promise<void>
  accept: (epoch: number) => void
}

/** A receiver as the assembler runs it: with what watches the link. */
function lab(): Lab {
  const [data, tail] = [tempFolder(), new LogTail('mdm')]
  const [store, roots] = [new BatchStore(data), certificatesFromPem(pki.rootPem)]
  const link = new LinkMonitor({ link: new LinkStore(data), store, roots, log: tail.log })
  const onFailure = (error: Error): void => {
    throw error
  }
  const receiver = new Receiver({ store, roots, keys: [linkKey], link, log: tail.log, onFailure })
  onTestFinished(async () => {
    await receiver.close()
    link.close()
    store.close()
  })
  const send = async (datagrams: readonly Buffer[]): Promise<void> => {
    for (const [mark, one] of datagrams.entries()) receiver.datagram(one, { mark, atMs: Date.now() })
    await receiver.idle()
  }
  const accept = (of: number): void => {
    const said = new LinkStore(data) // as `ami mdm accept-epoch` does
    said.accept(of, Date.now())
    said.close()
    link.tick()
  }
  return { data, receiver, link, tail, store, send, accept }
}

const passOf = ({ octets, sequence }: Pick<Sealed, 'octets' | 'sequence'>, of = epoch): Buffer[] =>
  datagramsOf(octets, { epoch: of, sequence, symbolOctets: 300 })
const quarantined = ({ data }: Lab): string[] => readdirSync(join(data, 'quarantine'))

async function manifest(number: number, by: Signer): Promise<Buffer> {
  const previous = new Uint8Array(number === 1 ? 0 : 32)
  const passes = { oldest: 1, highest: 1, firstPassTo: 1, lastPassTo: 1 }
  const encoded = encodeManifest({ epoch, number, createdAtMs: 1, previous, ...passes, checkpoints: [] })
  return Buffer.from(encodeSealedManifest({ manifest: encoded, signature: await by.sign(encoded) }))
}

describe('a receiver that watches its link', () => {
  test('keeps nothing of an epoch that nobody accepted, by whichever way it comes, and takes it when somebody has', async () => {
    const one = lab()
    await one.send(passOf(await new Chain(signer, epoch).next([seriesOf(1)])))
    const second = await new Chain(signer, 9).next([seriesOf(2)])
    const other = passOf(second, 9)
    await one.send(other)
    expect(one.receiver.status()).toMatchObject({
      batches: 1,
      open: { objects: 0, octets: 0 },
      refused: { EPOCH_UNACCEPTED: other.length },
    })
    const whole = { epoch: 9, sequence: 1, octets: Buffer.from(second.octets) }
    expect(await one.receiver.take(whole)).toBe('EPOCH_UNACCEPTED')
    // and is not looked at: what does not verify would lie in quarantine
    expect(await one.receiver.take({ ...whole, octets: Buffer.from('no batch') })).toBe('EPOCH_UNACCEPTED')
    expect(one.receiver.status().refused).toEqual({ EPOCH_UNACCEPTED: other.length + 2 })
    expect(quarantined(one)).toEqual([])
    expect(() => statSync(join(one.data, '0000000009'))).toThrow('ENOENT')
    one.accept(9)
    await one.send(other)
    expect(one.receiver.status()).toMatchObject({ batches: 2 })
  })

  test('takes heartbeats and manifests as such: nothing of them is a batch, and what is forged is refused by its code', async () => {
    const one = lab()
    await one.send(passOf(await new Chain(signer, epoch).next([seriesOf(1)])))
    const payload = Buffer.alloc(heartbeatOctets)
    const writer = new DatagramWriter({ key: linkKey, epoch, slots: 1, symbolOctets: heartbeatOctets })
    await one.send([writer.write({ sequence: 0, shape: heartbeatShape, symbol: 0, payload })])
    await one.send(passOf({ sequence: toiOfManifest(1), octets: Buffer.from('no manifest') }))
    const foreign = await manifest(2, await sealerOf(await pki.foreign()))
    await one.send(passOf({ sequence: toiOfManifest(2), octets: foreign }))
    expect(one.receiver.status()).toMatchObject({
      batches: 1,
      refused: { HEARTBEAT_MALFORMED: 1, MANIFEST_MALFORMED: 1, MANIFEST_SIGNATURE: 1 },
      quarantine: [],
      streams: [{ epoch, highest: 1, missing: 0 }],
    })
    expect(quarantined(one)).toEqual([
      `7-${toiOfManifest(1)}-MANIFEST_MALFORMED.batch`,
      `7-${toiOfManifest(2)}-MANIFEST_SIGNATURE.batch`,
    ])
    expect(one.tail.lines.filter(({ event }) => event === 'manifest.refused')).toHaveLength(2)
    await one.send(passOf({ sequence: toiOfManifest(3), octets: await manifest(3, signer) }))
    expect(one.receiver.status().link).toMatchObject({ streams: [{ epoch, manifest: 3, manifests: 1 }] })
  })

  test('tells the link of every batch that it stored, once', async () => {
    const one = lab()
    const stored = vi.spyOn(one.link, 'stored')
    const [first, second] = await pair()
    await one.send([first, second, first].flatMap((batch) => passOf(batch)))
    expect(stored.mock.calls.map(([header]) => header.sequence)).toEqual([1, 2])
  })

  test('lets an intake keep what it could not store before its end', async () => {
    const one = lab()
    vi.spyOn(one.store, 'put').mockImplementation(() => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    })
    const [{ octets }] = await pair()
    const taking = one.receiver.take({ epoch, sequence: 1, octets: Buffer.from(octets) })
    await one.tail.until({ event: 'store.failed' })
    await Promise.all([one.receiver.close(), expect(taking).rejects.toThrow('the receiver ends')])
    expect(one.receiver.status()).toMatchObject({ batches: 0 })
  })
})

async function pair(): Promise<[Sealed, Sealed]> {
  const chain = new Chain(signer, epoch)
  return [await chain.next([seriesOf(1)]), await chain.next([seriesOf(2)])]
}
