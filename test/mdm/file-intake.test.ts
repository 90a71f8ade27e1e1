import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { FileIntake } from '#mdm/file-intake.ts'
import { keptMax } from '#mdm/file-quarantine.ts'
import { bundleOf, octetsMax, reader, Shelf } from '#test/support/bundles.ts'
import { tempFolder } from '#test/support/temp.ts'

const [stableMs, staleMs] = [2_000, 600_000]

interface Lab {
  folder: string
  shelf: Shelf
  intake: FileIntake
  /** looks at this time, milliseconds */
  at: (ms: number) => Promise<void>
  failures: Error[]
}

function lab(): Lab {
  const [folder, shelf, failures] = [tempFolder(), new Shelf(), [] as Error[]]
  const intake = new FileIntake({
    folder,
    pollMs: 10,
    stableMs,
    staleMs,
    reader,
    take: shelf.take,
    log: pino({ level: 'silent' }),
    onFailure: (error) => failures.push(error),
  })
  return { folder, shelf, intake, at: (ms) => intake.look(ms), failures }
}

const put = (folder: string, name: string, octets: Uint8Array | string): void =>
  writeFileSync(join(folder, name), octets)
const left = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name !== 'quarantine')
    .sort()
const quarantined = (folder: string): string[] =>
  readdirSync(join(folder, 'quarantine')).map((name) => name.replace(/^\d{13}-/, ''))

describe('the intake of files', () => {
  test('takes bundles in any order when they have not changed for a while, and removes them', async () => {
    const { folder, shelf, intake, at } = lab()
    const all = [3, 1, 2].map((n) => bundleOf(n))
    for (const { name, frame } of all) put(folder, name, frame)
    await at(0)
    await at(stableMs - 1)
    expect(shelf.batches.size).toBe(0)
    await at(stableMs)
    expect(new Set(shelf.batches.values())).toEqual(new Set(['batch 1', 'batch 2', 'batch 3']))
    expect(readdirSync(folder)).toEqual([])
    expect(intake.status()).toMatchObject({ stored: 3, repeated: 0, refused: {}, held: undefined })
  })

  test('waits for a file that grows, whatever it was when first read', async () => {
    const { folder, shelf, intake, at } = lab()
    const { name, frame } = bundleOf(1)
    put(folder, name, frame.subarray(0, 75))
    await at(0)
    await at(5_000) // read, and not whole
    await at(300_000)
    appendFileSync(join(folder, name), frame.subarray(75))
    await at(300_001)
    await at(300_001 + stableMs)
    expect(shelf.batches.size).toBe(1)
    expect(intake.status().refused).toEqual({})
  })

  test('waits for a file that a mover made as long as it will be and fills later', async () => {
    const { folder, shelf, at } = lab()
    const { name, frame } = bundleOf(1)
    put(folder, name, Buffer.alloc(frame.length))
    await at(0)
    await at(stableMs)
    put(folder, name, frame)
    await at(stableMs + 1)
    await at(2 * stableMs + 1)
    expect(shelf.batches.size).toBe(1)
  })

  test('leaves a temporary name alone until it is renamed', async () => {
    const { folder, shelf, at } = lab()
    const { name, frame } = bundleOf(1)
    put(folder, `${name}.filepart`, frame)
    for (const ms of [0, stableMs, 100_000]) await at(ms)
    expect(shelf.batches.size).toBe(0)
    renameSync(join(folder, `${name}.filepart`), join(folder, name))
    await at(100_001)
    await at(100_001 + stableMs)
    expect(shelf.batches.size).toBe(1)
  })

  test('counts a bundle that comes again, and one that the receiver has in its quarantine, and removes both', async () => {
    const { folder, shelf, intake, at } = lab()
    shelf.refusing.set(2, 'BATCH_SIGNATURE')
    for (const [from, n] of [
      [0, 1],
      [10_000, 1],
      [20_000, 2],
    ] as const) {
      put(folder, bundleOf(n).name, bundleOf(n).frame)
      await at(from)
      await at(from + stableMs)
    }
    expect(intake.status()).toMatchObject({ stored: 1, repeated: 1, refused: { BATCH_SIGNATURE: 1 } })
    expect(readdirSync(folder)).toEqual([])
  })

  const strange: Record<string, { code: string; make: (folder: string) => void }> = {
    'a foreign file': { code: 'FILE_NAME', make: (folder) => put(folder, 'report.pdf', 'x') },
    'a temporary file that nobody renames': {
      code: 'FILE_NAME',
      make: (folder) => put(folder, `.${bundleOf(1).name}.partial`, bundleOf(1).frame),
    },
    'a bundle under the name of another': {
      code: 'FILE_NAME',
      make: (folder) => put(folder, bundleOf(1).name, bundleOf(2).frame),
    },
    'a symbolic link': {
      code: 'FILE_KIND',
      make: (folder) => symlinkSync('/etc/passwd', join(folder, bundleOf(1).name)),
    },
    'a symbolic link to a folder': {
      code: 'FILE_KIND',
      make: (folder) => symlinkSync('/etc', join(folder, bundleOf(1).name)),
    },
    'a second name of a file elsewhere': {
      code: 'FILE_KIND',
      make: (folder) => {
        const { frame, name } = bundleOf(1)
        const elsewhere = join(tempFolder(), 'elsewhere')
        writeFileSync(elsewhere, frame)
        linkSync(elsewhere, join(folder, name))
      },
    },
    'a pipe': {
      code: 'FILE_KIND',
      make: (folder) => {
        expect(spawnSync('mkfifo', [join(folder, bundleOf(1).name)]).status).toBe(0)
      },
    },
    'a huge file': {
      code: 'FILE_SIZE',
      make: (folder) => {
        put(folder, bundleOf(1).name, '')
        truncateSync(join(folder, bundleOf(1).name), 2 ** 29) // takes no room
      },
    },
    'an empty file': { code: 'BUNDLE_TRUNCATED', make: (folder) => put(folder, bundleOf(1).name, '') },
    'a file that stays half': {
      code: 'BUNDLE_TRUNCATED',
      make: (folder) => put(folder, bundleOf(1).name, bundleOf(1).frame.subarray(0, -1)),
    },
    'a file with an octet too many': {
      code: 'BUNDLE_TRAILING',
      make: (folder) => put(folder, bundleOf(1).name, Buffer.concat([bundleOf(1).frame, Buffer.of(0)])),
    },
    'a file that is no bundle': {
      code: 'BUNDLE_MALFORMED',
      make: (folder) => put(folder, bundleOf(1).name, Buffer.alloc(200)),
    },
    'a bundle with a flipped bit': {
      code: 'BUNDLE_DIGEST',
      make: (folder) => {
        const frame = Buffer.from(bundleOf(1).frame)
        frame[frame.length - 1]! ^= 1
        put(folder, bundleOf(1).name, frame)
      },
    },
  }
  test.for(Object.entries(strange))('keeps %s in quarantine, and takes the next bundle', async ([, { code, make }]) => {
    const { folder, shelf, intake, at } = lab()
    make(folder)
    put(folder, bundleOf(9).name, bundleOf(9).frame)
    const [name] = left(folder).filter((one) => one !== bundleOf(9).name)
    for (const ms of [0, stableMs, staleMs - 1]) await at(ms)
    expect(left(folder)).toEqual([name]) // it has its time
    for (const ms of [staleMs, staleMs + 1, staleMs + 2]) await at(ms)
    expect([...shelf.batches.keys()]).toEqual([9])
    expect(intake.status()).toMatchObject({ stored: 1, refused: { [code]: 1 } })
    expect(left(folder)).toEqual([])
    expect(quarantined(folder)).toEqual([`${code}-${name}`])
  })

  test('follows no link in place of its quarantine', async () => {
    const { folder, intake, at } = lab()
    const elsewhere = tempFolder()
    symlinkSync(elsewhere, join(folder, 'quarantine'))
    put(folder, 'foreign', 'x')
    await at(0)
    await at(staleMs)
    expect(readdirSync(elsewhere)).toEqual([])
    expect(intake.status()).toMatchObject({ refused: {}, held: 'lstat: ENOTDIR' })
  })

  test('keeps a bounded quarantine, the last of it, and bears names that are not UTF-8 or are long', async () => {
    const { folder, intake, at } = lab()
    for (let n = 0; n < keptMax + 20; n++) put(folder, `foreign ${n}`, 'x')
    put(folder, 'ä'.repeat(120), 'x')
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff, 0xfe, 0x0a)]), 'x')
    await at(0)
    await at(staleMs)
    expect(left(folder)).toEqual([])
    expect(readdirSync(join(folder, 'quarantine'))).toHaveLength(keptMax)
    expect(intake.status().refused).toEqual({ FILE_NAME: keptMax + 22 })
  })

  test('does not keep what alone is beyond its quarantine', async () => {
    const { folder, intake, at } = lab()
    put(folder, bundleOf(1).name, '')
    truncateSync(join(folder, bundleOf(1).name), 2 ** 40)
    await at(0)
    await at(staleMs)
    expect(intake.status().refused).toEqual({ FILE_SIZE: 1 })
    expect([left(folder), quarantined(folder)]).toEqual([[], []])
  })

  test('leaves folders alone, and looks into none', async () => {
    const { folder, shelf, intake, at } = lab()
    mkdirSync(join(folder, bundleOf(1).name))
    put(join(folder, bundleOf(1).name), bundleOf(2).name, bundleOf(2).frame)
    await at(0)
    await at(staleMs)
    expect(shelf.batches.size).toBe(0)
    expect(left(folder)).toEqual([bundleOf(1).name])
    expect(intake.status().refused).toEqual({})
  })

  test('says what keeps it up, and goes on when that is mended', async () => {
    const { folder, shelf, intake, at } = lab()
    rmSync(folder, { recursive: true })
    await at(0)
    expect(intake.status().held).toBe('opendir: ENOENT')
    mkdirSync(folder)
    put(folder, bundleOf(1).name, bundleOf(1).frame)
    await at(1)
    await at(1 + stableMs)
    expect(intake.status()).toMatchObject({ stored: 1, held: undefined })
    expect(shelf.batches.size).toBe(1)
  })

  test('removes nothing that could not be stored', async () => {
    const folder = tempFolder()
    const failures: Error[] = []
    const intake = new FileIntake({
      folder,
      pollMs: 10,
      stableMs: 0,
      staleMs,
      reader,
      take: async () => {
        throw new Error('no space left')
      },
      log: pino({ level: 'silent' }),
      onFailure: (error) => failures.push(error),
    })
    put(folder, bundleOf(1).name, bundleOf(1).frame)
    intake.start()
    onTestFinished(() => intake.close())
    await vi.waitFor(() => expect(failures).toEqual([new Error('no space left')]))
    expect(readFileSync(join(folder, bundleOf(1).name))).toEqual(bundleOf(1).frame)
  })

  test('by itself finds what a mover brings', async () => {
    const { folder, shelf } = lab()
    const intake = new FileIntake({
      folder,
      pollMs: 10,
      stableMs: 20,
      staleMs,
      reader,
      take: shelf.take,
      log: pino({ level: 'silent' }),
      onFailure: () => undefined,
    }).start()
    onTestFinished(() => intake.close())
    put(folder, bundleOf(1).name, bundleOf(1).frame)
    await vi.waitFor(() => expect(readdirSync(folder)).toEqual([]), { timeout: 20_000 })
    expect(shelf.batches.size).toBe(1)
  })

  test('survives whatever movers do, and takes every bundle that is brought in the end', async () => {
    type Step = { does: 'part' | 'whole' | 'rename' | 'garbage' | 'link' | 'wait'; n: number }
    const steps = fc.array(
      fc.record<Step>({
        does: fc.constantFrom('part', 'whole', 'rename', 'garbage', 'link', 'wait'),
        n: fc.integer({ min: 1, max: 4 }),
      }),
      { maxLength: 30 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const { folder, shelf, at, failures } = lab()
        let ms = 0
        for (const { does, n } of all) {
          const { name, frame } = bundleOf(n)
          const path = join(folder, name)
          if (does === 'wait') ms += 1_500
          else if (does === 'rename' && existsSync(path)) renameSync(path, join(folder, `${name}.${ms}`))
          else if (does === 'link') symlinkSync('/etc/passwd', `${path}.${++ms}`)
          else if (does !== 'rename')
            put(folder, does === 'garbage' ? `x${n}` : name, does === 'part' ? frame.subarray(0, 60) : frame)
          await at(++ms)
        }
        for (let n = 1; n <= 4; n++) put(folder, bundleOf(n).name, bundleOf(n).frame)
        for (const after of [1, stableMs + 1, staleMs + stableMs + 2]) await at(ms + after)
        expect(shelf.batches.size).toBe(4)
        expect(left(folder)).toEqual([])
        expect(failures).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  test('the limit of a file is that of a bundle', () => {
    expect(reader.frameOctetsMax).toBe(octetsMax + 72)
  })
})
