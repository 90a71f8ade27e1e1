import { createSecretKey, type KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { securityControl } from '#gateway/codec/ciphering.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import type { FrameWatcher, SeenFrame, Unframed } from '#gateway/codec/payload.ts'
import type { Ciphered } from '#gateway/codec/protection.ts'
import { framings } from '#gateway/codec/uplink.ts'
import { PeerError } from '#gateway/errors.ts'
import { parseSystemTitle, type SystemTitle, systemTitle } from '#gateway/model.ts'
import { type ExplainedValue, type Explanation, explain, type Opener } from '#gateway/readings/explain.ts'
import { explainTree } from '#gateway/readings/explain-tree.ts'
import type { MeterProfile } from '#gateway/readings/meter-profile.ts'
import { isTelegram } from '#gateway/readings/telegram.ts'
import { type TreeLayer, treeText } from '#gateway/readings/tree.ts'
import { decipherUnverified, lenientPolicy, type Policy, unprotect } from '#gateway/session/unprotect.ts'
import { type Command, parse, UsageError } from './command.ts'
import { meterProfile } from './decode/meters.ts'

const help = `usage: ami decode [options] FILE|-

Reads frames in hex (white space is passed over) from FILE, or from standard input with -, and lists what
they say. Nothing is changed and no invocation counter is kept.

  --explain           print frames and APDUs as trees instead: offset, field, type, value -- meaning
  --ek HEX            encryption key, 16 octets (32 in suite 2)
  --ak HEX            authentication key; without it a tag is not checked, and a line on stderr says so
  --system-title HEX  of the meter, 8 octets; frames of another are refused
  --meter NAME        take units, names and capture objects that a push does not tell from the profile of this
                      meter family, gateway/meters/NAME.json
  --framing NAME      one of those below (default auto)
  --json              one JSON object: {"apdus", "time", "values": [{"obis", "value", "scaler", "unit"}]},
                      with --explain {"layers": [{"kind", "from", "octets", "nodes": [{"offset", "octets",
                      "name", "type", "value", "meaning", "children"}]}]}

framings:
  auto     told apart by the first octets, else by which frames hold
  apdu     an APDU alone, or behind its LLC header
  hdlc     IEC 62056-46, from flag to flag, segments joined
  wrapper  IEC 62056-47, version, ports and length in front of each APDU (TCP and UDP)
  mbus     EN 13757-2 long frames with the transport layer for COSEM, segments joined
  p1       a DSMR telegram, in clear or inside general-glo-ciphering

dialects, departures from the standard that are read through and told on stderr:
  tagged-date-time      a notification's time with an octet-string tag (09 0C): Kaifa in Norway, old Kamstrup
  untagged-descriptors  attribute descriptors without data tags: Sagemcom and others in Czechia
  positional            values without names: only their place in the list tells what they are

Offsets are hexadecimal and count in the octets of their layer, which each layer names: the frames as they were
received, the APDU that they carry, what was put together from blocks, what was deciphered.

exit codes: 0 read; 2 cannot be decoded (with --json {"fault": {"code", "offset"}} on stdout; with --explain in the
layer where it was met); 64 usage
`

const options = {
  ek: { type: 'string' },
  ak: { type: 'string' },
  'system-title': { type: 'string' },
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

interface Keys {
  ek: KeyObject | undefined
  ak: Uint8Array | undefined
  title: SystemTitle | undefined
}

const exitFault = 2
/** Characters of input, white space and all. */
const inputCharactersMax = 4_194_304
/** Octets in the input. */
const inputOctetsMax = 1_048_576

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
    const octets = parseHex(text)
    if (values.explain) return printTree(treeOf(octets, reading), values.json)
    print(readFrames(octets, reading), values.json)
    return 0
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    printFault(fault, values.json)
    return exitFault
  }
}

function readKeys(values: { ek?: string; ak?: string; 'system-title'?: string }): Keys {
  const key = (name: 'ek' | 'ak'): Buffer | undefined => {
    const text = values[name]
    if (text === undefined) return undefined
    if (!/^([0-9a-fA-F]{32}|[0-9a-fA-F]{64})$/.test(text)) throw new UsageError(`--${name}: 16 or 32 octets in hex`)
    return Buffer.from(text, 'hex')
  }
  const ek = key('ek')
  return { ek: ek && createSecretKey(ek), ak: key('ak'), title: readTitle(values['system-title']) }
}

function readTitle(text: string | undefined): SystemTitle | undefined {
  if (text === undefined) return undefined
  try {
    return parseSystemTitle(text)
  } catch (cause) {
    throw new UsageError('--system-title: 8 octets in hex', { cause })
  }
}

async function readInput(file: string): Promise<string> {
  const stream = file === '-' ? process.stdin.setEncoding('latin1') : createReadStream(file, { encoding: 'latin1' })
  let text = ''
  try {
    for await (const chunk of stream) {
      text += chunk
      if (text.length > inputCharactersMax) throw new UsageError(`decode: more than ${inputCharactersMax} characters`)
    }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new UsageError(`decode: ${(cause as Error).message}`, { cause })
  }
  return text
}

/** @throws PeerError `FRAME_FORMAT`, `FRAME_TRUNCATED`, `FRAME_LENGTH` */
function parseHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '')
  const wrong = digits.search(/[^0-9a-fA-F]/)
  const offset = Math.floor((wrong < 0 ? digits.length : wrong) / 2)
  if (wrong >= 0) throw new PeerError('FRAME_FORMAT', `'${digits[wrong]}' is no hex digit`, { offset })
  if (digits.length % 2 === 1) throw new PeerError('FRAME_TRUNCATED', 'half an octet at the end', { offset })
  if (offset === 0) throw new PeerError('FRAME_TRUNCATED', 'no octets', { offset })
  if (offset > inputOctetsMax) throw new PeerError('FRAME_LENGTH', `more than ${inputOctetsMax} octets`, { offset })
  return Buffer.from(digits, 'hex')
}

/** @throws PeerError */
function readFrames(octets: Uint8Array, { framing, keys, meter }: Reading): Explanation {
  const { payloads, faults } = payloadsOf(octets, framing)
  if (payloads.length === 0 && faults[0] !== undefined) throw faults[0]
  for (const fault of faults) warn(`passed over: ${fault.code} at octet ${fault.offset}: ${fault.message}`)
  return explain(payloads, opener(keys), meter)
}

/** @throws PeerError where no frame is found */
function treeOf(octets: Uint8Array, { framing, keys, meter }: Reading): TreeLayer[] {
  const frames: SeenFrame[] = []
  const unframed = payloadsOf(octets, framing, (frame) => frames.push(frame))
  return explainTree(octets, unframed, { frames, open: opener(keys), profile: meter })
}

function payloadsOf(octets: Uint8Array, framing: string, watch?: FrameWatcher): Unframed {
  if (framing === 'p1' || (framing === 'auto' && isTelegram(octets))) return unframe(octets, 'apdu', watch)
  const named = framings.find((known) => known === framing)
  return unframe(octets, named ?? detectFraming(octets), watch)
}

/** At a desk the key that was given is taken for whichever key the frame is under. */
const deskPolicy: Policy = {
  ...lenientPolicy,
  keySets: ['unicast', 'broadcast', 'dedicated', 'settled'],
  untitled: true,
}

function opener({ ek, ak, title: expected }: Keys): Opener {
  return (apdu) => {
    if (ek === undefined) throw new PeerError('KEY_MISSING', 'ciphered, and no --ek was given')
    const title = expected ?? systemTitle(titleOf(apdu))
    const isAuthenticated = (apdu.securityControl & securityControl.authenticated) !== 0
    if (isAuthenticated && ak === undefined) return decipherAnyway(apdu, title, ek)
    const key = { ek, lastCounter: -1 }
    const security = { ...key, systemTitle: title, ak: ak ?? new Uint8Array(), broadcast: key, dedicated: key }
    return unprotect(apdu, { ...security, settled: key }, deskPolicy).plain
  }
}

/** The name that the APDU carries, none where its association has told it. */
function titleOf(apdu: Ciphered): Uint8Array {
  if ('systemTitle' in apdu) return apdu.systemTitle
  return 'originator' in apdu ? apdu.originator : new Uint8Array()
}

function decipherAnyway(apdu: Ciphered, title: SystemTitle, ek: KeyObject): Uint8Array {
  if (apdu.apdu !== 'general-glo-ciphering') {
    throw new PeerError('KEY_MISSING', `${apdu.apdu} is authenticated, and no --ak was given`)
  }
  warn('the tag is not checked: no --ak was given')
  const systemTitle = apdu.systemTitle.length > 0 ? apdu.systemTitle : Buffer.from(title, 'hex')
  return decipherUnverified({ ...apdu, systemTitle }, title, ek)
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
