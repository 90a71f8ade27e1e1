import { open, readFile, unlink, writeFile } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { PkiError } from '#pki/errors.ts'
import { lint } from '#pki/lint.ts'
import { fromPem, toPem } from '#pki/pem.ts'
import { authorityProfiles, isProfileName, profiles } from '#pki/profiles.ts'
import { purposes } from '#pki/purpose.ts'
import { isRevocationReason, revocationReasons } from '#pki/revoke.ts'
import { initPki, type Listed, openPki, type Pki, readRegister } from '#pki/store.ts'
import { certificatesFromPem, parseCertificate, parseCrls, verifyChain } from '#pki/verify.ts'
import { type Command, parse, UsageError, wholeNumber } from './command.ts'

const help = `usage: ami pki init    --dir DIR --passphrase-file FILE [--organisation NAME]
       ami pki issue   --dir DIR --passphrase-file FILE --profile NAME --id ID [--dns NAME]... [--ip ADDRESS]...
                       [--days N] (--out-key FILE | --csr FILE) [--out FILE]
       ami pki revoke  --dir DIR --passphrase-file FILE [--reason WORD] SERIAL
       ami pki crl     --dir DIR --passphrase-file FILE [--root]
       ami pki list    --dir DIR
       ami pki show    --dir DIR SERIAL
       ami pki lint    --profile NAME [--issuer FILE] CERTIFICATE
       ami pki verify  --trust ROOT --crl FILE --purpose NAME [--at SECONDS] CHAIN

init     makes a root (10 years), an issuing CA (5 years) and their CRLs in DIR; DIR/root may then be taken offline
issue    a certificate for a ${Object.keys(profiles).join(', ')}; the chain goes to --out or to standard output
revoke   journals it and writes DIR/crl/crl.pem anew; the issuing CA's own serial needs the root's key
crl      writes a fresh CRL of the issuing CA, which lives 7 days; with --root of the root, which lives 365
list     everything issued, with what became of it; needs no key
show     one certificate, as PEM with a line on what became of it
lint     the rules that a certificate breaks; its issuer is the second one in the file, or --issuer
verify   a chain, leaf first, judged as RFC 5280 asks and by the CRLs in --crl

  --passphrase-file FILE  its first line, 12 characters or more, opens the CA keys
  --out-key FILE          the new private key, PKCS#8, readable by its owner only; must not exist yet
  --csr FILE              PKCS#10 request, PEM or DER; only its key is used
  --reason WORD           ${Object.keys(revocationReasons).join(', ')}
  --at SECONDS            judge as of then, since 1970 (default now)
  --json                  one JSON object on standard output

exit codes: 0 done, accepted; 1 refused, not accepted (with --json {"fault": {"code", "detail"}}); 64 usage;
            78 the PKI's directory, a file or the passphrase is not in order
`

const options = {
  dir: { type: 'string' },
  'passphrase-file': { type: 'string' },
  organisation: { type: 'string' },
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
  issuer: { type: 'string' },
  trust: { type: 'string' },
  crl: { type: 'string' },
  purpose: { type: 'string' },
  at: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

/** What a subcommand has to say: an object for programs, text for people. */
interface Answer {
  ok: boolean
  json: object
  text: string
}

interface Subcommand {
  takes: readonly (keyof Values)[]
  /** what stands behind the options */
  positionals: 0 | 1
  run(values: Values, positional: string): Promise<Answer>
}

const store = ['dir', 'passphrase-file'] as const

const subcommands: Readonly<Record<string, Subcommand>> = {
  init: { takes: [...store, 'organisation'], positionals: 0, run: init },
  issue: {
    takes: [...store, 'profile', 'id', 'dns', 'ip', 'days', 'out-key', 'csr', 'out'],
    positionals: 0,
    run: issue,
  },
  revoke: { takes: [...store, 'reason'], positionals: 1, run: revoke },
  crl: { takes: [...store, 'root'], positionals: 0, run: crl },
  list: { takes: ['dir'], positionals: 0, run: list },
  show: { takes: ['dir'], positionals: 1, run: show },
  lint: { takes: ['profile', 'issuer'], positionals: 1, run: lintFile },
  verify: { takes: ['trust', 'crl', 'purpose', 'at'], positionals: 1, run: verify },
}

export const command: Command = {
  summary: 'certificates: init, issue, revoke, crl, list, show, lint, verify',
  help,
  run,
}

async function run([name = '', ...args]: readonly string[]): Promise<number> {
  const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
  if (subcommand === undefined) throw new UsageError(`pki: ${Object.keys(subcommands).join(', ')}, not '${name}'`)
  const { values, positionals } = parse(args, options)
  const given = args.flatMap((word) => /^--([a-z-]+)/.exec(word)?.[1] ?? [])
  const odd = given.find((option) => option !== 'json' && !subcommand.takes.some((taken) => taken === option))
  if (odd !== undefined) throw new UsageError(`pki ${name}: takes no --${odd}`)
  if (positionals.length !== subcommand.positionals) {
    throw new UsageError(
      `pki ${name}: ${subcommand.positionals} arguments behind the options, not ${positionals.length}`,
    )
  }
  const answer = await subcommand.run(values, positionals[0] ?? '').catch(refusal)
  const line = values.json ? `${JSON.stringify(answer.json)}\n` : answer.text
  ;(answer.ok || values.json ? process.stdout : process.stderr).write(line)
  return answer.ok ? 0 : 1
}

/** A refused request is an answer; a store out of order is the operator's fault; anything else is ours. */
function refusal(cause: unknown): Answer {
  if (!(cause instanceof PkiError)) throw cause
  const { code, message } = cause
  if (/^(STORE|ROOT|JOURNAL|PEM)_/.test(code)) throw new ConfigError([`${code}: ${message}`])
  return { ok: false, json: { fault: { code, detail: message } }, text: `ami: ${code}: ${message}\n` }
}

function needed(values: Values, name: keyof Values & string): string {
  const value = values[name]
  if (typeof value !== 'string') throw new UsageError(`--${name} is missing`)
  return value
}

async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new ConfigError([(cause as Error).message])
  }
}

async function opened<T>(values: Values, use: (pki: Pki) => Promise<T>): Promise<T> {
  const pki = await openPki({ dir: needed(values, 'dir'), passphraseFile: needed(values, 'passphrase-file') })
  try {
    return await use(pki)
  } finally {
    await pki.close()
  }
}

async function init(values: Values): Promise<Answer> {
  const { organisation } = values
  const dir = needed(values, 'dir')
  await initPki({
    dir,
    passphraseFile: needed(values, 'passphrase-file'),
    ...(organisation === undefined ? {} : { organisation }),
  })
  return { ok: true, json: { dir }, text: `${dir}: root and issuing CA made; now take ${dir}/root offline\n` }
}

async function issue(values: Values): Promise<Answer> {
  const profile = needed(values, 'profile')
  if (!isProfileName(profile)) throw new UsageError(`--profile: ${Object.keys(profiles).join(', ')}, not '${profile}'`)
  if ((values['out-key'] === undefined) === (values.csr === undefined)) {
    throw new UsageError('pki issue: either --out-key for a new key, or --csr with one that exists')
  }
  const { days, dns = [], ip = [], out } = values
  const request = {
    profile,
    id: needed(values, 'id'),
    ...(profile === 'gateway' || dns.length + ip.length > 0 ? { names: { dns, ip } } : {}),
    ...(days === undefined ? {} : { days: wholeNumber('days', days, [1, profiles[profile].days]) }),
    ...(values.csr === undefined ? {} : { csr: requestOctets(await readInput(values.csr)) }),
  }
  return opened(values, (pki) =>
    withKeyFile(values['out-key'], async (keep) => {
      const { privateKeyPem, chainPem, serial } = await pki.issue(request)
      if (privateKeyPem !== undefined) await keep(privateKeyPem)
      if (out !== undefined) await writeOutput(out, chainPem)
      const written = out === undefined ? { chain: chainPem } : { out }
      return {
        ok: true,
        json: { serial, profile, id: request.id, ...written },
        text: out === undefined ? chainPem : `${serial}\n`,
      }
    }),
  )
}

function requestOctets(input: Buffer): Uint8Array {
  const text = input.toString('latin1')
  if (!text.includes('-----BEGIN')) return input
  const [der] = [...fromPem('CERTIFICATE REQUEST', text), ...fromPem('NEW CERTIFICATE REQUEST', text)]
  if (der === undefined) throw new PkiError('REQUEST_MALFORMED', 'no certificate request in the file')
  return der
}

/** Makes the file before the key exists, so that no key is made that cannot be kept; removes it when nothing came of it. */
async function withKeyFile<T>(
  path: string | undefined,
  use: (keep: (pem: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  if (path === undefined) return use(async () => undefined)
  const file = await open(path, 'wx', 0o600).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
  let kept = false
  try {
    return await use(async (pem) => {
      await file.writeFile(pem)
      await file.sync()
      kept = true
    })
  } finally {
    await file.close()
    if (!kept) await unlink(path)
  }
}

async function writeOutput(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
}

async function revoke(values: Values, serial: string): Promise<Answer> {
  const { reason } = values
  if (!isRevocationReason(reason)) {
    throw new UsageError(`--reason: ${Object.keys(revocationReasons).join(', ')}, not '${reason}'`)
  }
  return opened(values, async (pki) => {
    await pki.revoke(serial, reason)
    const { revoked, profile, id } = await pki.find(serial)
    return {
      ok: true,
      json: { revoked, profile, id, crl: pki.crlFile },
      text: `${profile} ${id} is revoked; ${pki.crlFile} says so\n`,
    }
  })
}

async function crl(values: Values): Promise<Answer> {
  return opened(values, async (pki) => {
    await pki.refreshCrl(values.root ? 'root' : 'issuing')
    const crls = parseCrls(await readFile(pki.crlFile, 'utf8')).map(({ thisUpdate, nextUpdate, serials }) => {
      return { thisUpdate, nextUpdate, revoked: serials.size }
    })
    return { ok: true, json: { file: pki.crlFile, crls }, text: `${pki.crlFile}\n` }
  })
}

function stateOf({ revoked, notAfter }: Listed, now: number): string {
  if (revoked !== undefined) return `revoked ${isoTime(revoked.at)} ${revoked.reason}`
  return now > notAfter ? 'expired' : 'valid'
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z')
}

function described(listed: Listed): object {
  const { event, certificate, ...fields } = listed
  return { ...fields, state: stateOf(listed, Date.now() / 1_000).split(' ')[0] }
}

async function list(values: Values): Promise<Answer> {
  const all = (await readRegister(needed(values, 'dir'))).list()
  const lines = all.map((one) => {
    return `${one.serial}  ${one.profile.padEnd(12)}  ${isoTime(one.notAfter)}  ${one.id}  ${stateOf(one, Date.now() / 1_000)}\n`
  })
  return { ok: true, json: { certificates: all.map(described) }, text: lines.join('') }
}

async function show(values: Values, serial: string): Promise<Answer> {
  const listed = (await readRegister(needed(values, 'dir'))).find(serial)
  const pem = toPem('CERTIFICATE', Buffer.from(listed.certificate, 'base64'))
  const line = `${listed.profile} ${listed.id}, ${isoTime(listed.notBefore)} to ${isoTime(listed.notAfter)}`
  return {
    ok: true,
    json: { ...described(listed), pem },
    text: `${line}: ${stateOf(listed, Date.now() / 1_000)}\n${pem}`,
  }
}

async function lintFile(values: Values, file: string): Promise<Answer> {
  const name = needed(values, 'profile')
  const all = { ...profiles, ...authorityProfiles }
  const profile = Object.hasOwn(all, name) ? all[name as keyof typeof all] : undefined
  if (profile === undefined) throw new UsageError(`--profile: ${Object.keys(all).join(', ')}, not '${name}'`)
  const found = certificatesFromPem((await readInput(file)).toString('latin1'))
  if (values.issuer !== undefined) found.splice(1, found.length, ...(await readCertificates(values.issuer)))
  const [certificate, issuer = name === 'root' ? certificate : undefined] = found.map(parseCertificate)
  if (certificate === undefined) throw new ConfigError([`${file}: no certificate`])
  if (issuer === undefined) throw new UsageError('pki lint: the issuer stands behind the certificate, or in --issuer')
  const broken = lint({ certificate, profile, issuer }).map(({ name, source }) => ({ name, source }))
  const text = broken.map(({ name, source }) => `${name}: ${source}\n`).join('')
  return { ok: broken.length === 0, json: { broken }, text: text === '' ? 'every rule holds\n' : text }
}

async function readCertificates(file: string): Promise<Uint8Array[]> {
  return certificatesFromPem((await readInput(file)).toString('latin1'))
}

async function verify(values: Values, file: string): Promise<Answer> {
  const purpose = needed(values, 'purpose')
  if (!isPurpose(purpose)) throw new UsageError(`--purpose: ${Object.keys(purposes).join(', ')}, not '${purpose}'`)
  const at = values.at === undefined ? Date.now() / 1_000 : wholeNumber('at', values.at, [0, 253_402_300_799])
  const [leaf, ...intermediates] = await readCertificates(file)
  if (leaf === undefined) throw new ConfigError([`${file}: no certificate`])
  const verdict = verifyChain({
    leaf,
    intermediates,
    roots: await readCertificates(needed(values, 'trust')),
    crls: parseCrls((await readInput(needed(values, 'crl'))).toString('latin1')),
    at,
    purpose,
  })
  if (verdict.ok)
    return { ok: true, json: { ok: true, uri: verdict.uri }, text: `accepted: ${verdict.uri ?? purpose}\n` }
  const { code, detail } = verdict
  return { ok: false, json: { ok: false, fault: { code, detail } }, text: `refused: ${code}: ${detail}\n` }
}

function isPurpose(name: string): name is keyof typeof purposes {
  return Object.hasOwn(purposes, name)
}
