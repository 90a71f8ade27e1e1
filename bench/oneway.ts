/**
 * The one-way link through network namespaces, in one run: our two ends, plain datagrams from Node as the link's own bound, and
 * Debian's udpcast. README.md says what each figure is.
 *
 *   npm run bench:oneway -- [--objects N] [--seconds S] [--rounds N] [--parts LIST] [--mbit SMALL,LARGE] [--profile DIR] [--json]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Diode, whyNoDiode } from '#test/support/diode.ts'
import { type Bench, fec, full, goodput, lag, losses } from './oneway-measure.ts'
import { plannedLoss } from './oneway-object.ts'
import { print, type Report } from './oneway-print.ts'
import { Ends } from './oneway-runs.ts'
import { hasUdpcast } from './udpcast.ts'

const exitUnavailable = 69
const parts = ['fec', 'goodput', 'lag', 'losses', 'full'] as const

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

async function measure(bench: Bench): Promise<Report> {
  const asked = new Set(values.parts.split(','))
  const report: Report = { bufferOctets: 0 }
  const say = (text: string): void => console.error(text)
  if (asked.has('fec')) {
    say('codes alone …')
    report.fec = fec()
  }
  if (asked.has('goodput')) {
    if (!hasUdpcast()) say('udpcast is not installed: without it')
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
    report.losses = await losses(bench, small)
  }
  if (asked.has('full')) {
    say(`${bench.objects} objects of 1 MB …`)
    report.full = await full(bench, small)
  }
  report.bufferOctets = bench.ends.bufferOctets
  return report
}

async function main(): Promise<number> {
  const reason = whyNoDiode()
  if (reason !== undefined) {
    console.error(`bench:oneway needs Linux, root, ip and nft: ${reason}`)
    return exitUnavailable
  }
  process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143)) // what was made is taken away
  const folder = mkdtempSync(join(tmpdir(), 'ami-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const diode = new Diode()
  const profiling = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  const ends = new Ends(diode, profiling)
  try {
    const report = await measure({ diode, ends, folder, seconds, rounds, objects })
    if (values.json) console.log(JSON.stringify(report, null, 2))
    else print(report)
    return (report.full?.lost ?? 0) + (report.full?.spoilt ?? 0) === 0 ? 0 : 1
  } finally {
    await ends.stop()
    diode.close()
  }
}

process.exitCode = await main()
