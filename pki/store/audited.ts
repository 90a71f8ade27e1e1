import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type AuditAct, AuditLog, type AuditOptions } from '../audit/store.ts'
import { PkiError } from '../errors.ts'
import type { SigningKey } from '../keystore/keystore.ts'
import { fromPem, toPem } from '../pem.ts'
import { files } from './authority.ts'
import { parseStoreConfig, type StoreConfig } from './config.ts'
import { readText, writeDurably } from './files.ts'
import type { Issued } from './journal.ts'

/** The name of the log's own key, which lies where the Device CA's does. */
export const auditKeyName = 'audit'
/** In the store's directory. */
export const auditFolder = 'audit'
export const auditPublicKeyFile = 'audit/public.pem'

export interface AuditPlace {
  dir: string
  config: StoreConfig
  key: SigningKey
  /** seconds since 1970 */
  now: () => number
  onForeign?: AuditOptions['onForeign']
}

/** Opens the store's audit log. A checkpoint that cannot be signed in between is a warning of the process: entries are safe. */
export function openAudit({ dir, config, key, now, onForeign }: AuditPlace): Promise<AuditLog> {
  return AuditLog.open({
    dir: join(dir, auditFolder),
    origin: originOf(config),
    signer: { publicKey: key.publicKey, sign: (octets) => key.sign(octets) },
    now,
    ...(onForeign === undefined ? {} : { onForeign }),
    onFault: (cause) => process.emitWarning(`no checkpoint of the PKI's audit log: ${(cause as Error).message}`),
  })
}

/**
 * Tells a store's audit log of an act of which no key of the store's is needed: the next who opens the store signs for it.
 * @throws PkiError `STORE_MISSING`, `STORE_CONFIG`, `AUDIT_…`
 */
export async function tellAudit(dir: string, act: AuditAct): Promise<void> {
  const config = parseStoreConfig(await readText(join(dir, files.config)))
  const [publicKey] = fromPem('PUBLIC KEY', await readText(join(dir, auditPublicKeyFile)))
  if (publicKey === undefined) throw new PkiError('STORE_MISSING', `${auditPublicKeyFile} holds no key`)
  const audit = await AuditLog.open({
    dir: join(dir, auditFolder),
    origin: originOf(config),
    signer: { publicKey },
    now: () => Date.now() / 1_000,
    onFault: () => undefined, // of checkpoints, which are not made here
  })
  try {
    await audit.append([act])
  } finally {
    await audit.close()
  }
}

function originOf({ id }: StoreConfig): string {
  return `ami-pki-${id}`
}

/** Writes the key that checks the log; keep a copy elsewhere. */
export async function writeAuditKey({ dir, key }: Pick<AuditPlace, 'dir' | 'key'>): Promise<void> {
  await writeDurably(join(dir, auditPublicKeyFile), toPem('PUBLIC KEY', key.publicKey))
}

/** That a certificate was issued. */
export function issuedAct(actor: string, { profile, id, serial, certificate }: Issued): AuditAct {
  const digest = digestOf(Buffer.from(certificate, 'base64'))
  return { kind: 'issued', actor, subject: `${profile}:${id}`, serial, digest }
}

/** That a CRL was signed. @param subject its CA, and its shard behind a slash */
export function crlAct(subject: string, der: Uint8Array): Omit<AuditAct, 'actor'> {
  return { kind: 'crl-signed', subject, digest: digestOf(der) }
}

function digestOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex')
}
