import { ConfigError } from '#gateway/errors.ts'
import { openPki, type Pki } from '#pki/store.ts'
import { PkiError } from '#pki/verify.ts'
import { atOnceMax } from '#simulator/enrol.ts'
import { startSimulator } from '#simulator/main.ts'
import { type FleetFile, prepareFleet } from '#simulator/prepare.ts'
import { protectionNames } from '#simulator/protections.ts'
import { type Command, parse, UsageError, wholeNumber } from './command.ts'
import { openLog } from './log.ts'
import { readProtections } from './protections.ts'
import { untilSignal } from './signals.ts'
import { simulateEnrolment } from './simulate-enrol.ts'
import { openFleetMeter } from './simulate-fleet.ts'
import { linkHelp, simulateLink } from './simulate-link.ts'
import { simulateMeter } from './simulate-meter.ts'

const help = `ami simulate: a fleet of concentrators and meters that does not exist

usage: ami simulate prepare --pki DIR --passphrase-file FILE --out DIR [--seed N] [--substations N]
                            [--concentrators N] [--meters N] [--small-substation] [--protection NAME,…]
       ami simulate enrol --out DIR [--concentrators N] [--meters N] [--substations N] [--seed N] [--at-once N] [--json]
       ami simulate run --config FILE
       ami simulate meter --listen HOST:PORT [--seed N] [--authentication lowest|lls|md5|sha1|gmac|sha256|ecdsa]
                          [--suite 0|1|2] [--protection none|authenticated|encrypted|both] [--general] [--clear]
                          [--password-file FILE] [--secret-file FILE] [--ek-file FILE] [--ak-file FILE]
                          [--client-key-file FILE] [--keys-out FILE]
       ami simulate link --listen ADDRESS:PORT --to ADDRESS:PORT [--loss P] [--burst N] [--burst-every M] [--duplicate P]
                         [--reorder P] [--delay MS] [--outage S] [--outage-after S] [--seed N]

prepare  enrols the concentrators at the PKI and writes fleet.json, their credentials, and registry.ndjson
         for 'ami gateway import'. --protection: how meters protect their pushes, in turn, of
         ${protectionNames.slice(0, 5).join(', ')},
         ${protectionNames.slice(5).join(', ')} (default the first)
enrol    the same from nothing, over the network: makes a throwaway PKI, a factory that gives each concentrator its
         manufacturer certificate, and a shipment manifest; runs enrolment listener and CA as processes on loopback; has
         every concentrator enrol over EST, --at-once of them (default 64) at one time; prints rate and latencies. DIR, new or
         empty, is then what prepare makes, with the PKI in DIR/pki. Exit 0 when all are enrolled, 1 when not.
run      pushes the fleet's readings over mutual TLS until the source ends or SIGINT or SIGTERM comes, then waits for the
         last acknowledgements. Exit 0 when everything sent is acknowledged, 1 when not.
         FILE is JSON: { "gateway": { "host", "port", "servername" }, "trustFile", "fleet", "historyStart", "liveStart",
         "intervalSeconds", "tickMs", "curvesFile"?, "recordFile"? }: times in seconds since 1970, tickMs is how long an
         interval lasts on the wall.
meter    one meter that a DLMS client can associate with over TCP (wrapper, logical names), until SIGINT or SIGTERM: clock,
         registers, load profile and event log. The management client, 1, is known by --authentication, and its APDUs are
         protected by --protection; --general takes general-glo and general-ded besides the services' own ciphering, --clear
         takes APDUs in clear as well. The public client, 16, needs nothing, and sees the clock, the device's name and the
         invocation counter. The password and the secret are the first line of their files, --ek-file and --ak-file hold
         hex digits, --client-key-file the client's public key in PEM; only their owner may read the first four. What has
         no file follows from the seed, and --keys-out writes it to a new file that only its owner reads. Three wrong authentications
         hold the next off for ten seconds, and longer with each. Port 0 takes any; which one, and the meter's system title,
         stands on standard output.
${linkHelp}`

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
  suite: { type: 'string', default: '0' },
  'secret-file': { type: 'string' },
  'client-key-file': { type: 'string' },
  'keys-out': { type: 'string' },
  general: { type: 'boolean', default: false },
  clear: { type: 'boolean', default: false },
  'ek-file': { type: 'string' },
  'ak-file': { type: 'string' },
  'at-once': { type: 'string', default: '64' },
  json: { type: 'boolean', default: false },
  'small-substation': { type: 'boolean', default: false },
  protection: { type: 'string' },
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

function sizeOf(values: Values): FleetFile {
  return {
    seed: wholeNumber('seed', values.seed, [0, 4_294_967_295]),
    substations: wholeNumber('substations', values.substations, [1, 999]),
    concentrators: wholeNumber('concentrators', values.concentrators, [1, 99_999]),
    meters: wholeNumber('meters', values.meters, [1, 10_000_000]),
    smallSubstation: values['small-substation'],
    protection: readProtections(values.protection),
  }
}

async function enrol(values: Values): Promise<number> {
  if (values.out === undefined) throw new UsageError('simulate enrol: --out is required')
  const size = sizeOf(values)
  const atOnce = wholeNumber('at-once', values['at-once'], [1, atOnceMax])
  return simulateEnrolment({ folder: values.out, size, atOnce, json: values.json })
}

async function prepare(values: Values): Promise<number> {
  const { pki: dir, 'passphrase-file': passphraseFile, out } = values
  if (dir === undefined || passphraseFile === undefined || out === undefined) {
    throw new UsageError('simulate prepare: --pki, --passphrase-file and --out are required')
  }
  const size = sizeOf(values)
  const pki = await open({ dir, passphraseFile })
  await prepareFleet(size, pki, out)
  await pki.close()
  process.stdout.write(`${size.concentrators} concentrators and ${size.meters} meters in ${out}\n`)
  return 0
}

async function simulate(configFile: string): Promise<number> {
  const signal = untilSignal()
  const simulator = startSimulator(configFile, openLog('simulator'), openFleetMeter)
  signal.then((why) => (why === 'asked' ? simulator.stop() : process.exit(1))) // for a dead parent nobody waits
  const { sent, acked } = await simulator.ended
  return sent === acked ? 0 : 1
}

function meter(values: Values): Promise<number> {
  return simulateMeter({
    listen: values.listen,
    seed: wholeNumber('seed', values.seed, [0, 4_294_967_295]),
    suite: wholeNumber('suite', values.suite, [0, 2]),
    authentication: values.authentication,
    protection: values.protection ?? 'none',
    general: values.general,
    clear: values.clear,
    passwordFile: values['password-file'],
    secretFile: values['secret-file'],
    clientKeyFile: values['client-key-file'],
    keysOut: values['keys-out'],
    ekFile: values['ek-file'],
    akFile: values['ak-file'],
  })
}

async function run(args: readonly string[]): Promise<number> {
  if (args[0] === 'link') return simulateLink(args.slice(1))
  const { values, positionals } = parse(args, options)
  if (positionals.length === 1 && positionals[0] === 'prepare') return prepare(values)
  if (positionals.length === 1 && positionals[0] === 'enrol') return enrol(values)
  if (positionals.length === 1 && positionals[0] === 'run' && values.config !== undefined)
    return simulate(values.config)
  if (positionals.length === 1 && positionals[0] === 'meter') return meter(values)
  throw new UsageError("simulate: 'prepare', 'enrol', 'meter' or 'link' with their options, or 'run --config FILE'")
}

export const command: Command = { summary: 'a simulated fleet: prepare its credentials, run its load', help, run }
