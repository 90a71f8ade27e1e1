import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { PkiError } from '../errors.ts'
import { makePrivate, syncDirectory } from '../store/files.ts'
import {
  type AuditSigner,
  type Checkpoint,
  lastNote,
  noteOctetsMax,
  openCheckpoint,
  signCheckpoint,
} from './checkpoint.ts'
import { type AuditEntry, encodeEntry, parseEntry } from './entry.ts'
import { auditFiles, lastLine, nodeReader, readLines } from './files.ts'
import { Lock } from './lock.ts'
import { digestOctets, Frontier, leafHash, nodesBefore } from './merkle.ts'

/** Hashes in one write, about. */
const hashesTogether = 8_192

/** Entries that wait for their fsync, the most: beyond, acts are refused rather than done untold. */
export const pendingEntriesMax = 100_000

/** Checkpoints are signed when this many entries, or this many seconds, are uncovered, and on closing. */
export const checkpointDefaults = { everyEntries: 1_000, everySeconds: 60 } as const

export interface AuditOptions {
  dir: string
  /** as in `Checkpoint` */
  origin: string
  /** whoever cannot sign leaves the checkpoints to the next who can */
  signer: Pick<AuditSigner, 'publicKey'> & Partial<AuditSigner>
  /** seconds since 1970 */
  now: () => number
  /** told of a checkpoint that could not be made in between; the entries themselves are safe, and the next one covers them */
  onFault: (cause: unknown) => void
  everyEntries?: number
  everySeconds?: number
  /** told of every entry of another process, when this one reads it: before any later one of its own is written */
  onForeign?: (entry: AuditEntry) => void
}

/** Writes acts behind all others, while the log is held. @returns the index of the first, when they are on disk */
export type WriteActs = (acts: readonly AuditAct[]) => Promise<number>

/** An act as its doer tells it; the log adds the time. */
export type AuditAct = Omit<AuditEntry, 'time'>

interface Handles {
  entries: FileHandle
  hashes: FileHandle
  checkpoints: FileHandle
  lock: Lock
}

/**
 * A log of acts that can be added to and not changed unseen: a Merkle tree over its lines, its heads signed.
 *
 * `append` resolves when the entries are on disk, and what they tell of may be handed out only then. Appends that wait
 * share one write and one fsync. Several processes may append: each takes the lock, reads what the others wrote, and
 * writes behind it. A line that a crash cut short was promised to nobody and is cut off by whoever takes the lock next.
 */
export class AuditLog {
  readonly #options: AuditOptions
  readonly #files: Handles
  #frontier = new Frontier()
  /** of the entries' file, up to the frontier */
  #octets = 0
  /** entries beneath the last checkpoint that we know of */
  #covered = 0
  readonly #pending: string[] = []
  #next: Promise<number> | undefined
  #timer: NodeJS.Timeout | undefined
  #failed: unknown

  private constructor(options: AuditOptions, files: Handles) {
    this.#options = options
    this.#files = files
  }

  /**
   * Opens or creates, and heals what a crash left: the hashes behind the last checkpoint are made anew, and those before it
   * are believed only as far as they lead to its signed head.
   * @throws PkiError `AUDIT_CORRUPT` when the entries are not those that were signed, `AUDIT_CHECKPOINT`, `AUDIT_BUSY`
   */
  static async open(options: AuditOptions): Promise<AuditLog> {
    await makePrivate(options.dir)
    const files = await openFiles(options.dir)
    const log = new AuditLog(options, files)
    try {
      await files.lock.hold(() => log.#load())
    } catch (cause) {
      await closeFiles(files)
      throw cause
    }
    return log
  }

  /** Entries on disk, as far as this process knows. */
  get size(): number {
    return this.#frontier.size
  }

  /**
   * @returns the index of the first of them, when all are on disk
   * @throws PkiError `AUDIT_ENTRY`, `AUDIT_FULL`, `AUDIT_BUSY`, `AUDIT_CORRUPT`; after a failed write always: open anew
   */
  async append(acts: readonly AuditAct[]): Promise<number> {
    const lines = this.#linesOf(acts)
    if (this.#pending.length + lines.length > pendingEntriesMax) {
      throw new PkiError('AUDIT_FULL', `over ${pendingEntriesMax} entries wait to be written`)
    }
    const offset = this.#pending.length
    for (const line of lines) this.#pending.push(line)
    this.#next ??= this.#begin()
    return (await this.#next) + offset
  }

  /**
   * Holds the log against all other writers, those of other processes too, while `work` runs: for acts that must be durable
   * elsewhere before they are told of here. `work` must not call `append`.
   * @throws PkiError `AUDIT_BUSY`, `AUDIT_CORRUPT`, and what `work` throws; `write` throws as `append` does
   */
  exclusively<T>(work: (write: WriteActs) => Promise<T>): Promise<T> {
    return this.#files.lock.hold(async () => {
      if (this.#failed !== undefined) throw this.#failed
      await this.#catchUp()
      return work((acts) => this.#write(this.#linesOf(acts)))
    })
  }

  /** The last entry that `isWanted` takes, sought from the end. */
  last(isWanted: (entry: AuditEntry) => boolean): AuditEntry | undefined {
    return lastLine(this.#files.entries.fd, this.#octets, (line) => {
      const entry = parseEntry(line)
      return isWanted(entry) ? entry : undefined
    })
  }

  /** A signed note over all entries on disk; the last one again when nothing came since. */
  checkpoint(): Promise<string> {
    return this.#files.lock.hold(async () => {
      await this.#catchUp()
      return this.#sign()
    })
  }

  /** Writes what waits, and a last checkpoint. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      await this.#next
      if (this.#failed === undefined && this.#covered < this.size && this.#maySign) await this.checkpoint()
    } finally {
      await closeFiles(this.#files)
    }
  }

  get #maySign(): boolean {
    return this.#options.signer.sign !== undefined
  }

  #linesOf(acts: readonly AuditAct[]): string[] {
    const time = Math.floor(this.#options.now())
    return acts.map((act) => `${encodeEntry({ ...act, time })}\n`)
  }

  async #load(): Promise<void> {
    const last = await this.#lastCheckpoint()
    if (last !== undefined && this.#leadsTo(last)) {
      this.#frontier = Frontier.at(last.size, nodeReader(this.#files.hashes.fd))
      this.#octets = last.octets
    }
    this.#covered = last?.size ?? 0
    await this.#catchUp(last)
    await this.#files.hashes.truncate(nodesBefore(this.size) * digestOctets)
    if (this.size < this.#covered) {
      throw new PkiError('AUDIT_CORRUPT', `${this.size} entries, the last checkpoint says ${this.#covered}`)
    }
    this.#arm()
  }

  /** Do the stored hashes give the head that was signed? */
  #leadsTo({ size, root }: Checkpoint): boolean {
    try {
      return Buffer.compare(Frontier.at(size, nodeReader(this.#files.hashes.fd)).root(), root) === 0
    } catch (cause) {
      if (cause instanceof PkiError) return false // too short: made anew
      throw cause
    }
  }

  /** Takes in what other processes wrote, and cuts off what a dead one left unfinished. Under the lock. */
  async #catchUp(last?: Checkpoint): Promise<void> {
    const { entries } = this.#files
    const { size } = await entries.stat()
    if (size < this.#octets)
      throw new PkiError('AUDIT_CORRUPT', `${this.#octets - size} octets of the entries are gone`)
    if (size > this.#octets) await this.#absorb(this.#foreign(), last)
    if (size > this.#octets) {
      await entries.truncate(this.#octets)
      await entries.datasync()
    }
  }

  *#foreign(): Generator<Uint8Array> {
    const { onForeign } = this.#options
    for (const line of readLines(this.#files.entries.fd, this.#octets)) {
      onForeign?.(parseEntry(line))
      yield line
    }
  }

  /** Entries that are on disk become leaves, and their hashes are stored. */
  async #absorb(lines: Iterable<Uint8Array>, last?: Checkpoint): Promise<void> {
    let written: Uint8Array[] = []
    const store = async (): Promise<void> => {
      const octets = Buffer.concat(written)
      written = []
      await writeAll(this.#files.hashes, octets, nodesBefore(this.size) * digestOctets - octets.length)
    }
    for (const line of lines) {
      for (const digest of this.#frontier.append(leafHash(line))) written.push(digest)
      this.#octets += line.length + 1
      if (this.size === last?.size && Buffer.compare(this.#frontier.root(), last.root) !== 0) {
        throw new PkiError('AUDIT_CORRUPT', `the first ${last.size} entries are not those of the last checkpoint`)
      }
      if (written.length > hashesTogether) await store()
    }
    await store()
  }

  #begin(): Promise<number> {
    const flushing = this.#files.lock.hold(() => this.#flush())
    flushing.catch(() => {
      if (this.#next !== flushing) return
      this.#pending.length = 0 // the lock was not to be had: those who wait are told
      this.#next = undefined
    })
    return flushing
  }

  /** @returns the index of the first entry written */
  async #flush(): Promise<number> {
    const lines = this.#pending.splice(0)
    this.#next = undefined
    if (this.#failed !== undefined) throw this.#failed
    return this.#write(lines)
  }

  async #write(lines: readonly string[]): Promise<number> {
    try {
      await this.#catchUp()
      const index = this.size
      await writeAll(this.#files.entries, Buffer.from(lines.join('')), this.#octets)
      await this.#files.entries.datasync()
      await this.#absorb(lines.map((line) => Buffer.from(line.slice(0, -1))))
      await this.#cover()
      return index
    } catch (cause) {
      this.#failed = cause // what is on disk is not known now
      throw cause
    }
  }

  async #cover(): Promise<void> {
    const { everyEntries = checkpointDefaults.everyEntries, onFault } = this.#options
    if (this.#maySign && this.size - this.#covered >= everyEntries) await this.#sign().catch(onFault)
    this.#arm()
  }

  /** The uncovered do not wait for ever. */
  #arm(): void {
    const { everySeconds = checkpointDefaults.everySeconds, onFault } = this.#options
    if (this.#timer !== undefined || this.size === this.#covered || !this.#maySign) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.checkpoint().then(() => undefined, onFault)
    }, everySeconds * 1_000).unref()
  }

  /** Under the lock: the hashes are on disk before a checkpoint vouches for them. */
  async #sign(): Promise<string> {
    const { signer, origin, now } = this.#options
    const { publicKey, sign } = signer
    if (sign === undefined) throw new PkiError('AUDIT_CHECKPOINT', 'the key of the log is not open here')
    const last = await this.#lastCheckpoint()
    if (last?.size === this.size) {
      this.#covered = this.size
      return last.note
    }
    await this.#files.hashes.datasync()
    const head = { origin, size: this.size, root: this.#frontier.root(), octets: this.#octets }
    const note = await signCheckpoint({ ...head, time: Math.floor(now()) }, { publicKey, sign })
    openCheckpoint(note, publicKey) // a signer that signs wrongly is found out now, and not years later
    await writeAll(this.#files.checkpoints, Buffer.from(`${note}\n`), (await this.#files.checkpoints.stat()).size)
    await this.#files.checkpoints.datasync()
    this.#covered = this.size
    return note
  }

  /** The last one whole in the file; what a crash left behind it is cut off. Under the lock. */
  async #lastCheckpoint(): Promise<(Checkpoint & { note: string }) | undefined> {
    const { checkpoints } = this.#files
    const { size } = await checkpoints.stat()
    const from = Math.max(0, size - 4 * noteOctetsMax)
    const { buffer, bytesRead } = await checkpoints.read(Buffer.alloc(4 * noteOctetsMax), 0, 4 * noteOctetsMax, from)
    const { note, rest } = lastNote(buffer.toString('utf8', 0, bytesRead))
    if (note === undefined && size > noteOctetsMax) throw new PkiError('AUDIT_CORRUPT', 'no checkpoint in their file')
    if (rest !== '') {
      await checkpoints.truncate(size - Buffer.byteLength(rest))
      await checkpoints.datasync()
    }
    if (note === undefined) return undefined
    const checkpoint = openCheckpoint(note, this.#options.signer.publicKey)
    if (checkpoint.origin !== this.#options.origin) {
      throw new PkiError('AUDIT_CHECKPOINT', `the log is ${checkpoint.origin}, not ${this.#options.origin}`)
    }
    return { ...checkpoint, note }
  }
}

async function openFiles(dir: string): Promise<Handles> {
  const opening = (name: string): Promise<FileHandle> =>
    open(join(dir, name), constants.O_RDWR | constants.O_CREAT, 0o600)
  const entries = await opening(auditFiles.entries)
  const hashes = await opening(auditFiles.hashes)
  const checkpoints = await opening(auditFiles.checkpoints)
  await syncDirectory(dir)
  return { entries, hashes, checkpoints, lock: new Lock(join(dir, auditFiles.lock)) }
}

async function closeFiles({ entries, hashes, checkpoints, lock }: Handles): Promise<void> {
  await lock.close()
  for (const file of [entries, hashes, checkpoints]) await file.close()
}

async function writeAll(file: FileHandle, octets: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < octets.length; ) {
    const { bytesWritten } = await file.write(octets, done, octets.length - done, position + done)
    done += bytesWritten
  }
}
