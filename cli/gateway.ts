import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseGatewayConfig } from '#gateway/config.ts'
import { ConfigError } from '#gateway/errors.ts'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import { readKek, readSecret } from '#gateway/io/keys.ts'
import { openLedger, type SqliteLedger } from '#gateway/io/ledger.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { startGateway } from '#gateway/main.ts'
import { type Command, parse, UsageError, wholeNumber } from './command.ts'
import { readHelp, readMeter, readOptions } from './gateway-read.ts'
import { replayBatches, replayHelp } from './gateway-replay.ts'
import { openLog } from './log.ts'
import { untilSignal } from './signals.ts'

const help = `ami gateway: takes concentrators over mutual TLS, opens and signs their readings, forwards them one way

usage: ami gateway --config FILE
       ami gateway import --config FILE REGISTRY.ndjson
       ami gateway quarantine --config FILE [--limit N] [--json]
       ami gateway read --config FILE --meter TITLE OBIS... [--attribute N] [--class N] [--from T --to T]
                        [--association NAME] [--timeout S] [--json]
       ami gateway replay --config FILE CODE [--json]

import      registers meters: a line each {"meter","substation","ek","ak"} (16 hex digits, name, 32 and 32 hex digits).
            Optional: "profile" (a name of gateway/meters), "suite" (0, 1, 2; in suite 2 keys of 64 hex digits), "policy"
            (authenticated-encrypted, authenticated, encrypted, each also with -signed, or bits of security_policy); default
            suite 0, both; "forms" (how its pushes may be protected; default ["general-glo"]) with the keys that they
            need: gateway/README.md lists them.
            The keys are stored wrapped under the key of kekFile; delete REGISTRY.ndjson afterwards.
quarantine  lists the frames that were acknowledged and could not be used, the newest first, with their fault codes
${readHelp}${replayHelp}
SIGINT or SIGTERM ends the gateway cleanly: it takes no more, seals and sends what it has, and exits 0.
Killed at any moment it loses nothing: the next start goes on where the journal and the ledger stand.
`

/** Lines of one import, the most that is taken at a time. */
const importLinesMax = 1_000_000

function open(configFile: string): SqliteLedger {
  const config = parseGatewayConfig(read(configFile), dirname(resolve(configFile)))
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  return openLedger(join(config.data, 'ledger.sqlite'), readKek(config.kekFile))
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

function importRegistry(configFile: string, file: string): number {
  const lines = readSecret('registry', file)
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
  if (lines.length > importLinesMax)
    throw new ConfigError([`${file}: ${lines.length} lines, at most ${importLinesMax}`])
  const faults: string[] = []
  const profiles = [...meterProfiles().keys()]
  const meters = lines.flatMap((line, i): Enlisted[] => {
    try {
      return [parseEnlisted(line, profiles)]
    } catch (error) {
      if (faults.length < 20) faults.push(`${file}, line ${i + 1}: ${(error as Error).message}`)
      return []
    }
  })
  if (faults.length > 0) throw new ConfigError(faults)
  const ledger = open(configFile)
  ledger.registry.enlist(meters)
  process.stdout.write(`${meters.length} meters imported, ${ledger.registry.count()} registered\n`)
  ledger.close()
  return 0
}

function listQuarantine(configFile: string, { limit, json }: { limit: number; json: boolean }): number {
  const ledger = open(configFile)
  for (const { atMs, concentrator, meter, code, detail, octets } of ledger.quarantined(limit)) {
    const at = new Date(atMs).toISOString()
    const hex = Buffer.from(octets).toString('hex')
    process.stdout.write(
      json
        ? `${JSON.stringify({ at, concentrator, meter: meter ?? null, code, detail, octets: hex })}\n`
        : `${at}  ${concentrator.padEnd(12)} ${(meter ?? '-').padEnd(16)}  ${code.padEnd(22)} ${detail}\n`,
    )
  }
  ledger.close()
  return 0
}

async function serve(configFile: string): Promise<number> {
  process.umask(0o077) // what lies in `data` is nobody else's
  const signal = untilSignal()
  const log = openLog('gateway')
  const gateway = await startGateway(configFile, log)
  signal.then(() => gateway.stop())
  const code = await gateway.ended
  if (code !== 0) process.exit(code) // a pipeline that failed must not keep the process alive
  return code
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    config: { type: 'string' },
    limit: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
    ...readOptions,
  })
  if (values.config === undefined) throw new UsageError('gateway: --config FILE is required')
  const [verb, file, ...more] = positionals
  if (verb === 'read') return readMeter(values, positionals.slice(1))
  if (verb === 'replay' && file !== undefined) {
    return replayBatches(values.config, positionals.slice(1).join('-'), values.json)
  }
  if (verb === undefined) return serve(values.config)
  if (verb === 'import' && file === undefined) throw new UsageError('gateway import: REGISTRY.ndjson is required')
  if (verb === 'import' && file !== undefined && more.length === 0) return importRegistry(values.config, file)
  if (verb === 'quarantine' && file === undefined) {
    const limit = wholeNumber('limit', values.limit, [1, 100_000])
    return listQuarantine(values.config, { limit, json: values.json })
  }
  throw new UsageError(`gateway: not understood: ${positionals.join(' ')}`)
}

export const command: Command = { summary: 'the DMZ side: session, journal, ledger, sealing, forwarding', help, run }
