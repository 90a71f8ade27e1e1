import { join, resolve } from 'node:path'
import type { KeyStore, SigningKey } from './keystore/keystore.ts'
import { KeyPlaces } from './keystore/places.ts'
import { Acts } from './store/acts.ts'
import { auditKeyName, openAudit } from './store/audited.ts'
import { Authorities } from './store/authorities.ts'
import { files } from './store/authority.ts'
import { type Opened, Pki } from './store/ca.ts'
import { parseStoreConfig } from './store/config.ts'
import { readText } from './store/files.ts'
import { type Entry, Journal } from './store/journal.ts'
import { readPassphrase } from './store/keys.ts'
import { Register } from './store/register.ts'
import { settleRotations } from './store/rotate.ts'

export type { IssuedCertificate, IssueRequest, Pki } from './store/ca.ts'
export { type InitOptions, initPki } from './store/init.ts'
export type { Listed } from './store/register.ts'

export interface OpenOptions {
  dir: string
  /** only its owner may read it; its first line opens the keys that lie in files */
  passphraseFile?: string
  /** the keys, where the store says that they are kept in memory: for tests */
  keyStore?: KeyStore
  /** who has acts done, as the audit log names it: `local` */
  actor?: string
  /** seconds since 1970 */
  now?: () => number
}

/**
 * Opens a PKI. The Device CA's key is opened at once, so that a wrong passphrase or PIN is told now; the others when they are
 * needed. A revocation that a crash kept from its CRL, or a CRL half-way to its end, is put right first.
 * @throws PkiError `STORE_MISSING`, `STORE_CONFIG`, `STORE_PASSPHRASE`, `STORE_KEY`, `KEYSTORE_…`, `JOURNAL_CORRUPT`
 */
export async function openPki({ passphraseFile, keyStore, ...options }: OpenOptions): Promise<Pki> {
  const dir = resolve(options.dir)
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)
  const config = parseStoreConfig(await readText(join(dir, files.config)))
  const memory = keyStore === undefined ? {} : { memory: keyStore }
  const places = new KeyPlaces({ dir, passphrase, prefix: config.id, ...memory })
  const authorities = await Authorities.read(dir, { config, places })
  const { now = systemClock, actor = 'local' } = options
  try {
    await authorities.open(authorities.current('device'))
    const key = await (await places.at(config.keys.device)).open(auditKeyName)
    return await opened({ dir, config, authorities, key, actor, now })
  } catch (cause) {
    await authorities.close()
    throw cause
  }
}

type Parts = Pick<Opened, 'dir' | 'config' | 'authorities' | 'actor' | 'now'> & { key: SigningKey }

/** Journal and audit log, brought into step, and what a crash left undone. */
async function opened({ key, ...parts }: Parts): Promise<Pki> {
  const { dir, config, now, actor } = parts
  const register = new Register()
  const journal = await Journal.open(join(dir, files.journal))
  const closing: { close(): Promise<void> }[] = [journal]
  let acts: Acts | undefined
  try {
    const audit = await openAudit({ dir, config, key, now, onForeign: (entry) => acts?.hear(entry) })
    closing.push(audit)
    const onRead = (entries: readonly Entry[]): Promise<void> => settleRotations({ ...parts, register }, entries)
    acts = new Acts({ journal, audit, register, actor, onRead })
    await acts.begin()
    const pki = new Pki({ ...parts, journal, audit, acts, register })
    await pki.mendCrl()
    return pki
  } catch (cause) {
    for (const one of closing) await one.close()
    throw cause
  }
}

function systemClock(): number {
  return Date.now() / 1_000
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
