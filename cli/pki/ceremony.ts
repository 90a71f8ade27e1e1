import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '#gateway/errors.ts'
import { approve, approverKey, type Proposal, proposalOf } from '#pki/ceremony/approval.ts'
import { type CeremonyConfig, parseCeremony } from '#pki/ceremony/config.ts'
import { type Ceremony, ceremonyFiles, holdCeremony, readApproval, rehearse } from '#pki/ceremony/perform.ts'
import { PkiError } from '#pki/errors.ts'
import { readPassphrase } from '#pki/store/keys.ts'
import { type Command, parse, UsageError } from '../command.ts'
import { version } from '../version.ts'
import { refusal } from './subcommand.ts'

const help = `usage: ami pki ceremony --config FILE [--dry-run] [--json]
       ami pki ceremony show    --config FILE
       ami pki ceremony approve --config FILE --key KEY --out FILE [--passphrase-file FILE]

Makes a root, the four CAs below it and their first CRLs, as one reviewed file says and two people approved beforehand. The
store appears whole, its transcript within (STORE/${ceremonyFiles.transcript} and, detached CMS, .../transcript.cms), or not at all;
what a ceremony that was cut short left behind is taken away by the next one.

  --dry-run               does all of it with throwaway keys in memory and prints the transcript; writes nothing, takes
                          missing approvals, and says which
  --json                  one JSON object on standard output
show      prints what approvers sign: FILE in its canonical form
approve   signs that with an approver's key. The same by openssl:
          ami pki ceremony show --config FILE | openssl dgst -sha256 -sign KEY -out APPROVAL
  --key KEY               the approver's private key, PEM
  --passphrase-file FILE  its first line opens KEY

FILE, in which paths are relative to its own folder:
  { "ceremony": "first", "organisation": "Grid", "profileSet": "p256", "store": DIR, "passphraseFile": FILE,
    "window": { "from": "2027-03-01T09:00:00Z", "to": "2027-03-01T17:00:00Z" },      when it may be held: 31 days at most
    "approvers": [{ "name": "A. Jansen", "key": PEM, "approval": FILE }, ...],       two; a certificate or public key
    "keys": { "root": { "kind": "pkcs11", "module": FILE, "token": LABEL, "pinFile": FILE }, ... },       default: files
    "zones": { "dns": ["grid.example"], "ip": ["10.0.0.0/8"] },             default: names and addresses kept private
    "publication": { "crl": URL, "ocsp": URL } }                            default: certificates do not say

Checked by anyone with the root alone: openssl cms -verify -binary -inform DER -in transcript.cms
          -content transcript.ndjson -CAfile root.pem -crl_check_all

exit codes: 0 done; 1 refused (CEREMONY_APPROVAL_MISSING, _SAME_PERSON, _SAME_KEY, _APPROVAL_DIGEST, _WINDOW, _APPROVER,
            _RUNNING); 64 usage; 78 the file, or what it names, is not in order
`

const options = {
  config: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  key: { type: 'string' },
  out: { type: 'string' },
  'passphrase-file': { type: 'string' },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

interface Act {
  takes: readonly (keyof Values)[]
  run(values: Values, proposal: Proposal): Promise<number>
}

const acts: Readonly<Record<string, Act>> = {
  hold: { takes: ['config', 'dry-run', 'json'], run: hold },
  show: { takes: ['config'], run: show },
  approve: { takes: ['config', 'key', 'out', 'passphrase-file'], run: runApprove },
}

export const command: Command = { summary: 'makes a PKI as two people approved it', help, run }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  const [name = 'hold', odd] = positionals
  const act = Object.hasOwn(acts, name) ? acts[name] : undefined
  if (act === undefined || odd !== undefined) throw new UsageError('pki ceremony: show, approve, or options alone')
  const given = args.flatMap((word) => /^--([a-z-]+)/.exec(word)?.[1] ?? [])
  const untaken = given.find((option) => !act.takes.some((taken) => taken === option))
  if (untaken !== undefined) throw new UsageError(`pki ceremony ${name}: takes no --${untaken}`)
  if (values.config === undefined) throw new UsageError('--config is missing')
  const proposal = await readProposal(values.config)
  try {
    return await act.run(values, proposal)
  } catch (cause) {
    const { json, text } = refusal(cause)
    ;(values.json ? process.stdout : process.stderr).write(values.json ? `${JSON.stringify(json)}\n` : text)
    return 1
  }
}

/** @throws ConfigError with everything that is wrong with the file, and the approvers' keys */
async function readProposal(file: string): Promise<Proposal> {
  const parsed = parseCeremony(await readInput(file))
  if ('faults' in parsed) throw new ConfigError(parsed.faults.map((fault) => `${file}: ${fault}`))
  const config = placed(parsed.config, dirname(resolve(file)))
  const faults: string[] = []
  const keys: KeyObject[] = []
  for (const { name, key } of config.approvers) {
    const found = approverKey(await readFile(key, 'latin1').catch((cause: Error) => cause.message))
    if (found === undefined) faults.push(`${key}: no certificate or public key (EC, or RSA of 3072 bits) of ${name}`)
    else keys.push(found)
  }
  const [one, other] = keys
  if (one === undefined || other === undefined) throw new ConfigError(faults)
  return proposalOf(config, parsed.value, [one, other])
}

function placed(config: CeremonyConfig, folder: string): CeremonyConfig {
  const at = (path: string): string => resolve(folder, path)
  const { approvers, keys, passphraseFile } = config
  const [one, other] = approvers.map((each) => ({ ...each, key: at(each.key), approval: at(each.approval) }))
  const tokens = Object.entries(keys).map(([name, place]) => {
    return [name, place.kind === 'pkcs11' ? { ...place, module: at(place.module), pinFile: at(place.pinFile) } : place]
  })
  return {
    ...config,
    approvers: [one!, other!],
    store: at(config.store),
    passphraseFile: passphraseFile === undefined ? undefined : at(passphraseFile),
    keys: Object.fromEntries(tokens),
  }
}

async function readInput(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
}

async function hold(values: Values, proposal: Proposal): Promise<number> {
  const [one, other] = proposal.config.approvers
  const ceremony: Ceremony = {
    proposal,
    approvals: [await readApproval(one.approval), await readApproval(other.approval)],
    version: version(),
    now: () => Date.now() / 1_000,
  }
  return values['dry-run'] ? dryRun(values, ceremony) : forReal(values, ceremony)
}

async function dryRun({ json }: Values, ceremony: Ceremony): Promise<number> {
  const { transcript, faults } = await rehearse(ceremony)
  const missing = faults.map(({ code, message }) => ({ code, detail: message }))
  const transcribed = transcript.text.trimEnd().split('\n')
  const answer = {
    dryRun: true,
    config: ceremony.proposal.digest,
    faults: missing,
    transcript: transcribed.map(parsed),
  }
  const lines = missing.map(({ code, detail }) => `${code}: ${detail}\n`).join('')
  process.stdout.write(json ? `${JSON.stringify(answer)}\n` : `${transcript.text}${lines}nothing was written\n`)
  return 0
}

function parsed(line: string): unknown {
  return JSON.parse(line)
}

async function forReal({ json }: Values, ceremony: Ceremony): Promise<number> {
  const { digest, config } = ceremony.proposal
  const transcript = await holdCeremony(ceremony)
  const { store } = config
  const answer = { store, config: digest, transcript: transcript.text.trimEnd().split('\n').map(parsed) }
  const text = `${store}: root and four CAs made as approved (${digest}); now take ${store}/root offline\n`
  process.stdout.write(json ? `${JSON.stringify(answer)}\n` : text)
  return 0
}

async function show(_values: Values, { canonical }: Proposal): Promise<number> {
  process.stdout.write(canonical)
  return 0
}

async function runApprove(values: Values, proposal: Proposal): Promise<number> {
  const { key, out, 'passphrase-file': passphraseFile } = values
  if (key === undefined || out === undefined) throw new UsageError('pki ceremony approve: --key and --out are required')
  const passphrase = passphraseFile === undefined ? {} : { passphrase: await readPassphrase(passphraseFile) }
  const approval = approve(proposal, privateKey(await readInput(key), key, passphrase))
  await writeFile(out, approval).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
  process.stdout.write(`${out}: approves ${proposal.digest}\n`)
  return 0
}

function privateKey(pem: string, file: string, passphrase: { passphrase?: string }): KeyObject {
  try {
    return createPrivateKey({ key: pem, ...passphrase })
  } catch (cause) {
    throw new ConfigError([`${file}: ${cause instanceof PkiError ? cause.code : (cause as Error).message}`])
  }
}
