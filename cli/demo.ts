import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError } from '#gateway/errors.ts'
import { type Command, decimalNumber, parse, UsageError, wholeNumber } from './command.ts'
import { Child } from './demo/child.ts'
import { type DemoOptions, type Layout, layOut } from './demo/layout.ts'
import { linkCounts, type Snapshot, Table } from './demo/table.ts'
import { type Tally, tally } from './demo/tally.ts'
import { readPlaces } from './pki/places.ts'
import { readProtections } from './protections.ts'
import { untilSignal } from './signals.ts'

const help = `ami demo: the whole head-end on this machine, on loopback, from nothing

usage: ami demo [--duration S] [--concentrators N] [--meters N] [--interval S] [--load-curves FILE.csv] [--dir DIR]
                [--protection NAME,…] [--profile-set SET] [--keys FILE] [--loss PERCENT] [--json]

Makes a throwaway PKI, then runs gateway, revocation feed, MDM receiver, studies and a simulated fleet as processes of their own, and shows
what goes through. Time runs fast: an interval of the meters (a quarter-hour) takes --interval seconds on the wall. The day
before goes first, as load profiles, so that there is a closed day to look at within half a minute.

  --duration S            stop after S seconds, drain, reckon, and end with one JSON line; without it: until Ctrl-C
  --concentrators N       sessions (default: one for 25 meters)
  --meters N              meters in all (default 200, or one for each series of --load-curves)
  --interval S            wall-clock seconds of one interval (default 1)
  --load-curves FILE.csv  real curves, 'series,start_utc,kwh', in place of the built-in household model
  --protection NAME,…     how meters protect their pushes, in turn: the names stand in 'ami simulate --help'
  --profile-set SET       p256 (default), or ml-dsa: certificates, sessions and batches signed with ML-DSA
  --keys FILE             where the CAs' keys lie, on a PKCS#11 token say, as 'ami pki init --keys' takes it; they stay there
  --loss PERCENT          the one-way link loses this share of its datagrams, up to 50: shown live; nothing may be missing at the end
  --dir DIR               keep everything there (it must be new or empty); default: a folder in the system's temporary
                          place, removed at the end
  --json                  no table: only the JSON line on stdout

Exit 0 only when nothing that was acknowledged is missing or doubled at the MDM and every signature verifies, else 1.
`

const options = {
  duration: { type: 'string' },
  concentrators: { type: 'string' },
  meters: { type: 'string' },
  interval: { type: 'string', default: '1' },
  'load-curves': { type: 'string' },
  dir: { type: 'string' },
  protection: { type: 'string' },
  'profile-set': { type: 'string', default: 'p256' },
  keys: { type: 'string' },
  loss: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

/** How long the end waits for the last datagrams. */
const arrivalMsMax = 15_000

interface Fleet {
  gateway: Child
  mdm: Child
  studies: Child
  /** what is revoked reaches the gateway from here */
  feed: Child
  simulator: Child
  /** only with `--loss` */
  link?: Child
}

/** Signals that come together are one wish: at Ctrl-C the terminal tells us, and npm, which tells us once more. */
const togetherMs = 1_000

/** A second signal ends the demo at once, by `exit` and not by the system, so that what it made is removed. */
function endAtTheNext(): undefined {
  const asked = performance.now()
  const end = (code: number) => (): void => {
    if (performance.now() - asked > togetherMs) process.exit(code)
  }
  process.on('SIGINT', end(130))
  process.on('SIGTERM', end(143))
}

/** @param folder given, or made here and removed at the end */
async function demo(
  asked: DemoOptions,
  folder: string,
  { durationSeconds, json }: { durationSeconds: number | undefined; json: boolean },
): Promise<number> {
  const began = performance.now()
  const signal = untilSignal().then(endAtTheNext)
  say(json, 'making keys, certificates and a fleet …')
  const layout = await layOut(folder, asked)
  const parts = await start(layout, asked.lossPercent)
  const ended = new AbortController()
  const shown = show(parts, layout, { began, json, signal: ended.signal })
  const failed = Promise.race(Object.values(parts).map(async (child) => ({ child, code: await child.ended })))
  const runs =
    durationSeconds === undefined
      ? signal
      : Promise.race([signal, sleep(durationSeconds * 1000, undefined, { ref: false })])
  const first = await Promise.race([runs, unexpected(failed, parts)])
  ended.abort()
  await shown
  if (first !== undefined) {
    for (const child of Object.values(parts)) child.kill() // one is gone: there is nothing to end cleanly
    await Promise.all(Object.values(parts).map((child) => child.ended))
    throw new Error(`${first.child.name} ended with ${first.code}: ${first.child.complaint}`)
  }
  say(json, 'draining …')
  const seconds = Math.round((performance.now() - began) / 100) / 10
  const verdict = await drain(parts, layout)
  say(json, sentence(verdict))
  process.stdout.write(`${JSON.stringify({ ...verdict, seconds, ok: isGood(verdict) })}\n`)
  return isGood(verdict) ? 0 : 1
}

/** A part that ends by itself; the simulator may, when its curves are at their end. */
async function unexpected(
  failed: Promise<{ child: Child; code: number }>,
  parts: Fleet,
): Promise<{ child: Child; code: number }> {
  const first = await failed
  if (first.child !== parts.simulator || first.code !== 0) return first
  const others = Object.values(parts).filter((part) => part !== parts.simulator)
  return Promise.race(others.map(async (child) => ({ child, code: await child.ended })))
}

async function start(layout: Layout, lossPercent: number | undefined): Promise<Fleet> {
  const child = (name: string, ...args: string[]): Child => new Child(name, args, join(layout.folder, `${name}.log`))
  const link = layout.link && child('link', 'simulate', 'link', ...linkLine(layout.link, lossPercent!))
  const mdm = child('mdm', 'mdm', 'receive', '--config', layout.mdmConfig)
  const studies = child('studies', 'studies', '--config', layout.studiesConfig)
  const gateway = child('gateway', 'gateway', '--config', layout.gatewayConfig)
  await Promise.all([
    link?.until('link.listening'),
    mdm.until('mdm.listening'),
    gateway.until('gateway.listening'),
    studies.until('studies.listening'),
  ])
  const feed = child('feed', 'pki', 'feed', '--dir', layout.pkiFolder, '--listener', layout.feedSocket)
  await feed.until('feed.connected')
  const simulator = child('simulator', 'simulate', 'run', '--config', layout.simulatorConfig)
  return { gateway, mdm, studies, feed, simulator, ...(link === undefined ? {} : { link }) }
}

function linkLine({ from, to }: { from: number; to: number }, lossPercent: number): string[] {
  return [`--listen=127.0.0.1:${from}`, `--to=127.0.0.1:${to}`, `--loss=${lossPercent}`]
}

interface Showing {
  began: number
  json: boolean
  signal: AbortSignal
}

/** A table that stands still on a terminal, a line a second elsewhere, nothing with `--json`. */
async function show(parts: Fleet, { folder }: Layout, { began, json, signal }: Showing): Promise<void> {
  const table = new Table()
  const address = String(parts.studies.last('studies.listening')?.address)
  if (json) return
  say(json, `studies at ${address}/ (page) and ${address}/v1/substations (API); files in ${folder}`)
  for (let height = 0; !signal.aborted; ) {
    await sleep(1_000, undefined, { signal }).catch(() => {})
    const snapshot: Snapshot = {
      simulator: parts.simulator.last('simulator.status'),
      gateway: parts.gateway.last('gateway.status'),
      mdm: parts.mdm.last('mdm.status'),
      link: parts.link?.last('link.status'),
      studies: address,
      folder,
      seconds: (performance.now() - began) / 1000,
    }
    if (process.stderr.isTTY) height = redraw(table.rows(snapshot), height)
    else process.stderr.write(`${table.line(snapshot)}\n`)
  }
}

/** Over the table before; a row that the terminal would wrap is cut. @returns its height */
function redraw(rows: readonly string[], height: number): number {
  const up = height === 0 ? '' : `\u001b[${height}A`
  const width = process.stderr.columns
  process.stderr.write(`${up}${rows.map((row) => `\r\u001b[2K${row.slice(0, width)}\n`).join('')}`)
  return rows.length
}

interface Verdict {
  readings: {
    sent: number
    acked: number
    quarantined: number
    sealed: number
    delivered: number
    verified: number
    lost: number
    duplicated: number
  }
  batches: { sealed: number; delivered: number; gaps: number }
  cells: { closed: number; released: number; withheld: number }
  /** only with `--loss` */
  link?: { datagrams: number; lost: number }
}

/** In the order of the path: no more is sent, what was acknowledged is sealed and sent, what was sent arrives; then reckon. */
async function drain(parts: Fleet, layout: Layout): Promise<Verdict> {
  await parts.simulator.stop()
  await parts.gateway.stop()
  await parts.feed.stop()
  const gateway = parts.gateway.last('gateway.status')
  const sealed = Number(gateway?.batchesSealed ?? 0)
  await arrival(parts.mdm, sealed)
  await Promise.all([parts.mdm.stop(), parts.studies.stop(), parts.link?.stop()])
  const counted = await tally(layout.record, layout.mdmData, layout.rootFile)
  return verdictOf(parts, counted)
}

async function arrival(mdm: Child, sealed: number): Promise<void> {
  const until = performance.now() + arrivalMsMax
  while (performance.now() < until) {
    const streams = (mdm.last('mdm.status')?.streams ?? []) as { highest: number; gaps: unknown[] }[]
    if (streams.some(({ highest, gaps }) => highest === sealed && gaps.length === 0)) return
    await sleep(100)
  }
}

function verdictOf({ simulator, gateway, link }: Fleet, counted: Tally): Verdict {
  const [sent, status] = [simulator.last('simulator.status'), gateway.last('gateway.status')]
  const { acked, delivered, verified, lost } = counted
  // A reading that nobody has on record may have been under way; when everything sent is acknowledged it is one too many.
  const duplicated = counted.duplicated + (sent?.sent === acked ? counted.unrecorded : 0)
  const sealedBatches = Number(status?.batchesSealed ?? 0)
  return {
    readings: {
      sent: Number(sent?.sent ?? 0),
      acked,
      quarantined: Number(status?.quarantined ?? 0),
      sealed: Number(status?.sealed ?? 0),
      delivered,
      verified,
      lost,
      duplicated,
    },
    batches: {
      sealed: sealedBatches,
      delivered: counted.batchesVerified,
      gaps: counted.gaps + Math.max(0, sealedBatches - counted.batches),
    },
    cells: (status?.cells ?? { closed: 0, released: 0, withheld: 0 }) as Verdict['cells'],
    ...(link === undefined ? {} : { link: linkCounts(link.last('link.status')) }),
  }
}

function isGood({ readings, batches }: Verdict): boolean {
  const { acked, sealed, delivered, verified, lost, duplicated } = readings
  return (
    acked > 0 && lost === 0 && duplicated === 0 && delivered === verified && delivered === sealed && batches.gaps === 0
  )
}

function sentence(verdict: Verdict): string {
  const { readings, batches, link } = verdict
  const { sent, acked, delivered, verified, lost, duplicated } = readings
  const crossed = link === undefined ? '' : `the link lost ${link.lost} of ${link.datagrams} datagrams; `
  if (link !== undefined && isGood(verdict) && sent === verified) {
    return `${crossed}nothing lost: ${sent} readings sent, ${verified} verified, ${duplicated} doubled, ${batches.gaps} gaps`
  }
  return `${crossed}${acked} readings acknowledged, ${delivered} delivered, ${verified} verified: ${lost} lost, ${duplicated} doubled, ${batches.gaps} gaps`
}

function say(json: boolean, text: string): void {
  if (!json) process.stderr.write(`${text}\n`)
}

/** @throws ConfigError */
function makeFolder(dir: string | undefined): string {
  try {
    if (dir === undefined) return mkdtempSync(join(tmpdir(), 'ami-demo-'))
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new ConfigError([
      `--dir: cannot make a folder in ${dir ?? tmpdir()} (${(error as NodeJS.ErrnoException).code})`,
    ])
  }
  if (readdirSync(dir).length > 0) throw new ConfigError([`--dir: ${dir} is not empty`])
  return resolve(dir)
}

function readProfileSet(name: string): 'p256' | 'ml-dsa' {
  if (name === 'p256' || name === 'ml-dsa') return name
  throw new UsageError(`--profile-set: p256 or ml-dsa, not '${name}'`)
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length > 0) throw new UsageError(`demo: no argument '${positionals[0]}'`)
  const whole = (name: 'concentrators' | 'meters', max: number): number | undefined =>
    values[name] === undefined ? undefined : wholeNumber(name, values[name], [1, max])
  const asked: DemoOptions = {
    concentrators: whole('concentrators', 5_000),
    meters: whole('meters', 1_000_000),
    intervalSeconds: decimalNumber('interval', values.interval, [0.05, 86_400]),
    curvesFile: values['load-curves'] === undefined ? undefined : resolve(values['load-curves']),
    protection: readProtections(values.protection),
    profileSet: readProfileSet(values['profile-set']),
    ...(values.keys === undefined ? {} : { keys: await readPlaces(values.keys) }),
    lossPercent: values.loss === undefined ? undefined : decimalNumber('loss', values.loss, [0, 50]),
  }
  const durationSeconds =
    values.duration === undefined ? undefined : decimalNumber('duration', values.duration, [1, 31_536_000])
  const folder = makeFolder(values.dir)
  // It holds keys: it goes however the process ends, also by a second Ctrl-C.
  if (values.dir === undefined) process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return await demo(asked, folder, { durationSeconds, json: values.json })
}

export const command: Command = { summary: 'the whole head-end on this machine, from nothing', help, run }
