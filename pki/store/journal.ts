import { type FileHandle, open } from 'node:fs/promises'
import { PkiError } from '../errors.ts'
import type { AuthorityName, Generation, ProfileName } from '../profiles.ts'
import type { Revocation } from '../revoke.ts'

export interface Issued {
  event: 'issued'
  /** seconds since 1970 */
  at: number
  /** upper-case hex */
  serial: string
  profile: ProfileName | AuthorityName
  id: string
  issuer: Generation
  /** SHA-256 of the SubjectPublicKeyInfo, hex */
  key: string
  notBefore: number
  notAfter: number
  /** of the CRL that it names; none where no CRL is published */
  shard?: number
  /** DER in base64 */
  certificate: string
}

export type Entry = Issued | ({ event: 'revoked' } & Revocation)

/** Octets read at once. */
const chunkOctets = 1 << 20
/** Lines in one write. */
const linesTogether = 200
/** Ends a line that a crash cut short; a tab stands in no entry. */
const mended = '\tmended'

/**
 * What was issued and revoked: one JSON object a line, only ever appended, fsynced before `append` resolves. Appends
 * that wait share one write and one fsync. Several processes may append; each reads what the others wrote.
 */
export class Journal {
  readonly #file: FileHandle
  readonly #pending: string[] = []
  #last: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined
  #readTo = 0
  /** once a line could not be read, nothing behind it is believed to be all */
  #corrupt: PkiError | undefined
  #line = 0

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /**
   * Opens or creates. A last line that a crash left unfinished was promised to nobody: it is closed with a mark, and
   * nothing is cut off, because another process may be writing just now.
   */
  static async open(path: string): Promise<Journal> {
    const file = await open(path, 'a+', 0o600)
    if (!(await endsWithLine(file))) {
      await file.write(`${mended}\n`)
      await file.datasync()
    }
    return new Journal(file)
  }

  /** For reading only. @throws PkiError `STORE_MISSING` */
  static async openToRead(path: string): Promise<Journal> {
    try {
      return new Journal(await open(path, 'r'))
    } catch (cause) {
      throw new PkiError('STORE_MISSING', `${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause })
    }
  }

  /** Resolves when the entries are on disk. After a failed write it fails for good: open anew. */
  append(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) this.#pending.push(`${JSON.stringify(entry)}\n`)
    if (this.#next === undefined) {
      this.#next = this.#last.then(() => this.#flush())
      this.#last = this.#next
    }
    return this.#next
  }

  async #flush(): Promise<void> {
    const lines = this.#pending.splice(0)
    this.#next = undefined
    for (let start = 0; start < lines.length; start += linesTogether) {
      const octets = Buffer.from(lines.slice(start, start + linesTogether).join(''))
      const { bytesWritten } = await this.#file.write(octets) // one call: lines of other processes come before or after
      if (bytesWritten !== octets.length) throw new Error(`journal: ${bytesWritten} of ${octets.length} octets written`)
    }
    await this.#file.datasync()
  }

  /** Entries written since the last call, by this process or another. @throws PkiError `JOURNAL_CORRUPT`, from then on always */
  async read(): Promise<Entry[]> {
    if (this.#corrupt !== undefined) throw this.#corrupt
    const chunks: Buffer[] = []
    const end = this.#readTo + (await this.unread())
    for (let at = this.#readTo; at < end; ) {
      const length = Math.min(chunkOctets, end - at)
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(length), 0, length, at)
      if (bytesRead === 0) break
      chunks.push(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    const octets = Buffer.concat(chunks)
    const whole = octets.subarray(0, octets.lastIndexOf(0x0a) + 1)
    this.#readTo += whole.length
    return whole
      .toString('utf8')
      .split('\n')
      .slice(0, -1)
      .flatMap((line) => this.#parse(line))
  }

  #parse(line: string): Entry[] {
    this.#line += 1
    if (line.endsWith(mended)) return []
    try {
      const entry = JSON.parse(line) as Entry
      if ((entry.event === 'issued' || entry.event === 'revoked') && typeof entry.serial === 'string') return [entry]
    } catch (cause) {
      throw this.#broken('is not JSON', cause)
    }
    throw this.#broken('is no entry')
  }

  #broken(detail: string, cause?: unknown): PkiError {
    this.#corrupt = new PkiError('JOURNAL_CORRUPT', `line ${this.#line} ${detail}`, { cause })
    return this.#corrupt
  }

  /** Octets in the file that `read` has not yet given. */
  async unread(): Promise<number> {
    return (await this.#file.stat()).size - this.#readTo
  }

  async close(): Promise<void> {
    await this.#last.catch(() => undefined) // its caller was told
    await this.#file.close()
  }
}

async function endsWithLine(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat()
  if (size === 0) return true
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] === 0x0a
}
