import { ConfigError } from '#gateway/errors.ts'
import { openPki, type Pki } from '#pki/store.ts'
import { PkiError } from '#pki/verify.ts'
import { startSimulator } from '#simulator/main.ts'
import { prepareFleet } from '#simulator/prepare.ts'
import { type Command, parse, UsageError, wholeNumber } from './command.ts'
import { openLog } from './log.ts'
import { untilSignal } from './signals.ts'
import { simulateMeter } from './simulate-meter.ts'

const help = `ami simulate: a fleet of concentrators and meters that does not exist

usage: ami simulate prepare --pki DIR --passphrase-file FILE --out DIR [--seed N] [--substations N]
                            [--concentrators N] [--meters N] [--small-substation]
       ami simulate run --config FILE
       ami simulate meter --listen HOST:PORT [--seed N] [--authentication lowest|lls|gmac] [--password-file FILE]
                          [--ek-file FILE] [--ak-file FILE]

prepare  enrols the concentrators at the PKI and writes fleet.json, their credentials, and registry.ndjson
         for 'ami gateway import'
run      pushes the fleet's readings over mutual TLS until the source ends or SIGINT or SIGTERM comes, then waits for the
         last acknowledgements. Exit 0 when everything sent is acknowledged, 1 when not.
         FILE is JSON: { "gateway": { "host", "port", "servername" }, "trustFile", "fleet", "historyStart", "liveStart",
         "intervalSeconds", "tickMs", "curvesFile"?, "recordFile"? }: times in seconds since 1970, tickMs is how long an
         interval lasts on the wall.
meter    one meter that a DLMS client can associate with and read over TCP (wrapper, logical names, no ciphering), until
         SIGINT or SIGTERM: clock, registers, load profile and event log. lls takes the first line of --password-file;
         gmac two keys of 16 octets as hex digits. Only their owner may read these files. Port 0 takes any; which one,
         and the meter's system title, stands on standard output.
`

const options = {
  config: { type: 'string' },
  pki: { type: 'string' },
  'passphrase-file': { type: 'string' },
  out: { type: 'string' },
  seed: { type: 'string', default: '1' },
  substations: { type: 'string', default: '4' },
  concentrators: { type: 'string', default: '8' },
  meters: { type: 'string', default: '200' },
  listen: { type: 'string' },
  authentication: { type: 'string', default: 'lowest' },
  'password-file': { type: 'string' },
  'ek-file': { type: 'string' },
  'ak-file': { type: 'string' },
  'small-substation': { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

/** @throws ConfigError: a store that does not open is the operator's to mend */
async function open(where: { dir: string; passphraseFile: string }): Promise<Pki> {
  try {
    return await openPki(where)
  } catch (error) {
    if (error instanceof PkiError) throw new ConfigError([`--pki: ${error.code}: ${error.message}`])
    throw error
  }
}

async function prepare(values: Values): Promise<number> {
  const { pki: dir, 'passphrase-file': passphraseFile, out } = values
  if (dir === undefined || passphraseFile === undefined || out === undefined) {
    throw new UsageError('simulate prepare: --pki, --passphrase-file and --out are required')
  }
  const size = {
    seed: wholeNumber('seed', values.seed, [0, 4_294_967_295]),
    substations: wholeNumber('substations', values.substations, [1, 999]),
    concentrators: wholeNumber('concentrators', values.concentrators, [1, 99_999]),
    meters: wholeNumber('meters', values.meters, [1, 10_000_000]),
    smallSubstation: values['small-substation'],
  }
  const pki = await open({ dir, passphraseFile })
  await prepareFleet(size, pki, out)
  await pki.close()
  process.stdout.write(`${size.concentrators} concentrators and ${size.meters} meters in ${out}\n`)
  return 0
}

async function simulate(configFile: string): Promise<number> {
  const signal = untilSignal()
  const simulator = startSimulator(configFile, openLog('simulator'))
  signal.then((why) => (why === 'asked' ? simulator.stop() : process.exit(1))) // for a dead parent nobody waits
  const { sent, acked } = await simulator.ended
  return sent === acked ? 0 : 1
}

function meter(values: Values): Promise<number> {
  return simulateMeter({
    listen: values.listen,
    seed: wholeNumber('seed', values.seed, [0, 4_294_967_295]),
    authentication: values.authentication,
    passwordFile: values['password-file'],
    ekFile: values['ek-file'],
    akFile: values['ak-file'],
  })
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length === 1 && positionals[0] === 'prepare') return prepare(values)
  if (positionals.length === 1 && positionals[0] === 'run' && values.config !== undefined)
    return simulate(values.config)
  if (positionals.length === 1 && positionals[0] === 'meter') return meter(values)
  throw new UsageError("simulate: 'prepare' or 'meter' with their options, or 'run --config FILE'")
}

export const command: Command = { summary: 'a simulated fleet: prepare its credentials, run its load', help, run }
