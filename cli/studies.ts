import { readStudiesConfig } from '#studies/config.ts'
import { startStudies } from '#studies/main.ts'
import { type Command, parse, UsageError } from './command.ts'
import { openLog } from './log.ts'

const help = `ami studies: released, anonymous demand for researchers, as an HTTP API and a page

usage: ami studies --config FILE

FILE is JSON: { "host", "port", "released", "names"?, "tls"?: { "keyFile", "certificateFile" } }.
Paths in it are relative to its folder. It reads the gateway's released cells and nothing else;
the file may appear later. Plain HTTP on loopback only. SIGINT or SIGTERM ends it.
`

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, { config: { type: 'string' } })
  if (values.config === undefined) throw new UsageError('studies: --config FILE is required')
  if (positionals.length > 0) throw new UsageError(`studies: no argument '${positionals[0]}'`)
  const log = openLog('studies')
  const asked = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve)
  })
  const studies = await startStudies({ config: readStudiesConfig(values.config), log })
  log.info({ event: 'studies.listening', address: studies.address })
  const signal = await asked
  await studies.close()
  log.info({ event: 'studies.closed', signal })
  return 0
}

export const command: Command = { summary: 'released demand for researchers: API and page', help, run }
