import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { readMdmConfig } from '#mdm/config.ts'
import { startSpooler } from '#mdm/spool-main.ts'
import { atAGlance } from '#mdm/status.ts'
import { supervise } from '#mdm/supervise.ts'
import { type Command, parse, UsageError } from './command.ts'
import { openLog } from './log.ts'
import { acceptEpoch, acceptEpochHelp } from './mdm-accept-epoch.ts'
import { untilSignal } from './signals.ts'

const help = `ami mdm: the IT side of the one-way link

usage: ami mdm receive --config FILE [--allow-small-buffer]
       ami mdm spool --config FILE [--allow-small-buffer]
       ami mdm assemble --config FILE
       ami mdm status --config FILE [--json]
       ami mdm accept-epoch --config FILE EPOCH

receive   both processes: the spooler, and under its supervision the assembler
spool     only receives, and appends each datagram to a bounded ring on disk
assemble  reads the ring, verifies, and stores; killed at any moment it loses nothing and needs no repeat
status    what both say of themselves, at a glance: what came, gaps and quarantine with their codes for 'ami gateway replay',
          ring, lag, silence. Exit 1 when there is an alarm, which stands in the first line

FILE is JSON: { "zonesFile", "data", "trustFile", "linkKeys": [{ "id", "file" }], "sinks"?, "spool"?: { "folder"?, "octets"? },
"receiveBufferOctets"?, "allowSmallBuffer"?, "metrics"?: { "host"?, "port" } }; paths are relative to its folder. linkKeys are
the keys of the datagrams' MACs, 64 hex digits a file, mode 600, by the ids that senders name them by. spool is the ring:
default the folder spool in data, 1 GiB.
Each batch is verified against the root in trustFile, then kept once as it was sealed under data/EPOCH/batches; what does not
verify lies under data/quarantine. From there each of sinks takes its readings, each once: [{ "kind": "ndjson" }] (the default, under
data/EPOCH/readings), "parquet", "postgres", or copies of the batches ("batches"); their keys: mdm/README.md. Gaps are named every second in
the log (event mdm.status). Nothing is ever sent. SIGINT or SIGTERM ends it.

With a receive buffer of less than 4 MiB it does not start (exit 78) and says which sysctl to set; --allow-small-buffer, or
"allowSmallBuffer": true, starts it anyway. Exit 70: the assembler ended too often in a row. Exit 74: what had come whole
could not be stored; it lies in the ring for the next start.

${acceptEpochHelp}`

/** `EX_SOFTWARE` and `EX_IOERR` of sysexits.h */
const [exitSoftware, exitIo] = [70, 74]

const mainFile = fileURLToPath(new URL('./main.ts', import.meta.url))

/**
 * Keeps what is refused from piling up: V8 would let it grow to three times 16 MiB before it looks, the C library give each
 * thread memory of its own.
 */
export const assemblerMemory = {
  flags: ['--max-semi-space-size=1', '--optimize-for-size'],
  env: { MALLOC_ARENA_MAX: '1' },
} as const

/** The channel tells it when we are gone, so that it ends and makes room for the next. */
function spawnAssembler(configFile: string): ChildProcess {
  const args = [...assemblerMemory.flags, mainFile, 'mdm', 'assemble', '--config', configFile]
  const env = { ...process.env, ...assemblerMemory.env }
  return spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env })
}

async function receive(configFile: string, allowSmallBuffer: boolean): Promise<number> {
  const signal = untilSignal()
  const log = openLog('mdm')
  const spooler = await startSpooler(configFile, log, allowSmallBuffer)
  const assembler = supervise(() => spawnAssembler(configFile), log)
  const failed = await Promise.race([signal, assembler.failed])
  spooler.close()
  if (typeof failed === 'string') return assembler.stop()
  process.stderr.write(`ami: mdm receive: ${failed.detail}\n`)
  return failed.code
}

async function spool(configFile: string, allowSmallBuffer: boolean): Promise<number> {
  const signal = untilSignal()
  const spooler = await startSpooler(configFile, openLog('mdm'), allowSmallBuffer)
  await signal
  spooler.close()
  return 0
}

async function assemble(configFile: string): Promise<number> {
  const signal = untilSignal()
  const log = openLog('mdm')
  const { startAssembler } = await import('#mdm/main.ts') // the spooler shall not carry it
  const assembler = await startAssembler(configFile, log)
  const failed = await Promise.race([signal, assembler.failed])
  if (failed instanceof Error) {
    log.error({ event: 'assembler.failed', detail: failed.message, stack: failed.stack })
    process.exit(exitSoftware) // whatever it waits for: the ring has what is not finished
  }
  return (await assembler.stop()) ? 0 : exitIo
}

async function status(configFile: string, json: boolean): Promise<number> {
  const { readMdmStatus } = await import('#mdm/main.ts')
  const now = readMdmStatus(readMdmConfig(configFile))
  process.stdout.write(json ? `${JSON.stringify(now)}\n` : atAGlance(now))
  return now.alarms.length === 0 ? 0 : 1
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    config: { type: 'string' },
    'allow-small-buffer': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  })
  const [verb, ...more] = positionals
  const isAccept = verb === 'accept-epoch' && more.length === 1
  if (verb === undefined || (more.length > 0 && !isAccept))
    throw new UsageError("mdm: one verb: 'receive', 'spool', 'assemble', 'status', or 'accept-epoch' EPOCH")
  if (values.config === undefined) throw new UsageError(`mdm ${verb}: --config FILE is required`)
  if (isAccept) return acceptEpoch(values.config, more[0]!)
  if (verb === 'receive') return receive(values.config, values['allow-small-buffer'])
  if (verb === 'spool') return spool(values.config, values['allow-small-buffer'])
  if (verb === 'assemble') return assemble(values.config)
  if (verb === 'status') return status(values.config, values.json)
  throw new UsageError(`mdm: no verb '${verb}'`)
}

export const command: Command = { summary: 'the IT side: receives, verifies, stores, names gaps', help, run }
