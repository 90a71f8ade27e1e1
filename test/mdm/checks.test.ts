import { createSecretKey } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  batchOctetsMax,
  decodeHeader,
  decodeSealedBatch,
  decodeSeries,
  encodeSealedBatch,
  encodeSeries,
} from '#gateway/codec/batch.ts'
import { PeerError, type PeerFault } from '#gateway/errors.ts'
import { openSigner } from '#gateway/io/signer.ts'
import { DatagramReader, DatagramWriter, macAt } from '#gateway/oneway/datagram.ts'
import type { ObjectShape } from '#gateway/oneway/fec/block.ts'
import { Received } from '#gateway/oneway/gaps.ts'
import { type LinkKey, sealMac } from '#gateway/oneway/mac.ts'
import { type OpenedBatch, openBatch } from '#gateway/oneway/seal.ts'
import { type Checks, Receiver, type ReceiverOptions, type ReceiverStatus } from '#mdm/receive.ts'
import { BatchStore } from '#mdm/store.ts'
import { certificatesFromPem, verifyDetached } from '#pki/verify.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf, linkKey } from '#test/support/datagrams.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const epoch = 7
const otherKey: LinkKey = { id: linkKey.id, key: createSecretKey(Buffer.alloc(32, 1)) }
const unknownKey: LinkKey = { id: 9, key: linkKey.key }

let pki: WithForeign
let roots: Uint8Array[]
let fresh: () => Chain
beforeAll(async () => {
  pki = await throwawayPki()
  roots = certificatesFromPem(pki.rootPem)
  const signer = await sealerOf(pki)
  fresh = () => new Chain(signer, epoch)
})
afterAll(() => pki.close())

/** What a receiver without a check makes of a mutant that only this check refuses. */
interface Case {
  code: PeerFault
  mutant: () => Promise<Buffer[]>
  without: () => Promise<Partial<Pick<ReceiverOptions, 'checks' | 'roots' | 'store'>>>
  /** where it cannot be stored: what it does instead */
  instead?: (status: ReceiverStatus) => void
}

const checks =
  (some: Partial<Checks>): (() => Promise<{ checks: Partial<Checks> }>) =>
  async () => ({ checks: some })
const pass = ({ octets, sequence }: Pick<Sealed, 'octets' | 'sequence'>, key = linkKey): Buffer[] =>
  datagramsOf(octets, { epoch, sequence, symbolOctets: 1_400, key })
const flipped = (octets: Uint8Array, at: number): Uint8Array => octets.map((one, i) => (i === at ? one ^ 1 : one))
const spoilt = async (spoil: (good: Sealed) => Partial<Sealed>): Promise<Buffer[]> => {
  const good = await fresh().next([seriesOf(1)])
  return pass({ ...good, octets: encodeSealedBatch({ ...good, ...spoil(good) }) })
}

/** As `verifyBatch` judges a signature; @param forgiven a fault of it that is let through */
async function judged(
  octets: Uint8Array,
  trusted: readonly Uint8Array[],
  at: number,
  forgiven?: string,
): Promise<void> {
  const { header, signature } = decodeSealedBatch(octets)
  const verdict = await verifyDetached({ cms: signature, content: header, roots: trusted, at })
  if (!verdict.ok && verdict.code !== forgiven) throw new PeerError('BATCH_SIGNATURE', verdict.code)
}

/** As `openBatch` takes a batch apart, with neither its root nor its counts looked at. */
function taken(octets: Uint8Array): OpenedBatch {
  const batch = decodeSealedBatch(octets)
  return { header: decodeHeader(batch.header), batch, series: batch.series.map(decodeSeries) }
}

const nobody = { signer: '', signedAt: 0 }
const reader = new DatagramReader([linkKey], batchOctetsMax)

/** Seals a copy as the holder of the key would: what is left of a reader whose MAC is not looked at. */
const withoutMac: Checks['datagram'] = {
  read: (octets) => {
    const copy = Buffer.from(octets)
    copy.writeUInt16BE(linkKey.id << 12, 22)
    sealMac(copy, macAt, linkKey.key)
    return reader.read(copy)
  },
}

const tooLarge: ObjectShape = { fecId: 0, objectOctets: batchOctetsMax + 1, symbolOctets: 1_400, symbols: 5_992, n1: 0 }
/** EXT_FTI of one symbol less than its object has. */
const disagreeing: ObjectShape = { fecId: 0, objectOctets: 2_800, symbolOctets: 1_400, symbols: 1, n1: 0 }

function written(shape: ObjectShape): Buffer {
  const writer = new DatagramWriter({ key: linkKey, epoch, slots: 1, symbolOctets: 1_400 })
  return writer.write({ sequence: 1, shape, symbol: 0, payload: Buffer.alloc(1_400) })
}

const cases: Record<string, Case> = {
  'MAC: whole, but sealed with another key': {
    code: 'DATAGRAM_UNAUTHENTIC',
    mutant: async () => pass(await fresh().next([seriesOf(1)]), otherKey),
    without: checks({ datagram: withoutMac }),
  },
  'key id: a key that is not configured': {
    code: 'DATAGRAM_KEY',
    mutant: async () => pass(await fresh().next([seriesOf(1)]), unknownKey),
    without: checks({ datagram: withoutMac }),
  },
  'bounds: an object of one octet too many': {
    code: 'DATAGRAM_LIMIT',
    mutant: async () => [written(tooLarge)],
    without: checks({ datagram: new DatagramReader([linkKey], batchOctetsMax + 1) }),
    instead: ({ open }) => expect(open.octets).toBeGreaterThan(batchOctetsMax), // memory is kept for it
  },
  'FTI: lengths that disagree': {
    code: 'DATAGRAM_LIMIT',
    mutant: async () => {
      const datagram = written({ ...disagreeing, symbols: 2 })
      datagram.writeUInt32BE(1, 52) // B
      sealMac(datagram, macAt, linkKey.key)
      return [datagram, datagram]
    },
    without: checks({
      datagram: {
        read: () => ({ epoch, sequence: 1, shape: disagreeing, symbol: 1, payload: new Uint8Array(1_400) }),
      },
    }),
    instead: ({ refused }) => expect(refused.UNHANDLED).toBe(2), // a symbol beyond its memory
  },
  'root: a series that is not the one signed': {
    code: 'BATCH_ROOT',
    mutant: () => spoilt(() => ({ series: [encodeSeries(seriesOf(2))] })),
    without: checks({
      verify: async (octets, trusted, at) => {
        await judged(octets, trusted, at)
        return { ...taken(octets), ...nobody }
      },
    }),
  },
  'digest: a header that is not the one signed': {
    code: 'BATCH_SIGNATURE',
    mutant: () => spoilt(({ header }) => ({ header: flipped(header, 6) })), // the time of sealing
    without: checks({
      verify: async (octets, trusted, at) => {
        await judged(octets, trusted, at, 'CONTENT_DIGEST')
        return { ...openBatch(octets), ...nobody }
      },
    }),
  },
  'signature: one that does not hold': {
    code: 'BATCH_SIGNATURE',
    mutant: () => spoilt(({ signature }) => ({ signature: flipped(signature, signature.length - 3) })),
    without: checks({
      verify: async (octets, trusted, at) => {
        await judged(octets, trusted, at, 'CMS_SIGNATURE')
        return { ...openBatch(octets), ...nobody }
      },
    }),
  },
  'chain: a sealer of a PKI that nobody trusts': {
    code: 'BATCH_SIGNATURE',
    mutant: async () => pass(await new Chain(await sealerOf(await pki.foreign()), epoch).next([seriesOf(1)])),
    without: async () => ({ roots: certificatesFromPem((await pki.foreign()).rootPem) }),
  },
  'revocation: a sealer that its own CRL names': {
    code: 'BATCH_SIGNATURE',
    mutant: async () => {
      const { serial, keyFile, certificateFile } = await pki.issue('sealer', 'gw-revoked')
      await pki.revoke(serial)
      const signer = await openSigner({ keyFile: keyFile!, certificateFile, crlFile: pki.crlFile })
      return pass(await new Chain(signer, epoch).next([seriesOf(1)]))
    },
    without: checks({
      verify: async (octets, trusted, at) => {
        await judged(octets, trusted, at, 'REVOKED')
        return { ...openBatch(octets), ...nobody }
      },
    }),
  },
  'schema: a header that miscounts its readings': {
    code: 'BATCH_MALFORMED',
    mutant: async () => pass(await fresh().next([seriesOf(1)], { readingCount: 4 })),
    without: checks({
      verify: async (octets, trusted, at) => {
        await judged(octets, trusted, at)
        return { ...taken(octets), ...nobody }
      },
    }),
  },
  'place: a batch under the sequence of another': {
    code: 'BATCH_CHAIN',
    mutant: async () => pass({ ...(await fresh().next([seriesOf(1)])), sequence: 2 }),
    without: checks({ place: () => {} }),
  },
}

async function receive(datagrams: readonly Buffer[], more: Partial<ReceiverOptions> = {}): Promise<ReceiverStatus> {
  const [log, store] = [new LogTail('mdm'), more.store ?? new BatchStore(tempFolder())]
  if (more.store === undefined) onTestFinished(() => store.close())
  const onFailure = (error: Error): void => {
    throw error
  }
  const receiver = new Receiver({ store, roots, keys: [linkKey], log: log.log, onFailure, ...more })
  for (const [mark, one] of datagrams.entries()) receiver.datagram(Buffer.from(one), { mark, atMs: 0 })
  await receiver.idle()
  return receiver.status()
}

describe('each check of the receiver refuses a mutant that all others let through', () => {
  test.for(Object.entries(cases))('%s', async ([, { code, mutant, without, instead }]) => {
    const datagrams = await mutant()
    const status = await receive(datagrams)
    expect(Object.keys(status.refused)).toEqual([code])
    expect(status).toMatchObject({ batches: 0, readings: 0, streams: [], open: { objects: 0 } })
    const lenient = await receive(datagrams, await without())
    if (instead !== undefined) instead(lenient)
    else expect(lenient).toMatchObject({ batches: 1, refused: {} })
  })

  test('a genuine batch is stored with all of them', async () => {
    const status = await receive(pass(await fresh().next([seriesOf(1)])))
    expect(status).toMatchObject({ batches: 1, refused: {}, quarantine: [] })
  })

  test('replay guard: what was stored comes again', async () => {
    const genuine = pass(await fresh().next([seriesOf(1)]))
    const twice = async (store: BatchStore): Promise<number> => {
      onTestFinished(() => store.close())
      const first = await receive(genuine, { store })
      const second = await receive(genuine, { store })
      return first.batches + second.batches
    }
    expect(await twice(new BatchStore(tempFolder()))).toBe(1)
    const forgetful = new BatchStore(tempFolder())
    forgetful.received = () => new Received()
    expect(await twice(forgetful)).toBe(2)
  })
})
