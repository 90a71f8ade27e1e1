import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { decodeHeader, decodeSealedBatch, encodeSealedBatch } from '#gateway/codec/batch.ts'
import { decodeManifest, decodeSealedManifest } from '#gateway/codec/manifest.ts'
import { PeerError } from '#gateway/errors.ts'
import { Announcer } from '#gateway/io/announcer.ts'
import { Forwarder } from '#gateway/io/forwarder.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import type { Sender } from '#gateway/io/sender.ts'
import { Assembler } from '#gateway/oneway/assemble.ts'
import { type Gap, GapWatch } from '#gateway/oneway/gap-watch.ts'
import { Received } from '#gateway/oneway/gaps.ts'
import { decodeHeartbeat } from '#gateway/oneway/heartbeat.ts'
import { LinkWatch } from '#gateway/oneway/link-watch.ts'
import { manifestDigest } from '#gateway/oneway/manifest.ts'
import { decodeReplayCode, replayCodes } from '#gateway/oneway/replay-code.ts'
import { headerDigest, nextHeader } from '#gateway/oneway/seal.ts'
import { kindOfToi } from '#gateway/oneway/toi.ts'
import { replay } from '#gateway/replay.ts'
import { linkKey, readDatagram } from '#test/support/datagrams.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { tempFolder } from '#test/support/temp.ts'

/** Both ends with all their own parts but the socket and the signature, in virtual time, and a bad line between them. */

const passesAfterMs = [0, 6_000, 20_000]
const startMs = 1_700_000_000_000

/** @see Numerical Recipes, 7.1: a linear congruential generator. @returns 0 to below 1 */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

interface Weather {
  seed: number
  loss: number
  /** nothing passes, milliseconds since the start */
  outage: readonly [number, number]
  /** never pass before a person has asked for them */
  cursed: ReadonlySet<number>
}

/** Loses, delays and overtakes; counts nothing for the sender. */
class BadLine implements Sender {
  readonly faults = 0
  readonly sent = 0
  readonly sending = 0
  readonly handed = { datagrams: 0, octets: 0 }
  readonly #weather: Weather
  readonly #random: () => number
  #spell = true
  deliver: (datagram: Buffer) => void = () => {}

  constructor(weather: Weather) {
    this.#weather = weather
    this.#random = randomOf(weather.seed)
  }

  breakSpell(): void {
    this.#spell = false
  }

  send(datagram: Uint8Array): void {
    this.handed.datagrams++
    this.handed.octets += datagram.length
    const { loss, outage, cursed } = this.#weather
    const [copy, now] = [Buffer.from(datagram), Date.now() - startMs]
    if (this.#random() < loss || (now >= outage[0] && now < outage[1])) return
    if (this.#spell && cursed.has(readDatagram(copy).sequence)) return
    setTimeout(() => this.deliver(copy), this.#random() * 60)
  }

  async close(): Promise<void> {}
}

/** The receiving end, by its pure parts alone. */
class FarEnd {
  readonly received = new Received()
  readonly watch = new LinkWatch(0, startMs)
  readonly gapWatch = new GapWatch()
  readonly silences: [change: string, afterMs: number][] = []
  /** of each batch that was ever missing: the states it went through */
  readonly states = new Map<number, string[]>()
  readonly refused: string[] = []
  readonly #assembler = new Assembler({ openMax: 64, octetsMax: 64e6 })
  readonly #digests = new Map<number, Uint8Array>()

  take(octets: Buffer): void {
    const datagram = readDatagram(octets)
    const now = Date.now()
    try {
      if (kindOfToi(datagram.sequence) === 'heartbeat') {
        this.watch.beat(decodeHeartbeat(Buffer.from(datagram.payload)), { atMs: now, nowMs: now })
      } else if (!this.received.has(datagram.sequence)) this.#gather(datagram)
    } catch (error) {
      this.refused.push((error as PeerError).code)
      if (!(error instanceof PeerError)) throw error
    } finally {
      this.watch.taken()
    }
  }

  tick(): void {
    const change = this.watch.silence(Date.now())
    if (change !== undefined) this.silences.push([change, Date.now() - startMs])
    for (const { from, to, state } of this.gaps()) {
      for (let sequence = from; sequence <= to; sequence++) {
        const states = this.states.get(sequence) ?? []
        if (states.at(-1) !== state) this.states.set(sequence, [...states, state])
      }
    }
  }

  gaps(): Gap[] {
    return this.gapWatch.gaps(this.received, Date.now(), 1_000)
  }

  #gather(datagram: ReturnType<typeof readDatagram>): void {
    const whole = this.#assembler.take(datagram)
    if (whole === undefined) return
    this.#assembler.settled(whole)
    if (kindOfToi(whole.sequence) === 'manifest') this.#manifest(whole.octets)
    else this.#batch(whole.octets)
  }

  #manifest(octets: Buffer): void {
    const { manifest } = decodeSealedManifest(octets)
    const more = { digest: manifestDigest(manifest), come: this.received, nowMs: Date.now() }
    this.gapWatch.manifest(decodeManifest(manifest), { ...more, held: (sequence) => this.#digests.get(sequence) })
  }

  #batch(octets: Buffer): void {
    const { header } = decodeSealedBatch(octets)
    const { sequence, createdAtMs, readingCount: readings } = decodeHeader(header)
    this.received.add(sequence)
    this.#digests.set(sequence, headerDigest(header))
    this.gapWatch.stored({ sequence, createdAtMs, readings })
  }
}

class Both {
  readonly ledger: SqliteLedger
  readonly line: BadLine
  readonly far = new FarEnd()
  readonly forwarder: Forwarder
  readonly #announcer: Announcer
  readonly #random: () => number
  /** readings by batch */
  readonly readings: number[] = [0]

  constructor(weather: Weather, carouselRestMs?: number) {
    this.ledger = ledgerIn(tempFolder())
    this.#random = randomOf(weather.seed + 1)
    this.line = new BadLine(weather)
    this.line.deliver = (octets) => this.far.take(octets)
    const common = { outbox: this.ledger.outbox, sender: this.line, key: linkKey, bitsPerSecond: 20_000_000 }
    this.forwarder = new Forwarder({ ...common, symbolOctets: 1_000, lossShare: 0.1, passesAfterMs, carouselRestMs })
    this.#announcer = new Announcer({
      ...{ ...common, forwarder: this.forwarder, manifestMs: 2_000, clockQuality: () => 'synchronised' as const },
      signer: { sign: async () => Buffer.alloc(900, 7) },
    })
    this.#announcer.start()
  }

  seal(): void {
    const { outbox } = this.ledger
    const readingCount = 1 + Math.floor(this.#random() * 500)
    const series = [Buffer.alloc(500 + Math.floor(this.#random() * 12_000), 5)]
    const head = outbox.head()
    const [sequence, sealedAtMs] = [head.sequence + 1, Date.now()]
    const header = nextHeader(head, { series, readingCount, createdAtMs: sealedAtMs })
    const octets = encodeSealedBatch({ header, signature: Buffer.alloc(900, 7), series })
    const rows = { upTo: 0, leaves: [], readings: readingCount, full: false }
    outbox.seal(rows, { sequence, digest: headerDigest(header), sealedAtMs, octets })
    this.forwarder.add({ sequence, sealedAtMs, passesDone: 0, octets: octets.length })
    this.readings.push(readingCount)
  }

  /** Seconds, in which a batch is sealed every half one, or none. */
  async run(seconds: number, sealing: boolean): Promise<void> {
    for (let step = 0; step < seconds * 2; step++) {
      if (sealing) this.seal()
      await vi.advanceTimersByTimeAsync(500)
      this.far.tick()
    }
  }

  end(): void {
    this.forwarder.close()
    void this.#announcer.close()
    this.ledger.close()
  }
}

beforeEach(() => {
  const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] as const
  vi.useFakeTimers({ now: startMs, toFake: [...toFake] })
})
afterEach(() => void vi.useRealTimers())

const outage = [20_000, 50_000] as const
/** Sealed in the outage, with every pass in it. */
const swallowed = { from: 41, to: 59 } as const
const cursed = new Set([5, 6, 90])

describe.for([1, 2, 3])('seed %i: a line that loses, overtakes, and is down for half a minute', (seed) => {
  const weather: Weather = { seed, loss: 0.02 + seed * 0.025, outage, cursed }

  test('what is missing is suspected, confirmed, told of exactly, asked for by its code, and comes', async () => {
    const both = new Both(weather)
    const { far } = both
    await both.run(60, true)
    await both.run(30, false)

    expect(far.silences.map(([change]) => change)).toEqual(['began', 'ended'])
    expect(far.silences[0]![1]).toBeLessThanOrEqual(outage[0] + 5_000)
    expect(far.silences[1]![1]).toBeGreaterThanOrEqual(outage[1])
    for (const sequence of cursed) expect(far.states.get(sequence)).toEqual(['suspected', 'confirmed'])
    const missing = (sequence: number): boolean => !far.received.has(sequence)
    const gaps = far.gaps()
    expect(gaps.every(({ state, exact }) => state === 'confirmed' && exact)).toBe(true)
    const named = gaps.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
    expect(named).toEqual(both.readings.map((_, sequence) => sequence).filter((n) => n > 0 && missing(n)))
    for (const sequence of cursed) expect(named).toContain(sequence)
    expect(named.filter((n) => n >= swallowed.from && n <= swallowed.to).length).toBeGreaterThan(0)
    for (const { from, to, readings } of gaps) {
      expect(readings).toBe(both.readings.slice(from, to + 1).reduce((sum, one) => sum + one, 0))
    }

    both.line.breakSpell()
    const { epoch } = both.ledger.outbox
    const codes = replayCodes(
      epoch,
      gaps.map(({ from, to }) => [from, to] as const),
      100,
    )
    for (const code of codes) {
      expect(replay(decodeReplayCode(code), both.ledger.outbox, both.forwarder)).toMatchObject({ ok: true, erased: 0 })
    }
    await both.run(10, false)
    expect(far.gaps()).toEqual([])
    expect(far.received.gaps()).toEqual([])
    expect(far.received.highest).toBe(both.readings.length - 1)
    both.end()
  })

  test('with the carousel nobody has to ask', async () => {
    const both = new Both({ ...weather, cursed: new Set() }, 5_000)
    await both.run(60, true)
    await both.run(40, false)
    expect(both.far.states.size).toBeGreaterThan(0) // something was missing for a while
    expect(both.far.gaps()).toEqual([])
    expect(both.far.received.gaps()).toEqual([])
    expect(both.far.received.highest).toBe(both.readings.length - 1)
    expect(both.forwarder.carouselRounds).toBeGreaterThan(0)
    both.end()
  })

  test('loss is measured as it is, outage and all', async () => {
    const both = new Both({ ...weather, cursed: new Set(), outage: [0, 0] })
    await both.run(60, true)
    const { lossShare, sentDatagrams } = both.far.watch.view(Date.now())
    const deviation = Math.sqrt((weather.loss * (1 - weather.loss)) / sentDatagrams)
    expect(Math.abs(lossShare! - weather.loss)).toBeLessThan(5 * deviation + 0.005) // what is under way at a heartbeat
    expect(both.far.states.size).toBe(0)
    expect(both.far.refused.filter((code) => code !== 'MANIFEST_REPLAYED')).toEqual([])
    both.end()
  })
})
