import { appendFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Journal, journalDefaults, openJournal } from '#gateway/io/journal.ts'
import { JournalReader } from '#gateway/io/journal-reader.ts'
import { JournalCorrupt } from '#gateway/io/journal-record.ts'
import { concentratorId } from '#gateway/model.ts'
import { tempFolder } from '#test/support/temp.ts'

const concentrator = concentratorId('dc-1')

function record(n: number, octets = 20): { concentrator: typeof concentrator; receivedAtMs: number; payload: Buffer } {
  return { concentrator, receivedAtMs: 1_000 + n, payload: Buffer.alloc(octets, n) }
}

async function fill(journal: Journal, count: number, octets = 20): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, n) => journal.append(record(n, octets))))
}

function readAll(folder: string, durable: number, from = 0): number[] {
  const reader = new JournalReader(folder, from)
  const seen: number[] = []
  for (let records = reader.read(durable); records.length > 0; records = reader.read(durable)) {
    seen.push(...records.map(({ receivedAtMs }) => receivedAtMs - 1_000))
  }
  reader.close()
  return seen
}

const lastSegment = (folder: string): string => join(folder, readdirSync(folder).sort().at(-1)!)

describe('journal', () => {
  test('every record comes back once, in order, with its payload', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    await fill(journal, 1_500)
    const reader = new JournalReader(folder, 0)
    expect(reader.read(journal.durable)[7]).toMatchObject({ ...record(7), payload: record(7).payload })
    reader.close()
    expect(readAll(folder, journal.durable)).toEqual(Array.from({ length: 1_500 }, (_, n) => n))
    await journal.close()
  })

  test('a long payload is written from where it lies, between short ones, and checks', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    const sizes = [0, 1, 16_384, 16_385, 100_000, 20]
    await Promise.all(sizes.map((octets, n) => journal.append(record(n, octets))))
    await journal.close()
    const again = openJournal(folder)
    const reader = new JournalReader(folder, 0)
    const found = reader.read(again.durable)
    expect(found.map(({ payload }) => payload.length)).toEqual(sizes)
    expect(found[4]!.payload.every((octet) => octet === 4)).toBe(true)
    reader.close()
    await again.close()
  })

  test('a record longer than the reading window is read whole', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    await fill(journal, 3, 5_000)
    const reader = new JournalReader(folder, 0, 1_000)
    expect(reader.read(journal.durable).map(({ payload }) => payload.length)).toEqual([5_000])
    reader.close()
    await journal.close()
  })

  test('nothing beyond what is durable is read', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    await fill(journal, 1)
    const durable = journal.durable
    await fill(journal, 2)
    expect(readAll(folder, durable)).toEqual([0])
    await journal.close()
  })

  test('a record that a crash left half-written is cut off, and those before it stay', async () => {
    for (const cut of [1, 7, 8, 9, 30]) {
      const folder = tempFolder()
      const journal = openJournal(folder)
      await fill(journal, 10)
      const whole = journal.durable
      await journal.close()
      truncateSync(lastSegment(folder), whole - cut)
      const again = openJournal(folder)
      expect(readAll(folder, again.durable)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
      await again.append(record(42))
      expect(readAll(folder, again.durable).at(-1)).toBe(42)
      await again.close()
    }
  })

  test('garbage after the last record is cut off', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    await fill(journal, 2)
    await journal.close()
    appendFileSync(lastSegment(folder), Buffer.alloc(100, 0xff))
    const again = openJournal(folder)
    await again.append(record(2))
    expect(readAll(folder, again.durable)).toEqual([0, 1, 2])
    await again.close()
  })

  test('segments roll, are read across, and those released are erased', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder, { ...journalDefaults, segmentOctets: 500 })
    for (let n = 0; n < 50; n++) await journal.append(record(n))
    expect(readdirSync(folder).length).toBeGreaterThan(3)
    expect(readAll(folder, journal.durable)).toHaveLength(50)
    journal.release(journal.durable)
    expect(readdirSync(folder).length).toBeLessThanOrEqual(2)
    await journal.close()
    const again = openJournal(folder)
    expect(again.durable).toBe(journal.durable)
    await again.close()
  })

  test('a flipped octet before the end is told, not skipped', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    await fill(journal, 5)
    await journal.close()
    const octets = readFileSync(lastSegment(folder))
    octets[45]! ^= 1
    writeFileSync(lastSegment(folder), octets)
    expect(() => readAll(folder, journal.durable)).toThrow(JournalCorrupt)
  })

  test('it is full at its backlog, and takes again once released', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder, { queuedOctetsMax: 1_000, backlogOctetsMax: 400, segmentOctets: 100 })
    await fill(journal, 12)
    expect(journal.full).toBe(true)
    const drained = journal.drained()
    journal.release(journal.durable)
    await drained
    expect(journal.full).toBe(false)
    await journal.close()
  })

  test('a failing disk fails this append and every later one', async () => {
    const folder = tempFolder()
    const journal = openJournal(folder)
    await journal.append(record(0))
    await journal.close() // writing now hits a closed descriptor
    await expect(journal.append(record(1))).rejects.toThrow()
    await expect(journal.append(record(2))).rejects.toThrow()
    expect(readAll(folder, journal.durable)).toEqual([0])
  })
})
