/**
 * The one-way link through network namespaces, in one run: our two ends, plain datagrams from Node as the link's own bound, and
 * Debian's udpcast. README.md says what each figure is.
 *
 *   npm run bench:oneway -- [--objects N] [--seconds S] [--rounds N] [--parts LIST] [--mbit SMALL,LARGE] [--profile DIR] [--json]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { headerOctetsMax } from '#gateway/oneway/datagram.ts'
import { sourceSymbols } from '#gateway/oneway/fec/block.ts'
import { logTail, planObject } from '#gateway/oneway/fec/plan.ts'
import { Diode, whyNoDiode } from '#test/support/diode.ts'
import { grouped, median, rounded, table } from './figures.ts'
import { plannedLoss } from './oneway-object.ts'
import { Ends, type Run } from './oneway-runs.ts'
import { hasUdpcast, runUdpcast, type UdpcastResult } from './udpcast.ts'

const exitUnavailable = 69
const parts = ['fec', 'goodput', 'lag', 'losses', 'full'] as const
/** Octets of an object: a bundle's. */
const bundleOctets = 1_000_000
/** Of the objects whose losses are counted: 300 symbols. */
const countedOctets = 420_000
/** The default of the zones file. */
const bucketMbit = 50

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    parts: { type: 'string', default: parts.join(',') },
    mbit: { type: 'string', default: '150,400' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const [seconds, rounds, objects] = [Number(values.seconds), Number(values.rounds), Number(values.objects)]
const [small, large] = values.mbit.split(',').map(Number) as [number, number]
const sizes = [
  { symbolOctets: 1_400, mbit: small },
  { symbolOctets: 8_800, mbit: large },
] as const

interface Goodput {
  who: 'plain' | 'ours' | 'udpcast'
  symbolOctets: number
  lossPercent: number
  mbit: number
  /** Mbit of payload a second of processor time; of several rounds the median */
  sendingPerCore: number
  receivingPerCore: number
  /** share of what was to come that did not: datagrams of `plain`, objects of `ours`, files of `udpcast` */
  lost: string
  kernelDrops: number
}

const perCore = (octets: number, cpuSeconds: number): number => (octets * 8) / 1e6 / cpuSeconds
const objectsFor = (mbit: number, forSeconds: number): number =>
  Math.max(4, Math.round((mbit * 1e6 * forSeconds) / 8 / (bundleOctets * 1.3)))

/** Each in turn, so that the machine's mood falls on all. */
async function goodput(bench: Bench, size: (typeof sizes)[number], lossPercent: number): Promise<Goodput[]> {
  const { diode, ends, folder } = bench
  const { symbolOctets, mbit } = size
  const bitsPerSecond = mbit * 1e6
  const count = objectsFor(mbit, seconds)
  const octets = symbolOctets + headerOctetsMax
  const [plain, ours, udpcast]: [Run[], Run[], UdpcastResult[]] = [[], [], []]
  diode.lose(lossPercent)
  for (let round = 0; round < rounds; round++) {
    const datagrams = Math.round((bitsPerSecond * seconds) / 8 / octets)
    plain.push(await ends.run({ bitsPerSecond, plain: { datagrams, octets } }))
    ours.push(await ends.run({ bitsPerSecond, objects: { count, octets: bundleOctets, symbolOctets, everyMs: 0 } }))
    if (hasUdpcast()) {
      udpcast.push(
        await runUdpcast(diode, folder, { octets: count * bundleOctets, blockOctets: symbolOctets, bitsPerSecond }),
      )
    }
  }
  diode.lose(0)
  const common = { symbolOctets, lossPercent, mbit }
  const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0)
  const figures = (sending: number[], receiving: number[]): Pick<Goodput, 'sendingPerCore' | 'receivingPerCore'> => ({
    sendingPerCore: rounded(median(sending)),
    receivingPerCore: rounded(median(receiving)),
  })
  const wholeOctets = count * bundleOctets
  return [
    {
      who: 'plain',
      ...common,
      ...figures(
        plain.map(({ sent }) => perCore(sent.datagrams * octets, sent.seconds)),
        plain.map(({ received }) => perCore(received.datagrams * octets, received.seconds)),
      ),
      lost: shareOf(
        sum(plain.map(({ sent, received }) => sent.datagrams - received.datagrams)),
        sum(plain.map(({ sent }) => sent.datagrams)),
      ),
      kernelDrops: sum(plain.map(({ kernelDrops }) => kernelDrops)),
    },
    {
      who: 'ours',
      ...common,
      ...figures(
        ours.map(({ sent }) => perCore(wholeOctets, sent.seconds)),
        ours.map(({ received }) => perCore(received.whole * bundleOctets, received.seconds)),
      ),
      lost: `${sum(ours.map(({ received }) => count - received.whole + received.spoilt))} of ${count * rounds} objects`,
      kernelDrops: sum(ours.map(({ kernelDrops }) => kernelDrops)),
    },
    ...(udpcast.length === 0
      ? []
      : [
          {
            who: 'udpcast' as const,
            ...common,
            ...figures(
              udpcast.map(({ sending }) => perCore(wholeOctets, sending)),
              udpcast.map(({ receiving }) => perCore(wholeOctets, receiving)),
            ),
            lost: `${udpcast.filter(({ whole }) => !whole).length} of ${rounds} files of ${count} MB`,
            kernelDrops: 0,
          },
        ]),
  ]
}

function shareOf(some: number, all: number): string {
  return `${((100 * some) / all).toPrecision(3)} %`
}

interface Lag {
  objects: number
  p50Ms: number
  p99Ms: number
  lost: number
}

/** At half of the default bucket: objects come into being at random. */
async function lag({ ends, diode }: Bench): Promise<Lag> {
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

interface Losses {
  loss: string
  seenPercent: number
  objects: number
  /** expected; undefined for runs */
  computed: number | undefined
  lost: number
  kernelDrops: number
}

/** Objects of 300 symbols through the diode's own losses, one pass planned for 10 %. */
async function losses({ ends, diode }: Bench): Promise<Losses[]> {
  const count = Math.min(1_000, Math.max(20, Math.ceil(objects / 10)))
  const plan = planObject({ objectOctets: countedOctets, symbolOctets: 1_400 }, { lossShare: plannedLoss, passes: 1 })
  const k = sourceSymbols(plan.shape)
  const rows: Losses[] = []
  const measure = async (loss: string, share: number | undefined): Promise<void> => {
    const asked = { count, octets: countedOctets, symbolOctets: 1_400, everyMs: 0 }
    const { sent, received, lost, kernelDrops } = await ends.run({ bitsPerSecond: small * 1e6, objects: asked })
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

interface Full {
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

async function full({ ends, diode }: Bench): Promise<Full> {
  const lossPercent = plannedLoss * 100
  diode.lose(lossPercent)
  const asked = { count: objects, octets: bundleOctets, symbolOctets: 1_400, everyMs: 0 }
  const { sent, received, lost, kernelDrops } = await ends.run({ bitsPerSecond: small * 1e6, objects: asked })
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
function fec(): Record<string, string | number>[] {
  const file = fileURLToPath(new URL('./oneway-fec.ts', import.meta.url))
  const { stdout, status } = spawnSync(process.execPath, [file, '--json', '--decodes', '10', '--sources', '300'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`bench/oneway-fec.ts ended with ${status}`)
  return (JSON.parse(stdout) as { speeds: Record<string, string | number>[] }).speeds
}

interface Bench {
  diode: Diode
  ends: Ends
  folder: string
}

interface Report {
  bufferOctets: number
  fec?: Record<string, string | number>[]
  goodput?: Goodput[]
  lag?: Lag
  losses?: Losses[]
  full?: Full
}

async function measure(bench: Bench): Promise<Report> {
  const asked = new Set(values.parts.split(','))
  const report: Report = { bufferOctets: 0 }
  const say = (text: string): void => console.error(text)
  if (asked.has('fec')) {
    say('codes alone …')
    report.fec = fec()
  }
  if (asked.has('goodput')) {
    report.goodput = []
    for (const size of sizes) {
      for (const lossPercent of [0, plannedLoss * 100]) {
        say(`${size.symbolOctets} octets, ${size.mbit} Mbit/s, ${lossPercent} % loss …`)
        report.goodput.push(...(await goodput(bench, size, lossPercent)))
      }
    }
  }
  if (asked.has('lag')) {
    say('lag …')
    report.lag = await lag(bench)
  }
  if (asked.has('losses')) {
    say('losses …')
    report.losses = await losses(bench)
  }
  if (asked.has('full')) {
    say(`${objects} objects of 1 MB …`)
    report.full = await full(bench)
  }
  report.bufferOctets = bench.ends.bufferOctets
  return report
}

function print(report: Report): void {
  if (report.fec !== undefined) {
    const columns = ['octets', 'symbolOctets', 'code', 'encode', 'decode', 'whole', 'sending', 'receiving']
    console.log('MB a second of processor time')
    console.log(table([columns, ...report.fec.map((row) => columns.map((column) => String(row[column])))]))
  }
  if (report.goodput !== undefined) {
    console.log('Mbit of payload a second of processor time, of each end')
    const rows = report.goodput.map((one) => [
      one.who,
      ...[one.symbolOctets, one.lossPercent, one.mbit, one.sendingPerCore, one.receivingPerCore].map(grouped),
      ratio(report.goodput!, one, 'sendingPerCore'),
      ratio(report.goodput!, one, 'receivingPerCore'),
      one.lost,
      String(one.kernelDrops),
    ])
    const head = [
      '',
      'octets',
      'loss %',
      'Mbit/s',
      'sending',
      'receiving',
      'to plain',
      'to plain',
      'lost',
      'kernel drops',
    ]
    console.log(table([head, ...rows]))
  }
  if (report.lag !== undefined) {
    const { objects: count, p50Ms, p99Ms, lost } = report.lag
    console.log(
      `Lag at half of ${bucketMbit} Mbit/s, 10 % loss, ${count} objects: p50 ${p50Ms} ms, p99 ${p99Ms} ms, ${lost} lost\n`,
    )
  }
  if (report.losses !== undefined) {
    const rows = report.losses.map((one) => [
      one.loss,
      `${one.seenPercent} %`,
      String(one.objects),
      one.computed === undefined ? '' : one.computed.toPrecision(2),
      String(one.lost),
      String(one.kernelDrops),
    ])
    console.log(table([['loss', 'seen', 'objects', 'computed', 'lost', 'kernel drops'], ...rows]))
  }
  if (report.full !== undefined) {
    const {
      objects: count,
      lostPercentSeen,
      repairPercent,
      lost,
      spoilt,
      kernelDrops,
      seconds: took,
      passedBack,
    } = report.full
    console.log(
      `${grouped(count)} objects of 1 MB, one pass, ${lostPercentSeen} % of datagrams lost, ${repairPercent} % repair: ${lost} lost, ${spoilt} spoilt; ` +
        `${kernelDrops} kernel drops, ${took} s, ${passedBack} frames back`,
    )
  }
}

function ratio(all: readonly Goodput[], one: Goodput, of: 'sendingPerCore' | 'receivingPerCore'): string {
  const plain = all.find(
    ({ who, symbolOctets, lossPercent }) =>
      who === 'plain' && symbolOctets === one.symbolOctets && lossPercent === one.lossPercent,
  )!
  return (one[of] / plain[of]).toFixed(2)
}

async function main(): Promise<number> {
  const reason = whyNoDiode()
  if (reason !== undefined) {
    console.error(`bench:oneway needs Linux, root, ip and nft: ${reason}`)
    return exitUnavailable
  }
  const folder = mkdtempSync(join(tmpdir(), 'ami-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const diode = new Diode()
  const profiling = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  const ends = new Ends(diode, profiling)
  try {
    const report = await measure({ diode, ends, folder })
    if (values.json) console.log(JSON.stringify(report, null, 2))
    else print(report)
    return (report.full?.lost ?? 0) + (report.full?.spoilt ?? 0) === 0 ? 0 : 1
  } finally {
    await ends.stop()
    diode.close()
  }
}

process.exitCode = await main()
