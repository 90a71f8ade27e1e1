import { join } from 'node:path'
import { PkiError } from '../errors.ts'
import { readText } from '../store/files.ts'
import { type Checkpoint, openCheckpoint, splitNotes } from './checkpoint.ts'
import { type AuditEntry, type AuditKind, parseEntry } from './entry.ts'
import { auditFiles, nodeReader, readHashes, reading, readLines } from './files.ts'
import { consistencyPath, inclusionPath, leafHash, provesConsistency, provesInclusion } from './merkle.ts'
import { type ConsistencyProof, type InclusionProof, toBase64 } from './proof.ts'
import { type AuditVerdict, verifyAudit } from './verify.ts'

/** A log's directory, read by someone without its private key. */
export interface AuditPlace {
  dir: string
  /** DER of the SubjectPublicKeyInfo */
  publicKey: Uint8Array
}

/**
 * Judges a log's files, while it is appended to as well: what is vouched for is read first, and then what vouches less.
 * @param seen notes kept elsewhere
 * @throws PkiError `STORE_MISSING`; `AUDIT_CORRUPT` for a line longer than any entry
 */
export async function verifyAuditFiles({ dir, publicKey }: AuditPlace, seen = ''): Promise<AuditVerdict> {
  const checkpoints = await readText(join(dir, auditFiles.checkpoints))
  return reading(dir, 'hashes', (descriptor) => {
    const hashes = readHashes(descriptor)
    return reading(dir, 'entries', (entries) => {
      return verifyAudit({ entries: readLines(entries), checkpoints, publicKey, hashes, seen })
    })
  })
}

/** What is asked for; without `kind`, `serial` and `subject`, everything. */
export interface AuditFilter {
  /** index of the first */
  from?: number
  /** entries, the most */
  count?: number
  kind?: AuditKind
  serial?: string
  subject?: string
}

/** Entries with their indices, in order; nothing is checked but their form. @throws PkiError `STORE_MISSING`, `AUDIT_ENTRY` */
export function findEntries(dir: string, filter: AuditFilter = {}): (AuditEntry & { index: number })[] {
  const { from = 0, count = 1_000, kind, serial, subject } = filter
  const asked = (entry: AuditEntry): boolean =>
    (kind === undefined || entry.kind === kind) &&
    (serial === undefined || entry.serial === serial) &&
    (subject === undefined || entry.subject === subject)
  return reading(dir, 'entries', (descriptor) => {
    const found: (AuditEntry & { index: number })[] = []
    let index = 0
    for (const line of readLines(descriptor)) {
      if (found.length === count) break
      const entry = index < from ? undefined : parseEntry(line)
      if (entry !== undefined && asked(entry)) found.push({ index, ...entry })
      index += 1
    }
    return found
  })
}

/**
 * The proof that an entry stands beneath the last checkpoint.
 * @throws PkiError `AUDIT_PROOF` when no checkpoint covers it; `AUDIT_CORRUPT` when the stored hashes do not lead to the head
 */
export async function proveEntry(place: AuditPlace, index: number): Promise<InclusionProof> {
  const all = await readCheckpoints(place)
  const head = all.at(-1)
  if (head === undefined || !Number.isSafeInteger(index) || index < 0 || index >= head.size) {
    throw new PkiError('AUDIT_PROOF', `no checkpoint covers entry ${index} yet`)
  }
  const path = reading(place.dir, 'hashes', (hashes) => inclusionPath(index, head.size, nodeReader(hashes)))
  const entry = entryAt(place.dir, index, all)
  if (!provesInclusion({ index, size: head.size, path }, leafHash(Buffer.from(entry)), head.root)) throw disordered()
  return { entry, index, path: toBase64(path), checkpoint: head.note }
}

/** Between the oldest checkpoint of one size and that of another. @throws PkiError as `proveEntry` */
export async function proveGrowth(place: AuditPlace, first: number, second?: number): Promise<ConsistencyProof> {
  const all = await readCheckpoints(place)
  const earlier = all.find(({ size }) => size === first)
  const later = second === undefined ? all.at(-1) : all.find(({ size }) => size === second)
  if (earlier === undefined || later === undefined || earlier.size > later.size || earlier.size === 0) {
    throw new PkiError('AUDIT_PROOF', `no checkpoints of sizes ${first} and ${second ?? 'more'}`)
  }
  const sizes = { first: earlier.size, second: later.size }
  const path = reading(place.dir, 'hashes', (hashes) => consistencyPath(sizes.first, sizes.second, nodeReader(hashes)))
  if (!provesConsistency({ ...sizes, path }, earlier.root, later.root)) throw disordered()
  return { path: toBase64(path), first: earlier.note, second: later.note }
}

function disordered(): PkiError {
  return new PkiError('AUDIT_CORRUPT', 'the stored hashes do not lead to the signed head')
}

type Noted = Checkpoint & { note: string }

async function readCheckpoints({ dir, publicKey }: AuditPlace): Promise<Noted[]> {
  const { notes } = splitNotes(await readText(join(dir, auditFiles.checkpoints)))
  return notes.map((note) => ({ ...openCheckpoint(note, publicKey), note }))
}

/** Read from the nearest checkpoint before it, which says where in the file it ends. */
function entryAt(dir: string, index: number, checkpoints: readonly Checkpoint[]): string {
  const near = checkpoints.findLast(({ size }) => size <= index)
  return reading(dir, 'entries', (descriptor) => {
    let at = near?.size ?? 0
    for (const line of readLines(descriptor, near?.octets ?? 0)) {
      if (at === index) return Buffer.from(line).toString('latin1')
      at += 1
    }
    throw new PkiError('AUDIT_CORRUPT', `entry ${index} is missing`)
  })
}
