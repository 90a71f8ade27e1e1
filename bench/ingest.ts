import { rmSync, statfsSync } from 'node:fs'
import { arch, cpus, loadavg, release, totalmem } from 'node:os'
import { parse, UsageError, wholeNumber } from '#cli/command.ts'
import { type Lab, openLab } from './lab.ts'
import { type MessageFigures, measureMessages, messageTable } from './messages.ts'
import { findMosquitto, Unavailable } from './mosquitto.ts'
import { measureReadings, type ReadingFigures, readingTable } from './readings.ts'
import { windowMax } from './session.ts'

const help = `bench:ingest: what the gateway takes, beside what bounds it, in one run

usage: npm run bench:ingest -- [--seconds S] [--sessions N] [--sizes OCTETS,…] [--rounds N] [--parts LIST] [--json]

  --seconds S     of each measurement, 1 to 60 (default 4)
  --sessions N    mutual-TLS sessions, 1 to 1000 (default 100)
  --sizes LIST    payload octets, 1 to 262000, at most 8 (default 200,4096,65536)
  --rounds N      times that everything is measured, in turns, 1 to 15 (default 3); medians are shown
  --parts LIST    messages, readings, or both (default)
  --profile DIR   keep a CPU profile of our broker there; figures are then lower
  --json          JSON on stdout in place of tables

Needs Linux, mosquitto (Debian: apt-get install mosquitto) and a temporary folder on a disk; exit 69 without them.
Exit 1 when a reading that was acknowledged did not reach the MDM.
What the columns mean: bench/README.md.
`

/** Octets that the generator holds encoded, the most. */
const windowOctetsMax = 1_073_741_824
const exitUnavailable = 69
const exitUsage = 64
const parts = ['messages', 'readings'] as const

interface Options {
  seconds: number
  sessions: number
  sizes: number[]
  rounds: number
  parts: readonly string[]
  profile: string | undefined
  json: boolean
}

function readOptions(args: readonly string[]): Options | 'help' {
  const { values, positionals } = parse(args, {
    seconds: { type: 'string', default: '4' },
    sessions: { type: 'string', default: '100' },
    sizes: { type: 'string', default: '200,4096,65536' },
    rounds: { type: 'string', default: '3' },
    parts: { type: 'string', default: parts.join(',') },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false, short: 'h' },
  })
  if (values.help) return 'help'
  if (positionals.length > 0) throw new UsageError(`no argument '${positionals[0]}'`)
  const sizes = values.sizes.split(',').map((size) => wholeNumber('sizes', size, [1, 262_000]))
  if (sizes.length > 8) throw new UsageError('--sizes: at most 8')
  const asked = values.parts.split(',')
  if (!asked.every((part) => (parts as readonly string[]).includes(part))) {
    throw new UsageError(`--parts: of ${parts.join(', ')}`)
  }
  const sessions = wholeNumber('sessions', values.sessions, [1, 1_000])
  if (sessions * windowMax * Math.max(...sizes) > windowOctetsMax) {
    throw new UsageError('--sessions, --sizes: all windows together hold over a gigabyte')
  }
  return {
    seconds: wholeNumber('seconds', values.seconds, [1, 60]),
    sessions,
    rounds: wholeNumber('rounds', values.rounds, [1, 15]),
    sizes,
    parts: asked,
    profile: values.profile,
    json: values.json,
  }
}

/** @returns exit code: 1 when a reading that was acknowledged did not reach the MDM */
async function bench(options: Options): Promise<number> {
  const { program, version } = findMosquitto()
  const lab = await openLab(options.sessions)
  const end = (): void => rmSync(lab.folder, { recursive: true, force: true })
  process.once('exit', end)
  const setting = settingOf(lab, version, options)
  const { seconds, sizes, rounds, profile } = options
  const progress = (text: string): void => void process.stderr.write(`${text} …\n`)
  const brokerArgs = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
  const messages = options.parts.includes('messages')
    ? await measureMessages(lab, { sizes, seconds, rounds, mosquitto: program, brokerArgs, progress })
    : []
  const readings = options.parts.includes('readings') ? await measureReadings(lab, { rounds, seconds, progress }) : []
  print({ setting, messages, readings }, options.json)
  return readings.some(({ missing }) => missing > 0) ? 1 : 0
}

function settingOf({ folder }: Lab, mosquitto: string, { seconds, sessions, rounds }: Options) {
  return {
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      arch: arch(),
      memoryOctets: totalmem(),
      kernel: release(),
      fileSystemMagic: `0x${statfsSync(folder).type.toString(16)}`,
      /** of the minute before: well above 0, the figures are others' too */
      load: Math.round(loadavg()[0]! * 100) / 100,
    },
    versions: { node: process.versions.node, openssl: process.versions.openssl, mosquitto },
    options: { seconds, sessions, rounds, window: windowMax },
  }
}

interface Result {
  setting: ReturnType<typeof settingOf>
  messages: MessageFigures[]
  readings: ReadingFigures[]
}

function print(result: Result, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
    return
  }
  const { machine, versions, date, options } = result.setting
  process.stdout.write(
    `${date}  ${machine.cpu}, ${machine.cores} cores, load ${machine.load}; Node ${versions.node}, mosquitto ${versions.mosquitto}\n` +
      `${options.sessions} sessions, ${options.window} in flight each; medians of ${options.rounds} rounds of ${options.seconds} s\n`,
  )
  if (result.messages.length > 0) process.stdout.write(`\nmessages acknowledged\n${messageTable(result.messages)}`)
  if (result.readings.length > 0) process.stdout.write(`\nreadings end to end\n${readingTable(result.readings)}`)
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args)
    if (options !== 'help') return await bench(options)
    process.stdout.write(help)
    return 0
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof Unavailable)) throw error
    process.stderr.write(`bench:ingest: ${error.message}\n`)
    return error instanceof UsageError ? exitUsage : exitUnavailable
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.exitCode = await main(process.argv.slice(2))
