import { describe, expect, test } from 'vitest'
import { encodeSealedBatch } from '#gateway/codec/batch.ts'
import { intake } from '#gateway/intake.ts'
import { parseEnlisted } from '#gateway/io/enlisted.ts'
import type { Journaled } from '#gateway/io/journal-record.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { Assembler } from '#gateway/oneway/assemble.ts'
import type { Datagram } from '#gateway/oneway/datagram.ts'
import { Received } from '#gateway/oneway/gaps.ts'
import { headerDigest, nextHeader, type OpenedBatch, openBatch } from '#gateway/oneway/seal.ts'
import { makeFleet } from '#simulator/fleet.ts'
import { registryLine } from '#simulator/prepare.ts'
import { random } from '#simulator/random.ts'
import { sealOf } from '#simulator/seal.ts'
import { datagramsOf, readDatagram } from '#test/support/datagrams.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { frame, journaled, later, monday, plainPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

/** Four that protect their pushes in four ways, each with counters of its own. */
const protection = ['suite0-general-glo', 'suite0-general-ded', 'suite0-wrapped', 'suite1-agreed-signed'] as const
const fleet = makeFleet({ seed: 1, substations: 1, concentrators: 1, meters: 4, protection })
const simulated = fleet.substations[0]!.concentrators[0]!.meters
const meters = simulated.map((one) => parseEnlisted(JSON.stringify(registryLine(one, 'S-1')), []))
const seals = new Map(simulated.map((one) => [one.systemTitle, sealOf(one)]))
const seeds = Array.from({ length: 20 }, (_, i) => i + 1)

/** What a reading is at the MDM: named, valued, and which correction it is. */
type Told = string
const told = (meter: string, end: number, value: unknown, revision: number): Told =>
  `${meter} ${end} ${String(value)} ${revision}`

/** A world that crashes, loses and repeats; its every choice follows from the seed. */
class World {
  readonly #next: () => number
  readonly #folder = tempFolder()
  readonly #journal: Journaled[] = []
  readonly #counters = new Map(meters.map((one) => [one.meter, 0]))
  readonly #known = new Map<string, { value: number; revision: number }>()
  readonly #passes = new Map<number, Buffer>()
  readonly #received = new Received()
  readonly #assembler = new Assembler({ openMax: 3, octetsMax: 4_000 })
  readonly expected: Told[] = []
  readonly delivered: Told[] = []
  readonly chain: OpenedBatch[] = []
  #sequence = 0
  crashes = 0
  #ledger: SqliteLedger

  constructor(seed: number) {
    this.#next = random(seed)
    this.#ledger = ledgerIn(this.#folder, meters)
  }

  #chance(share: number): boolean {
    return this.#next() < share
  }

  #below(n: number): number {
    return Math.floor(this.#next() * n)
  }

  /** A concentrator publishes once or more; what is journaled twice counts once. */
  publish(): void {
    const chosen = meters.filter(() => this.#chance(0.6))
    const frames = chosen.flatMap((one) => {
      const counter = this.#counters.get(one.meter)! + 1 + this.#below(3)
      this.#counters.set(one.meter, counter)
      const first = this.#below(12)
      const rows = Array.from({ length: 1 + this.#below(4) }, (_, i): [number, number] => {
        return [monday + (first + i) * 900, this.#below(3)]
      })
      for (const [end, value] of rows) this.#expect(one.meter, end, value)
      const good = frame(one, seals.get(one.meter)!(plainPush({ counter, rows }), counter))
      if (this.#chance(0.2)) return [good, good] // the meter's frame heard twice: the second is a replay
      if (this.#chance(0.2)) return [frame(one, good.apdu.subarray(0, -1)), good]
      return [good]
    })
    const arrival = uplink(++this.#sequence, frames)
    const copies = this.#chance(0.4) ? 2 : 1
    for (let i = 0; i < copies; i++) this.#append(arrival)
    if (this.#chance(0.2)) this.#append(this.#journal[this.#below(this.#journal.length)]!) // an old one again
  }

  #append(arrival: Parameters<typeof journaled>[0][0]): void {
    this.#journal.push(...journaled([arrival], this.#journal.at(-1)?.next ?? 0))
  }

  #expect(of: string, end: number, value: number): void {
    const known = this.#known.get(`${of} ${end}`)
    if (known?.value === value) return
    const revision = known === undefined ? 0 : known.revision + 1
    this.#known.set(`${of} ${end}`, { value, revision })
    this.expected.push(told(of, end, value, revision))
  }

  #crash(): void {
    this.crashes++
    this.#ledger.close()
    this.#ledger = ledgerIn(this.#folder)
  }

  /** Some of the journal; at times the process dies before the commit, or right after. */
  consume(most = 1 + this.#below(6), crashShare = 0.25): void {
    const waiting = this.#journal.filter(({ next }) => next > this.#ledger.position).slice(0, most)
    if (waiting.length === 0) return
    const { effects, unhandled } = intake(waiting, this.#ledger, later)
    expect(unhandled).toEqual([])
    const before = this.#chance(crashShare)
    if (!before) this.#ledger.commit(effects)
    if (before || this.#chance(crashShare)) this.#crash()
  }

  /** One batch; at times the process dies between signing and storing. */
  seal(crashShare = 0.25): boolean {
    const { outbox } = this.#ledger
    const waiting = outbox.sealable()
    if (waiting === undefined) return false
    const head = outbox.head()
    const header = nextHeader(head, {
      series: waiting.leaves,
      readingCount: waiting.readings,
      createdAtMs: later * 1000,
    })
    const octets = Buffer.from(encodeSealedBatch({ header, signature: Buffer.of(1), series: waiting.leaves }))
    if (this.#chance(crashShare)) {
      this.#crash()
      return true
    }
    const sequence = head.sequence + 1
    outbox.seal(waiting, { sequence, digest: headerDigest(header), sealedAtMs: 0, octets })
    this.#passes.set(sequence, octets)
    return true
  }

  /** A pass of every batch, over a line that loses, repeats and reorders. */
  forward(lossShare: number): void {
    const datagrams = [...this.#passes].flatMap(([sequence, octets]) =>
      datagramsOf(octets, { epoch: 1, sequence, symbolOctets: 64, lossShare: 0.05 }),
    )
    const sent = datagrams.flatMap((one) => (this.#chance(lossShare) ? [] : this.#chance(0.1) ? [one, one] : [one]))
    if (this.#chance(0.5)) sent.reverse()
    for (const one of sent) this.#hear(readDatagram(one))
  }

  #hear(datagram: Datagram): void {
    if (this.#received.has(datagram.sequence)) return
    const whole = this.#assembler.take(datagram)
    if (whole === undefined) return
    this.#assembler.settled(whole)
    if (!this.#received.add(whole.sequence)) return
    const opened = openBatch(whole.octets)
    this.chain[whole.sequence - 1] = opened
    for (const { meter: of, ends, values, revisions } of opened.series) {
      ends.forEach((end, i) => void this.delivered.push(told(of, end, values[i], revisions[i]!)))
    }
  }

  /** Everything to its end, on a line that loses nothing. */
  drain(): void {
    while (this.#journal.at(-1)!.next > this.#ledger.position) this.consume(1_000, 0)
    while (this.seal(0));
    this.forward(0)
    expect(this.#received.gaps()).toEqual([])
    this.#ledger.close()
  }
}

describe('whatever crashes, is lost or comes again', () => {
  test.for(seeds)('seed %i: each reading reaches the MDM once, in a chain without gaps', (seed) => {
    const world = new World(seed)
    for (let turn = 0; turn < 40; turn++) {
      world.publish()
      world.consume()
      if (turn % 3 === 0) world.seal()
      if (turn % 5 === 0) world.forward(0.1)
    }
    world.drain()
    expect(world.crashes).toBeGreaterThan(5)
    expect(world.expected.length).toBeGreaterThan(50)
    expect(world.delivered.toSorted()).toEqual(world.expected.toSorted())
    for (const [i, { header }] of world.chain.entries()) {
      expect(header.sequence).toBe(i + 1)
      if (i > 0) expect(header.previous).toEqual(Buffer.from(headerDigest(world.chain[i - 1]!.batch.header)))
    }
  })
})
