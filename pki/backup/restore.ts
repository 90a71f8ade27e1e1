import { createHash } from 'node:crypto'
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { openCheckpoint, splitNotes } from '../audit/checkpoint.ts'
import { verifyAuditFiles } from '../audit/query.ts'
import { PkiError } from '../errors.ts'
import { auditFolder } from '../store/audited.ts'
import { files } from '../store/authority.ts'
import { parseStoreConfig } from '../store/config.ts'
import { makePrivate, readText, syncDirectory, writeDurably } from '../store/files.ts'
import { refuseUsed } from '../store/init.ts'
import { readPassphrase } from '../store/keys.ts'
import { openPki } from '../store.ts'
import { type Unpacking, unpack } from './archive.ts'
import { auditKeyOf, seenFileOf } from './make.ts'
import { type Head, headOctetsMax, parseHead, sealingOf, type Take, unseal } from './seal.ts'

export interface RestoreOptions {
  from: string
  /** empty, or not there */
  dir: string
  /** opens the backup */
  backupPassphraseFile: string
  /** opens the keys of the store that lie in files */
  passphraseFile?: string
  /** notes of the audit log that were kept elsewhere */
  seen?: string
  /** takes a backup although more is known to have been done since */
  acceptOlder?: boolean
  /** seconds since 1970 */
  now: () => number
}

/**
 * Makes a store of a backup, whole or not at all: it is read, judged and opened under another name, and gets its own by one rename.
 * @throws PkiError `STORE_EXISTS` for a directory that holds anything; `BACKUP_FORM`, `BACKUP_PASSPHRASE`, `BACKUP_CHANGED`,
 *   `BACKUP_OLDER`; `AUDIT_…` for notes of another log or one that this is no continuation of; what `openPki` throws
 */
export async function restore(options: RestoreOptions): Promise<Head> {
  const { from, now } = options
  const dir = resolve(options.dir)
  await refuseUsed(dir)
  const passphrase = await readPassphrase(options.backupPassphraseFile)
  const draft = `${dir}.${process.pid}-${Date.now()}.restore.tmp`
  try {
    const { head, digest } = await extract(from, { passphrase, draft })
    await judge(draft, head, options)
    const { passphraseFile } = options
    const store = { dir: draft, ...(passphraseFile === undefined ? {} : { passphraseFile }) }
    const pki = await openPki({ ...store, actor: 'restore', now })
    let note: string
    try {
      await pki.record({ kind: 'restore', digest })
      note = await pki.checkpoint()
    } finally {
      await pki.close()
    }
    await rename(draft, dir)
    await syncDirectory(dirname(dir))
    await writeDurably(seenFileOf(dir), note)
    return head
  } catch (cause) {
    await rm(draft, { recursive: true, force: true })
    throw cause
  }
}

async function extract(
  from: string,
  { passphrase, draft }: { passphrase: string; draft: string },
): Promise<{ head: Head; digest: string }> {
  const hash = createHash('sha256')
  const source = await open(from, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw new PkiError('STORE_MISSING', `${from}: ${cause.code}`, { cause })
  })
  try {
    const take: Take = async (octets) => {
      const { buffer, bytesRead } = await source.read(Buffer.alloc(octets), 0, octets)
      hash.update(buffer.subarray(0, bytesRead))
      return buffer.subarray(0, bytesRead)
    }
    const line = await headLine(take)
    const sealing = await sealingOf(line, passphrase)
    await makePrivate(draft)
    await unpack(unseal(sealing, take), new Writer(draft))
    return { head: parseHead(line), digest: hash.digest('hex') }
  } finally {
    await source.close()
  }
}

async function headLine(take: Take): Promise<Buffer> {
  const octets: Buffer[] = []
  for (let count = 0; count < headOctetsMax; count += 1) {
    const one = await take(1)
    octets.push(one)
    if (one.length === 0 || one[0] === 0x0a) break
  }
  return Buffer.concat(octets)
}

/** Files in a directory of our own; each is on disk before the next begins. */
class Writer implements Unpacking {
  readonly #dir: string
  #file: FileHandle | undefined

  constructor(dir: string) {
    this.#dir = dir
  }

  async begin(path: string): Promise<void> {
    const whole = join(this.#dir, path)
    await makePrivate(dirname(whole))
    this.#file = await open(whole, 'wx', 0o600)
  }

  async write(octets: Uint8Array): Promise<void> {
    await this.#file!.writeFile(octets)
  }

  async end(): Promise<void> {
    await this.#file!.sync()
    await this.#file!.close()
    this.#file = undefined
  }
}

/** Is it the store that the head speaks of, its audit log whole, and not behind what is known? */
async function judge(
  draft: string,
  head: Head,
  { dir, seen = '', acceptOlder = false }: RestoreOptions,
): Promise<void> {
  const { id } = parseStoreConfig(await readText(join(draft, files.config)))
  if (id !== head.store) throw new PkiError('BACKUP_FORM', `the store within is ${id}, not ${head.store}`)
  const publicKey = await auditKeyOf(draft)
  const kept = ownNotes(await readFile(seenFileOf(dir), 'utf8').catch(() => ''), publicKey)
  const notes = [...splitNotes(ended(seen)).notes, ...kept]
  const newest = Math.max(0, ...notes.map((note) => openCheckpoint(note, publicKey).size))
  if (newest > head.audit && !acceptOlder) {
    throw new PkiError('BACKUP_OLDER', `the log is known to have ${newest} entries, the backup has ${head.audit}`)
  }
  const comparable = notes.filter((note) => openCheckpoint(note, publicKey).size <= head.audit)
  const verdict = await verifyAuditFiles(
    { dir: join(draft, auditFolder), publicKey },
    comparable.map((note) => `${note}\n`).join(''),
  )
  if (!verdict.ok) throw new PkiError('AUDIT_CORRUPT', `${verdict.code}: ${verdict.detail}`)
}

function ended(notes: string): string {
  return notes === '' || notes.endsWith('\n\n') ? notes : `${notes}\n`
}

/** What lies beside the directory may be of another PKI that was here before: that says nothing of this one. */
function ownNotes(text: string, publicKey: Uint8Array): string[] {
  return splitNotes(ended(text)).notes.filter((note) => {
    try {
      return openCheckpoint(note, publicKey).size >= 0
    } catch (cause) {
      if (cause instanceof PkiError && cause.code === 'AUDIT_CHECKPOINT') return false
      throw cause
    }
  })
}
