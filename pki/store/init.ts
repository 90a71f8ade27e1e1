import { randomBytes } from 'node:crypto'
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { AuditAct } from '../audit/store.ts'
import type { Certificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import { privateZones, type Zones } from '../extensions.ts'
import { type ProfileSetName, profileSets } from '../key-algorithm.ts'
import type { KeyPlace, KeyStore, SigningKey } from '../keystore/keystore.ts'
import { KeyPlaces } from '../keystore/places.ts'
import { toPem } from '../pem.ts'
import { type AuthorityName, authorityNames } from '../profiles.ts'
import { type AuditPlace, auditKeyName, crlAct, issuedAct, openAudit, writeAuditKey } from './audited.ts'
import { bundleCrls, certificateFile, files, placeCrl, signCrl, trustFileOf } from './authority.ts'
import { entryOf } from './certify.ts'
import { checkPublication, type PublicationBase, type StoreConfig } from './config.ts'
import { makePrivate, syncDirectory, writeDurably } from './files.ts'
import { certifyAll, type NewAuthority } from './hierarchy.ts'
import { type Issued, Journal } from './journal.ts'
import { readPassphrase } from './keys.ts'

export interface InitOptions {
  dir: string
  /** only its owner may read it; its first line opens the keys that lie in files */
  passphraseFile?: string
  organisation?: string
  /** which keys the PKI is made of; without: P-256 */
  profileSet?: ProfileSetName
  /** where each CA's key lies; without: an encrypted file */
  keys?: Partial<Record<AuthorityName, KeyPlace>>
  /** the keys of CAs that are kept in memory: for tests */
  keyStore?: KeyStore
  /** host names and addresses that gateways may have; without: those that no public CA certifies */
  zones?: Zones
  /** where certificates say that their standing is told; without: nowhere */
  publication?: PublicationBase
  /** seconds since 1970 */
  now?: () => number
}

/** What a ceremony adds to the making of a store. */
export interface Ceremonial {
  /** as the audit log names it */
  actor: string
  /** the directory that becomes the store's by one rename; it is there already, and empty */
  draft: string
  /** writes what else belongs in the draft. @returns what is to be journaled and told beside the CAs */
  finish(made: Made): Promise<{ entries: Issued[]; acts: Omit<AuditAct, 'actor'>[] }>
}

/** A store that is all but ready, in its draft's directory. */
export interface Made {
  dir: string
  config: StoreConfig
  authorities: readonly NewAuthority[]
  auditKey: SigningKey
}

/**
 * Makes a root, the four CAs below it and their first CRLs. All or nothing: the directory appears complete by one rename, and
 * keys made on a token for nothing are taken back.
 * @throws PkiError `STORE_EXISTS` when the directory holds anything, `STORE_CONFIG`, `STORE_PASSPHRASE`, `REQUEST_NAMES`,
 *   `KEYSTORE_…`
 */
export async function initPki(options: InitOptions): Promise<void> {
  const draft = `${resolve(options.dir)}.${process.pid}-${Date.now()}.tmp`
  await makePki(options, { actor: 'init', draft, finish: async () => ({ entries: [], acts: [] }) })
}

/** As `initPki`, with what a ceremony has to say about it. */
export async function makePki(options: InitOptions, ceremonial: Ceremonial): Promise<void> {
  const dir = resolve(options.dir)
  const { draft } = ceremonial
  await refuseUsed(dir)
  try {
    for (const part of [...authorityNames, 'crl', 'trust', files.manufacturers]) await makePrivate(join(draft, part))
    await fill(draft, options, ceremonial)
    await rename(draft, dir)
  } catch (cause) {
    await rm(draft, { recursive: true, force: true })
    throw cause
  }
  await syncDirectory(dirname(dir))
}

/** @throws PkiError `STORE_EXISTS` */
export async function refuseUsed(dir: string): Promise<void> {
  const found = await readdir(dir).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw new PkiError('STORE_EXISTS', `${dir}: ${cause.code}`, { cause })
  })
  if (found.length > 0) throw new PkiError('STORE_EXISTS', `${dir} is not empty`)
}

/** @throws PkiError `STORE_CONFIG` */
export function configOf({
  organisation = 'AMI',
  profileSet = 'p256',
  keys = {},
  publication = {},
}: InitOptions): StoreConfig {
  checkPublication(publication)
  const inFile: KeyPlace = { kind: 'pkcs8' }
  const everywhere = Object.fromEntries(authorityNames.map((name) => [name, inFile])) as StoreConfig['keys']
  const id = randomBytes(8).toString('hex')
  return { version: 2, id, organisation, profileSet, keys: { ...everywhere, ...keys }, publication }
}

async function fill(dir: string, options: InitOptions, ceremonial: Ceremonial): Promise<void> {
  const { passphraseFile, keyStore, zones = privateZones, now = (): number => Date.now() / 1_000 } = options
  const config = configOf(options)
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)
  const memory = keyStore === undefined ? {} : { memory: keyStore }
  const places = new KeyPlaces({ dir, passphrase, prefix: config.id, ...memory })
  try {
    // before any key: it says where they are, should all this be cut short
    await writeDurably(join(dir, files.config), `${JSON.stringify(config, null, 2)}\n`)
    const keys = await makeKeys(config, places)
    try {
      const authorities = await certifyAll(keys, { config, zones, at: now() })
      const crls = await write(dir, authorities, now())
      const auditKey = await (await places.at(config.keys.device)).generate(auditKeyName, 'p256')
      const { entries, acts } = await ceremonial.finish({ dir, config, authorities, auditKey })
      const all = [...entriesOf(authorities, now()), ...entries]
      await journalFirst(dir, all)
      await tell(
        { dir, config, key: auditKey, now },
        { actor: ceremonial.actor, entries: all, acts: [...crls, ...acts] },
      )
    } catch (cause) {
      await removeKeys(config, places)
      throw cause
    }
  } finally {
    await places.close()
  }
}

/** Takes back every key of a store that came to nothing. */
export async function removeKeys(config: StoreConfig, places: KeyPlaces): Promise<void> {
  for (const name of authorityNames) await (await places.at(config.keys[name])).remove(name)
  await (await places.at(config.keys.device)).remove(auditKeyName)
}

interface Told {
  actor: string
  entries: readonly Issued[]
  acts: readonly Omit<AuditAct, 'actor'>[]
}

/** The audit log begins with the keys and certificates of the CAs, and their first CRLs. */
async function tell(place: AuditPlace, { actor, entries, acts }: Told): Promise<void> {
  const audit = await openAudit(place)
  await audit.append([
    ...[...authorityNames, auditKeyName].map((subject) => ({ kind: 'key-made' as const, actor, subject })),
    ...entries.map((entry) => issuedAct(actor, entry)),
    ...acts.map((act) => ({ ...act, actor })),
  ])
  await audit.close()
  await writeAuditKey(place)
}

function entriesOf(authorities: readonly NewAuthority[], at: number): Issued[] {
  return authorities.map(({ name, certificate }) => {
    return entryOf(certificate, certificate.der, { at, profile: name, id: name, issuer: 'root' })
  })
}

async function journalFirst(dir: string, entries: readonly Issued[]): Promise<void> {
  const journal = await Journal.open(join(dir, files.journal))
  try {
    await journal.append(entries)
  } finally {
    await journal.close()
  }
}

async function makeKeys(config: StoreConfig, places: KeyPlaces): Promise<Map<AuthorityName, SigningKey>> {
  const { authority } = profileSets[config.profileSet]
  const make = async (name: AuthorityName): Promise<[AuthorityName, SigningKey]> => {
    return [name, await (await places.at(config.keys[name])).generate(name, authority)]
  }
  const made = await Promise.allSettled(authorityNames.map(make))
  const failed = made.find((one) => one.status === 'rejected')
  if (failed === undefined) return new Map(made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])))
  for (const [index, one] of made.entries()) {
    const name = authorityNames[index]!
    if (one.status === 'fulfilled') await (await places.at(config.keys[name])).remove(name)
  }
  throw failed.reason
}

async function write(dir: string, authorities: readonly NewAuthority[], at: number): Promise<Told['acts']> {
  const crls: Omit<AuditAct, 'actor'>[] = []
  for (const authority of authorities) {
    await writeDurably(join(dir, certificateFile(authority.name)), pem(authority.certificate))
    const crl = await signCrl(authority.name, { authority, at, revoked: [] })
    await placeCrl(dir, authority.name, crl)
    crls.push(crlAct(authority.name, crl))
  }
  const [root, ...issuing] = authorities
  for (const { name, certificate } of issuing) {
    await writeDurably(join(dir, trustFileOf(name)), pem(certificate) + pem(root!.certificate))
  }
  await bundleCrls(dir)
  return crls
}

function pem({ der }: Certificate): string {
  return toPem('CERTIFICATE', der)
}
