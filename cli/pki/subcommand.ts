import { readFile, writeFile } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { PkiError } from '#pki/errors.ts'
import { openPki, type Pki } from '#pki/store.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import { parse, UsageError } from '../command.ts'

const options = {
  dir: { type: 'string' },
  store: { type: 'string' },
  from: { type: 'string' },
  ca: { type: 'string' },
  expiring: { type: 'string' },
  'backup-passphrase-file': { type: 'string' },
  seen: { type: 'string', multiple: true },
  'accept-older': { type: 'boolean', default: false },
  'passphrase-file': { type: 'string' },
  organisation: { type: 'string' },
  'profile-set': { type: 'string' },
  keys: { type: 'string' },
  zone: { type: 'string', multiple: true },
  range: { type: 'string', multiple: true },
  'crl-url': { type: 'string' },
  'ocsp-url': { type: 'string' },
  profile: { type: 'string' },
  id: { type: 'string' },
  dns: { type: 'string', multiple: true },
  ip: { type: 'string', multiple: true },
  days: { type: 'string' },
  'out-key': { type: 'string' },
  csr: { type: 'string' },
  out: { type: 'string' },
  reason: { type: 'string', default: 'unspecified' },
  root: { type: 'boolean', default: false },
  remove: { type: 'string' },
  issuer: { type: 'string' },
  trust: { type: 'string' },
  crl: { type: 'string' },
  purpose: { type: 'string' },
  at: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

export type Values = ReturnType<typeof parse<typeof options>>['values']

/** What a subcommand has to say: an object for programs, text for people. */
export interface Answer {
  ok: boolean
  json: object
  text: string
}

export interface Subcommand {
  takes: readonly (keyof Values)[]
  /** what may stand behind the options: how many at the least and at the most */
  positionals: readonly [number, number]
  run(values: Values, positional: string): Promise<Answer>
}

/** The options of every subcommand that opens a store. */
export const store = ['dir', 'passphrase-file'] as const

/** Runs one subcommand by its table. @returns the exit code @throws UsageError, ConfigError */
export async function runSubcommand(name: string, subcommand: Subcommand, args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (values.store !== undefined && values.dir !== undefined) throw new UsageError('--dir or --store, which are one')
  if (values.store !== undefined) values.dir = values.store
  const given = args
    .flatMap((word) => /^--([a-z-]+)/.exec(word)?.[1] ?? [])
    .map((word) => word.replace(/^store$/, 'dir'))
  const odd = given.find((option) => option !== 'json' && !subcommand.takes.some((taken) => taken === option))
  if (odd !== undefined) throw new UsageError(`pki ${name}: takes no --${odd}`)
  const [least, most] = subcommand.positionals
  if (positionals.length < least || positionals.length > most) {
    throw new UsageError(`pki ${name}: ${most} arguments behind the options, not ${positionals.length}`)
  }
  const answer = await subcommand.run(values, positionals[0] ?? '').catch(refusal)
  const line = values.json ? `${JSON.stringify(answer.json)}\n` : answer.text
  ;(answer.ok || values.json ? process.stdout : process.stderr).write(line)
  return answer.ok ? 0 : 1
}

/** A refused request is an answer; a store out of order is the operator's fault; anything else is ours. */
export function refusal(cause: unknown): Answer {
  if (!(cause instanceof PkiError)) throw cause
  const { code, message } = cause
  if (/^(STORE|ROOT|JOURNAL|PEM|KEYSTORE)_/.test(code)) throw new ConfigError([`${code}: ${message}`])
  return { ok: false, json: { fault: { code, detail: message } }, text: `ami: ${code}: ${message}\n` }
}

/** @throws UsageError when the option is missing */
export function needed(values: Values, name: keyof Values & string): string {
  const value = values[name]
  if (typeof value !== 'string') throw new UsageError(`--${name} is missing`)
  return value
}

/** @throws ConfigError */
export async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new ConfigError([(cause as Error).message])
  }
}

/** DER of each certificate in a PEM file. @throws ConfigError, PkiError `PEM_MALFORMED` */
export async function readCertificates(file: string): Promise<Uint8Array[]> {
  return certificatesFromPem((await readInput(file)).toString('latin1'))
}

/** @throws ConfigError */
export async function writeOutput(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
}

/** Where a store is and what opens it; a store whose keys lie on a token needs no passphrase. */
export function place(values: Values): { dir: string; passphraseFile?: string } {
  const passphraseFile = values['passphrase-file']
  return { dir: needed(values, 'dir'), ...(passphraseFile === undefined ? {} : { passphraseFile }) }
}

export async function opened<T>(values: Values, use: (pki: Pki) => Promise<T>): Promise<T> {
  const pki = await openPki(place(values))
  try {
    return await use(pki)
  } finally {
    await pki.close()
  }
}

export function isoTime(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z')
}
