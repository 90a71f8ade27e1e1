import { readFileSync, writeFileSync } from 'node:fs'
import { renderGateway } from '#dmz-config/render.ts'
import { defaultZonesFile, parseZones, type Zones } from '#dmz-config/zones.ts'
import { ConfigError } from '#gateway/errors.ts'
import { type Command, parse, UsageError } from './command.ts'

const help = `usage: ami dmz render [--zones FILE] [--out FILE] [--check]
       ami dmz show [--zones FILE] [--json]

render   the nftables rules of the gateway host, to stdout or to --out
show     the conduits that the zones file opens

  --zones FILE  instead of the project's own dmz-config/zones.json
  --out FILE    write there
  --check       write nothing; exit 1 when --out, or else the committed dmz-config/rules/gateway.nft, is stale
  --json        the whole zones file, checked, as one JSON line
`

const committedRules: URL = new URL('../dmz-config/rules/gateway.nft', import.meta.url)

const options = {
  zones: { type: 'string' },
  out: { type: 'string' },
  check: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

interface Options {
  out?: string | undefined
  check?: boolean | undefined
  json?: boolean | undefined
}

/** @throws ConfigError where the file cannot be read */
function read(file: string | URL): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError([(cause as Error).message])
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (cause) {
    throw new ConfigError([(cause as Error).message])
  }
}

function render(zones: Zones, { out, check, json }: Options): number {
  if (json) throw new UsageError('render takes no --json')
  const rules = renderGateway(zones)
  if (check) {
    const file = out ?? committedRules
    if (read(file) === rules) return 0
    process.stderr.write(`ami: ${out ?? 'dmz-config/rules/gateway.nft'} is stale: 'ami dmz render --out' it again\n`)
    return 1
  }
  if (out === undefined) process.stdout.write(rules)
  else write(out, rules)
  return 0
}

function show(zones: Zones, { out, check, json }: Options): number {
  if (out !== undefined || check) throw new UsageError('show takes neither --out nor --check')
  if (json) {
    process.stdout.write(`${JSON.stringify(zones)}\n`)
    return 0
  }
  for (const { id, enabled, from, to, protocol, port, limits } of Object.values(zones.conduits)) {
    const state = enabled ? '' : '  (not enabled)'
    process.stdout.write(`${id}: ${from} > ${to} ${zones.hosts[to].addresses.join(' ')} ${protocol} ${port}${state}\n`)
    for (const [name, value] of Object.entries(limits)) process.stdout.write(`  ${name} ${value}\n`)
  }
  return 0
}

const actions: Readonly<Record<string, (zones: Zones, options: Options) => number>> = { render, show }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  const [name = '', ...rest] = positionals
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined
  if (action === undefined || rest.length > 0) throw new UsageError('dmz: one of render, show')
  return action(parseZones(read(values.zones ?? defaultZonesFile)), values)
}

export const command: Command = { summary: 'zones and conduits: firewall rules rendered, shown, checked', help, run }
