import { createSocket } from 'node:dgram'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Forwarder } from '#gateway/io/forwarder.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { openSender, type Sender, sendingMax } from '#gateway/io/sender.ts'
import { Assembler } from '#gateway/oneway/assemble.ts'
import { kindOfToi, manifestOfToi } from '#gateway/oneway/toi.ts'
import { linkKey, readDatagram } from '#test/support/datagrams.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { tempFolder } from '#test/support/temp.ts'

const passesAfterMs = [0, 2_000, 30_000]

/** A line that keeps what it is given, and when. */
class Line implements Sender {
  readonly datagrams: { at: number; octets: Buffer }[] = []
  readonly faults = 0
  readonly handed = { datagrams: 0, octets: 0 }
  sending = 0

  get sent(): number {
    return this.datagrams.length
  }

  send(datagram: Uint8Array): void {
    this.datagrams.push({ at: Date.now(), octets: Buffer.from(datagram) })
    this.handed.datagrams++
    this.handed.octets += datagram.length
  }

  async close(): Promise<void> {}

  /** the sequences of what came whole, in order, with the time of the last symbol */
  passes(): [sequence: number, at: number][] {
    const assembler = new Assembler({ openMax: 100, octetsMax: 1e9 })
    return this.datagrams.flatMap(({ at, octets }): [number, number][] => {
      const whole = assembler.take(readDatagram(octets))
      if (whole === undefined) return []
      assembler.settled(whole) // so that the next pass makes it whole once more
      return [[whole.sequence, at]]
    })
  }
}

let ledger: SqliteLedger
let folder: string
beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000, toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  folder = tempFolder()
  ledger = ledgerIn(folder)
})
afterEach(() => {
  vi.useRealTimers()
  ledger.close()
})

function seal(sequence: number, octets = 5_000): { sequence: number; sealedAtMs: number; passesDone: number } {
  const sealedAtMs = Date.now()
  const batch = { sequence, digest: Buffer.alloc(32), sealedAtMs, octets: Buffer.alloc(octets, sequence) }
  ledger.outbox.seal({ upTo: 0, leaves: [], readings: 0, full: false }, batch)
  return { sequence, sealedAtMs, passesDone: 0 }
}

function forwarder(
  line: Sender,
  more: { bitsPerSecond?: number; lossShare?: number; carouselRestMs?: number } = {},
): Forwarder {
  return new Forwarder({
    outbox: ledger.outbox,
    sender: line,
    key: linkKey,
    symbolOctets: 1_000,
    lossShare: 0,
    bitsPerSecond: 100_000_000,
    passesAfterMs,
    ...more,
  })
}

describe('the forwarder', () => {
  test('sends each batch in every pass, each at its time', () => {
    const line = new Line()
    const forwards = forwarder(line)
    forwards.add(seal(1))
    vi.advanceTimersByTime(40_000)
    const times = line.passes().map(([sequence, at]) => [sequence, Math.round((at - 1_000_000) / 100) * 100])
    expect(times).toEqual([
      [1, 0],
      [1, 2_000],
      [1, 30_000],
    ])
    expect(forwards.waiting).toBe(0)
    expect(forwards.delivered).toBe(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('goes on where a crash has stopped it: passes done are not sent again, one begun is', () => {
    const line = new Line()
    const first = forwarder(line)
    for (let n = 1; n <= 3; n++) first.add(seal(n))
    vi.advanceTimersByTime(100)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([1, 2, 3])
    first.close()
    const after = new Line()
    const second = forwarder(after)
    vi.advanceTimersByTime(40_000)
    expect(after.passes().map(([sequence]) => sequence)).toEqual([1, 2, 3, 1, 2, 3])
    expect(second.waiting).toBe(0)
  })

  test('sends two batches by turns, and a third when one of them is through', () => {
    const line = new Line()
    const forwards = forwarder(line)
    for (let n = 1; n <= 3; n++) forwards.add(seal(n))
    vi.advanceTimersByTime(100)
    const sequences = line.datagrams.map(({ octets }) => readDatagram(octets).sequence)
    expect(sequences).toEqual([1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 3, 3, 3, 3, 3])
    forwards.close()
  })

  test('sends once more what is asked for, behind first passes, and leaves alone what is on its way', () => {
    const line = new Line()
    const forwards = forwarder(line)
    for (let n = 1; n <= 3; n++) forwards.add(seal(n))
    vi.advanceTimersByTime(40_000)
    expect(forwards.waiting).toBe(0)
    line.datagrams.length = 0
    forwards.add(seal(4))
    forwards.replay(ledger.outbox.held(2, 4))
    vi.advanceTimersByTime(1_000)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([4, 2, 3])
    vi.advanceTimersByTime(40_000)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([4, 2, 3, 4, 4])
    expect(forwards.waiting).toBe(0)
  })

  test('an urgent batch overtakes those that are under way', () => {
    const line = new Line()
    const forwards = forwarder(line, { bitsPerSecond: 8_000_000 })
    for (let n = 1; n <= 2; n++) forwards.add(seal(n, 400_000))
    vi.advanceTimersByTime(200)
    forwards.add({ ...seal(3, 20_000), urgent: true })
    vi.advanceTimersByTime(30)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([3])
    vi.advanceTimersByTime(1_000)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([3, 1, 2])
    forwards.close()
  })

  test('each pass has repair symbols of its own, and two halves of passes make a batch', () => {
    const line = new Line()
    const forwards = forwarder(line, { lossShare: 0.1 })
    forwards.add(seal(1, 10_000))
    vi.advanceTimersByTime(40_000)
    const passes = [1_000_000, 1_002_000, 1_030_000].map((from) =>
      line.datagrams.filter(({ at }) => at >= from && at < from + 1_000).map(({ octets }) => readDatagram(octets)),
    )
    expect(passes.map((pass) => pass.length)).toEqual([24, 24, 24]) // 10 symbols and 140 %
    const repair = passes.flatMap((pass) => pass.map(({ symbol }) => symbol).filter((symbol) => symbol >= 10))
    expect(new Set(repair).size).toBe(3 * 14)
    const assembler = new Assembler({ openMax: 1, octetsMax: 1e6 })
    const half = [...passes[0]!.slice(5, 10), ...passes[1]!.slice(10, 15)]
    expect(half.map((one) => assembler.take(one)).at(-1)?.octets).toEqual(Buffer.alloc(10_000, 1))
    forwards.close()
  })

  test('never sends faster than its pace and one burst', () => {
    const line = new Line()
    const forwards = forwarder(line, { bitsPerSecond: 8_000_000 }) // a megabyte a second
    forwards.add(seal(1, 1_000_000))
    vi.advanceTimersByTime(1_000)
    let through = 0
    for (const { at, octets } of line.datagrams) {
      through += octets.length
      expect(through).toBeLessThanOrEqual(131_072 + (at - 1_000_000) * 1_000)
    }
    expect(through).toBeGreaterThan(900_000)
    forwards.close()
  })

  test('waits for a line that is slower than its pace, and hands it no more than its bound', () => {
    const line = new Line()
    line.sending = sendingMax
    const forwards = forwarder(line)
    forwards.add(seal(1))
    vi.advanceTimersByTime(1_000)
    expect(line.sent).toBe(0)
    line.sending = 0
    vi.advanceTimersByTime(100)
    expect(line.passes()).toHaveLength(1)
    forwards.close()
  })

  test('drained, it sends what is left of all passes at once, and ends', async () => {
    const line = new Line()
    const forwards = forwarder(line)
    for (let n = 1; n <= 3; n++) forwards.add(seal(n))
    const drained = forwards.drain()
    vi.advanceTimersByTime(1_000)
    await drained
    expect(line.passes().map(([sequence]) => sequence)).toEqual([1, 2, 3, 1, 2, 1, 2, 3, 3])
    expect(vi.getTimerCount()).toBe(0)
    await expect(forwards.drain()).resolves.toBeUndefined()
  })

  test('closed, it sends nothing more, whatever is added', () => {
    const line = new Line()
    const forwards = forwarder(line)
    const batch = seal(1)
    forwards.close()
    forwards.add(batch)
    vi.advanceTimersByTime(60_000)
    expect(line.sent).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a clock that is set back by a year neither spins nor loses a pass', () => {
    const line = new Line()
    const forwards = forwarder(line)
    forwards.add(seal(1))
    vi.advanceTimersByTime(100)
    vi.setSystemTime(1_000_000 - 365 * 86_400_000)
    forwards.add({ ...seal(2) })
    vi.advanceTimersByTime(1_000)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([1, 2])
    expect(vi.getTimerCount()).toBe(1)
    vi.setSystemTime(1_100_000)
    vi.advanceTimersByTime(60_000)
    expect(line.passes()).toHaveLength(6)
    forwards.close()
  })

  test('takes a hundred and fifty thousand batches that wait', () => {
    const line = new Line()
    const forwards = forwarder(line)
    forwards.add(seal(1))
    for (let n = 2; n < 150_000; n++) {
      forwards.add({ sequence: n, sealedAtMs: Date.now() + 86_400_000, passesDone: 0 })
    }
    vi.advanceTimersByTime(10)
    expect(line.passes().map(([sequence]) => sequence)).toEqual([1])
    forwards.close()
  })
})

describe('the carousel', () => {
  const sequences = (line: Line): number[] => line.passes().map(([sequence]) => sequence)

  test('goes round when the passes are over, each batch with its rest, and the passes are no more for it', () => {
    const line = new Line()
    const forwards = forwarder(line, { carouselRestMs: 10_000 })
    for (let n = 1; n <= 2; n++) forwards.add(seal(n))
    vi.advanceTimersByTime(39_000)
    expect(sequences(line)).toHaveLength(6)
    expect([forwards.waiting, forwards.carouselObjects]).toEqual([0, 2])
    vi.advanceTimersByTime(31_000)
    expect(sequences(line).slice(6)).toEqual([1, 2, 1, 2, 1, 2, 1, 2])
    expect(forwards.carouselRounds).toBe(8)
    expect(ledger.outbox.held(1, 2).map(({ passesDone }) => passesDone)).toEqual([3, 3])
    forwards.close()
  })

  test('sends other repair symbols in each round, as far as there are others', () => {
    const line = new Line()
    const forwards = forwarder(line, { carouselRestMs: 1_000, lossShare: 0.1 })
    forwards.add(seal(1, 10_000))
    vi.advanceTimersByTime(31_500)
    line.datagrams.length = 0
    vi.advanceTimersByTime(2_000)
    const symbols = line.datagrams.map(({ octets }) => readDatagram(octets).symbol)
    const rounds = [symbols.slice(0, 24), symbols.slice(24, 48)].map((round) => round.filter((symbol) => symbol >= 10))
    expect(rounds.map((round) => round.length)).toEqual([14, 14])
    expect(new Set(rounds.flat()).size).toBe(28)
    forwards.close()
  })

  test('stops at once for new work, and goes on where it stood', () => {
    const line = new Line()
    const first = forwarder(line)
    first.add(seal(1, 400_000))
    vi.advanceTimersByTime(40_000)
    first.close()
    const after = new Line()
    const forwards = forwarder(after, { carouselRestMs: 3_600_000, bitsPerSecond: 8_000_000 })
    vi.advanceTimersByTime(200)
    const before = after.sent
    expect(before).toBeGreaterThan(100)
    forwards.add(seal(2, 20_000))
    vi.advanceTimersByTime(25)
    expect(after.datagrams.slice(before, before + 20).map(({ octets }) => readDatagram(octets).sequence)).toEqual(
      Array(20).fill(2),
    )
    vi.advanceTimersByTime(1_000)
    expect(sequences(after)).toEqual([2, 1])
    forwards.close()
  })

  test('after a restart brings round at once what had its passes before, and does not keep the end waiting', async () => {
    const line = new Line()
    const first = forwarder(line)
    for (let n = 1; n <= 3; n++) first.add(seal(n, 100_000))
    vi.advanceTimersByTime(40_000)
    first.close()
    const after = new Line()
    const forwards = forwarder(after, { carouselRestMs: 60_000, bitsPerSecond: 800_000 })
    vi.advanceTimersByTime(1_500)
    expect([forwards.waiting, forwards.carouselObjects]).toEqual([0, 3])
    expect(after.sent).toBeGreaterThan(0)
    await forwards.drain()
    vi.advanceTimersByTime(10_000)
    expect(sequences(after).length).toBeLessThan(3)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('gives way to a code that asks for what is just going round: that pass is sent whole', () => {
    const line = new Line()
    const first = forwarder(line)
    first.add(seal(1, 200_000))
    vi.advanceTimersByTime(40_000)
    first.close()
    const after = new Line()
    const forwards = forwarder(after, { carouselRestMs: 3_600_000, bitsPerSecond: 800_000 })
    vi.advanceTimersByTime(2)
    const before = after.sent
    expect(before).toBeGreaterThan(0)
    forwards.replay(ledger.outbox.held(1, 1))
    vi.advanceTimersByTime(60_000)
    expect(after.sent).toBe(before + 200)
    expect(forwards.carouselRounds).toBe(0)
    forwards.close()
  })

  test('takes nothing up while anything else is under way', () => {
    const line = new Line()
    const first = forwarder(line)
    first.add(seal(1))
    vi.advanceTimersByTime(40_000)
    first.close()
    const after = new Line()
    const forwards = forwarder(after, { carouselRestMs: 1_000, bitsPerSecond: 800_000 })
    forwards.add(seal(2, 400_000))
    vi.advanceTimersByTime(500)
    expect(ledger.outbox.erase(Date.now(), 3)).toBe(1)
    vi.advanceTimersByTime(100_000)
    expect(new Set(sequences(after))).toEqual(new Set([2]))
    forwards.close()
  })

  test('passes over what is erased meanwhile', () => {
    const line = new Line()
    const forwards = forwarder(line, { carouselRestMs: 5_000 })
    for (let n = 1; n <= 2; n++) forwards.add(seal(n))
    vi.advanceTimersByTime(31_000)
    line.datagrams.length = 0
    expect(ledger.outbox.erase(Date.now(), 3)).toBe(1)
    vi.advanceTimersByTime(12_000)
    expect(sequences(line)).toEqual([2, 2])
    expect(forwards.carouselObjects).toBe(1)
    forwards.close()
  })
})

describe('what is announced', () => {
  test('a manifest goes before readings, once, and the next one supersedes one that waits', () => {
    const line = new Line()
    const forwards = forwarder(line, { bitsPerSecond: 8_000_000 })
    for (let n = 1; n <= 2; n++) forwards.add(seal(n, 400_000))
    vi.advanceTimersByTime(200)
    forwards.announce(1, Buffer.alloc(3_000, 1))
    forwards.announce(2, Buffer.alloc(3_000, 2))
    vi.advanceTimersByTime(10)
    expect(line.passes().map(([toi]) => manifestOfToi(toi))).toEqual([2])
    vi.advanceTimersByTime(40_000)
    expect(line.passes().filter(([toi]) => kindOfToi(toi) === 'manifest')).toHaveLength(1)
    expect(forwards.delivered).toBe(2)
    forwards.close()
  })

  test('the queue is what waits for its first pass, and tells how far passes are over', () => {
    const line = new Line()
    const forwards = forwarder(line, { bitsPerSecond: 800_000 })
    expect(forwards.queue(0)).toEqual({
      ...{ objects: 0, octets: 0, oldestMs: Number.POSITIVE_INFINITY, firstPassTo: 0, lastPassTo: 0 },
    })
    const sealed = [1, 2, 3, 4].map((n) => ({ ...seal(n, 200_000), octets: 200_000 }))
    for (const batch of sealed) forwards.add(batch)
    forwards.announce(1, Buffer.alloc(10))
    expect(forwards.queue(4)).toEqual({
      ...{ objects: 4, octets: 800_000, oldestMs: 1_000_000, firstPassTo: 0, lastPassTo: 0 },
    })
    vi.advanceTimersByTime(4_000)
    const { objects, firstPassTo, lastPassTo } = forwards.queue(4)
    expect({ objects, firstPassTo, lastPassTo }).toEqual({ objects: 2, firstPassTo: 2, lastPassTo: 0 })
    vi.advanceTimersByTime(400_000)
    expect(forwards.queue(4)).toMatchObject({ objects: 0, octets: 0, firstPassTo: 4, lastPassTo: 4 })
    forwards.close()
  })

  test('an urgent batch is told as such after a restart', () => {
    const batch = { sequence: 1, digest: Buffer.alloc(32), sealedAtMs: Date.now(), octets: Buffer.alloc(10) }
    ledger.outbox.seal({ upTo: 0, leaves: [], readings: 0, full: false, urgent: true }, batch)
    expect(ledger.outbox.waiting(3)).toEqual([
      { sequence: 1, sealedAtMs: Date.now(), passesDone: 0, octets: 10, urgent: true },
    ])
  })
})

describe('a receiver that is not there', () => {
  beforeEach(() => void vi.useRealTimers())

  test('changes nothing: every pass is sent, nothing is called an error, and ICMP is heard by nobody', async () => {
    const probe = createSocket('udp4')
    await new Promise<void>((bound) => probe.bind(0, '127.0.0.1', bound))
    const { port } = probe.address()
    const send = async (): Promise<number[]> => {
      const here = ledgerIn(tempFolder())
      const sender = openSender({ host: '127.0.0.1', port, from: '127.0.0.1' })
      const options = { outbox: here.outbox, sender, key: linkKey, symbolOctets: 1_000, lossShare: 0.1 }
      const forwards = new Forwarder({ ...options, bitsPerSecond: 100_000_000, passesAfterMs: [0, 20, 40] })
      for (let sequence = 1; sequence <= 5; sequence++) {
        const batch = {
          sequence,
          digest: Buffer.alloc(32),
          sealedAtMs: Date.now(),
          octets: Buffer.alloc(9_000, sequence),
        }
        here.outbox.seal({ upTo: 0, leaves: [], readings: 0, full: false }, batch)
        forwards.add({ sequence, sealedAtMs: Date.now(), passesDone: 0 })
      }
      await forwards.drain()
      await sender.close()
      here.close()
      return [sender.sent, sender.faults, sender.handed.datagrams, sender.handed.octets, forwards.waiting]
    }
    const present = await send()
    await new Promise<void>((closed) => probe.close(closed))
    expect(await send()).toEqual(present) // and every datagram is answered by an ICMP "port unreachable"
    expect(present[1]).toBe(0)
    expect(present[0]).toBeGreaterThan(5 * 3 * 9)
  })
})

describe('the sender', () => {
  beforeEach(() => void vi.useRealTimers())

  test('delivers whole, and closes only when everything has left', async () => {
    const socket = createSocket('udp4')
    await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound))
    const got: string[] = []
    const done = new Promise<void>((resolve) =>
      socket.on('message', (octets) => got.push(octets.toString()) === 5 && resolve()),
    )
    const sender = openSender({ host: '127.0.0.1', port: socket.address().port, from: '127.0.0.1' })
    for (let n = 0; n < 5; n++) sender.send(Buffer.from(`datagram ${n}`))
    await sender.close()
    expect([sender.sent, sender.faults, sender.sending]).toEqual([5, 0, 0])
    await done
    expect(got.sort()).toEqual([0, 1, 2, 3, 4].map((n) => `datagram ${n}`))
    socket.close()
  })

  test('counts what the kernel refuses, and goes on', async () => {
    const sender = openSender({ host: '127.0.0.1', port: 9, from: '127.0.0.1' })
    sender.send(Buffer.alloc(70_000)) // no datagram is that long
    sender.send(Buffer.alloc(10))
    await sender.close()
    expect([sender.sent, sender.faults]).toEqual([1, 1])
  })
})
