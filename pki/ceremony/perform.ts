import { existsSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Lock } from '../audit/lock.ts'
import { parseCrls } from '../crl.ts'
import { PkiError } from '../errors.ts'
import { profileSets } from '../key-algorithm.ts'
import { MemoryKeyStore } from '../keystore/memory.ts'
import { KeyPlaces } from '../keystore/places.ts'
import { type AuthorityName, authorityNames } from '../profiles.ts'
import { auditKeyName } from '../store/audited.ts'
import { crlFileOf, files, signCrl } from '../store/authority.ts'
import { parseStoreConfig, type StoreConfig } from '../store/config.ts'
import { makePrivate, readText, syncDirectory, writeDurably, writeOctetsDurably } from '../store/files.ts'
import { certifyAll } from '../store/hierarchy.ts'
import { configOf, type InitOptions, type Made, makePki, refuseUsed, removeKeys } from '../store/init.ts'
import { readPassphrase } from '../store/keys.ts'
import { lockFile } from '../store/lock.ts'
import { approvalFaults, type Proposal } from './approval.ts'
import { type CeremonyConfig, sha256 } from './config.ts'
import { type Transcript, transcribe } from './transcript.ts'

/** Below the store's directory. */
export const ceremonyFiles = {
  folder: 'ceremony',
  /** what was approved */
  config: 'ceremony/config.json',
  transcript: 'ceremony/transcript.ndjson',
  /** DER, detached */
  signature: 'ceremony/transcript.cms',
} as const

export interface Ceremony {
  proposal: Proposal
  /** as brought, in the order of the approvers */
  approvals: readonly (Uint8Array | undefined)[]
  /** of this program */
  version: string
  /** seconds since 1970 */
  now: () => number
}

function initOptions(config: CeremonyConfig, now: () => number): InitOptions {
  const { store, passphraseFile, organisation, profileSet, keys, zones, publication } = config
  const passphrase = passphraseFile === undefined ? {} : { passphraseFile }
  return { dir: store, ...passphrase, organisation, profileSet, keys, zones, publication, now }
}

/** Where a store grows before it is one; that it is there means that a ceremony is under way, or was cut short. */
export function draftOf(dir: string): string {
  return `${dir}.ceremony`
}

/**
 * Holds a ceremony: the store appears whole, its signed transcript within, or not at all. What one that was cut short left
 * behind, keys on tokens included, is taken away first, so that no CA has two keys.
 * @throws PkiError `CEREMONY_…` for what keeps it from being held, `STORE_EXISTS`, and what `initPki` throws
 */
export async function holdCeremony({ proposal, approvals, version, now }: Ceremony): Promise<Transcript> {
  const begunAt = now()
  const [fault] = approvalFaults(proposal, approvals, begunAt)
  if (fault !== undefined) throw fault
  const options = initOptions(proposal.config, now)
  await refuseUsed(options.dir)
  let transcript: Transcript | undefined
  const finish = async (made: Made): Promise<{ entries: Transcript['entry'][]; acts: [TranscriptAct] }> => {
    const { dir, config: store, authorities, auditKey } = made
    const crls = await readCrls(dir)
    const events = { proposal, approvals, store, authorities, auditKey, crls, dryRun: false, version, begunAt, now }
    transcript = await transcribe(events)
    await keep(dir, { proposal, approvals, transcript })
    const subject = proposal.config.ceremony
    return {
      entries: [transcript.entry],
      acts: [{ kind: 'ceremony', subject, digest: sha256(transcript.text) }],
    }
  }
  await alone(options, (draft) => makePki(options, { actor: 'ceremony', draft, finish }))
  return transcript!
}

interface TranscriptAct {
  kind: 'ceremony'
  subject: string
  digest: string
}

/** The draft is made, durable, before the first key is: its being there tells of keys that nobody wants. */
async function alone(options: InitOptions, make: (draft: string) => Promise<void>): Promise<void> {
  const draft = draftOf(options.dir)
  await mkdir(dirname(draft), { recursive: true })
  await makePrivate(draft)
  const lock = new Lock(join(draft, lockFile))
  try {
    await lock.hold(async () => {
      if (!existsSync(join(draft, lockFile))) throw running(draft) // who had it before us is done, and took it along
      await clearLeft(draft, options)
      await syncDirectory(dirname(draft))
      await make(draft)
    })
  } catch (cause) {
    if (!(cause instanceof PkiError && cause.code === 'AUDIT_BUSY')) throw cause
    throw running(draft, cause)
  } finally {
    await lock.close()
    await rm(join(options.dir, `${lockFile}-journal`), { force: true }) // SQLite looks for it under the draft's name
  }
}

function running(draft: string, cause?: unknown): PkiError {
  return new PkiError('CEREMONY_RUNNING', `another ceremony is under way in ${draft}`, { cause })
}

/** Keys first: as long as their configuration is there, they are found again. */
async function clearLeft(draft: string, { passphraseFile }: InitOptions): Promise<void> {
  const left = await readText(join(draft, files.config)).catch(() => undefined)
  if (left !== undefined) await forget(parseStoreConfig(left), draft, passphraseFile)
  await rm(join(draft, files.config), { force: true })
  for (const name of [...authorityNames, auditKeyName, 'crl', 'trust', files.manufacturers, ceremonyFiles.folder]) {
    await rm(join(draft, name), { recursive: true, force: true })
  }
  await rm(join(draft, files.journal), { force: true })
}

async function forget(store: StoreConfig, dir: string, passphraseFile: string | undefined): Promise<void> {
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)
  const places = new KeyPlaces({ dir, passphrase, prefix: store.id })
  try {
    await removeKeys(store, places)
  } finally {
    await places.close()
  }
}

async function readCrls(dir: string): Promise<Map<AuthorityName, Uint8Array>> {
  const read = async (name: AuthorityName): Promise<[AuthorityName, Uint8Array]> => {
    return [name, parseCrls(await readText(join(dir, crlFileOf(name))))[0]!.der]
  }
  return new Map(await Promise.all(authorityNames.map(read)))
}

async function keep(
  dir: string,
  { proposal, approvals, transcript }: Pick<Ceremony, 'proposal' | 'approvals'> & { transcript: Transcript },
): Promise<void> {
  await makePrivate(join(dir, ceremonyFiles.folder))
  await writeDurably(join(dir, ceremonyFiles.config), proposal.canonical)
  for (const [at, approval] of approvals.entries()) {
    await writeOctetsDurably(join(dir, ceremonyFiles.folder, `approval-${at + 1}.sig`), approval!)
    const pem = proposal.people[at]!.key.export({ format: 'pem', type: 'spki' })
    await writeDurably(join(dir, ceremonyFiles.folder, `approver-${at + 1}.pem`), pem.toString())
  }
  await writeDurably(join(dir, ceremonyFiles.transcript), transcript.text)
  await writeOctetsDurably(join(dir, ceremonyFiles.signature), transcript.cms)
}

/**
 * Does all of it with keys that live in memory, and writes nothing. The passphrase is read and tokens are opened, to see that
 * they can be; approvals may still be missing, and `faults` says which.
 * @throws PkiError what would keep the store from being made
 */
export async function rehearse(ceremony: Ceremony): Promise<{ transcript: Transcript; faults: PkiError[] }> {
  const { proposal, approvals, version, now } = ceremony
  const options = initOptions(proposal.config, now)
  const begunAt = now()
  await refuseUsed(options.dir)
  const store = configOf(options)
  await visit(store, options)
  const memory = new MemoryKeyStore()
  const { authority } = profileSets[store.profileSet]
  const keys = new Map(
    await Promise.all(authorityNames.map(async (name) => [name, await memory.generate(name, authority)] as const)),
  )
  const auditKey = await memory.generate(auditKeyName, 'p256')
  const authorities = await certifyAll(keys, { config: store, zones: proposal.config.zones, at: now() })
  const crls = new Map<AuthorityName, Uint8Array>()
  for (const one of authorities) crls.set(one.name, await signCrl(one.name, { authority: one, at: now(), revoked: [] }))
  const events = { proposal, approvals, store, authorities, auditKey, crls, dryRun: true, version, begunAt, now }
  return { transcript: await transcribe(events), faults: approvalFaults(proposal, approvals, begunAt) }
}

async function visit(store: StoreConfig, { passphraseFile }: InitOptions): Promise<void> {
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)
  const places = new KeyPlaces({ dir: store.id, passphrase, prefix: store.id })
  try {
    for (const name of authorityNames) await places.at(store.keys[name])
  } finally {
    await places.close()
  }
}

/** The octets of an approval, `undefined` where it is not there. */
export async function readApproval(file: string): Promise<Uint8Array | undefined> {
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new PkiError('STORE_MISSING', `${file}: ${cause.code}`, { cause })
  })
}
