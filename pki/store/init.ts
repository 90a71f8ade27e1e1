import { randomBytes } from 'node:crypto'
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type Certificate, parseCertificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import { constraintsOf, privateZones, type Zones } from '../extensions.ts'
import { type Authority, issueCertificate } from '../issue.ts'
import { type ProfileSetName, profileSets } from '../key-algorithm.ts'
import type { KeyPlace, KeyStore, SigningKey } from '../keystore/keystore.ts'
import { KeyPlaces } from '../keystore/places.ts'
import { encodeName } from '../names.ts'
import { toPem } from '../pem.ts'
import { type AuthorityName, authorityNames, authorityProfiles, issuingNames } from '../profiles.ts'
import type { Template } from '../unsigned.ts'
import { auditKeyName, crlAct, issuedAct, openAudit, writeAuditKey } from './audited.ts'
import { bundleCrls, certificateFile, files, placeCrl, signCrl, trustFileOf } from './authority.ts'
import { entryOf } from './certify.ts'
import { checkPublication, type PublicationBase, type StoreConfig } from './config.ts'
import { makePrivate, syncDirectory, writeDurably } from './files.ts'
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

/**
 * Makes a root, the four CAs below it and their first CRLs. All or nothing: the directory appears complete by one rename, and
 * keys made on a token for nothing are taken back.
 * @throws PkiError `STORE_EXISTS` when the directory holds anything, `STORE_CONFIG`, `STORE_PASSPHRASE`, `REQUEST_NAMES`,
 *   `KEYSTORE_…`
 */
export async function initPki(options: InitOptions): Promise<void> {
  const dir = resolve(options.dir)
  await refuseUsed(dir)
  const draft = `${dir}.${process.pid}-${Date.now()}.tmp`
  try {
    for (const part of [...authorityNames, 'crl', 'trust', files.manufacturers]) await makePrivate(join(draft, part))
    await fill(draft, options)
    await rename(draft, dir)
  } catch (cause) {
    await rm(draft, { recursive: true, force: true })
    throw cause
  }
  await syncDirectory(dirname(dir))
}

async function refuseUsed(dir: string): Promise<void> {
  const found = await readdir(dir).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw new PkiError('STORE_EXISTS', `${dir}: ${cause.code}`, { cause })
  })
  if (found.length > 0) throw new PkiError('STORE_EXISTS', `${dir} is not empty`)
}

function configOf({
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

async function fill(dir: string, options: InitOptions): Promise<void> {
  const { passphraseFile, keyStore, zones = privateZones, now = (): number => Date.now() / 1_000 } = options
  const config = configOf(options)
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)
  const memory = keyStore === undefined ? {} : { memory: keyStore }
  const places = new KeyPlaces({ dir, passphrase, prefix: config.id, ...memory })
  try {
    const keys = await makeKeys(config, places)
    const store = await places.at(config.keys.device)
    try {
      const authorities = await certifyAll(keys, { config, zones, at: now() })
      const written = await write(dir, authorities, { config, at: now() })
      await tell(await store.generate(auditKeyName, 'p256'), { dir, config, ...written, now })
    } catch (cause) {
      for (const name of authorityNames) await (await places.at(config.keys[name])).remove(name)
      await store.remove(auditKeyName)
      throw cause
    }
  } finally {
    await places.close()
  }
}

interface Written {
  entries: Issued[]
  crls: ReadonlyMap<AuthorityName, Uint8Array>
}

/** The audit log begins with the keys and certificates of the CAs, and their first CRLs. */
async function tell(
  key: SigningKey,
  { dir, config, entries, crls, now }: Written & { dir: string; config: StoreConfig; now: () => number },
): Promise<void> {
  const audit = await openAudit({ dir, config, key, now })
  const actor = 'init'
  await audit.append([
    ...[...authorityNames, auditKeyName].map((subject) => ({ kind: 'key-made' as const, actor, subject })),
    ...entries.map((entry) => issuedAct(actor, entry)),
    ...[...crls].map(([name, der]) => ({ actor, ...crlAct(name, der) })),
  ])
  await audit.close()
  await writeAuditKey({ dir, key })
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

interface NewAuthority extends Authority {
  name: AuthorityName
}

interface Making {
  config: StoreConfig
  zones: Zones
  at: number
}

async function certifyAll(keys: ReadonlyMap<AuthorityName, SigningKey>, making: Making): Promise<NewAuthority[]> {
  const root = await certifyAuthority('root', keys.get('root')!, making)
  const issuing: NewAuthority[] = []
  for (const name of issuingNames) issuing.push(await certifyAuthority(name, keys.get(name)!, { ...making, root }))
  return [root, ...issuing]
}

async function certifyAuthority(
  name: AuthorityName,
  key: SigningKey,
  { config, zones, at, root }: Making & { root?: NewAuthority },
): Promise<NewAuthority> {
  const { organisation } = config
  const profile = authorityProfiles[name]
  const sign = (octets: Uint8Array): Promise<Uint8Array> => key.sign(octets)
  const template: Template = {
    profile,
    subject: encodeName({ organisation, common: `${organisation} ${profile.title}` }),
    id: name,
    hosts: { dns: [], ip: [] },
    publicKey: key.publicKey,
    at,
    ...(profile.scope === undefined ? {} : { constraints: constraintsOf(profile.scope, organisation, zones) }),
  }
  const profileSet = profileSets[config.profileSet]
  const { der } = await issueCertificate(template, { issuer: root?.certificate, sign: root?.sign ?? sign, profileSet })
  return { name, certificate: parseCertificate(der), sign }
}

async function write(
  dir: string,
  authorities: readonly NewAuthority[],
  { config, at }: { config: StoreConfig; at: number },
): Promise<Written> {
  await writeDurably(join(dir, files.config), `${JSON.stringify(config, null, 2)}\n`)
  const entries = authorities.map(({ name, certificate }) =>
    entryOf(certificate, certificate.der, { at, profile: name, id: name, issuer: 'root' }),
  )
  const journal = await Journal.open(join(dir, files.journal))
  try {
    await journal.append(entries)
  } finally {
    await journal.close()
  }
  const crls = new Map<AuthorityName, Uint8Array>()
  for (const authority of authorities) {
    await writeDurably(join(dir, certificateFile(authority.name)), pem(authority.certificate))
    const crl = await signCrl(dir, authority.name, { authority, at, entries: [] })
    await placeCrl(dir, authority.name, crl)
    crls.set(authority.name, crl)
  }
  const [root, ...issuing] = authorities
  for (const { name, certificate } of issuing) {
    await writeDurably(join(dir, trustFileOf(name)), pem(certificate) + pem(root!.certificate))
  }
  await bundleCrls(dir)
  return { entries, crls }
}

function pem({ der }: Certificate): string {
  return toPem('CERTIFICATE', der)
}
