import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { decodeManifest, decodeSealedManifest, type Manifest } from '#gateway/codec/manifest.ts'
import { ConfigError } from '#gateway/errors.ts'
import { Announcer } from '#gateway/io/announcer.ts'
import { openClockQuality } from '#gateway/io/clock-quality.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import type { Sender } from '#gateway/io/sender.ts'
import { sendingMax } from '#gateway/io/sender.ts'
import { decodeHeartbeat, type Heartbeat } from '#gateway/oneway/heartbeat.ts'
import { manifestDigest } from '#gateway/oneway/manifest.ts'
import { linkKey, readDatagram } from '#test/support/datagrams.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { tempFolder } from '#test/support/temp.ts'

interface Lab {
  announcer: Announcer
  beats: () => Heartbeat[]
  manifests: { number: number; octets: Uint8Array; manifest: Manifest }[]
  line: { sending: number; faults: number }
  signer: { sign: () => Promise<Uint8Array> }
}

const queued = { objects: 2, octets: 300, oldestMs: Number.POSITIVE_INFINITY, firstPassTo: 1, lastPassTo: 0 }

function lab(ledger: SqliteLedger, queue = queued): Lab {
  const sent: Buffer[] = []
  const line = {
    ...{ sending: 0, sent: 0, faults: 0, handed: { datagrams: 0, octets: 0 } },
    send(datagram: Uint8Array) {
      sent.push(Buffer.from(datagram))
      line.handed.datagrams++
      line.handed.octets += datagram.length
    },
    close: async () => {},
  } satisfies Sender
  const manifests: Lab['manifests'] = []
  const signer = { sign: async (): Promise<Uint8Array> => Buffer.of(1) }
  const forwarder = {
    queue: () => queue,
    announce: (number: number, octets: Uint8Array) =>
      void manifests.push({ number, octets, manifest: decodeManifest(decodeSealedManifest(octets).manifest) }),
  }
  const common = { outbox: ledger.outbox, sender: line, forwarder, signer, key: linkKey }
  const announcer = new Announcer({ ...common, bitsPerSecond: 5_000, manifestMs: 10_000, clockQuality: () => 'free' })
  const beats = (): Heartbeat[] => sent.map((one) => decodeHeartbeat(Buffer.from(readDatagram(one).payload)))
  return { announcer, beats, manifests, line, signer }
}

function seal(ledger: SqliteLedger, sequence: number, readings: number): void {
  const batch = { sequence, digest: Buffer.alloc(32, sequence), sealedAtMs: 1_000 * sequence, octets: Buffer.alloc(10) }
  ledger.outbox.seal({ upTo: 0, leaves: [], readings, full: false }, batch)
}

function open(folder = tempFolder()): SqliteLedger {
  const ledger = ledgerIn(folder)
  onTestFinished(() => ledger.close())
  return ledger
}

describe('heartbeats', () => {
  test('tell what was sent before them, the queue, and the end of the stream', () => {
    const ledger = open()
    for (let n = 1; n <= 3; n++) seal(ledger, n, 1)
    const { announcer, beats, line } = lab(ledger)
    announcer.beat()
    line.faults = 4
    announcer.beat()
    const [first, second] = beats() as [Heartbeat, Heartbeat]
    expect(first).toMatchObject({
      ...{ number: 1, run: 1, clock: 'free', highest: 3, datagrams: 0, octets: 0, sendErrors: 0 },
      ...{ queueObjects: 2, queueOctets: 300, oldestUnsentMs: 0, bitsPerSecond: 5_000 },
    })
    expect(second).toMatchObject({ number: 2, run: 1, datagrams: 1, octets: 56 + 4 + 76, sendErrors: 4 })
    expect(Math.abs(second.utcMs - Date.now())).toBeLessThan(60_000)
    expect(second.monotonicMs).toBeGreaterThanOrEqual(first.monotonicMs)
  })

  test('never have a number twice, whatever is restarted, and say where a run began', () => {
    const folder = tempFolder()
    const numbers: number[] = []
    for (let run = 0; run < 3; run++) {
      const ledger = ledgerIn(folder)
      const { announcer, beats } = lab(ledger)
      for (let n = 0; n < 3; n++) announcer.beat()
      expect(new Set(beats().map((one) => one.run))).toEqual(new Set([beats()[0]!.number]))
      numbers.push(...beats().map(({ number }) => number))
      ledger.close() // as a kill would
    }
    for (let i = 1; i < numbers.length; i++) expect(numbers[i]).toBeGreaterThan(numbers[i - 1]!)
  })

  test('tell the age of the oldest reading that is not sealed yet', () => {
    const ledger = open()
    vi.useFakeTimers({ now: 1_000_000, toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    ledger.outbox.add([{ octets: Buffer.alloc(5), readings: 1 }], true)
    vi.setSystemTime(1_003_000)
    ledger.outbox.add([{ octets: Buffer.alloc(5), readings: 1 }])
    vi.setSystemTime(1_007_000)
    const { announcer, beats } = lab(ledger)
    announcer.beat()
    expect(beats()[0]!.oldestUnsentMs).toBe(7_000)
    const older = lab(ledger, { ...queued, oldestMs: 990_000 })
    older.announcer.beat()
    expect(older.beats()[0]!.oldestUnsentMs).toBe(17_000)
  })

  test('are left out while the line takes nothing', () => {
    const { announcer, beats, line } = lab(open())
    line.sending = sendingMax
    announcer.beat()
    expect([beats().length, announcer.status.heartbeatsSkipped]).toEqual([0, 1])
  })
})

describe('manifests', () => {
  test('count on across restarts, each naming the one before, and tell readings and times of batches', async () => {
    const folder = tempFolder()
    const all: Lab['manifests'] = []
    for (let n = 1; n <= 3; n++) {
      const ledger = ledgerIn(folder)
      seal(ledger, n, n * 100)
      const { announcer, manifests } = lab(ledger)
      await announcer.manifest()
      all.push(...manifests)
      ledger.close()
    }
    expect(all.map(({ number, manifest }) => [number, manifest.number])).toEqual([1, 2, 3].map((n) => [n, n]))
    for (let i = 1; i < 3; i++) {
      const before = decodeSealedManifest(all[i - 1]!.octets).manifest
      expect(Buffer.from(all[i]!.manifest.previous)).toEqual(Buffer.from(manifestDigest(before)))
    }
    expect(all[2]!.manifest).toMatchObject({
      ...{ oldest: 1, highest: 3, firstPassTo: 1, lastPassTo: 0 },
      checkpoints: [1, 2, 3].map((n) => ({
        sequence: n,
        createdAtMs: n * 1_000,
        readingsTotal: [100, 300, 600][n - 1],
      })),
    })
  })

  test('what the operator must mend holds one up, is counted, and costs no number', async () => {
    const { announcer, manifests, signer } = lab(open(), { ...queued, firstPassTo: 0 })
    const { sign } = signer
    signer.sign = () => Promise.reject(new ConfigError(['a CRL is past its next update']))
    await announcer.manifest()
    signer.sign = sign
    await announcer.manifest()
    expect(manifests.map(({ number }) => number)).toEqual([1])
    expect(announcer.status).toMatchObject({ manifests: 1, manifestsFailed: 1 })
  })

  test('of a ledger of a former version tell of what was sealed since', async () => {
    const ledger = open()
    seal(ledger, 1, 5)
    ledger.database.exec('DELETE FROM batch_mark') // as it did not exist
    seal(ledger, 2, 6)
    const { announcer, manifests } = lab(ledger)
    await announcer.manifest()
    expect(manifests[0]!.manifest).toMatchObject({ highest: 2, checkpoints: [{ sequence: 2, readingsTotal: 11 }] })
  })
})

describe('the quality of the clock', () => {
  test('is what systemd-timesyncd says, or unknown', () => {
    const folder = join(tempFolder(), 'timesync')
    const quality = openClockQuality(() => ({ utcMs: 1, monotonicMs: 0 }), folder)
    expect(quality()).toBe('unknown')
    mkdirSync(folder)
    expect(quality()).toBe('free')
    writeFileSync(join(folder, 'synchronized'), '')
    expect(quality()).toBe('synchronised')
  })

  test('is stepped for five minutes behind a jump against the monotonic one', () => {
    const now = { utcMs: 1e12, monotonicMs: 0 }
    const quality = openClockQuality(() => ({ ...now }), join(tempFolder(), 'none'))
    const later = (ms: number, jumpMs = 0): string => {
      now.monotonicMs += ms
      now.utcMs += ms + jumpMs
      return quality()
    }
    expect([later(1_000, 100), later(1_000, -3_000), later(290_000), later(20_000)]).toEqual([
      'unknown',
      'stepped',
      'stepped',
      'unknown',
    ])
  })
})
