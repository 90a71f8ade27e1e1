import { createDecipheriv } from 'node:crypto'
import { arch, cpus, loadavg, release } from 'node:os'
import { parse, UsageError, wholeNumber } from '#cli/command.ts'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { tagOctets } from '#gateway/codec/ciphering.ts'
import type { DataNotification } from '#gateway/codec/notification.ts'
import type { Series, SystemTitle } from '#gateway/model.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import { KnownPushes } from '#gateway/readings/known-pushes.ts'
import { lenientPolicy, unprotect } from '#gateway/session/unprotect.ts'
import { cipherOf, type Sample, type Shape, sampleOf, shapes } from './dlms-samples.ts'
import { type Figure, figure, grouped, table } from './figures.ts'

const help = `bench:dlms: APDUs into readings on one thread, beside node:crypto alone on the same octets

usage: npm run bench:dlms -- [--seconds N] [--json]

  --seconds N  of each measurement, all rounds together, 1 to 60 (default 2)
  --json       JSON on stdout in place of a table
  -h, --help   this text

Shapes: two registers, one row of a profile (among others like it, and as the first of its kind), a day's 96 rows,
the same as a compact-array; each in clear and in suites 0, 1 and 2.

What the columns mean: bench/README.md.
`

const exitUsage = 64
const rounds = 9
/** Different meters, keys and values, so that nothing is computed once for all. */
const samplesMax = 64
const suites = [undefined, 0, 1, 2] as const
type Suite = (typeof suites)[number]

interface Case {
  shape: string
  /** `plain`, or the suite's number */
  protection: string
  octets: number
  readings: number
  /** microseconds an APDU: ciphered octets to readings */
  ours: Figure
  /** microseconds an APDU: `node:crypto` alone; none where nothing is ciphered */
  bound: Figure | undefined
  /** the median of the rounds' ratios, each of two measurements that followed one another */
  ratio: Figure | undefined
  apdusPerSecond: number
  readingsPerSecond: number
}

/** @returns readings, or octets where none are made */
type Work = (sample: Sample) => number

const readPlain: Work = ({ plain, title }) => countOf(readLikeOthers(plain, title))

const readCiphered: Work = (sample) => countOf(readLikeOthers(opened(sample), sample.title))

const readPlainFirst: Work = ({ plain, title }) => countOf(readFirst(plain, title).series)

const readCipheredFirst: Work = (sample) => countOf(readFirst(opened(sample), sample.title).series)

function opened({ apdu, title, ek, ak }: Sample): Uint8Array {
  const ciphered = decodeApdu(apdu)
  if (ciphered.apdu !== 'general-glo-ciphering') throw new Error(ciphered.apdu)
  return unprotect(ciphered, { systemTitle: title, ek, ak, lastCounter: -1 }, lenientPolicy).plain
}

const knownPushes = new KnownPushes()

/** As `gateway/intake.ts` does it. */
function readLikeOthers(plain: Uint8Array, title: SystemTitle): readonly Series[] {
  const known = knownPushes.read(plain, { meter: title, profile: undefined })
  if (known !== undefined) return known
  const { apdu, series } = readFirst(plain, title)
  knownPushes.learn(plain, apdu, undefined)
  return series
}

function readFirst(plain: Uint8Array, title: SystemTitle): { apdu: DataNotification; series: readonly Series[] } {
  const apdu = decodeApdu(plain)
  if (apdu.apdu !== 'data-notification') throw new Error(apdu.apdu)
  return { apdu, series: interpret(apdu, title) }
}

function countOf(series: readonly Series[]): number {
  let readings = 0
  for (const { values } of series) readings += values.length
  return readings
}

function cryptoAlone(suite: number): Work {
  const cipher = cipherOf(suite)
  return ({ ek, iv, aad, tag, body }) => {
    const gcm = createDecipheriv(cipher, ek, iv, { authTagLength: tagOctets })
    gcm.setAAD(aad)
    gcm.setAuthTag(tag)
    const { length } = gcm.update(body)
    gcm.final()
    return length
  }
}

/** Microseconds of this thread's processor time a sample: as many passes over all samples as fit into the seconds. */
function measure(work: Work, samples: readonly Sample[], seconds: number): number {
  const [began, before] = [performance.now(), process.threadCpuUsage()]
  let done = 0
  while (performance.now() - began < seconds * 1000) {
    for (const sample of samples) if (work(sample) === 0) throw new Error('nothing was read')
    done += samples.length
  }
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / done
}

function measureCase(shape: Shape, suite: Suite, seconds: number): Case {
  const samples = Array.from({ length: samplesMax }, (_, n) => sampleOf(shape, suite ?? 0, n))
  const work = workFor(shape, suite)
  const bound = suite === undefined ? undefined : cryptoAlone(suite)
  const turn = seconds / rounds
  measure(work, samples, turn) // compiled before it counts
  if (bound !== undefined) measure(bound, samples, turn)
  const pairs = Array.from({ length: rounds }, () => {
    const ours = measure(work, samples, turn)
    return { ours, bound: bound && measure(bound, samples, turn) }
  })
  const ours = figure(pairs.map((pair) => pair.ours))
  const bounds = pairs.flatMap((pair) => pair.bound ?? [])
  return {
    shape: shape.name,
    protection: suite === undefined ? 'plain' : `suite ${suite}`,
    octets: suite === undefined ? samples[0]!.plain.length : samples[0]!.apdu.length,
    readings: shape.readings,
    ours,
    bound: bounds.length > 0 ? figure(bounds) : undefined,
    ratio: bounds.length > 0 ? figure(pairs.map((pair) => pair.ours / pair.bound!)) : undefined,
    apdusPerSecond: Math.round(1e6 / ours.median),
    readingsPerSecond: Math.round((shape.readings * 1e6) / ours.median),
  }
}

function workFor({ isFirst }: Shape, suite: Suite): Work {
  if (suite === undefined) return isFirst ? readPlainFirst : readPlain
  return isFirst ? readCipheredFirst : readCiphered
}

function caseTable(cases: readonly Case[]): string {
  const head = ['shape', 'protection', 'octets', 'APDUs/s', 'readings/s', 'µs', 'bound µs', 'ratio']
  const rows = cases.map((one) => [
    one.shape,
    one.protection,
    grouped(one.octets),
    grouped(one.apdusPerSecond),
    grouped(one.readingsPerSecond),
    one.ours.median.toFixed(2),
    one.bound?.median.toFixed(2) ?? '',
    one.ratio === undefined ? '' : `${one.ratio.median.toFixed(2)} (${extremes(one.ratio)})`,
  ])
  return table([head, ...rows])
}

function extremes({ rounds: all }: Figure): string {
  return `${Math.min(...all).toFixed(2)} to ${Math.max(...all).toFixed(2)}`
}

function settingOf(seconds: number) {
  return {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, arch: arch(), kernel: release() },
    /** of the minute before: well above 0, the figures are others' too */
    load: Math.round(loadavg()[0]! * 100) / 100,
    versions: { node: process.versions.node, openssl: process.versions.openssl },
    options: { seconds, rounds, samples: samplesMax },
  }
}

function main(args: readonly string[]): number {
  const { values, positionals } = parse(args, {
    seconds: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false, short: 'h' },
  })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  if (positionals.length > 0) throw new UsageError(`no argument '${positionals[0]}'`)
  const seconds = wholeNumber('seconds', values.seconds, [1, 60])
  const setting = settingOf(seconds)
  const cases = shapes.flatMap((shape) => suites.map((suite) => measureCase(shape, suite, seconds)))
  if (values.json) process.stdout.write(`${JSON.stringify({ setting, cases }, null, 2)}\n`)
  else {
    const { machine, versions, load, date } = setting
    process.stdout.write(
      `${date}  ${machine.cpu}, one thread of ${machine.cores}, load ${load}; Node ${versions.node}\n`,
    )
    process.stdout.write(
      `medians of ${rounds} rounds, ours and bound in turn, ${seconds} s each\n\n${caseTable(cases)}`,
    )
  }
  return 0
}

try {
  process.exitCode = main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`bench:dlms: ${error.message}\n`)
  process.exitCode = exitUsage
}
