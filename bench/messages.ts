import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { conduit } from '#dmz-config/zones.ts'
import type { BrokerRequest } from './broker.ts'
import { BenchChild } from './child.ts'
import type { DiskRequest, DiskRun } from './disk.ts'
import { type Figure, figure, grouped, table } from './figures.ts'
import type { GeneratorRequest, MessageRun } from './generator.ts'
import type { Lab } from './lab.ts'
import { startMosquitto } from './mosquitto.ts'
import { windowMax } from './session.ts'

export interface MessageOptions {
  sizes: readonly number[]
  seconds: number
  rounds: number
  mosquitto: string
  /** Node options of our broker's process, to profile it */
  brokerArgs: readonly string[]
  progress: (text: string) => void
}

/** One payload size: messages a second, and processor time by message in microseconds. */
export interface MessageFigures {
  octets: number
  ours: BrokerFigures
  mosquitto: BrokerFigures
  journal: Figure
  plain: Figure
  /** of the rounds' own ratios, each of two runs that followed one another */
  oursToMosquitto: Figure
  oursToJournal: Figure
}

export interface BrokerFigures {
  perSecond: Figure
  serverCpuMicros: Figure
  generatorCpuMicros: Figure
  /** processor seconds a second: a broker of one thread can use 1 */
  serverCpuShare: Figure
  generatorCpuShare: Figure
}

interface Round {
  ours: MessageRun
  mosquitto: MessageRun
  journal: DiskRun
  plain: DiskRun
}

interface Measured {
  octets: number
  rounds: Round[]
}

const warmSeconds = 1

/** Broker against broker, A B A B, with the bounds between, round by round for each size. */
export async function measureMessages(lab: Lab, options: MessageOptions): Promise<MessageFigures[]> {
  const [broker, generator, disk] = [
    new BenchChild('broker', options.brokerArgs),
    new BenchChild('generator'),
    new BenchChild('disk'),
  ]
  const mosquitto = await startMosquitto({ program: options.mosquitto, ...lab })
  try {
    const { port } = await broker.ask<{ port: number }>(startRequest(lab))
    const ports = { ours: port, mosquitto: mosquitto.port }
    for (const [name, port] of Object.entries(ports)) {
      const request: GeneratorRequest = { kind: 'connect', broker: name, ids: lab.ids, endpoint: lab.endpoint(port) }
      await generator.ask(request)
    }
    const pids = { ours: broker.pid, mosquitto: mosquitto.pid }
    const measured: Measured[] = []
    for (const octets of options.sizes) {
      measured.push({ octets, rounds: await measureSize({ lab, options, octets, generator, disk, pids }) })
    }
    await checkCount(broker, measured)
    return measured.map(figuresOf)
  } finally {
    await Promise.all([generator.stop(), disk.stop(), mosquitto.stop()])
    await broker.stop()
  }
}

function startRequest({ folder, keyFile, certificateFile, trustFile, zones }: Lab): BrokerRequest {
  const { limits } = conduit(zones, 'uplink')
  return { kind: 'start', journal: join(folder, 'broker-journal'), keyFile, certificateFile, trustFile, limits }
}

interface SizeRun {
  lab: Lab
  options: MessageOptions
  octets: number
  generator: BenchChild
  disk: BenchChild
  pids: { ours: number; mosquitto: number }
}

async function measureSize({ lab, options, octets, generator, disk, pids }: SizeRun): Promise<Round[]> {
  const { seconds, progress } = options
  const inFlight = lab.ids.length * windowMax
  const drive = (broker: 'ours' | 'mosquitto'): Promise<MessageRun> => {
    const request: GeneratorRequest = { kind: 'run', broker, octets, warmSeconds, seconds, serverPid: pids[broker] }
    return generator.ask(request)
  }
  const write = (kind: DiskRequest['kind']): Promise<DiskRun> => {
    const folder = join(lab.folder, `disk-${kind}`)
    mkdirSync(folder, { recursive: true })
    return disk.ask({ kind, folder, octets, inFlight, seconds } satisfies DiskRequest)
  }
  const rounds: Round[] = []
  for (let i = 0; i < options.rounds; i++) {
    progress(`messages of ${octets} octets, round ${i + 1} of ${options.rounds}`)
    const ours = await drive('ours')
    const mosquitto = await drive('mosquitto')
    rounds.push({ ours, mosquitto, journal: await write('journal'), plain: await write('plain') })
  }
  return rounds
}

/** @throws Error when what the generator counted is not what our broker made durable and acknowledged */
async function checkCount(broker: BenchChild, measured: readonly Measured[]): Promise<void> {
  const { acknowledged } = await broker.ask<{ acknowledged: number }>({ kind: 'status' } satisfies BrokerRequest)
  const counted = measured.flatMap(({ rounds }) => rounds).reduce((sum, { ours }) => sum + ours.messagesInAll, 0)
  if (acknowledged !== counted) throw new Error(`the broker acknowledged ${acknowledged}, ${counted} PUBACKs came`)
}

function figuresOf({ octets, rounds }: Measured): MessageFigures {
  const rate = ({ messages, seconds }: MessageRun | DiskRun): number => messages / seconds
  return {
    octets,
    ours: brokerFigures(rounds.map(({ ours }) => ours)),
    mosquitto: brokerFigures(rounds.map(({ mosquitto }) => mosquitto)),
    journal: figure(rounds.map(({ journal }) => rate(journal))),
    plain: figure(rounds.map(({ plain }) => rate(plain))),
    oursToMosquitto: figure(rounds.map(({ ours, mosquitto }) => rate(ours) / rate(mosquitto))),
    oursToJournal: figure(rounds.map(({ ours, journal }) => rate(ours) / rate(journal))),
  }
}

function brokerFigures(runs: readonly MessageRun[]): BrokerFigures {
  const of = (value: (run: MessageRun) => number): Figure => figure(runs.map(value))
  return {
    perSecond: of(({ messages, seconds }) => messages / seconds),
    serverCpuMicros: of(({ serverCpuSeconds, messages }) => (serverCpuSeconds * 1e6) / messages),
    generatorCpuMicros: of(({ generatorCpuSeconds, messages }) => (generatorCpuSeconds * 1e6) / messages),
    serverCpuShare: of(({ serverCpuSeconds, seconds }) => serverCpuSeconds / seconds),
    generatorCpuShare: of(({ generatorCpuSeconds, seconds }) => generatorCpuSeconds / seconds),
  }
}

export function messageTable(all: readonly MessageFigures[]): string {
  const head = ['octets', 'ours/s', 'mosquitto/s', 'ratio', 'journal/s', 'plain/s']
  const rows = all.map(({ octets, ours, mosquitto, oursToMosquitto, journal, plain }) => [
    grouped(octets),
    grouped(ours.perSecond.median),
    grouped(mosquitto.perSecond.median),
    oursToMosquitto.median.toFixed(2),
    grouped(journal.median),
    grouped(plain.median),
  ])
  return `${table([head, ...rows])}\n${cpuTable(all)}`
}

function cpuTable(all: readonly MessageFigures[]): string {
  const head = ['octets', 'broker', 'µs/message', 'cores', 'generator µs/message', 'generator cores']
  const rows = all.flatMap(({ octets, ours, mosquitto }) =>
    Object.entries({ ours, mosquitto }).map(([name, figures]) => [
      grouped(octets),
      name,
      figures.serverCpuMicros.median.toFixed(1),
      figures.serverCpuShare.median.toFixed(2),
      figures.generatorCpuMicros.median.toFixed(1),
      figures.generatorCpuShare.median.toFixed(2),
    ]),
  )
  return table([head, ...rows])
}
