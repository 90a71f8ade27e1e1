import { rmSync } from 'node:fs'
import { arch, cpus, loadavg, release } from 'node:os'
import { parse, UsageError, wholeNumber } from '#cli/command.ts'
import type { EnrolmentReport } from '#simulator/enrol.ts'
import { grouped } from './figures.ts'
import { Unavailable } from './mosquitto.ts'
import { type CrlFigures, crlTable, measureCrl } from './pki/crl.ts'
import { enrolmentLine, measureEnrolment } from './pki/enrolment.ts'
import { type HandshakeResult, handshakeTable, measureHandshakes } from './pki/handshakes.ts'
import { type IssuanceFigures, issuanceTable, measureIssuance } from './pki/issuance.ts'
import { openPkiLab, type PkiLab } from './pki/lab.ts'
import { measureOcsp, type OcspFigures, ocspTable } from './pki/ocsp.ts'
import { type OpensslSpeed, opensslSpeed, opensslVersion } from './pki/program.ts'

const help = `bench:pki: what the PKI issues, revokes, answers and shakes hands with, beside openssl in the same run

usage: npm run bench:pki -- [--seconds N] [--rounds N] [--entries N] [--devices N] [--parts LIST] [--json]

  --seconds N  of each measurement, 1 to 60 (default 2); of issuance, as many thousand certificates
  --rounds N   times that everything is measured, in turns, 1 to 15 (default 3); medians are shown
  --entries N  of the CRL, 1 to 2000000 (default 1000000)
  --devices N  that enrol, 1 to 20000 (default 10000)
  --parts LIST issuance, crl, ocsp, handshakes, enrolment (default: all)
  --json       JSON on stdout in place of tables
  -h, --help   this text

Needs Linux, openssl and a temporary folder on a disk; exit 69 without them.
What the columns mean: bench/README.md.
`

const exitUnavailable = 69
const exitUsage = 64
const parts = ['issuance', 'crl', 'ocsp', 'handshakes', 'enrolment'] as const
type Part = (typeof parts)[number]
/** Certificates that `openssl ca` issues in a second, about; those of a round are that many a second asked for. */
const certificatesEachSecond = 1_000

interface Options {
  seconds: number
  rounds: number
  entries: number
  devices: number
  parts: readonly Part[]
  json: boolean
}

interface Result {
  setting: ReturnType<typeof settingOf>
  speed: OpensslSpeed
  issuance: IssuanceFigures[] | undefined
  crl: CrlFigures[] | undefined
  ocsp: OcspFigures[] | undefined
  handshakes: HandshakeResult | undefined
  enrolment: EnrolmentReport | undefined
}

function readOptions(args: readonly string[]): Options | 'help' {
  const { values, positionals } = parse(args, {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    entries: { type: 'string', default: '1000000' },
    devices: { type: 'string', default: '10000' },
    parts: { type: 'string', default: parts.join(',') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false, short: 'h' },
  })
  if (values.help) return 'help'
  if (positionals.length > 0) throw new UsageError(`no argument '${positionals[0]}'`)
  const asked = values.parts.split(',')
  if (!asked.every((part) => (parts as readonly string[]).includes(part))) {
    throw new UsageError(`--parts: of ${parts.join(', ')}`)
  }
  return {
    seconds: wholeNumber('seconds', values.seconds, [1, 60]),
    rounds: wholeNumber('rounds', values.rounds, [1, 15]),
    entries: wholeNumber('entries', values.entries, [1, 2_000_000]),
    devices: wholeNumber('devices', values.devices, [1, 20_000]),
    parts: asked as Part[],
    json: values.json,
  }
}

async function bench(options: Options): Promise<number> {
  const setting = settingOf(opensslVersion(), options)
  const lab = await openPkiLab()
  process.once('exit', () => rmSync(lab.folder, { recursive: true, force: true }))
  const result = await measureAll(lab, setting, options)
  if (options.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
  else print(result)
  return 0
}

async function measureAll(lab: PkiLab, setting: Result['setting'], options: Options): Promise<Result> {
  const { seconds, rounds, entries, devices } = options
  const progress = (text: string): void => void process.stderr.write(`${text} …\n`)
  const when = <T>(part: Part, measure: () => Promise<T>): Promise<T | undefined> =>
    options.parts.includes(part) ? measure() : Promise.resolve(undefined)
  const count = seconds * certificatesEachSecond
  return {
    setting,
    speed: await opensslSpeed(lab.folder),
    issuance: await when('issuance', () => measureIssuance(lab, { count, rounds, progress })),
    crl: await when('crl', () => measureCrl(lab, entries, progress)),
    ocsp: await when('ocsp', () => measureOcsp(lab, { seconds, rounds, progress })),
    handshakes: await when('handshakes', () => measureHandshakes(lab, { seconds, rounds, progress })),
    enrolment: await when('enrolment', () => {
      progress(`${grouped(devices)} devices enrol`)
      return measureEnrolment(lab, devices)
    }),
  }
}

function settingOf(openssl: string, { seconds, rounds }: Options) {
  return {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, arch: arch(), kernel: release() },
    /** of the minute before: well above 0, the figures are others' too */
    load: Math.round(loadavg()[0]! * 100) / 100,
    versions: { node: process.versions.node, nodeOpenssl: process.versions.openssl, openssl },
    options: { seconds, rounds },
  }
}

function print({ setting, speed, issuance, crl, ocsp, handshakes, enrolment }: Result): void {
  const { date, machine, load, versions, options } = setting
  const sections = [
    `${date}  ${machine.cpu}, ${machine.cores} cores, load ${load}; Node ${versions.node} (OpenSSL ${versions.nodeOpenssl}), openssl ${versions.openssl}\n` +
      `medians of ${options.rounds} rounds of ${options.seconds} s; openssl speed ecdsap256: ${grouped(speed.signsPerSecond)} sign/s, ${grouped(speed.verifiesPerSecond)} verify/s\n`,
    issuance && issuanceTable(issuance),
    crl && crlTable(crl),
    ocsp && ocspTable(ocsp),
    handshakes && handshakeTable(handshakes),
    enrolment && enrolmentLine(enrolment),
  ]
  process.stdout.write(sections.filter((one) => one !== undefined).join('\n'))
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args)
    if (options !== 'help') return await bench(options)
    process.stdout.write(help)
    return 0
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof Unavailable)) throw error
    process.stderr.write(`bench:pki: ${error.message}\n`)
    return error instanceof UsageError ? exitUsage : exitUnavailable
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.exitCode = await main(process.argv.slice(2))
