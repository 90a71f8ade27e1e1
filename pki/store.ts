import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parseCertificate } from './certificate.ts'
import { PkiError } from './errors.ts'
import { type Authority, issueCertificate, publicKeyOctets } from './issue.ts'
import { encodeName } from './names.ts'
import { toPem } from './pem.ts'
import { type AuthorityName, authorityProfiles } from './profiles.ts'
import { bundleCrls, certificateFile, files, keyFile, openAuthority, signer, writeCrl } from './store/authority.ts'
import { entryOf, Pki } from './store/ca.ts'
import { makePrivate, readText, syncDirectory, writeDurably } from './store/files.ts'
import { Journal } from './store/journal.ts'
import { encryptKey, readPassphrase } from './store/keys.ts'
import { Register } from './store/register.ts'

export type { IssuedCertificate, IssueRequest, Pki } from './store/ca.ts'
export type { Listed } from './store/register.ts'

export interface InitOptions {
  dir: string
  /** only its owner may read it; its first line opens the keys */
  passphraseFile: string
  organisation?: string
  /** seconds since 1970 */
  now?: () => number
}

function systemClock(): number {
  return Date.now() / 1_000
}

/**
 * Makes a root, an issuing CA and their first CRLs. All or nothing: the directory appears complete by one rename.
 * @throws PkiError `STORE_EXISTS` when the directory holds anything, `STORE_PASSPHRASE`, `REQUEST_NAMES`
 */
export async function initPki(options: InitOptions): Promise<void> {
  const dir = resolve(options.dir)
  await refuseUsed(dir)
  const draft = `${dir}.${process.pid}-${Date.now()}.tmp`
  try {
    for (const part of ['root', 'issuing', 'crl']) await makePrivate(join(draft, part))
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

async function fill(
  dir: string,
  { passphraseFile, organisation = 'AMI', now = systemClock }: InitOptions,
): Promise<void> {
  const passphrase = await readPassphrase(passphraseFile)
  const at = now()
  const journal = await Journal.open(join(dir, files.journal))
  try {
    const root = await createAuthority('root', { organisation, at })
    const issuing = await createAuthority('issuing', { organisation, at, parent: root })
    const issued = [root, issuing].map(({ certificate, name }) => entryOf(certificate.der, { at, name, id: name }))
    await journal.append(issued)
    for (const { name, key, certificate, ...authority } of [root, issuing]) {
      await writeDurably(join(dir, keyFile(name)), await encryptKey(key, passphrase))
      await writeDurably(join(dir, certificateFile(name)), toPem('CERTIFICATE', certificate.der))
      await writeCrl(dir, name, { authority: { certificate, ...authority }, at, entries: [] })
    }
    await bundleCrls(dir)
  } finally {
    await journal.close()
  }
}

interface NewAuthority extends Authority {
  name: AuthorityName
  key: KeyObject
}

async function createAuthority(
  name: AuthorityName,
  { organisation, at, parent }: { organisation: string; at: number; parent?: NewAuthority },
): Promise<NewAuthority> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const sign = signer(privateKey)
  const profile = authorityProfiles[name]
  const common = name === 'root' ? `${organisation} Root CA` : `${organisation} Issuing CA`
  const template = {
    profile,
    subject: encodeName({ organisation, common }),
    id: name,
    hosts: { dns: [], ip: [] },
    publicKey: publicKeyOctets(publicKey),
    at,
    days: profile.days,
  }
  const der = await issueCertificate(template, parent?.certificate, parent?.sign ?? sign)
  return { name, key: privateKey, certificate: parseCertificate(der), sign }
}

export interface OpenOptions {
  dir: string
  passphraseFile: string
  /** seconds since 1970 */
  now?: () => number
}

/**
 * Opens the issuing CA. A revocation that a crash kept from its CRL, or a CRL half-way to its end, is put right first.
 * @throws PkiError `STORE_MISSING`, `STORE_PASSPHRASE`, `STORE_KEY`, `JOURNAL_CORRUPT`
 */
export async function openPki({ dir, passphraseFile, now = systemClock }: OpenOptions): Promise<Pki> {
  const passphrase = await readPassphrase(passphraseFile)
  const rootPem = await readText(join(dir, files.rootCertificate))
  const issuing = await openAuthority(dir, 'issuing', passphrase)
  const pki = new Pki({ dir, passphrase, rootPem, issuing, now }, await Journal.open(join(dir, files.journal)))
  try {
    await pki.mendCrl()
  } catch (cause) {
    await pki.close()
    throw cause
  }
  return pki
}

/**
 * What a PKI issued and revoked, without opening any key.
 * @throws PkiError `STORE_MISSING`, `JOURNAL_CORRUPT`
 */
export async function readRegister(dir: string): Promise<Register> {
  const journal = await Journal.openToRead(join(dir, files.journal))
  try {
    const register = new Register()
    register.add(await journal.read())
    return register
  } finally {
    await journal.close()
  }
}
