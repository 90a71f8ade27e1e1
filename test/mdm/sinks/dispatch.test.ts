import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { batchPath } from '#mdm/paths.ts'
import { Dispatcher } from '#mdm/sinks/dispatch.ts'
import { FileSink } from '#mdm/sinks/files.ts'
import { backOffMs } from '#mdm/sinks/follower.ts'
import { ParquetSink } from '#mdm/sinks/parquet.ts'
import { countOf, difference, rangesOf, union } from '#mdm/sinks/ranges.ts'
import { type Sink, SinkError } from '#mdm/sinks/sink.ts'
import { BatchStore } from '#mdm/store.ts'
import type { Sealed } from '#test/support/batches.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { keptOf, MemorySink, sealedBatches } from './memory.ts'

const epoch = 7
let pki: WithForeign
let all: Sealed[]
beforeAll(async () => {
  pki = await throwawayPki()
  all = await sealedBatches(pki, epoch, 70)
})
afterAll(() => pki.close())

interface Lab {
  data: string
  store: BatchStore
  dispatcher: Dispatcher
  logged: Record<string, unknown>[]
  /** as the receiver does with a verified batch */
  keep: (...sequences: number[]) => void
  end: () => Promise<void>
}

function lab(sinks: readonly Sink[], { data = tempFolder(), backOff = 60_000 } = {}): Lab {
  const logged: Record<string, unknown>[] = []
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line) as Record<string, unknown>) })
  const store = new BatchStore(data)
  const dispatcher = new Dispatcher({ store, sinks, log, backOffMs: () => backOff })
  let open = true
  const end = async (): Promise<void> => {
    if (!open) return
    open = false
    await dispatcher.close()
    store.close()
  }
  onTestFinished(end)
  const keep = (...sequences: number[]): void => {
    for (const sequence of sequences) {
      store.put(keptOf(all[sequence - 1]!))
    }
  }
  return { data, store, dispatcher, logged, keep, end }
}

const names = (...sequences: number[]): string[] => sequences.map((sequence) => `${epoch}/${sequence}`)

describe('sinks', () => {
  test('take what is kept, in order, each once, and say where they stand', async () => {
    const sink = new MemorySink()
    const { dispatcher, keep } = lab([sink])
    await dispatcher.idle()
    keep(1, 2, 4)
    await dispatcher.idle()
    expect(dispatcher.status()).toEqual([
      { name: 'memory', position: [{ epoch, sequence: 4 }], behind: 0, skipped: 0, fault: undefined },
    ])
    keep(3)
    await dispatcher.idle()
    expect(sink.taken.toSorted()).toEqual(names(1, 2, 3, 4))
    expect(sink.opened).toBe(1)
  })

  test('one that is slow holds up no other', async () => {
    const [slow, quick] = [new MemorySink('slow'), new MemorySink('quick')]
    const gate = Promise.withResolvers<void>()
    slow.gate = gate.promise
    const { dispatcher, keep } = lab([slow, quick])
    await dispatcher.idle()
    keep(1, 2, 3)
    await vi.waitFor(() => expect(quick.taken).toEqual(names(1, 2, 3)))
    expect(dispatcher.status()).toMatchObject([
      { name: 'slow', behind: 3 },
      { name: 'quick', behind: 0 },
    ])
    gate.resolve()
    await dispatcher.idle()
    expect(slow.taken).toEqual(names(1, 2, 3))
  })

  test('one that fails is told once, named with its code, tried again, and misses nothing', async () => {
    const sink = new MemorySink()
    const dead = (): SinkError => new SinkError('SINK_UNREACHABLE', 'nobody there')
    sink.faults.push(undefined, dead(), dead(), dead()) // opens once, then a take and two openings fail
    const { dispatcher, keep, logged } = lab([sink], { backOff: 1 })
    keep(1)
    await vi.waitFor(() => expect(sink.taken).toEqual(names(1)))
    await vi.waitFor(() => expect(dispatcher.status()[0]!.fault).toBeUndefined())
    expect(sink.opened).toBe(2) // after a fault it asks where it stands
    expect(logged.map(({ event, code }) => [event, code])).toEqual([
      ['sink.failed', 'SINK_UNREACHABLE'],
      ['sink.recovered', undefined],
    ])
  })

  test('one that is dead says so since when, and what it lacks; others have it', async () => {
    const [dead, well] = [new MemorySink('dead'), new MemorySink('well')]
    dead.faults.push(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }))
    const { dispatcher, keep } = lab([dead, well])
    keep(1, 2)
    await dispatcher.idle()
    expect(dispatcher.status()).toEqual([
      {
        name: 'dead',
        position: [{ epoch, sequence: 0 }],
        behind: 2,
        skipped: 0,
        fault: { code: 'SINK_FULL', since: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) },
      },
      { name: 'well', position: [{ epoch, sequence: 2 }], behind: 0, skipped: 0, fault: undefined },
    ])
  })

  test('one that is added later catches up from the kept batches, in groups', async () => {
    const { data, keep, end } = lab([])
    keep(...all.map(({ sequence }) => sequence))
    await end()
    const late = new MemorySink()
    const later = lab([late], { data })
    await later.dispatcher.idle()
    expect(late.taken).toEqual(names(...all.map(({ sequence }) => sequence)))
    expect(late.groups).toEqual([64, 6])
  })

  test('one that waits between groups takes all that came meanwhile, at the latest at the end', async () => {
    const sink = new MemorySink('seldom', 3_600_000)
    const { dispatcher, keep } = lab([sink])
    await dispatcher.idle() // it waits for its time
    keep(1, 2, 3)
    expect(dispatcher.status()).toMatchObject([{ behind: 3, fault: undefined }])
    await dispatcher.close()
    expect([sink.taken, sink.groups]).toEqual([names(1, 2, 3), [3]])
  })

  test('a kept batch that is gone or damaged is named and passed over, and the next ones are taken', async () => {
    const { data, keep, end } = lab([])
    keep(1, 2, 3)
    await end()
    const sink = new MemorySink()
    sink.faults.push(new Error('not yet'))
    const later = lab([sink], { data, backOff: 50 })
    rmSync(join(data, batchPath('batches', epoch, 1)))
    const damaged = readFileSync(join(data, batchPath('batches', epoch, 2)))
    damaged[damaged.length - 1]! ^= 1
    writeFileSync(join(data, batchPath('batches', epoch, 2)), damaged)
    await vi.waitFor(() => expect(sink.taken).toEqual(names(3)))
    await later.dispatcher.idle()
    expect(later.dispatcher.status()).toMatchObject([{ behind: 0, skipped: 2, fault: undefined }])
    const skipped = later.logged.filter(({ event }) => event === 'sink.skipped')
    expect(skipped.map(({ sequence, code }) => [sequence, code])).toEqual([
      [1, 'BATCH_MISSING'],
      [2, 'BATCH_DAMAGED'],
    ])
  })

  test('files: readings and sealed batches go to the folders that were named, once', async () => {
    const [lines, copies] = [tempFolder(), tempFolder()]
    const sinks = (): Sink[] => [new FileSink('lines', 'readings', lines), new FileSink('copies', 'batches', copies)]
    const { data, keep, end } = lab(sinks())
    keep(1, 2)
    await end()
    expect(readFileSync(join(copies, batchPath('batches', epoch, 2)))).toEqual(Buffer.from(all[1]!.octets))
    expect(
      readFileSync(join(lines, batchPath('readings', epoch, 2)), 'utf8')
        .trimEnd()
        .split('\n'),
    ).toHaveLength(6)
    rmSync(join(copies, batchPath('batches', epoch, 1)))
    const before = readdirSync(lines, { recursive: true })
    await lab(sinks(), { data }).dispatcher.idle()
    expect(readFileSync(join(copies, batchPath('batches', epoch, 1)))).toEqual(Buffer.from(all[0]!.octets))
    expect(readdirSync(lines, { recursive: true })).toEqual(before)
  })

  test('back-off doubles from a quarter of a second and ends at half a minute', () => {
    expect([1, 2, 3, 7, 8, 9, 1_000].map(backOffMs)).toEqual([250, 500, 1_000, 16_000, 30_000, 30_000, 30_000])
  })
})

describe('ranges', () => {
  const set = fc.uniqueArray(fc.integer({ min: 1, max: 40 })).map((list) => list.sort((a, b) => a - b))
  const numbers = (ranges: readonly (readonly [number, number])[]): number[] =>
    ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
  const ranges = (list: readonly number[]): [number, number][] =>
    list.reduce<[number, number][]>((sum, n) => {
      if (sum.at(-1)?.[1] === n - 1) sum.at(-1)![1] = n
      else sum.push([n, n])
      return sum
    }, [])

  test('a difference holds what the one has and the other has not, as few ranges', () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const left = a.filter((n) => !b.includes(n))
        expect(difference(ranges(a), ranges(b))).toEqual(ranges(left))
        expect(countOf(ranges(a))).toBe(a.length)
      }),
    )
  })

  test('a union holds what either has, as few ranges', () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const both = [...new Set([...a, ...b])].sort((x, y) => x - y)
        expect(union(ranges(a), ranges(b))).toEqual(ranges(both))
      }),
    )
  })

  test('ranges are what the gaps leave', () => {
    fc.assert(
      fc.property(set, (come) => {
        const highest = come.at(-1) ?? 0
        const gaps = ranges(Array.from({ length: highest }, (_, i) => i + 1).filter((n) => !come.includes(n)))
        expect(numbers(rangesOf({ highest, gaps }))).toEqual(come)
      }),
    )
  })
})

/** A file system of this size, where we may mount one. */
function small(octets: string): { folder: string; grow: (octets: string) => void } | undefined {
  const folder = tempFolder()
  const mount = (...options: string[]): boolean => spawnSync('mount', [...options, folder]).status === 0
  if (!mount('-t', 'tmpfs', '-o', `size=${octets}`, 'tmpfs')) return undefined
  onTestFinished(() => void spawnSync('umount', ['-l', folder]))
  return { folder, grow: (more) => void mount('-o', `remount,size=${more}`) }
}

describe.skipIf(process.getuid!() !== 0)('a full disk', () => {
  const kinds: Record<string, (folder: string, data: string) => Sink> = {
    ndjson: (folder) => new FileSink('ndjson', 'readings', folder),
    batches: (folder) => new FileSink('batches', 'batches', folder),
    parquet: (folder, data) => new ParquetSink('parquet', { folder, data, everyMs: 0, closeAfterMs: 0 }),
  }

  test.for(Object.entries(kinds))(
    'is a fault of %s, which goes on by itself when there is room',
    async ([, make], context) => {
      const disk = small('64k')
      if (disk === undefined) return context.skip('no right to mount')
      const data = tempFolder()
      const sink = make(disk.folder, data)
      const { dispatcher, keep } = lab([sink], { data, backOff: 20 })
      for (const { sequence } of all) {
        keep(sequence) // a file each, where it takes one at a time
        if (dispatcher.status()[0]!.fault === undefined) await dispatcher.idle()
      }
      await vi.waitFor(() => expect(dispatcher.status()[0]!.fault?.code).toBe('SINK_FULL'))
      expect(dispatcher.status()[0]!.behind).toBeGreaterThan(0)
      disk.grow('8m')
      await vi.waitFor(() => expect(dispatcher.status()[0]).toMatchObject({ behind: 0, fault: undefined }), 10_000)
      expect(sink.held(epoch)).toEqual([[1, all.length]])
      await sink.open()
      expect(sink.held(epoch)).toEqual([[1, all.length]])
    },
  )
})
