import { startMdm } from '#mdm/main.ts'
import { type Command, parse, UsageError } from './command.ts'
import { openLog } from './log.ts'
import { acceptEpoch, acceptEpochHelp } from './mdm-accept-epoch.ts'
import { untilSignal } from './signals.ts'

const help = `ami mdm: the IT side of the one-way link

usage: ami mdm receive --config FILE
       ami mdm accept-epoch --config FILE EPOCH

FILE is JSON: { "zonesFile", "data", "trustFile", "linkKeys": [{ "id", "file" }], "receiveBufferOctets"? }; paths are relative to
its folder. linkKeys are the keys of the datagrams' MACs, 64 hex digits a file, mode 600, by the ids that senders name them by.
Each batch is verified against the root in trustFile, then stored once: readings as NDJSON under data/EPOCH/readings,
the sealed batch under data/EPOCH/batches, what does not verify under data/quarantine. Gaps are named every second in
the log (event mdm.status). Nothing is ever sent. SIGINT or SIGTERM ends it.
${acceptEpochHelp}`

/** `EX_IOERR` of sysexits.h */
const exitIo = 74

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, { config: { type: 'string' } })
  const [verb, epoch, ...more] = positionals
  const isAccept = verb === 'accept-epoch' && epoch !== undefined && more.length === 0
  const isReceive = verb === 'receive' && epoch === undefined
  if (!isAccept && !isReceive) throw new UsageError("mdm: 'receive', or 'accept-epoch' EPOCH")
  if (values.config === undefined) throw new UsageError(`mdm ${verb}: --config FILE is required`)
  if (isAccept) return acceptEpoch(values.config, epoch)
  const signal = untilSignal()
  const mdm = await startMdm(values.config, openLog('mdm'))
  const failed = await Promise.race([signal, mdm.failed])
  if (failed instanceof Error) process.exit(exitIo) // what is in memory cannot be stored either
  await mdm.stop()
  return 0
}

export const command: Command = { summary: 'the IT side: receives, verifies, stores, names gaps', help, run }
