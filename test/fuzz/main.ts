import { randomInt } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { parse, UsageError, wholeNumber } from '#cli/command.ts'
import { keepFinding, replaceCorpus } from './corpus.ts'
import type { Finding } from './execute.ts'
import type { FuzzResult } from './fuzz.ts'
import { targets } from './targets.ts'
import { Beacon, newBeacon, type WorkerRequest } from './worker.ts'

const help = `fuzz: coverage-guided fuzzing of every entry for octets from outside

usage: npm run fuzz -- [--seconds S] [--target NAME]… [--seed N] [--keep] [--json]

  --seconds S    for each target, 1 to 86400 (default 60)
  --target NAME  only this one; may be given again: ${targets.map(({ name }) => name).join(', ')}
  --seed N       of the generator, 0 to 4294967295 (default: drawn, and printed)
  --keep         replace test/fuzz/corpus/NAME by the shortest inputs that cover what was covered
  --json         JSON on stdout in place of a table

Findings are minimised and written to test/fuzz/corpus/NAME; exit code 1 where there is one.
`

const exitUsage = 64
/** Milliseconds without a new execution after which an input counts as hanging. */
const hangMilliseconds = 10_000
/** Mebibytes of a target's thread: one that needs more is a finding. */
const memoryMax = 512
const watchMilliseconds = 500

interface Options {
  seconds: number
  names: string[]
  seed: number
  keep: boolean
  json: boolean
}

function readOptions(args: readonly string[]): Options | 'help' {
  const { values, positionals } = parse(args, {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string', multiple: true },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false, short: 'h' },
  })
  if (values.help) return 'help'
  if (positionals.length > 0) throw new UsageError(`no argument '${positionals[0]}'`)
  const all = targets.map(({ name }) => name)
  const names = values.target ?? all
  const unknown = names.find((name) => !all.includes(name))
  if (unknown !== undefined) throw new UsageError(`--target: ${all.join(', ')}, not '${unknown}'`)
  return {
    seconds: wholeNumber('seconds', values.seconds, [1, 86_400]),
    names,
    seed: values.seed === undefined ? randomInt(2 ** 32) : wholeNumber('seed', values.seed, [0, 2 ** 32 - 1]),
    keep: values.keep,
    json: values.json,
  }
}

/** What a target's thread came to; a hang or a lack of memory is a finding like any other. */
async function inThread(request: Omit<WorkerRequest, 'beacon'>): Promise<FuzzResult> {
  const shared = newBeacon()
  const beacon = new Beacon(shared)
  const began = performance.now()
  const worker = new Worker(new URL('worker.ts', import.meta.url), {
    workerData: { ...request, beacon: shared } satisfies WorkerRequest,
    resourceLimits: { maxOldGenerationSizeMb: memoryMax },
  })
  const ended = (kind: Finding['kind'], signature: string): FuzzResult => {
    const seconds = (performance.now() - began) / 1000
    const finding = { kind, signature, octets: beacon.octets, atSecond: seconds }
    return { executions: beacon.count, seconds, blocks: { covered: 0, known: 0 }, findings: [finding], kept: [] }
  }
  const { promise, resolve, reject } = Promise.withResolvers<FuzzResult>()
  worker.once('message', resolve)
  worker.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') resolve(ended('memory', `over ${memoryMax} MiB`))
    else reject(error)
  })
  let [count, since] = [0, performance.now()]
  const watch = setInterval(() => {
    if (beacon.count !== count) [count, since] = [beacon.count, performance.now()]
    else if (performance.now() - since > hangMilliseconds) resolve(ended('hang', `over ${hangMilliseconds} ms`))
  }, watchMilliseconds)
  try {
    return await promise
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}

interface Row {
  target: string
  executions: number
  seconds: number
  blocks: FuzzResult['blocks']
  kept: number
  findings: { kind: string; signature: string; file: string; octets: number; atSecond: number }[]
}

async function fuzzAll({ seconds, names, seed, keep, json }: Options): Promise<Row[]> {
  const rows: Row[] = []
  for (const target of names) {
    const result = await inThread({ target, seconds, seed, reduce: keep })
    if (keep && result.kept.length > 0) replaceCorpus(target, result.kept)
    const findings = result.findings.map(({ kind, signature, octets, atSecond }) => {
      return { kind, signature, file: keepFinding(target, kind, octets), octets: octets.length, atSecond }
    })
    const row = { ...result, target, kept: result.kept.length, findings }
    rows.push(row)
    if (!json) process.stdout.write(line(row))
  }
  return rows
}

function line({ target, executions, seconds, blocks, kept, findings }: Row): string {
  const cells = [
    target.padEnd(12),
    `${executions}`.padStart(10),
    `${Math.round(executions / seconds)}`.padStart(9),
    `${blocks.covered}/${blocks.known}`.padStart(11),
    `${kept}`.padStart(6),
    `${findings.length}`.padStart(9),
  ]
  const found = findings.map(
    ({ kind, signature, file, octets, atSecond }) =>
      `  ${kind} after ${atSecond.toFixed(1)} s, ${octets} octets: ${signature}\n    test/fuzz/corpus/${target}/${file}\n`,
  )
  return `${cells.join('  ')}\n${found.join('')}`
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (options === 'help') {
    process.stdout.write(help)
    return 0
  }
  const { seed, seconds, names, json } = options
  if (!json) {
    process.stdout.write(
      `seed ${seed}, ${seconds} s for each of ${names.length}: npm run fuzz -- --seed ${seed} --seconds ${seconds}\n`,
    )
    process.stdout.write('target        executions  each s.       blocks    kept  findings\n')
  }
  const rows = await fuzzAll(options)
  if (json) process.stdout.write(`${JSON.stringify({ seed, seconds, rows }, null, 2)}\n`)
  return rows.some(({ findings }) => findings.length > 0) ? 1 : 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`fuzz: ${error.message}\n`)
  process.exitCode = exitUsage
}
