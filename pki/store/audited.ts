import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type AuditAct, AuditLog } from '../audit/store.ts'
import type { SigningKey } from '../keystore/keystore.ts'
import { toPem } from '../pem.ts'
import type { StoreConfig } from './config.ts'
import { writeDurably } from './files.ts'
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
}

/** Opens the store's audit log. A checkpoint that cannot be signed in between is a warning of the process: entries are safe. */
export function openAudit({ dir, config, key, now }: AuditPlace): Promise<AuditLog> {
  return AuditLog.open({
    dir: join(dir, auditFolder),
    origin: `ami-pki-${config.id}`,
    signer: { publicKey: key.publicKey, sign: (octets) => key.sign(octets) },
    now,
    onFault: (cause) => process.emitWarning(`no checkpoint of the PKI's audit log: ${(cause as Error).message}`),
  })
}

/** Writes the key that checks the log; keep a copy elsewhere. */
export async function writeAuditKey({ dir, key }: Pick<AuditPlace, 'dir' | 'key'>): Promise<void> {
  await writeDurably(join(dir, auditPublicKeyFile), toPem('PUBLIC KEY', key.publicKey))
}

/** That a certificate was issued. */
export function issuedAct(actor: string, { profile, id, serial, certificate }: Issued): AuditAct {
  const digest = createHash('sha256').update(Buffer.from(certificate, 'base64')).digest('hex')
  return { kind: 'issued', actor, subject: `${profile}:${id}`, serial, digest }
}
