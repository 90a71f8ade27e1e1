import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { backup as copyDatabase, DatabaseSync } from 'node:sqlite'
import type { Checkpoint } from '../audit/checkpoint.ts'
import { auditFiles } from '../audit/files.ts'
import { digestOctets, nodesBefore } from '../audit/merkle.ts'
import { auditFolder } from '../store/audited.ts'
import { files } from '../store/authority.ts'
import { readText } from '../store/files.ts'
import type { Filed } from './archive.ts'

/** Octets read at once. */
const chunkOctets = 1 << 18

/** Of nobody's keeping: half-written files, and locks, which hold for living processes. */
function isPassing(path: string): boolean {
  return /\.tmp($|\/)|(^|\/)lock(-journal)?$|-(wal|shm|journal)$/.test(path)
}

const growing: readonly string[] = [
  files.journal,
  ...[auditFiles.entries, auditFiles.hashes, auditFiles.checkpoints].map((name) => `${auditFolder}/${name}`),
]

/**
 * A store's files so that together they are a store that could have been, whatever is appended meanwhile:
 *
 * 1. what is replaced as a whole (certificates, keys, CRLs, trust), each file opened once;
 * 2. the audit log up to a checkpoint that was signed before: it is only ever appended to;
 * 3. the journal up to its last whole line, after the log, so that it holds all that the log tells of;
 * 4. databases, by SQLite's own copying, after the journal: a promise without its certificate is what a crash leaves too,
 *    and a CRL that lags behind the journal is written when the store is opened.
 *
 * What makes keys must be kept out by the caller.
 * @param note the checkpoint's, as `head` says it
 */
export async function* snapshot(dir: string, head: Checkpoint, note: string): AsyncGenerator<Filed> {
  const all = (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(dir, '/').length))
    .filter((path) => !isPassing(path))
    .toSorted()
  const databases = all.filter((path) => path.endsWith('.sqlite'))
  for (const path of all) {
    if (!growing.includes(path) && !databases.includes(path)) yield* filed(dir, path)
  }
  yield* auditLog(dir, head, note)
  yield* filed(dir, files.journal, await wholeLines(join(dir, files.journal)))
  for (const path of databases) yield* database(dir, path)
}

async function* auditLog(dir: string, { octets, size }: Checkpoint, note: string): AsyncGenerator<Filed> {
  const path = (name: string): string => `${auditFolder}/${name}`
  yield* filed(dir, path(auditFiles.entries), octets)
  yield* filed(dir, path(auditFiles.hashes), nodesBefore(size) * digestOctets)
  const notes = await readText(join(dir, path(auditFiles.checkpoints)))
  const end = Buffer.byteLength(notes.slice(0, notes.indexOf(note) + note.length + 1))
  yield* filed(dir, path(auditFiles.checkpoints), end)
}

/** One that was taken away meanwhile is left out. @param octets fewer than it has */
async function* filed(dir: string, path: string, octets?: number): AsyncGenerator<Filed> {
  const file = await open(join(dir, path), 'r').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' && octets === undefined) return undefined
    throw cause
  })
  if (file === undefined) return
  try {
    const length = octets ?? (await file.stat()).size
    yield { path, octets: length, content: contentOf(file, length) }
  } finally {
    await file.close()
  }
}

async function* contentOf(file: FileHandle, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; ) {
    const want = Math.min(chunkOctets, length - at)
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(want), 0, want, at)
    if (bytesRead === 0) return // shorter than it was: `pack` finds out
    yield buffer.subarray(0, bytesRead)
    at += bytesRead
  }
}

/** Octets up to the last line feed: a line that is being written has been promised to nobody. */
async function wholeLines(path: string): Promise<number> {
  const { size } = await stat(path)
  const file = await open(path, 'r')
  try {
    for (let end = size; end > 0; end -= Math.min(end, chunkOctets)) {
      const from = Math.max(0, end - chunkOctets)
      const { buffer } = await file.read(Buffer.alloc(end - from), 0, end - from, from)
      const last = buffer.lastIndexOf(0x0a)
      if (last >= 0) return from + last + 1
    }
    return 0
  } finally {
    await file.close()
  }
}

/** The copy lies in the store, for its owner alone, until it is read. */
async function* database(dir: string, path: string): AsyncGenerator<Filed> {
  const copy = join(dir, `${path}.backup.tmp`)
  await rm(copy, { force: true })
  await (await open(copy, 'wx', 0o600)).close()
  const source = new DatabaseSync(join(dir, path), { readOnly: true, timeout: 10_000 })
  try {
    await copyDatabase(source, copy)
  } finally {
    source.close()
  }
  try {
    for await (const one of filed(dir, `${path}.backup.tmp`)) yield { ...one, path }
  } finally {
    await rm(copy, { force: true })
  }
}
