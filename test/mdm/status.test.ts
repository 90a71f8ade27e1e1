import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { encodeReplayCode } from '#gateway/oneway/replay-code.ts'
import type { StreamLink } from '#mdm/link.ts'
import type { KnownEpoch } from '#mdm/link-store.ts'
import { metricsText, serveMetrics } from '#mdm/metrics.ts'
import type { SpoolerStatus } from '#mdm/spool.ts'
import { type AssemblerStatus, atAGlance, type MdmAlarm, type MdmStatus, mdmAlarms, mdmStatus } from '#mdm/status.ts'
import { Chain, sealerOf, seriesOf } from '#test/support/batches.ts'
import { datagramsOf } from '#test/support/datagrams.ts'
import { layOutMdm, mdmProcess } from '#test/support/mdm.ts'
import { type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'

let pki: ThrowawayPki
beforeAll(async () => {
  pki = await throwawayPki()
})
afterAll(() => pki.close())

const now = 1_800_000_000_000
const spooler: SpoolerStatus = {
  at: now - 500,
  pid: 11,
  port: 9_700,
  datagrams: 1_000,
  octets: 1_400_000,
  misfits: 2,
  ring: { octets: 262_144, octetsMax: 1_048_576, dropped: { full: 3, failed: 4 }, failure: undefined, full: false },
  receiveBufferOctets: 4_194_304,
  kernel: { socket: 5, rcvbufErrors: 6 },
}
const assembler: AssemblerStatus = {
  sinks: [{ name: 'ndjson', position: [], behind: 2, skipped: 0, fault: undefined }],
  intakes: [],
  link: undefined,
  at: now - 900,
  pid: 12,
  ring: { position: 5_000, released: 4_000, brokenOctets: 7 },
  datagrams: 998,
  delivered: 70,
  batches: 60,
  readings: 600,
  repeated: 8,
  open: { objects: 1, octets: 2_800 },
  evicted: 9,
  refused: {},
  quarantine: [],
  storeFailure: undefined,
  streams: [{ epoch: 7, highest: 60, missing: 0, gaps: [], replay: [] }],
  lagMs: 120,
  lastMs: now - 1_500,
}
const accepted: KnownEpoch = { epoch: 7, accepted: true, firstSeenMs: now }
const beating: StreamLink = {
  epoch: 7,
  heartbeats: 3,
  silent: false,
  quietMs: 400,
  lossShare: 0.02,
  sentDatagrams: 100,
  lostDatagrams: 2,
  delayMs: 1,
  offsetMs: 0,
  driftPpm: undefined,
  sender: undefined,
  manifest: 4,
  highest: 60,
  manifests: 1,
  gaps: [],
}
const well = mdmStatus({ spooler, assembler }, now)

describe('the status of the receiver', () => {
  test('is all well when both run and nothing is amiss', () => {
    expect(well.alarms).toEqual([])
    expect(atAGlance(well)).toMatch(/^all well\n/)
  })

  const amiss: Record<MdmAlarm, Parameters<typeof mdmStatus>[0]> = {
    SPOOLER_DOWN: { spooler: { ...spooler, at: now - 6_000 }, assembler },
    ASSEMBLER_DOWN: { spooler, assembler: undefined },
    RING_FULL: { spooler: { ...spooler, ring: { ...spooler.ring, full: true } }, assembler },
    RING_FAILED: { spooler: { ...spooler, ring: { ...spooler.ring, failure: 'ENOSPC' } }, assembler },
    STORE_FAILED: { spooler, assembler: { ...assembler, storeFailure: 'ENOSPC' } },
    SINK_FAILED: {
      spooler,
      assembler: {
        ...assembler,
        sinks: [{ ...assembler.sinks[0]!, fault: { code: 'SINK_FULL', since: '2026-11-25T00:00:00Z' } }],
      },
    },
    LINK_SILENT: {
      spooler,
      assembler: {
        ...assembler,
        link: { epochs: [accepted], streams: [{ ...beating, silent: true }], failure: undefined },
      },
    },
    EPOCH_ANNOUNCED: {
      spooler,
      assembler: {
        ...assembler,
        link: {
          epochs: [accepted, { epoch: 9, accepted: false, firstSeenMs: now }],
          streams: [beating],
          failure: undefined,
        },
      },
    },
    GAPS: {
      spooler,
      assembler: { ...assembler, streams: [{ epoch: 7, highest: 9, missing: 2, gaps: [[3, 4]], replay: [] }] },
    },
    QUARANTINE: {
      spooler,
      assembler: { ...assembler, quarantine: [{ epoch: 7, sequence: 3, code: 'BATCH_ROOT', replay: 'CODE' }] },
    },
    UNHANDLED: { spooler, assembler: { ...assembler, refused: { UNHANDLED: 1 } } },
  }
  test.for(Object.entries(amiss))('has alarm %s and no other when that is so', ([code, parts]) => {
    const status = mdmStatus(parts, now)
    expect(status.alarms).toEqual([code])
    expect(atAGlance(status)).toMatch(new RegExp(`^ALARM ${code}\n`))
  })

  test('names gaps and quarantine with the codes to ask for them, ring, lag and silence', () => {
    const gaps: [number, number][] = Array.from({ length: 7 }, (_, n) => [n * 3 + 1, n * 3 + 2])
    const streams = [{ epoch: 7, highest: 60, missing: 14, gaps, replay: [] }]
    const refused = { DATAGRAM_UNAUTHENTIC: 3, BATCH_ROOT: 1 }
    const quarantine = [{ epoch: 7, sequence: 3, code: 'BATCH_ROOT' as const, replay: 'CODE' }]
    const text = atAGlance(mdmStatus({ spooler, assembler: { ...assembler, streams, refused, quarantine } }, now))
    expect(text).toContain(`gap       1 to 2   replay ${encodeReplayCode({ epoch: 7, from: 1, to: 2 })}\n`)
    expect(text).toContain('and 2 more: --json')
    expect(text).toContain('quarantine  epoch 7 batch 3 BATCH_ROOT   replay CODE')
    expect(text).toContain('25.0 % of 1048576 octets')
    expect(text).toContain('kernel 5 (buffer 4194304 octets), ring full 3, disk 4')
    expect(text).toContain('last datagram 1.5 s ago   lag 120 ms')
    expect(text).toContain('DATAGRAM_UNAUTHENTIC 3, BATCH_ROOT 1')
  })
})

describe('metrics', () => {
  /** Name and labels to value; a line that is of no form of the text format fails. @see Prometheus, exposition formats */
  async function scraped(status: MdmStatus): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (const line of (await metricsText(status)).split('\n').filter((line) => line !== '' && !line.startsWith('#'))) {
      const [, name, value] = /^([a-z_]+(?:\{[a-z_]+="[^"\\]*"\})?) (\S+)$/.exec(line)!
      found[name!] = Number(value)
    }
    return found
  }

  test('tell in seconds and octets what the status tells', async () => {
    const refused = { DATAGRAM_UNAUTHENTIC: 3 }
    const found = await scraped(mdmStatus({ spooler, assembler: { ...assembler, refused } }, now))
    expect(found).toMatchObject({
      ami_mdm_received_datagrams_total: 1_000,
      'ami_mdm_dropped_datagrams_total{by="ring_full"}': 3,
      'ami_mdm_dropped_datagrams_total{by="kernel"}': 5,
      ami_mdm_rcvbuf_errors_total: 6,
      ami_mdm_ring_octets: 262_144,
      ami_mdm_stored_batches_total: 60,
      'ami_mdm_refused_total{code="DATAGRAM_UNAUTHENTIC"}': 3,
      'ami_mdm_highest_sequence{epoch="7"}': 60,
      'ami_mdm_missing_batches{epoch="7"}': 0,
      ami_mdm_lag_seconds: 0.12,
      ami_mdm_silence_seconds: 1.5,
    })
    expect(found).toMatchObject({ 'ami_mdm_alarm{code="GAPS"}': 0 })
  })

  test('of what has never run say only that', async () => {
    const found = await scraped(mdmStatus({ spooler: undefined, assembler: undefined }, now))
    expect(found).toEqual(
      Object.fromEntries(mdmAlarms.map((code) => [`ami_mdm_alarm{code="${code}"}`, code.endsWith('_DOWN') ? 1 : 0])),
    )
  })

  test('are given to GET /metrics, and nothing else is answered', async () => {
    const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, () => well)
    onTestFinished(() => server.close())
    const ask = async (path: string, method = 'GET'): Promise<number> =>
      (await fetch(`http://127.0.0.1:${server.port}${path}`, { method })).status
    expect([await ask('/metrics'), await ask('/'), await ask('/metrics', 'POST'), await ask('/metrics?x')]).toEqual([
      200, 404, 405, 404,
    ])
    const long = await fetch(`http://127.0.0.1:${server.port}/metrics`, { headers: { x: 'y'.repeat(5_000) } })
    expect(long.status).toBe(431)
    await expect(serveMetrics({ host: '127.0.0.1', port: server.port }, () => well)).rejects.toThrow(/EADDRINUSE/)
  })

  test('are given to eight at a time', async () => {
    const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, () => well)
    const sockets = Array.from({ length: 8 }, () => connect(server.port, '127.0.0.1'))
    onTestFinished(() => {
      for (const one of sockets) one.destroy()
      server.close()
    })
    await Promise.all(sockets.map((one) => new Promise((up) => one.once('connect', up))))
    const late = connect(server.port, '127.0.0.1')
    await new Promise((closed) => late.once('close', closed).on('error', () => {}))
  })
})

test('ami mdm status tells what both processes say, and --json the same for programs', async () => {
  const laidOut = layOutMdm(pki, { metrics: { port: 0 } })
  const ask = (...more: string[]): { code: number | null; out: string } => {
    const line = [mainFile, 'mdm', 'status', '--config', laidOut.config, ...more]
    const { status: code, stdout: out } = spawnSync(process.execPath, line, { encoding: 'utf8' })
    return { code, out }
  }
  expect(ask()).toMatchObject({ code: 1, out: expect.stringMatching(/^ALARM SPOOLER_DOWN, ASSEMBLER_DOWN\n/) })
  const mdm = mdmProcess(laidOut, 'receive')
  const [{ port }] = [await mdm.until('mdm.listening'), await mdm.until('mdm.assembling')]
  const chain = new Chain(await sealerOf(pki), 7)
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  const send = async (): Promise<void> => {
    const { octets, sequence } = await chain.next([seriesOf(1)])
    for (const one of datagramsOf(octets, { epoch: 7, sequence, symbolOctets: 1_400 })) {
      await new Promise<void>((done) => socket.send(one, Number(port), '127.0.0.1', () => done()))
    }
  }
  await send()
  const patience = { timeout: 30_000, interval: 200 }
  await vi.waitFor(
    () => expect(ask().out).toMatch(/^(all well|ALARM LINK_SILENT)\n[\s\S]*stream .*highest 1 /), // nobody beats here
    patience,
  )
  await chain.next([seriesOf(2)])
  await send()
  await vi.waitFor(() => expect(ask().out).toMatch(/^ALARM [A-Z_, ]*GAPS\n[\s\S]*gap {7}2 to 2 {3}replay /), patience)
  const status = JSON.parse(ask('--json').out) as MdmStatus
  expect(status).toMatchObject({
    alarms: expect.arrayContaining(['GAPS']),
    spooler: { port },
    assembler: { batches: 2 },
  })
  const metrics = await fetch(`http://127.0.0.1:${Number((await mdm.until('mdm.metrics')).port)}/metrics`)
  expect(await metrics.text()).toMatch(/^ami_mdm_missing_batches\{epoch="7"\} 1$/m)
}, 60_000)
