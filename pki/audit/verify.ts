import { PkiError } from '../errors.ts'
import { type Checkpoint, openCheckpoint, splitNotes } from './checkpoint.ts'
import { parseEntry } from './entry.ts'
import { type Digest, Frontier, leafHash } from './merkle.ts'

/** Why a log is not what it says. Stable, public text: add, never rename. */
export type AuditFault =
  | 'CHECKPOINT_MISSING'
  | 'CHECKPOINT_MALFORMED'
  | 'CHECKPOINT_ORDER'
  | 'ENTRY_MALFORMED'
  | 'ENTRY_CHANGED'
  | 'ENTRY_MISSING'
  | 'HASHES_CHANGED'

export type AuditVerdict =
  | {
      ok: true
      /** entries */
      size: number
      /** how many of them lie beneath the last checkpoint: those behind it are signed by nobody yet */
      covered: number
      checkpoints: number
    }
  | {
      ok: false
      code: AuditFault
      /** the first bad entry; `undefined` where no entry is to blame */
      index: number | undefined
      /** without: the first bad entry is this one or a later one, for nothing that is left says which */
      exact: boolean
      detail: string
    }

export interface AuditEvidence {
  /** the octets of each entry, in order, without its line feed */
  entries: Iterable<Uint8Array>
  /** the file of signed notes */
  checkpoints: string
  /** of the log, DER of the SubjectPublicKeyInfo, from elsewhere than the log */
  publicKey: Uint8Array
  /** the stored hashes, in their order: they name the very entry that was changed */
  hashes?: Iterable<Uint8Array>
  /** notes kept elsewhere: only they show that a log was cut back to an earlier checkpoint */
  seen?: string
}

class Refusal extends Error {
  readonly verdict: AuditVerdict

  constructor(code: AuditFault, index: number | undefined, detail: string, exact = true) {
    super(detail)
    this.verdict = { ok: false, code, index, exact, detail }
  }
}

/**
 * Judges a log offline, in one pass and memory that does not grow with it: every entry in its form, every checkpoint
 * signed, and each one's head the head of the entries before it. That makes every two checkpoints consistent: both are
 * heads of one sequence. Pure, and never throws on any octets.
 */
export function verifyAudit(evidence: AuditEvidence): AuditVerdict {
  try {
    return judge(evidence)
  } catch (cause) {
    if (cause instanceof Refusal) return cause.verdict
    throw cause
  }
}

function judge({ entries, checkpoints, publicKey, hashes, seen = '' }: AuditEvidence): AuditVerdict {
  const own = readNotes(checkpoints, publicKey)
  const notes = [...own, ...readNotes(seen, publicKey)].toSorted((a, b) => a.size - b.size)
  const foreign = notes.find(({ origin }) => origin !== notes[0]!.origin)
  if (foreign !== undefined) throw new Refusal('CHECKPOINT_ORDER', undefined, `a checkpoint of ${foreign.origin}`)
  const walk = new Walk(notes, hashes)
  for (const entry of entries) walk.step(entry)
  const size = walk.end()
  if (own.length === 0 && size > 0) throw new Refusal('CHECKPOINT_MISSING', undefined, `${size} entries, no checkpoint`)
  return { ok: true, size, covered: notes.at(-1)?.size ?? 0, checkpoints: own.length }
}

/** In their order, which is that of growth. */
function readNotes(text: string, publicKey: Uint8Array): Checkpoint[] {
  const { notes, rest } = splitNotes(text)
  if (rest !== '')
    throw new Refusal('CHECKPOINT_MALFORMED', undefined, `behind checkpoint ${notes.length}: no whole one`)
  const opened = notes.map((note, at) =>
    refusing('CHECKPOINT_MALFORMED', undefined, `${at}`, () => openCheckpoint(note, publicKey)),
  )
  const odd = opened.findIndex(({ size }, at) => at > 0 && size < opened[at - 1]!.size)
  if (odd >= 0) throw new Refusal('CHECKPOINT_ORDER', undefined, `checkpoint ${odd} is smaller than the one before it`)
  return opened
}

function refusing<T>(code: AuditFault, index: number | undefined, which: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof PkiError) throw new Refusal(code, index, `${which}: ${cause.message}`)
    throw cause
  }
}

/** Along the entries, past the checkpoints, beside the stored hashes. */
class Walk {
  readonly #checkpoints: readonly Checkpoint[]
  readonly #hashes: Iterator<Uint8Array> | undefined
  readonly #frontier = new Frontier()
  #octets = 0
  #passed = 0
  /** how many entries are beyond doubt: the last good checkpoint's */
  #sure = 0
  /** the first entry that is not the one whose hash is stored */
  #differing: number | undefined
  /** where the stored hashes end early */
  #unhashed: number | undefined

  constructor(checkpoints: readonly Checkpoint[], hashes: Iterable<Uint8Array> | undefined) {
    this.#checkpoints = checkpoints
    this.#hashes = hashes?.[Symbol.iterator]()
    this.#pass()
  }

  step(entry: Uint8Array): void {
    const index = this.#frontier.size
    refusing('ENTRY_MALFORMED', index, `entry ${index}`, () => parseEntry(entry))
    for (const written of this.#frontier.append(leafHash(entry))) this.#compare(written, index)
    this.#octets += entry.length + 1
    this.#pass()
  }

  /** @returns the entries */
  end(): number {
    const { size } = this.#frontier
    const missing = this.#checkpoints[this.#passed]
    if (missing !== undefined) {
      const index = this.#differing ?? size
      throw new Refusal('ENTRY_MISSING', index, `${size} entries, a checkpoint says ${missing.size}`)
    }
    if (this.#differing !== undefined) {
      throw new Refusal('HASHES_CHANGED', this.#differing, `entry ${this.#differing} and its stored hash disagree`)
    }
    if (this.#unhashed !== undefined && this.#unhashed < this.#sure) {
      throw new Refusal('HASHES_CHANGED', this.#unhashed, `the stored hashes end at entry ${this.#unhashed}`)
    }
    if (this.#unhashed === undefined && this.#hashes?.next().done === false) {
      throw new Refusal('ENTRY_MISSING', size, `${size} entries, and hashes of more`)
    }
    return size
  }

  #compare(written: Digest, index: number): void {
    if (this.#hashes === undefined || this.#unhashed !== undefined) return
    const { value, done } = this.#hashes.next()
    if (done) this.#unhashed = index
    else if (Buffer.compare(value, written) !== 0) this.#differing ??= index
  }

  #pass(): void {
    const { size } = this.#frontier
    for (let next = this.#checkpoints[this.#passed]; next?.size === size; next = this.#checkpoints[this.#passed]) {
      if (Buffer.compare(next.root, this.#frontier.root()) !== 0 || next.octets !== this.#octets) {
        const index = this.#differing ?? this.#sure
        const detail = `entries ${this.#sure} to ${size - 1} are not those that the checkpoint of size ${size} was signed over`
        throw new Refusal('ENTRY_CHANGED', index, detail, this.#differing !== undefined || size - this.#sure === 1)
      }
      this.#passed += 1
      this.#sure = size
    }
  }
}
