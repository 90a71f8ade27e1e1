import { startStudies } from '#studies/main.ts'
import { type Command, parse, UsageError } from './command.ts'
import { openLog } from './log.ts'
import { untilSignal } from './signals.ts'

const help = `ami studies: released, anonymous demand for researchers, as an HTTP API and a page

usage: ami studies --config FILE

FILE is JSON; paths in it are relative to its folder:
  { "zonesFile", "released", "names"?, "tls": { "keyFile", "certificateFile" } }
  { "zonesFile", "released", "names"?, "loopback": { "studies": PORT } }

The first listens, TLS 1.3 only, where the zones file says: the gateway host's address, the port of the conduit
'studies'. The second is for a demo or a test: plain HTTP on 127.0.0.1, PORT 0 to 65535, 0 lets the system choose.
Either way connections and requests are limited as the zones file says.

It reads the gateway's released cells and nothing else; that file may appear later. The address stands in the log
line 'studies.listening'. SIGINT or SIGTERM ends it.
`

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, { config: { type: 'string' } })
  if (values.config === undefined) throw new UsageError('studies: --config FILE is required')
  if (positionals.length > 0) throw new UsageError(`studies: no argument '${positionals[0]}'`)
  const log = openLog('studies')
  const signal = untilSignal()
  const studies = await startStudies(values.config, log)
  log.info({ event: 'studies.listening', address: studies.address })
  await signal
  await studies.close()
  log.info({ event: 'studies.closed' })
  return 0
}

export const command: Command = { summary: 'released demand for researchers: API and page', help, run }
