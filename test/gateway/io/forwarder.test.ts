import { createSocket } from 'node:dgram'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Forwarder } from '#gateway/io/forwarder.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { openSender, type Sender, sendingMax } from '#gateway/io/sender.ts'
import { Assembler } from '#gateway/oneway/assemble.ts'
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

function forwarder(line: Sender, more: { bitsPerSecond?: number; lossShare?: number } = {}): Forwarder {
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
