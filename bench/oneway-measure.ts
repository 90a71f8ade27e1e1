import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { headerOctetsMax } from '#gateway/oneway/datagram.ts'
import { sourceSymbols } from '#gateway/oneway/fec/block.ts'
import { logTail, planObject } from '#gateway/oneway/fec/plan.ts'
import type { Diode } from '#test/support/diode.ts'
import { median, rounded } from './figures.ts'
import { plannedLoss } from './oneway-object.ts'
import type { Ends, Run } from './oneway-runs.ts'
import { hasUdpcast, runUdpcast, type UdpcastResult } from './udpcast.ts'

/** Octets of an object: a bundle's. */
const bundleOctets = 1_000_000
/** Of the objects whose losses are counted: 300 symbols. */
const countedOctets = 420_000
/** The default of the zones file. */
export const bucketMbit = 50

/** Where and how long. */
export interface Bench {
  diode: Diode
  ends: Ends
  folder: string
  seconds: number
  rounds: number
  objects: number
}

/** Octets of a symbol and the pace. */
export interface Size {
  symbolOctets: number
  mbit: number
}

export interface Goodput {
  who: 'plain' | 'ours' | 'udpcast'
  symbolOctets: number
  lossPercent: number
  mbit: number
  /** Mbit of payload a second of processor time; of several rounds the median */
  sendingPerCore: number
  /** undefined where no file of `udpcast` came whole */
  receivingPerCore: number | undefined
  /** share of what was to come that did not: datagrams of `plain`, objects of `ours`, files of `udpcast` */
  lost: string
  kernelDrops: number
}

const perCore = (octets: number, cpuSeconds: number): number => (octets * 8) / 1e6 / cpuSeconds
const objectsFor = (mbit: number, forSeconds: number): number =>
  Math.max(4, Math.round((mbit * 1e6 * forSeconds) / 8 / (bundleOctets * 1.3)))

/** Each in turn, so that the machine's mood falls on all. */
export async function goodput(bench: Bench, size: Size, lossPercent: number): Promise<Goodput[]> {
  const { diode, ends, folder, seconds, rounds } = bench
  const { symbolOctets, mbit } = size
  const bitsPerSecond = mbit * 1e6
  const count = objectsFor(mbit, seconds)
  const octets = symbolOctets + headerOctetsMax
  const datagrams = Math.round((bitsPerSecond * seconds) / 8 / octets)
  const [plain, ours, udpcast]: [Run[], Run[], UdpcastResult[]] = [[], [], []]
  diode.lose(lossPercent)
  for (let round = 0; round < rounds; round++) {
    plain.push(await ends.run({ bitsPerSecond, plain: { datagrams, octets } }))
    ours.push(await ends.run({ bitsPerSecond, objects: { count, octets: bundleOctets, symbolOctets, everyMs: 0 } }))
    const file = { octets: count * bundleOctets, blockOctets: symbolOctets, bitsPerSecond }
    if (hasUdpcast()) udpcast.push(await runUdpcast(diode, folder, file))
  }
  diode.lose(0)
  const common = { symbolOctets, lossPercent, mbit }
  const rows: Goodput[] = [
    { ...common, ...ofPlain(plain, octets) },
    { ...common, ...ofOurs(ours, count) },
  ]
  if (udpcast.length > 0) rows.push({ ...common, ...ofUdpcast(udpcast, count) })
  return rows
}

type Figures = Omit<Goodput, 'symbolOctets' | 'lossPercent' | 'mbit'>

const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0)
const middle = (of: readonly number[]): number => rounded(median(of))

function ofPlain(runs: readonly Run[], octets: number): Figures {
  const sent = sum(runs.map((run) => run.sent.datagrams))
  return {
    who: 'plain',
    sendingPerCore: middle(runs.map((run) => perCore(run.sent.datagrams * octets, run.sent.seconds))),
    receivingPerCore: middle(runs.map((run) => perCore(run.received.datagrams * octets, run.received.seconds))),
    lost: shareOf(sent - sum(runs.map((run) => run.received.datagrams)), sent),
    kernelDrops: sum(runs.map((run) => run.kernelDrops)),
  }
}

function ofOurs(runs: readonly Run[], count: number): Figures {
  return {
    who: 'ours',
    sendingPerCore: middle(runs.map(({ sent }) => perCore(count * bundleOctets, sent.seconds))),
    receivingPerCore: middle(runs.map(({ received }) => perCore(received.whole * bundleOctets, received.seconds))),
    lost: `${sum(runs.map(({ received }) => count - received.whole + received.spoilt))} of ${count * runs.length} objects`,
    kernelDrops: sum(runs.map((run) => run.kernelDrops)),
  }
}

/** A receiver that gives up saves time: only those count whose file came. */
function ofUdpcast(runs: readonly UdpcastResult[], count: number): Figures {
  const whole = runs.filter((run) => run.whole)
  return {
    who: 'udpcast',
    sendingPerCore: middle(runs.map(({ sending }) => perCore(count * bundleOctets, sending))),
    receivingPerCore:
      whole.length === 0 ? undefined : middle(whole.map(({ receiving }) => perCore(count * bundleOctets, receiving))),
    lost: `${runs.length - whole.length} of ${runs.length} files of ${count} MB`,
    kernelDrops: sum(runs.map((run) => run.kernelDrops)),
  }
}

function shareOf(some: number, all: number): string {
  return `${((100 * some) / all).toPrecision(3)} %`
}

export interface Lag {
  objects: number
  p50Ms: number
  p99Ms: number
  lost: number
}

/** At half of the default bucket: objects come into being at random. */
export async function lag({ ends, diode, seconds }: Bench): Promise<Lag> {
  const count = objectsFor(bucketMbit / 2, seconds * 12)
  diode.lose(plannedLoss * 100)
  const everyMs = (seconds * 12_000) / count
  const objectsAsked = { count, octets: bundleOctets, symbolOctets: 1_400, everyMs }
  const { received } = await ends.run({ bitsPerSecond: bucketMbit * 1e6, objects: objectsAsked })
  diode.lose(0)
  const at = (share: number): number =>
    Math.round(received.lagsMs[Math.ceil(received.lagsMs.length * share) - 1] ?? Number.NaN)
  return { objects: count, p50Ms: at(0.5), p99Ms: at(0.99), lost: count - received.whole }
}

export interface Losses {
  loss: string
  seenPercent: number
  objects: number
  /** expected; undefined for runs */
  computed: number | undefined
  lost: number
  kernelDrops: number
}

/** Objects of 300 symbols through the diode's own losses, one pass planned for 10 %. */
export async function losses({ ends, diode, objects }: Bench, mbit: number): Promise<Losses[]> {
  const count = Math.min(1_000, Math.max(20, Math.ceil(objects / 10)))
  const plan = planObject({ objectOctets: countedOctets, symbolOctets: 1_400 }, { lossShare: plannedLoss, passes: 1 })
  const k = sourceSymbols(plan.shape)
  const rows: Losses[] = []
  const measure = async (loss: string, share: number | undefined): Promise<void> => {
    const asked = { count, octets: countedOctets, symbolOctets: 1_400, everyMs: 0 }
    const { sent, received, lost, kernelDrops } = await ends.run({ bitsPerSecond: mbit * 1e6, objects: asked })
    const computed =
      share === undefined ? undefined : Math.exp(logTail(k + plan.repair, share, plan.repair + 1)) * count
    rows.push({
      loss,
      seenPercent: rounded((100 * lost) / sent.datagrams),
      objects: count,
      computed,
      lost: count - received.whole,
      kernelDrops,
    })
  }
  for (const percent of [2, 5, 10, 15, 20, 22, 25]) {
    diode.lose(percent)
    await measure(`${percent} %`, percent / 100)
  }
  for (const [lost, every] of [
    [10, 100],
    [100, 1_000],
    [200, 2_000],
    [300, 3_000],
    [1_000, 10_000],
  ] as const) {
    diode.loseRuns(lost, every)
    await measure(`10 % in runs of ${lost}`, undefined)
  }
  diode.lose(0)
  return rows
}

export interface Full {
  objects: number
  lossPercent: number
  lostPercentSeen: number
  repairPercent: number
  lost: number
  spoilt: number
  kernelDrops: number
  seconds: number
  passedBack: number
}

export async function full({ ends, diode, objects }: Bench, mbit: number): Promise<Full> {
  const lossPercent = plannedLoss * 100
  diode.lose(lossPercent)
  const asked = { count: objects, octets: bundleOctets, symbolOctets: 1_400, everyMs: 0 }
  const { sent, received, lost, kernelDrops } = await ends.run({ bitsPerSecond: mbit * 1e6, objects: asked })
  diode.lose(0)
  const least = objects * Math.ceil(bundleOctets / 1_400)
  return {
    objects,
    lossPercent,
    lostPercentSeen: rounded((100 * lost) / sent.datagrams),
    repairPercent: rounded((100 * (sent.datagrams - least)) / least),
    lost: objects - received.whole,
    spoilt: received.spoilt,
    kernelDrops,
    seconds: Math.round(sent.wallMs / 1000),
    passedBack: diode.counters().passedBack,
  }
}

/** The codes and the ends without sockets, by the bench of their own. */
export function fec(): Record<string, string | number>[] {
  const file = fileURLToPath(new URL('./oneway-fec.ts', import.meta.url))
  const { stdout, status } = spawnSync(process.execPath, [file, '--json', '--decodes', '10', '--sources', '300'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`bench/oneway-fec.ts ended with ${status}`)
  return (JSON.parse(stdout) as { speeds: Record<string, string | number>[] }).speeds
}
