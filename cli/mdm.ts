import { startMdm } from '#mdm/main.ts'
import { type Command, parse, UsageError } from './command.ts'
import { openLog } from './log.ts'
import { untilSignal } from './signals.ts'

const help = `ami mdm receive: the IT side of the one-way link

usage: ami mdm receive --config FILE

FILE is JSON: { "zonesFile", "data", "trustFile", "linkKeys": [{ "id", "file" }], "receiveBufferOctets"?, "sinks"? }; paths are
relative to its folder. linkKeys are the keys of the datagrams' MACs, 64 hex digits a file, mode 600, by the ids that senders name them by.
Each batch is verified against the root in trustFile, then kept once as it was sealed under data/EPOCH/batches; what does not
verify lies under data/quarantine. From there each of sinks takes its readings, each once: [{ "kind": "ndjson" }] (the default, under
data/EPOCH/readings), "parquet", "postgres", or copies of the batches ("batches"); their keys: mdm/README.md. Gaps are named every second in
the log (event mdm.status). Nothing is ever sent. SIGINT or SIGTERM ends it.
`

/** `EX_IOERR` of sysexits.h */
const exitIo = 74

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, { config: { type: 'string' } })
  if (positionals.length !== 1 || positionals[0] !== 'receive') throw new UsageError("mdm: 'receive' is its one verb")
  if (values.config === undefined) throw new UsageError('mdm receive: --config FILE is required')
  const signal = untilSignal()
  const mdm = await startMdm(values.config, openLog('mdm'))
  const failed = await Promise.race([signal, mdm.failed])
  if (failed instanceof Error) process.exit(exitIo) // what is in memory cannot be stored either
  await mdm.stop()
  return 0
}

export const command: Command = { summary: 'the IT side: receives, verifies, stores, names gaps', help, run }
