import { createPublicKey, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { auditKinds } from '#pki/audit/entry.ts'
import { checkConsistency, checkInclusion, parseProof } from '#pki/audit/proof.ts'
import { findEntries, proveEntry, proveGrowth, verifyAuditFiles } from '#pki/audit/query.ts'
import { AuditLog } from '#pki/audit/store.ts'
import { PkiError } from '#pki/errors.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { isP256 } from '#pki/signature.ts'
import { decryptKey, readPassphrase } from '#pki/store/keys.ts'
import { type Command, parse, UsageError, wholeNumber } from '../command.ts'

const help = `usage: ami pki audit verify     --dir DIR --key PUBLIC [--seen FILE]...
       ami pki audit verify     --key PUBLIC --proof FILE
       ami pki audit show       --dir DIR [--from N] [--count N] [--kind KIND] [--serial HEX] [--subject ID]
       ami pki audit prove      --dir DIR --key PUBLIC (--index N | --first SIZE [--second SIZE])
       ami pki audit checkpoint --dir DIR --key PRIVATE --passphrase-file FILE --origin NAME

verify      every entry, checkpoint and stored hash of the log in DIR, offline; or one proof, without the log
show        entries with their indices, one JSON object a line; 1000 unless --count says otherwise
prove       that an entry stands in the log, or that the log of one checkpoint's size grew into that of another, as JSON
checkpoint  signs the log's head as it is now, and prints the note: keep it elsewhere, for verify --seen

  --dir DIR               the log's directory
  --key FILE              PEM: of verify and prove the log's public key, from elsewhere than DIR; of checkpoint its private one
  --seen FILE             notes kept elsewhere: they show whether the log was cut back since
  --kind KIND             ${auditKinds.join(', ')}
  --passphrase-file FILE  its first line opens the private key
  --json                  of verify: one JSON object on standard output

exit codes: 0 done, the log or the proof holds; 1 it does not; 64 usage; 78 a file is missing or not in order
`

const options = {
  dir: { type: 'string' },
  key: { type: 'string' },
  seen: { type: 'string', multiple: true },
  proof: { type: 'string' },
  from: { type: 'string' },
  count: { type: 'string' },
  kind: { type: 'string' },
  serial: { type: 'string' },
  subject: { type: 'string' },
  index: { type: 'string' },
  first: { type: 'string' },
  second: { type: 'string' },
  'passphrase-file': { type: 'string' },
  origin: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

interface Subcommand {
  takes: readonly (keyof Values)[]
  run(values: Values): Promise<number>
}

const subcommands: Readonly<Record<string, Subcommand>> = {
  verify: { takes: ['dir', 'key', 'seen', 'proof', 'json'], run: verify },
  show: { takes: ['dir', 'from', 'count', 'kind', 'serial', 'subject'], run: show },
  prove: { takes: ['dir', 'key', 'index', 'first', 'second'], run: prove },
  checkpoint: { takes: ['dir', 'key', 'passphrase-file', 'origin'], run: checkpoint },
}

export const command: Command = { summary: 'the audit log: verify, show, prove, checkpoint', help, run }

async function run([name = '', ...args]: readonly string[]): Promise<number> {
  const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
  if (subcommand === undefined) throw new UsageError(`pki audit: ${Object.keys(subcommands).join(', ')}, not '${name}'`)
  const { values, positionals } = parse(args, options)
  const given = args.flatMap((word) => /^--([a-z-]+)/.exec(word)?.[1] ?? [])
  const odd = given.find((option) => !subcommand.takes.some((taken) => taken === option))
  if (odd !== undefined) throw new UsageError(`pki audit ${name}: takes no --${odd}`)
  if (positionals.length > 0) throw new UsageError(`pki audit ${name}: no argument '${positionals[0]}'`)
  return subcommand.run(values).catch(refusal)
}

/** What does not hold is an answer; a file that is not there or not in order is the operator's to see to. */
function refusal(cause: unknown): number {
  if (!(cause instanceof PkiError)) throw cause
  const { code, message } = cause
  if (code !== 'AUDIT_PROOF' && code !== 'AUDIT_CHECKPOINT') throw new ConfigError([`${code}: ${message}`])
  process.stderr.write(`ami: ${code}: ${message}\n`)
  return 1
}

function needed(values: Values, name: keyof Values): string {
  const value = values[name]
  if (typeof value !== 'string') throw new UsageError(`--${name} is missing`)
  return value
}

async function readInput(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
}

/** A public key, a certificate or a private key in PEM: each has the public key in it. */
async function readPublicKey(file: string): Promise<Uint8Array> {
  const pem = await readInput(file)
  try {
    const octets = publicKeyOctets(createPublicKey(pem))
    if (isP256(octets)) return octets
  } catch (cause) {
    throw new ConfigError([`${file}: ${(cause as Error).message}`])
  }
  throw new ConfigError([`${file}: not a P-256 key`])
}

async function verify(values: Values): Promise<number> {
  const publicKey = await readPublicKey(needed(values, 'key'))
  if (values.proof !== undefined) return verifyProof(await readInput(values.proof), publicKey)
  const notes = await Promise.all((values.seen ?? []).map(readInput))
  const seen = notes.map((text) => (text.endsWith('\n\n') ? text : `${text}\n`)).join('')
  const verdict = await verifyAuditFiles({ dir: needed(values, 'dir'), publicKey }, seen)
  const text = verdict.ok
    ? `${verdict.size} entries hold, ${verdict.covered} of them beneath ${verdict.checkpoints} signed checkpoints`
    : `${verdict.code}: ${verdict.detail}${verdict.index === undefined ? '' : `; first bad entry: ${verdict.index}${verdict.exact ? '' : ' or later'}`}`
  process.stdout.write(values.json ? `${JSON.stringify(verdict)}\n` : `${text}\n`)
  return verdict.ok ? 0 : 1
}

function verifyProof(json: string, publicKey: Uint8Array): number {
  const proof = parseProof(json)
  if ('entry' in proof) {
    const size = checkInclusion(proof, publicKey)
    process.stdout.write(`entry ${proof.index} of the ${size} that were signed: ${proof.entry}\n`)
  } else {
    const { first, second } = checkConsistency(proof, publicKey)
    process.stdout.write(`the first ${first} entries are unchanged beneath ${second}\n`)
  }
  return 0
}

async function show(values: Values): Promise<number> {
  const { from = '0', count = '1000', kind, serial, subject } = values
  const known = auditKinds.find((one) => one === kind)
  if (kind !== undefined && known === undefined) throw new UsageError(`--kind: ${auditKinds.join(', ')}, not '${kind}'`)
  const found = findEntries(needed(values, 'dir'), {
    from: wholeNumber('from', from, [0, Number.MAX_SAFE_INTEGER]),
    count: wholeNumber('count', count, [1, 1_000_000]),
    ...(known === undefined ? {} : { kind: known }),
    ...(serial === undefined ? {} : { serial: serial.replaceAll(':', '').toUpperCase() }),
    ...(subject === undefined ? {} : { subject }),
  })
  process.stdout.write(found.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
  return 0
}

async function prove(values: Values): Promise<number> {
  const { index, first, second } = values
  if ((index === undefined) === (first === undefined))
    throw new UsageError('pki audit prove: either --index, or --first')
  if (index !== undefined && second !== undefined) throw new UsageError('pki audit prove: --second goes with --first')
  const place = { dir: needed(values, 'dir'), publicKey: await readPublicKey(needed(values, 'key')) }
  const number = (name: string, text: string): number => wholeNumber(name, text, [0, Number.MAX_SAFE_INTEGER])
  const proof =
    index === undefined
      ? await proveGrowth(place, number('first', first!), second === undefined ? undefined : number('second', second))
      : await proveEntry(place, number('index', index))
  process.stdout.write(`${JSON.stringify(proof)}\n`)
  return 0
}

async function checkpoint(values: Values): Promise<number> {
  const passphrase = await readPassphrase(needed(values, 'passphrase-file'))
  const key = decryptKey(await readInput(needed(values, 'key')), passphrase)
  const log = await AuditLog.open({
    dir: needed(values, 'dir'),
    origin: needed(values, 'origin'),
    signer: { publicKey: publicKeyOctets(createPublicKey(key)), sign: async (octets) => sign('sha256', octets, key) },
    now: () => Date.now() / 1_000,
    onFault: (cause) => {
      throw cause
    },
  })
  try {
    process.stdout.write(await log.checkpoint())
  } finally {
    await log.close()
  }
  return 0
}
