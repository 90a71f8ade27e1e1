import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { holdFolder, openDatabase } from '#gateway/io/database.ts'
import { Quarantine, type Quarantined, quarantineSchema } from '#gateway/io/quarantine.ts'
import { concentratorId } from '#gateway/model.ts'
import { tempFolder } from '#test/support/temp.ts'

const one = (n: number, octets: number): Quarantined => ({
  atMs: n,
  concentrator: concentratorId('dc-1'),
  meter: undefined,
  code: 'TAG_UNAUTHENTIC',
  detail: 'the tag does not hold',
  octets: Buffer.alloc(octets, n),
})

describe('quarantine', () => {
  test('beyond its rows or its octets the oldest goes, also after it is opened anew', () => {
    const file = join(tempFolder(), 'q.sqlite')
    const kept = (limits: { rowsMax: number; octetsMax: number }, add: Quarantined[]): number[] => {
      const database = openDatabase(file, quarantineSchema)
      const quarantine = new Quarantine(database, limits)
      for (const each of add) quarantine.add(each)
      const found = quarantine.list(100).map(({ atMs }) => atMs)
      database.close()
      return found
    }
    expect(kept({ rowsMax: 3, octetsMax: 1_000 }, [one(1, 10), one(2, 10), one(3, 10), one(4, 10)])).toEqual([4, 3, 2])
    expect(kept({ rowsMax: 9, octetsMax: 100 }, [one(5, 75)])).toEqual([5, 4, 3])
    expect(kept({ rowsMax: 9, octetsMax: 100 }, [one(6, 90)])).toEqual([6])
  })

  test('what was kept comes back octet for octet', () => {
    const database = openDatabase(join(tempFolder(), 'q.sqlite'), quarantineSchema)
    const quarantine = new Quarantine(database)
    quarantine.add(one(7, 33))
    expect(quarantine.list(1)[0]).toEqual({ ...one(7, 33), octets: new Uint8Array(one(7, 33).octets) })
    database.close()
  })
})

describe('a folder that is held', () => {
  const script = (folder: string): string => `
    const { holdFolder } = await import(${JSON.stringify(import.meta.resolve('#gateway/io/database.ts'))})
    process.exit(holdFolder(${JSON.stringify(folder)}) === undefined ? 3 : 0)`
  const other = (folder: string): number | null =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script(folder)], { timeout: 20_000 }).status

  test('is refused to another process until the first lets go', () => {
    const folder = tempFolder()
    const lock = holdFolder(folder)
    expect(lock).toBeDefined()
    expect(other(folder)).toBe(3)
    lock!.close()
    expect(other(folder)).toBe(0)
  })
})
