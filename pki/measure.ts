import { existsSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checkpoint, lastNote, openCheckpoint } from './audit/checkpoint.ts'
import { auditFiles } from './audit/files.ts'
import { auditKeyOf } from './backup/make.ts'
import { type Crl, parseCrls } from './crl.ts'
import type { Horizon } from './expiry.ts'
import type { Measured } from './metrics.ts'
import type { Generation } from './profiles.ts'
import { auditFolder } from './store/audited.ts'
import { crlFileOf, generationsIn, readCertificate } from './store/authority.ts'
import { readText, writeDurably } from './store/files.ts'
import { readRegister } from './store.ts'

/**
 * Reads what a store's metrics are made of; no key is opened.
 * @throws PkiError `STORE_MISSING`, `JOURNAL_CORRUPT`, `CRL_MALFORMED`, `AUDIT_CHECKPOINT`
 */
export async function measure(dir: string, horizon: Horizon): Promise<Measured> {
  const list = (await readRegister(dir)).list()
  const crls = new Map<Generation, Crl>()
  for (const generation of await generationsIn(dir)) {
    if ((await readCertificate(dir, generation)).notAfter < horizon.at) continue // its CRL is renewed no more
    const [crl] = parseCrls(await readText(join(dir, crlFileOf(generation))))
    if (crl !== undefined) crls.set(generation, crl)
  }
  return { ...horizon, list, crls, checkpoint: await checkpointOf(dir) }
}

async function checkpointOf(dir: string): Promise<Checkpoint | undefined> {
  const file = join(dir, auditFolder, auditFiles.checkpoints)
  const { note } = existsSync(file) ? lastNote(await readText(file)) : { note: undefined }
  return note === undefined ? undefined : openCheckpoint(note, await auditKeyOf(dir))
}

/**
 * Replaces a file for node_exporter's textfile collector: it never sees half of one, and may read it. Counts and times of
 * certificates are in it, no names.
 * @param path ends in `.prom` where the collector is to find it
 */
export async function publishMetrics(path: string, text: string): Promise<void> {
  await writeDurably(path, text, 0o644)
  await chmod(path, 0o644) // whatever the umask says
}
