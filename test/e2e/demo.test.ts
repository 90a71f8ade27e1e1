import { execFile } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { type Tally, tally } from '#cli/demo/tally.ts'
import { corpusFile, corpusNote } from '#test/support/corpus.ts'
import { Demo, isGone } from '#test/support/run-demo.ts'
import { tempFolder } from '#test/support/temp.ts'

/** A folder that the demo makes itself. */
const fresh = (): string => join(tempFolder(), 'demo')

function filesOf(folder: string, ending: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(folder, name))
}

const keys = {
  readings: ['sent', 'acked', 'quarantined', 'sealed', 'delivered', 'verified', 'lost', 'duplicated'],
  batches: ['sealed', 'delivered', 'gaps'],
  cells: ['closed', 'released', 'withheld'],
}

describe('ami demo', () => {
  test('ends with one JSON line of the agreed keys, ok, and exit code 0', async () => {
    const verdict = await new Demo(fresh(), '--duration', '4', '--interval', '0.2').verdict()
    expect(Object.keys(verdict)).toEqual(['readings', 'batches', 'cells', 'seconds', 'ok'])
    for (const [name, expected] of Object.entries(keys)) {
      expect(Object.keys(verdict[name as keyof typeof keys])).toEqual(expected)
    }
    const { sent, acked } = verdict.readings
    expect(acked).toBeGreaterThan(38_400) // the day before: 200 meters, 96 quarter-hours, two channels
    expect(verdict.readings).toEqual({
      ...{ sent, acked: sent, sealed: sent, delivered: sent, verified: sent },
      ...{ quarantined: 0, lost: 0, duplicated: 0 },
    })
    expect(verdict).toMatchObject({ batches: { gaps: 0, delivered: verdict.batches.sealed }, ok: true })
  }, 40_000)

  test('twice at the same time: neither disturbs the other', async () => {
    const small = ['--duration', '2', '--interval', '0.2', '--meters', '40', '--concentrators', '2']
    const both = [new Demo(fresh(), ...small), new Demo(fresh(), ...small)]
    for (const verdict of await Promise.all(both.map((demo) => demo.verdict()))) expect(verdict.ok).toBe(true)
  }, 40_000)

  test('shows released cells over HTTP within 30 s, and SIGINT ends it cleanly with its JSON line', async () => {
    const began = performance.now()
    const demo = new Demo(fresh(), '--interval', '1')
    const { address } = await demo.logged('studies', 'studies.listening')
    const listed = (await (await fetch(`${address}/v1/substations`)).json()) as { substations: unknown[] }
    expect(listed.substations).toEqual([])
    await vi.waitFor(
      async () => {
        const answer = await (await fetch(`${address}/v1/demand?substation=sub-001`)).json()
        const { cells } = answer as { cells: { state: string; energyWh: string }[] }
        const released = cells.filter(({ state }) => state === 'released')
        expect(released.length).toBeGreaterThan(0)
        expect(Number(released[0]!.energyWh)).toBeGreaterThan(0)
      },
      { timeout: 30_000 - (performance.now() - began), interval: 250 },
    )
    const children = demo.children()
    expect(children).toHaveLength(5)
    demo.kill('SIGINT')
    demo.kill('SIGINT') // as npm passes on what the terminal told us too
    const verdict = await demo.verdict()
    expect(verdict.ok).toBe(true)
    expect(verdict.cells.released).toBeGreaterThan(0)
    expect(children.filter((pid) => !isGone(pid))).toEqual([])
  }, 60_000)

  test.for(['simulator.status', 'gateway.listening'])(
    'killed after %s leaves no part alive',
    { timeout: 40_000 },
    async (event) => {
      const demo = new Demo(fresh(), '--interval', '0.1', '--meters', '40')
      await demo.logged(event.split('.')[0]!, event)
      const children = demo.children()
      demo.kill('SIGKILL')
      await demo.end()
      await vi.waitFor(() => expect(children.filter((pid) => !isGone(pid))).toEqual([]), { timeout: 10_000 })
    },
  )

  test('refuses a folder that holds something, with exit code 78', async () => {
    const folder = tempFolder()
    writeFileSync(join(folder, 'mine'), '')
    const { code, stdout, stderr } = await new Demo(folder).end()
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    expect(stderr).toContain('is not empty')
  })
})

describe('ami demo --loss', () => {
  test('loses a tenth of the datagrams and no reading: what was sent is verified', async () => {
    const demo = new Demo(fresh(), '--duration', '6', '--interval', '0.2', '--loss', '10')
    const { ok, readings, batches, link } = await demo.verdict()
    expect(ok).toBe(true)
    expect(readings).toMatchObject({ verified: readings.sent, lost: 0, duplicated: 0 })
    expect(batches).toMatchObject({ gaps: 0, delivered: batches.sealed })
    const sent = demo.lastLogged('gateway', 'gateway.status')
    expect(link!.datagrams).toBe(sent.datagrams) // all of them went through it
    expect(link!.datagrams).toBeGreaterThan(200)
    expect(link!.lost / link!.datagrams).toBeGreaterThan(0.05)
    expect(link!.lost / link!.datagrams).toBeLessThan(0.15)
  }, 40_000)

  test('without --json shows the loss live and ends by saying that nothing was lost', async () => {
    const line = [mainFile, 'demo', '--duration', '4', '--interval', '0.2', '--meters', '40', '--loss', '20']
    const { stderr } = await promisify(execFile)(process.execPath, line)
    expect(stderr).toMatch(/ link lost [1-9][\d,]* of [\d,]+ datagrams \(\d+\.\d %\)\n/)
    expect(stderr).toMatch(
      /link lost \d+ of \d+ datagrams; nothing lost: (\d+) readings sent, \1 verified, 0 doubled, 0 gaps\n/,
    )
  }, 40_000)
})

interface Delivered {
  meter: string
  end: number
  /** kWh times 10^9 */
  nanoKwh: bigint
}

function* deliveredIn(folder: string): Generator<Delivered> {
  for (const file of filesOf(join(folder, 'mdm'), '.ndjson')) {
    for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) {
      const { meter, obis, end, scaler, unit } = JSON.parse(line) as Record<string, string> & { scaler: number }
      expect([obis, unit]).toEqual(['1-0:1.29.0', 'Wh'])
      const value = BigInt(/"value":(-?\d+)/.exec(line)![1]!)
      yield { meter: meter!, end: Date.parse(end!) / 1000, nanoKwh: value * 10n ** BigInt(6 + scaler) }
    }
  }
}

/** `0.092` is 92,000,000: no float between the file and the sum. */
function nanoKwhOf(text: string): bigint {
  const [whole, fraction = ''] = text.split('.')
  return BigInt(whole! + fraction.padEnd(9, '0'))
}

/** Sums by series, in the file's order of series, of the intervals that begin from `from` on and before `to`. */
function sumsOf(file: string, [from, to]: [number, number]): Map<string, bigint> {
  const sums = new Map<string, bigint>()
  for (const row of readFileSync(file, 'utf8').trimEnd().split(/\r?\n/).slice(1)) {
    const [series, start, kwh] = row.split(',')
    const at = Date.parse(start!) / 1000
    const here = at >= from && at < to ? nanoKwhOf(kwh!) : 0n
    sums.set(series!, (sums.get(series!) ?? 0n) + here)
  }
  return sums
}

const households = ['load/uk-households-30min.csv', 'load/au-households-30min.csv']

describe('ami demo --load-curves', () => {
  test.for(households.map((file) => [file, corpusNote(file)] as const))(
    'delivers exactly the energy that stands in %s for the span sent%s, series by series',
    { timeout: 40_000 },
    async ([file, note], { skip }) => {
      if (note !== '') skip(note)
      const demo = new Demo(fresh(), '--duration', '4', '--interval', '0.2', '--load-curves', corpusFile(file))
      const { ok, readings } = await demo.verdict()
      expect(ok).toBe(true)
      const delivered = [...deliveredIn(demo.folder)]
      expect(delivered).toHaveLength(readings.delivered!)
      const ends = delivered.map(({ end }) => end)
      const span: [number, number] = [Math.min(...ends) - 1_800, Math.max(...ends)]
      expect(span[1] - span[0]).toBeGreaterThan(11 * 3_600)
      const expected = sumsOf(corpusFile(file), span)
      const sums = new Map<string, bigint>()
      const series = [...expected.keys()]
      for (const { meter, nanoKwh } of delivered) {
        const name = series[Number.parseInt(meter.slice(-6), 16) - 1]!
        sums.set(name, (sums.get(name) ?? 0n) + nanoKwh)
      }
      expect(sums).toEqual(expected)
    },
  )
})

describe("the demo's reckoning", () => {
  test('sees a value altered, a reading left out or doubled, a file missing, a batch altered or missing', async () => {
    const folder = fresh()
    const demo = new Demo(folder, '--interval', '0.2', '--meters', '40', '--concentrators', '2')
    await demo.logged('mdm', 'mdm.listening')
    const delivered = (): number => filesOf(join(folder, 'mdm'), '.batch').length
    await vi.waitFor(() => expect(delivered()).toBeGreaterThan(2), { timeout: 30_000, interval: 100 }) // one has neighbours
    demo.kill('SIGINT')
    const { readings, batches } = await demo.verdict()
    const acked = readings.acked!
    const good = { acked, delivered: acked, lost: 0, duplicated: 0, unrecorded: 0, gaps: 0 }

    /** The reckoning over a copy in which something is amiss. */
    const amiss = async (spoil: (mdm: string) => void): Promise<Tally> => {
      const mdm = join(tempFolder(), 'mdm')
      cpSync(join(folder, 'mdm'), mdm, { recursive: true })
      spoil(mdm)
      return tally(join(folder, 'acknowledged.ndjson'), mdm, join(folder, 'pki', 'root.pem'))
    }
    const edit = (file: string, change: (text: string) => string): void =>
      writeFileSync(file, change(readFileSync(file, 'latin1')), 'latin1')
    const firstReadings = (mdm: string): string => filesOf(mdm, '.ndjson')[0]!
    const middleBatch = (mdm: string): string => filesOf(mdm, '.batch')[1]!

    expect(await amiss(() => {})).toMatchObject({
      ...good,
      verified: acked,
      batches: batches.sealed,
      batchesVerified: batches.sealed,
    })
    const altered = await amiss((mdm) => {
      edit(firstReadings(mdm), (text) => text.replace(/"value":(\d+)/, '"value":1$1'))
    })
    expect(altered).toMatchObject({ ...good, lost: 1 })
    expect(altered.verified).toBeLessThan(acked) // the lines are not what was signed
    expect(await amiss((mdm) => edit(firstReadings(mdm), (text) => text.slice(text.indexOf('\n') + 1)))).toMatchObject({
      ...good,
      delivered: acked - 1,
      lost: 1,
    })
    expect(
      await amiss((mdm) => edit(firstReadings(mdm), (text) => text.slice(0, text.indexOf('\n') + 1) + text)),
    ).toMatchObject({ ...good, delivered: acked + 1, duplicated: 1 })
    const without = await amiss((mdm) => rmSync(firstReadings(mdm)))
    expect(without.lost).toBe(acked - without.delivered)
    expect(without.lost).toBeGreaterThan(0)
    const cut = await amiss((mdm) => rmSync(middleBatch(mdm)))
    expect(cut).toMatchObject({ gaps: 1, batches: batches.sealed! - 1 })
    expect(cut.verified).toBeLessThan(cut.delivered)
    const forged = await amiss((mdm) =>
      edit(
        middleBatch(mdm),
        (text) => `${text.slice(0, -1)}${String.fromCharCode(text.charCodeAt(text.length - 1) ^ 1)}`,
      ),
    )
    expect(forged).toMatchObject({ batches: batches.sealed, batchesVerified: batches.sealed! - 1 })
    expect(forged.verified).toBeLessThan(forged.delivered)
  }, 90_000)
})
