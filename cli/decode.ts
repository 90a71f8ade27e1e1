import { unframe, unframeAuto } from '#gateway/codec/framing.ts'
import type { FrameWatcher, SeenFrame, Unframed } from '#gateway/codec/payload.ts'
import { unframeTelegrams } from '#gateway/codec/telegrams.ts'
import { framings } from '#gateway/codec/uplink.ts'
import { PeerError } from '#gateway/errors.ts'
import { type ExplainedValue, type Explanation, explain } from '#gateway/readings/explain.ts'
import { explainTree } from '#gateway/readings/explain-tree.ts'
import type { MeterProfile } from '#gateway/readings/meter-profile.ts'
import { type TreeLayer, treeText } from '#gateway/readings/tree.ts'
import { type Command, parse, UsageError } from './command.ts'
import { parseInput, readInput } from './decode/input.ts'
import { type Keys, opener, readKeys } from './decode/keys.ts'
import { meterProfile } from './decode/meters.ts'

const help = `usage: ami decode [options] FILE|-

Reads frames from FILE, or from standard input with -, and lists what they say: in hex (any case; white space, commas
and 0x are passed over), as the octets themselves, or a P1 telegram as it is. Nothing is changed and no invocation
counter is kept.

  --explain           print frames and APDUs as trees instead: offset, field, type, value -- meaning
  --ek HEX            encryption key, 16 octets (32 in suite 2)
  --ak HEX            authentication key; without it a tag is not checked, and a line on stderr says so
  --kek HEX           master key, for general-ciphering that brings its key wrapped
  --system-title HEX  of the meter, 8 octets; frames of another are refused
  --agreement-key HEX our private key, 32 octets (48 in suite 2), for general-ciphering under an agreed key; and
  --peer-key HEX      the public one of who sent it, x and y
  --meter NAME        take units, names and capture objects that a push does not tell from the profile of this
                      meter family, gateway/meters/NAME.json
  --framing NAME      one of those below (default auto)
  --json              one JSON object: {"apdus", "time", "values": [{"obis", "value", "scaler", "unit"}]},
                      with --explain {"layers": [{"kind", "from", "octets", "nodes": [{"offset", "octets",
                      "name", "type", "value", "meaning", "children"}]}]}

framings:
  auto     told apart by the first octets where they hold, else by which frames do; frames inside a wrapper too
  apdu     an APDU alone, or behind its LLC header
  hdlc     IEC 62056-46, from flag to flag, segments joined
  wrapper  IEC 62056-47, version, ports and length in front of each APDU (TCP and UDP)
  mbus     EN 13757-2 long frames with the transport layer for COSEM, segments joined
  p1       DSMR telegrams, in clear or each inside general-glo-ciphering

dialects, departures from the standard that are read through and told on stderr:
  tagged-date-time      a notification's time with a tag (09 0C, or 19): Kaifa in Norway, old Kamstrup
  untagged-descriptors  attribute descriptors without data tags: Sagemcom and others in Czechia
  swapped-name-tags     names in a list behind 06 09 for 09 06: Landis+Gyr in Norway
  positional            values without names: only their place in the list tells what they are
  short-lengths         an AARE whose lengths are one short: Landis+Gyr and others with short names
  invalid-date-time     a time that is none, as of a clock that was never set
  bare-data             a list of data without an APDU

Offsets are hexadecimal and count in the octets of their layer, which each layer names: the frames as they were
received, the APDU that they carry, what was put together from blocks, what was deciphered.

exit codes: 0 read; 2 cannot be decoded (with --json {"fault": {"code", "offset"}} on stdout; with --explain in the
layer where it was met); 64 usage
`

const options = {
  ek: { type: 'string' },
  ak: { type: 'string' },
  kek: { type: 'string' },
  'system-title': { type: 'string' },
  'agreement-key': { type: 'string' },
  'peer-key': { type: 'string' },
  meter: { type: 'string' },
  framing: { type: 'string', default: 'auto' },
  explain: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const

/** How the octets are to be read. */
interface Reading {
  framing: string
  keys: Keys
  meter: MeterProfile | undefined
}

const exitFault = 2

export const command: Command = { summary: 'frames in hex to readings', help, run }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  const [file, ...more] = positionals
  if (file === undefined || more.length > 0) throw new UsageError('decode: one FILE, or - for standard input')
  const { framing } = values
  if (framing !== 'auto' && framing !== 'p1' && !framings.some((known) => known === framing)) {
    throw new UsageError(`--framing: auto, ${framings.join(', ')} or p1, not '${framing}'`)
  }
  const meter = values.meter === undefined ? undefined : meterProfile(values.meter)
  const reading = { framing, keys: readKeys(values), meter }
  const text = await readInput(file)
  try {
    const octets = parseInput(text)
    if (values.explain) return printTree(treeOf(octets, reading), values.json)
    print(readFrames(octets, reading), values.json)
    return 0
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    printFault(fault, values.json)
    return exitFault
  }
}

/** @throws PeerError */
function readFrames(octets: Uint8Array, { framing, keys, meter }: Reading): Explanation {
  const { payloads, faults } = payloadsOf(octets, framing)
  if (payloads.length === 0 && faults[0] !== undefined) throw faults[0]
  for (const fault of faults) warn(`passed over: ${fault.code} at octet ${fault.offset}: ${fault.message}`)
  return explain(payloads, opener(keys, warn), meter)
}

/** @throws PeerError where no frame is found */
function treeOf(octets: Uint8Array, { framing, keys, meter }: Reading): TreeLayer[] {
  const frames: SeenFrame[] = []
  const unframed = payloadsOf(octets, framing, (frame) => frames.push(frame))
  return explainTree(octets, unframed, { frames, open: opener(keys, warn), profile: meter })
}

function payloadsOf(octets: Uint8Array, framing: string, watch?: FrameWatcher): Unframed {
  const named = framings.find((known) => known === framing)
  if (named !== undefined) return unframe(octets, named, watch)
  if (framing !== 'p1') return unframeAuto(octets, watch)
  const telegrams = unframeTelegrams(octets)
  return telegrams.frames > 0 ? telegrams : unframe(octets, 'apdu', watch)
}

function warn(text: string): void {
  process.stderr.write(`ami: ${text}\n`)
}

function print(explanation: Explanation, json: boolean): void {
  for (const dialect of new Set(explanation.dialects)) warn(`not as the standard has it: ${dialect}`)
  const { apdus, time, values, unnamed } = explanation
  if (json) process.stdout.write(`${JSON.stringify({ apdus, time, values })}\n`)
  else process.stdout.write(`${apdus.join(' > ')}  ${time ?? 'no time'}\n${table([...unnamed, ...values])}`)
}

/** @returns the exit code: 2 where a layer ended with a fault */
function printTree(layers: readonly TreeLayer[], json: boolean): number {
  process.stdout.write(json ? `${JSON.stringify({ layers })}\n` : treeText(layers))
  return layers.some(({ fault }) => fault !== undefined) ? exitFault : 0
}

function printFault({ code, offset, message }: PeerError, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify({ fault: { code, offset: offset ?? null } })}\n`)
  else warn(`${code}${offset === undefined ? '' : ` at octet ${offset}`}: ${message}`)
}

function table(values: readonly ExplainedValue[]): string {
  const rows = values.map(({ obis, value, scaler, unit }) => [
    obis ?? '-',
    String(value),
    scaler === null || scaler === 0 ? '' : `10^${scaler}`,
    unit ?? '',
  ])
  const widths = [0, 1, 2].map((i) => rows.reduce((width, row) => Math.max(width, row[i]!.length), 0))
  const lines = rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}
