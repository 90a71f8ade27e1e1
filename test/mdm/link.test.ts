import { spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { encodeManifest, encodeSealedManifest, type Manifest } from '#gateway/codec/manifest.ts'
import { PeerError } from '#gateway/errors.ts'
import type { Signer } from '#gateway/io/signer.ts'
import type { Datagram } from '#gateway/oneway/datagram.ts'
import { heartbeatShape } from '#gateway/oneway/datagram.ts'
import { Received } from '#gateway/oneway/gaps.ts'
import { encodeHeartbeat } from '#gateway/oneway/heartbeat.ts'
import { silentAfterMs } from '#gateway/oneway/link-watch.ts'
import { manifestDigest } from '#gateway/oneway/manifest.ts'
import { decodeReplayCode } from '#gateway/oneway/replay-code.ts'
import { toiOfManifest } from '#gateway/oneway/toi.ts'
import { LinkMonitor } from '#mdm/link.ts'
import { announcedMax, LinkStore } from '#mdm/link-store.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { sealerOf } from '#test/support/batches.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const epoch = 7
let pki: WithForeign
let signer: Signer
let foreign: Signer
beforeAll(async () => {
  pki = await throwawayPki()
  signer = await sealerOf(pki)
  foreign = await sealerOf(await pki.foreign())
})
afterAll(() => pki.close())

interface Line {
  event: string
  [field: string]: unknown
}

interface Lab {
  monitor: LinkMonitor
  lines: Line[]
  received: Map<number, Received>
  clock: { ms: number }
  close: () => void
}

/** A monitor over this folder, in a time of its own. @param epochs of which batches are there */
function lab(folder = tempFolder(), epochs: readonly number[] = [], clock = { ms: Date.now() }): Lab {
  const lines: Line[] = []
  const received = new Map(epochs.map((one) => [one, new Received()]))
  const store = {
    received: (one: number) => received.get(one) ?? new Received(),
    epochs: () => [...received.keys()],
    batch: () => undefined,
  }
  const log = pino({ base: null }, { write: (text: string) => void lines.push(JSON.parse(text) as Line) })
  const roots = certificatesFromPem(pki.rootPem)
  const monitor = new LinkMonitor({ link: new LinkStore(folder), store, roots, log, now: () => clock.ms })
  let open = true
  const close = (): void => {
    if (open) monitor.close()
    open = false
  }
  onTestFinished(close)
  return { monitor, lines, received, clock, close }
}

function beat(
  { monitor, clock }: Lab,
  number: number,
  more: { epoch?: number; datagrams?: number; highest?: number } = {},
): void {
  const { datagrams = 0, highest = 0 } = more
  const payload = encodeHeartbeat({
    ...{
      number,
      run: 1,
      clock: 'free',
      utcMs: clock.ms - 5,
      monotonicMs: 0,
      highest,
      datagrams,
      octets: 0,
      sendErrors: 0,
    },
    ...{ queueObjects: 0, queueOctets: 0, oldestUnsentMs: 0, bitsPerSecond: 1 },
  })
  const datagram: Datagram = { epoch: more.epoch ?? epoch, sequence: 0, shape: heartbeatShape, symbol: 0, payload }
  monitor.datagram(datagram, clock.ms)
}

interface Signed {
  number: number
  digest: Uint8Array
  octets: Buffer
}

async function manifest(before: Signed | undefined, changes: Partial<Manifest> = {}, by = signer): Promise<Signed> {
  const number = (before?.number ?? 0) + 1
  const encoded = encodeManifest({
    ...{ epoch, number, createdAtMs: 1, previous: before?.digest ?? new Uint8Array(0), oldest: 1, highest: 3 },
    ...{ firstPassTo: 3, lastPassTo: 2, checkpoints: [], ...changes },
  })
  const octets = Buffer.from(encodeSealedManifest({ manifest: encoded, signature: await by.sign(encoded) }))
  return { number, digest: manifestDigest(encoded), octets }
}

const bring = ({ monitor }: Lab, { number, octets }: Pick<Signed, 'number' | 'octets'>, of = epoch): Promise<void> =>
  monitor.manifest({ epoch: of, sequence: toiOfManifest(number), octets })

async function codeOf(act: () => unknown): Promise<string | undefined> {
  try {
    await act()
    return undefined
  } catch (error) {
    if (error instanceof PeerError) return error.code
    throw error
  }
}

const events = ({ lines }: Lab): string[] => lines.map(({ event }) => event)

describe('the epochs', () => {
  test('the first is taken when something signed of it has come; a second one is announced once, and nothing of it is taken', async () => {
    const one = lab()
    expect(await codeOf(() => one.monitor.admit(9))).toBeUndefined()
    await bring(one, await manifest(undefined))
    for (let n = 0; n < 3; n++) expect(await codeOf(() => one.monitor.admit(9))).toBe('EPOCH_UNACCEPTED')
    const other = await manifest(undefined, { epoch: 9 })
    expect(await codeOf(() => bring(one, other, 9))).toBe('EPOCH_UNACCEPTED')
    expect(events(one)).toEqual(['epoch.accepted', 'epoch.announced'])
    expect(one.monitor.status().epochs).toEqual([
      { epoch: 7, accepted: true, firstSeenMs: one.clock.ms },
      { epoch: 9, accepted: false, firstSeenMs: one.clock.ms },
    ])
  })

  test('a heartbeat alone makes no epoch', () => {
    const one = lab()
    beat(one, 1)
    expect(one.monitor.status()).toMatchObject({ epochs: [], streams: [] })
  })

  test('the word of an operator, to a receiver that runs, is enough, and lasts', async () => {
    const folder = tempFolder()
    const one = lab(folder, [epoch])
    expect(await codeOf(() => one.monitor.admit(9))).toBe('EPOCH_UNACCEPTED')
    const word = new LinkStore(folder) // as `ami mdm accept-epoch` does it
    word.accept(9, one.clock.ms + 1)
    word.close()
    one.monitor.tick()
    expect(await codeOf(() => one.monitor.admit(9))).toBeUndefined()
    one.close()
    const after = lab(folder)
    expect(await codeOf(() => after.monitor.admit(9))).toBeUndefined()
    expect(await codeOf(() => after.monitor.admit(8))).toBe('EPOCH_UNACCEPTED')
  })

  test('those of which batches are there already count: a receiver of a former version goes on', async () => {
    const one = lab(tempFolder(), [5, 6])
    expect(await Promise.all([5, 6, 7].map((other) => codeOf(() => one.monitor.admit(other))))).toEqual([
      undefined,
      undefined,
      'EPOCH_UNACCEPTED',
    ])
  })

  test('no more than a few are told apart, whoever has the key', async () => {
    const one = lab(tempFolder(), [epoch])
    for (let other = 100; other < 200; other++)
      expect(await codeOf(() => one.monitor.admit(other))).toBe('EPOCH_UNACCEPTED')
    expect(one.monitor.status().epochs).toHaveLength(1 + announcedMax)
    expect(one.lines).toHaveLength(announcedMax)
  })

  test('ami mdm accept-epoch accepts what was announced, and nothing else', () => {
    const folder = tempFolder()
    const config = join(folder, 'mdm.json')
    writeFileSync(
      config,
      JSON.stringify({ zonesFile: 'z', data: 'data', trustFile: 't', linkKeys: [{ id: 0, file: 'k' }] }),
    )
    const link = new LinkStore(join(folder, 'data'))
    link.announce(4_294_967_295, 1)
    const accept = (word: string): (number | string | null)[] => {
      const line = [mainFile, 'mdm', 'accept-epoch', '--config', config, word]
      const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8', timeout: 60_000 })
      return [status, stdout + stderr]
    }
    expect(accept('42')).toEqual([2, 'ami: epoch 42 was not announced\n'])
    expect(accept('4294967295')).toEqual([0, 'epoch 4294967295: accepted\n'])
    expect(accept('4294967295')).toEqual([0, 'epoch 4294967295: was accepted before\n'])
    expect(accept('x')[0]).toBe(64)
    expect(link.epochs()).toMatchObject([{ epoch: 4_294_967_295, accepted: true }])
    link.close()
  }, 60_000)
})

describe('heartbeats', () => {
  test('of a former time are refused, also after a restart', async () => {
    const folder = tempFolder()
    const one = lab(folder, [epoch])
    beat(one, 5)
    expect(await codeOf(() => beat(one, 5))).toBe('HEARTBEAT_REPLAYED')
    one.close()
    const after = lab(folder, [epoch])
    expect(await codeOf(() => beat(after, 4))).toBe('HEARTBEAT_REPLAYED')
    expect(await codeOf(() => beat(after, 5))).toBe('HEARTBEAT_REPLAYED')
    beat(after, 6)
    expect(after.monitor.status().streams).toMatchObject([{ epoch, heartbeats: 1, delayMs: 5 }])
  })

  test('that stay away are told once as an error, and that they are back', () => {
    const one = lab(tempFolder(), [epoch])
    beat(one, 1)
    for (let ms = 0; ms < 20_000; ms += 1_000) {
      one.monitor.tick()
      one.clock.ms += 1_000
    }
    beat(one, 2)
    one.monitor.tick()
    expect(one.lines.map(({ event, level }) => [event, level])).toEqual([
      ['link.silent', 50],
      ['link.heard', 30],
    ])
  })

  test('of a stream that another has followed are missed by nobody', () => {
    const folder = tempFolder()
    const one = lab(folder, [epoch])
    beat(one, 1)
    const word = new LinkStore(folder)
    word.accept(9, one.clock.ms + 1)
    word.close()
    one.monitor.tick()
    for (let ms = 0; ms < silentAfterMs * 2; ms += 1_000) {
      one.clock.ms += 1_000
      beat(one, 2 + ms, { epoch: 9 })
      one.monitor.tick()
    }
    expect(events(one)).toEqual(['epoch.accepted'])
  })

  test('that are malformed are refused by their code', async () => {
    const one = lab(tempFolder(), [epoch])
    const datagram: Datagram = { epoch, sequence: 0, shape: heartbeatShape, symbol: 0, payload: Buffer.alloc(76) }
    expect(await codeOf(() => one.monitor.datagram(datagram, 0))).toBe('HEARTBEAT_MALFORMED')
  })
})

describe('manifests', () => {
  test('name gaps with span, readings and code, as they are suspected, confirmed and closed', async () => {
    const one = lab(tempFolder(), [epoch])
    const point = (sequence: number) => ({
      ...{
        sequence,
        digest: new Uint8Array(32).fill(sequence),
        createdAtMs: sequence * 1_000,
        readingsTotal: sequence * 10,
      },
    })
    const checkpoints = [1, 2, 3].map(point)
    const come = one.received.get(epoch)!
    come.add(1)
    come.add(2)
    const first = await manifest(undefined, { checkpoints })
    await bring(one, first)
    one.clock.ms += 3_000
    one.monitor.tick()
    await bring(one, await manifest(first, { checkpoints, lastPassTo: 3 }))
    one.clock.ms += 3_000
    one.monitor.tick()
    one.monitor.tick()
    const [gap] = one.monitor.status().streams[0]!.gaps
    expect(decodeReplayCode(gap!.replay[0]!)).toEqual({ epoch, from: 3, to: 3 })
    come.add(3)
    one.monitor.tick()
    const told = {
      from: 3,
      to: 3,
      after: '1970-01-01T00:00:02.000Z',
      until: '1970-01-01T00:00:03.000Z',
      readings: 10,
      exact: true,
    }
    const gaps = one.lines.filter(({ event }) => event.startsWith('gap.'))
    expect(gaps).toMatchObject([
      { level: 40, event: 'gap.suspected', epoch, ...told, replay: gap!.replay },
      { level: 50, event: 'gap.confirmed', epoch, ...told, replay: gap!.replay },
      { level: 30, event: 'gap.closed', epoch },
    ])
  })

  test('are refused by code when they are forged, of another number or epoch, or of a former time, and change nothing', async () => {
    const folder = tempFolder()
    const one = lab(folder, [epoch])
    const first = await manifest(undefined)
    const second = await manifest(first)
    await bring(one, first)
    await bring(one, second)
    const before = one.monitor.status()
    const third = await manifest(second)
    const flipped = (at: number): Buffer => {
      const octets = Buffer.from(third.octets)
      octets[at]! ^= 1
      return octets
    }
    const refused = async (octets: Buffer, number = 3, of = epoch): Promise<string | undefined> =>
      codeOf(() => bring(one, { number, octets }, of))
    expect(await refused(flipped(30))).toBe('MANIFEST_SIGNATURE') // its creation time or so: signed
    expect(await refused(flipped(third.octets.length - 3))).toBe('MANIFEST_SIGNATURE')
    expect(await refused((await manifest(second, {}, foreign)).octets)).toBe('MANIFEST_SIGNATURE')
    expect(await refused(Buffer.from('no manifest'))).toBe('MANIFEST_MALFORMED')
    expect(await refused(third.octets, 4)).toBe('MANIFEST_CONTRADICTS')
    expect(await refused((await manifest(second, { epoch: 8 })).octets)).toBe('MANIFEST_CONTRADICTS')
    expect(await refused(second.octets, 2)).toBe('MANIFEST_REPLAYED')
    expect(await refused((await manifest(second, { highest: 2, firstPassTo: 2 })).octets)).toBe('MANIFEST_CONTRADICTS')
    expect(one.monitor.status()).toEqual(before)
    one.close()
    const after = lab(folder, [epoch])
    expect(await codeOf(() => bring(after, first))).toBe('MANIFEST_REPLAYED')
    expect(await codeOf(() => bring(after, second))).toBe('MANIFEST_REPLAYED')
    expect(await codeOf(() => bring(after, third))).toBeUndefined()
  })

  test('any octet changed is refused, whichever it is', async () => {
    const one = lab(tempFolder(), [epoch])
    const { octets } = await manifest(undefined)
    const codes = new Set<string | undefined>()
    for (let at = 0; at < octets.length; at += 7) {
      const other = Buffer.from(octets)
      other[at]! ^= 0x40
      codes.add(await codeOf(() => bring(one, { number: 1, octets: other })))
    }
    expect(codes.has(undefined)).toBe(false)
    for (const code of codes) expect(['MANIFEST_SIGNATURE', 'MANIFEST_MALFORMED']).toContain(code)
  }, 60_000)

  test('that are known are not gathered again, and an older one counts as replayed', async () => {
    const one = lab(tempFolder(), [epoch])
    const first = await manifest(undefined)
    await bring(one, first)
    await bring(one, await manifest(first))
    const symbol = (number: number, symbol: number): Datagram => ({
      ...{ epoch, sequence: toiOfManifest(number), shape: heartbeatShape, symbol, payload: Buffer.alloc(76) },
    })
    expect(one.monitor.datagram(symbol(2, 0), 0)).toBe(true)
    expect(one.monitor.datagram(symbol(3, 0), 0)).toBe(false)
    expect(one.monitor.datagram(symbol(1, 1), 0)).toBe(true)
    expect(await codeOf(() => one.monitor.datagram(symbol(1, 0), 0))).toBe('MANIFEST_REPLAYED')
  })

  test('are kept in one small file', async () => {
    const folder = tempFolder()
    const one = lab(folder, [epoch])
    await bring(one, await manifest(undefined))
    one.close()
    expect(readdirSync(folder)).toEqual(['link.sqlite'])
  })
})
