import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Child } from '#cli/demo/child.ts'
import { decodeHeader, decodeSealedBatch } from '#gateway/codec/batch.ts'
import { BenchChild, cpuSeconds } from './child.ts'
import { type Figure, figure, grouped, table } from './figures.ts'
import { type Lab, layOutGateway, layOutMdm } from './lab.ts'
import type { Encoded, OpenRun, PublisherRequest, PublishRun } from './publisher.ts'

export interface ReadingOptions {
  rounds: number
  /** about; the work is sized by it from what machines of this kind do */
  seconds: number
  progress: (text: string) => void
}

/** A way in which meters push: rows in each of their frames. */
interface Shape {
  name: string
  rowsEach: number
  /** pushes of each meter for one second asked for */
  pushesPerSecond: number
  pushesMax: number
}

/** The most pushes keep a run within 28 days: before it, the grace period would end and days would close. */
const shapes: readonly Shape[] = [
  { name: 'one-row pushes', rowsEach: 1, pushesPerSecond: 10, pushesMax: 2_688 },
  { name: '96-row profiles', rowsEach: 96, pushesPerSecond: 2, pushesMax: 28 },
]

/** Readings a second of one shape, from the first publish on. */
export interface ReadingFigures {
  shape: string
  readings: number
  frames: number
  uplinks: number
  /** octets of all uplinks */
  octets: number
  /** until the last PUBACK */
  acknowledgedPerSecond: Figure
  /** until the last batch was signed */
  sealedPerSecond: Figure
  /** until the last reading lay verified at the MDM */
  verifiedPerSecond: Figure
  /** node:crypto opening the same frames, on one thread, nothing else */
  openPerSecond: Figure
  verifiedToOpen: Figure
  /** readings that never came, of the worst round: 0, or the link lost what was acknowledged */
  missing: number
  batches: Figure
  /** batches stored over two seconds after they were sealed: lost on the link and repeated, or waiting for it */
  lateBatches: Figure
  /** processor microseconds a reading */
  gatewayCpuMicros: Figure
  mdmCpuMicros: Figure
  publisherCpuMicros: Figure
}

interface Run {
  open: OpenRun
  publish: PublishRun
  missing: number
  stored: Stored
  gatewayCpuSeconds: number
  mdmCpuSeconds: number
}

/** The gateway's last pass leaves 30 s after a batch was sealed. */
const quietMsMax = 45_000
const pollMs = 50

/** Real gateway and MDM processes, fresh ones for each run; the shapes take turns. */
export async function measureReadings(lab: Lab, options: ReadingOptions): Promise<ReadingFigures[]> {
  const publishers = shapes.map(() => new BenchChild('publisher'))
  try {
    const encoded: Encoded[] = []
    for (const [i, shape] of shapes.entries()) {
      options.progress(`encoding ${shape.name}`)
      encoded.push(await publishers[i]!.ask<Encoded>(encodeRequest(lab, shape, options.seconds)))
    }
    const runs: Run[][] = shapes.map(() => [])
    for (let round = 0; round < options.rounds; round++) {
      for (const [i, { name }] of shapes.entries()) {
        options.progress(`${name}, round ${round + 1} of ${options.rounds}`)
        runs[i]!.push(
          await runOnce(lab, { name: `run-${i}-${round}`, publisher: publishers[i]!, encoded: encoded[i]! }),
        )
      }
    }
    return shapes.map(({ name }, i) => figuresOf(name, encoded[i]!, runs[i]!))
  } finally {
    await Promise.all(publishers.map((publisher) => publisher.stop()))
  }
}

/** Days that have ended, so that nothing is dated in the future. */
function encodeRequest(
  { fleet }: Lab,
  { rowsEach, pushesPerSecond, pushesMax }: Shape,
  seconds: number,
): PublisherRequest {
  const pushes = Math.min(pushesMax, Math.max(1, Math.round(pushesPerSecond * seconds)))
  const day = Math.floor(Date.now() / 86_400_000) - Math.ceil((pushes * rowsEach) / 96)
  return { kind: 'encode', fleet, rowsEach, pushes, day }
}

interface OneRun {
  name: string
  publisher: BenchChild
  encoded: Encoded
}

async function runOnce(lab: Lab, { name, publisher, encoded }: OneRun): Promise<Run> {
  const open = await publisher.ask<OpenRun>({ kind: 'open' } satisfies PublisherRequest)
  const { config, data } = layOutMdm(lab, name)
  const mdm = start(lab, 'mdm', ['mdm', 'receive', '--config', config])
  let gateway: Child | undefined
  try {
    const mdmPort = Number((await mdm.until('mdm.listening')).port)
    const assembler = Number((await mdm.until('mdm.assembling')).pid)
    const mdmCpuSeconds = (): number => cpuSeconds(mdm.pid) + cpuSeconds(assembler)
    gateway = start(lab, 'gateway', ['gateway', '--config', layOutGateway(lab, name, mdmPort)])
    const { port } = await gateway.until('gateway.listening')
    const before = [cpuSeconds(gateway.pid), mdmCpuSeconds()] as const
    const request: PublisherRequest = { kind: 'publish', endpoint: lab.endpoint(Number(port)) }
    const publish = await publisher.ask<PublishRun>(request)
    const missing = await arrival(mdm, encoded.readings)
    return {
      open,
      publish,
      missing,
      stored: storedIn(data),
      gatewayCpuSeconds: cpuSeconds(gateway.pid) - before[0],
      mdmCpuSeconds: mdmCpuSeconds() - before[1],
    }
  } finally {
    gateway?.kill() // what is left to do are repeats for losses that did not happen
    mdm.kill()
    await Promise.all([gateway?.ended, mdm.ended])
    rmSync(join(lab.folder, name), { recursive: true, force: true })
  }
}

function start({ folder }: Lab, part: string, args: readonly string[]): Child {
  return new Child(part, args, join(folder, `${part}.log`))
}

/** Until all have come, or none has for so long that no pass is left that could bring them: then they count as missing. */
async function arrival(mdm: Child, readings: number): Promise<number> {
  for (let [come, changedMs] = [0, performance.now()]; ; ) {
    const told = Number(mdm.last('mdm.status')?.readings ?? 0)
    if (told !== come) [come, changedMs] = [told, performance.now()]
    if (come >= readings || performance.now() - changedMs > quietMsMax) return readings - come
    await sleep(pollMs)
  }
}

interface Stored {
  sealedMs: number
  verifiedMs: number
  batches: number
  late: number
}

/** The gateway repeats a batch when it is so old: what was stored later was not taken at its first pass. */
const lateMs = 2_000

/**
 * The parts tell their counts once a second; the files at the MDM tell to the millisecond when each batch was signed (in its
 * header) and when it lay there verified (when its readings were written).
 */
function storedIn(data: string): Stored {
  const files = readdirSync(data, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.batch'))
  const times = files.map((name) => {
    const { createdAtMs } = decodeHeader(decodeSealedBatch(readFileSync(join(data, name))).header)
    const readings = name.replace('batches', 'readings').replace('.batch', '.ndjson')
    return { sealedMs: createdAtMs, verifiedMs: statSync(join(data, readings)).mtimeMs }
  })
  return {
    sealedMs: Math.max(...times.map(({ sealedMs }) => sealedMs)),
    verifiedMs: Math.max(...times.map(({ verifiedMs }) => verifiedMs)),
    batches: files.length,
    late: times.filter(({ sealedMs, verifiedMs }) => verifiedMs - sealedMs > lateMs).length,
  }
}

function figuresOf(shape: string, encoded: Encoded, runs: readonly Run[]): ReadingFigures {
  const { readings } = encoded
  const of = (value: (run: Run) => number): Figure => figure(runs.map(value))
  const since = ({ publish }: Run, atMs: number, count: number = readings): number =>
    (count * 1000) / (atMs - publish.beganMs)
  const verified = (run: Run): number => since(run, run.stored.verifiedMs, readings - run.missing)
  const opened = ({ open }: Run): number => open.readings / open.seconds
  return {
    shape,
    ...encoded,
    acknowledgedPerSecond: of((run) => since(run, run.publish.acknowledgedMs)),
    sealedPerSecond: of((run) => since(run, run.stored.sealedMs)),
    verifiedPerSecond: of(verified),
    openPerSecond: of(opened),
    verifiedToOpen: of((run) => verified(run) / opened(run)),
    missing: Math.max(...runs.map(({ missing }) => missing)),
    batches: of(({ stored }) => stored.batches),
    lateBatches: of(({ stored }) => stored.late),
    gatewayCpuMicros: of(({ gatewayCpuSeconds }) => (gatewayCpuSeconds * 1e6) / readings),
    mdmCpuMicros: of(({ mdmCpuSeconds }) => (mdmCpuSeconds * 1e6) / readings),
    publisherCpuMicros: of(({ publish }) => (publish.cpuSeconds * 1e6) / readings),
  }
}

export function readingTable(all: readonly ReadingFigures[]): string {
  const head = [
    'shape',
    'readings',
    'acked/s',
    'sealed/s',
    'verified/s',
    'missing',
    'late batches',
    'AES-GCM/s',
    'ratio',
    'gateway µs',
    'mdm µs',
    'publisher µs',
  ]
  const rows = all.map((one) => [
    one.shape,
    grouped(one.readings),
    grouped(one.acknowledgedPerSecond.median),
    grouped(one.sealedPerSecond.median),
    grouped(one.verifiedPerSecond.median),
    grouped(one.missing),
    `${one.lateBatches.median}/${one.batches.median}`,
    grouped(one.openPerSecond.median),
    one.verifiedToOpen.median.toFixed(3),
    one.gatewayCpuMicros.median.toFixed(2),
    one.mdmCpuMicros.median.toFixed(2),
    one.publisherCpuMicros.median.toFixed(2),
  ])
  return table([head, ...rows])
}
