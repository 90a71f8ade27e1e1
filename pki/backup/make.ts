import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { openCheckpoint } from '../audit/checkpoint.ts'
import { PkiError } from '../errors.ts'
import { fromPem } from '../pem.ts'
import { auditPublicKeyFile } from '../store/audited.ts'
import { files } from '../store/authority.ts'
import { parseStoreConfig } from '../store/config.ts'
import { readText, syncDirectory, writeDurably } from '../store/files.ts'
import { readPassphrase } from '../store/keys.ts'
import { changingKeys } from '../store/lock.ts'
import type { Pki } from '../store.ts'
import { pack } from './archive.ts'
import { newSealing, seal } from './seal.ts'
import { snapshot } from './snapshot.ts'

export interface BackupOptions {
  /** of the store that `pki` is open on */
  dir: string
  out: string
  /** its first line, 12 characters or more, opens the backup */
  passphraseFile: string
  /** seconds since 1970 */
  now: () => number
}

/** Beside the store's directory: the last checkpoint that a backup or a restore of it saw. */
export function seenFileOf(dir: string): string {
  return `${resolve(dir)}.seen`
}

/** DER of the key that checks the audit log of a store. */
export async function auditKeyOf(dir: string): Promise<Uint8Array> {
  const [key] = fromPem('PUBLIC KEY', await readText(join(dir, auditPublicKeyFile)))
  if (key === undefined) throw new PkiError('STORE_MISSING', `${auditPublicKeyFile} holds no key`)
  return key
}

/**
 * Writes all of a store but what lies on tokens into one encrypted file, while others issue and revoke. The file appears whole
 * or not at all, and the audit log tells of it.
 * @returns SHA-256 of the file, hex, and its octets
 * @throws PkiError `STORE_EXISTS` when the file is there, `STORE_PASSPHRASE`, `STORE_BUSY`, `BACKUP_LIMIT`
 */
export async function backUp(pki: Pki, options: BackupOptions): Promise<{ digest: string; octets: number }> {
  const { dir, out, passphraseFile, now } = options
  if (existsSync(out)) throw new PkiError('STORE_EXISTS', `${out} is there already`)
  const passphrase = await readPassphrase(passphraseFile)
  const { id: store } = parseStoreConfig(await readText(join(dir, files.config)))
  return changingKeys(dir, async () => {
    const note = await pki.checkpoint()
    const head = openCheckpoint(note, await auditKeyOf(dir))
    const sealing = await newSealing(passphrase, { store, madeAt: Math.floor(now()), audit: head.size })
    const written = await writeWhole(out, seal(sealing, pack(snapshot(dir, head, note))))
    await pki.record({ kind: 'backup', digest: written.digest })
    await writeDurably(seenFileOf(dir), note)
    return written
  })
}

async function writeWhole(
  path: string,
  octets: AsyncIterable<Uint8Array>,
): Promise<{ digest: string; octets: number }> {
  const temporary = `${path}.${process.pid}.tmp`
  const hash = createHash('sha256')
  let count = 0
  try {
    const file = await open(temporary, 'w', 0o600)
    try {
      for await (const piece of octets) {
        hash.update(piece)
        count += piece.length
        await file.writeFile(piece) // from where the last one ended
      }
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  }
  await syncDirectory(dirname(resolve(path)))
  return { digest: hash.digest('hex'), octets: count }
}
