import type { AuditEntry } from '../audit/entry.ts'
import type { AuditAct, AuditLog, WriteActs } from '../audit/store.ts'
import { PkiError } from '../errors.ts'
import { issuedAct } from './audited.ts'
import type { Entry, Journal } from './journal.ts'
import type { Register } from './register.ts'

/** Acts that wait for their fsync, the most. */
export const pendingActsMax = 10_000

/** What is done, in the journal's words and in the audit log's. */
export interface Act {
  entries: readonly Entry[]
  /** without: nothing but what the entries say */
  tells?: readonly AuditAct[]
  /** asked at the last moment, when all that others did is known; its fault refuses the act, and nothing is written */
  check?: () => void
}

interface Waiting extends Act {
  done: () => void
  failed: (cause: unknown) => void
}

/**
 * Journal and audit log as one: an act is in the journal, then in the log, each on disk, before it is handed out. Both are
 * written while the log's lock is held, so that of several processes one acts at a time, with all that the others did before
 * its eyes. What a process that died between the two left untold is told by whoever acts next, or opens the store.
 *
 * Acts that wait share the lock and the two fsyncs.
 */
export class Acts {
  readonly #journal: Journal
  readonly #audit: AuditLog
  readonly #register: Register
  readonly #actor: string
  readonly #onRead: (entries: readonly Entry[]) => Promise<void>
  readonly #waiting: Waiting[] = []
  #turn: Promise<void> | undefined
  #reading: Promise<void> = Promise.resolve()
  /** entries that were read since the last act, and which of them the log is known to tell of */
  #read: Entry[] = []
  #told = new Set<string>()

  constructor(parts: {
    journal: Journal
    audit: AuditLog
    register: Register
    actor: string
    /** told of what was journaled, by whomever, when it is in the register */
    onRead: (entries: readonly Entry[]) => Promise<void>
  }) {
    this.#journal = parts.journal
    this.#audit = parts.audit
    this.#register = parts.register
    this.#actor = parts.actor
    this.#onRead = parts.onRead
  }

  /** For the log's `onForeign`. */
  hear(entry: AuditEntry): void {
    if (isOfJournal(entry)) this.#told.add(nameOf(entry.kind, entry.serial))
  }

  /**
   * Reads the whole journal, and tells the log of what a crash kept from it.
   * @throws PkiError `JOURNAL_CORRUPT` when the log tells of an act that the journal does not have
   */
  async begin(): Promise<void> {
    await this.#audit.exclusively(async (write) => {
      await this.catchUp()
      const last = this.#audit.last(isOfJournal)
      const untold = last === undefined ? this.#read : behind(this.#read, nameOf(last.kind, last.serial))
      await write(untold.map((entry) => this.#actOf(entry)))
      this.#settle([])
    })
  }

  /** Reads what was journaled since, by this process or another. */
  catchUp(): Promise<void> {
    const turn = this.#reading.then(async () => {
      const entries = await this.#journal.read()
      this.#register.add(entries)
      this.#read = this.#read.length === 0 ? entries : this.#read.concat(entries)
      await this.#onRead(entries)
    })
    this.#reading = turn
    return turn
  }

  /** @throws PkiError `PKI_BUSY`, `AUDIT_…`, and what `check` throws; after a failed write always: open anew */
  perform(act: Act): Promise<void> {
    if (this.#waiting.length >= pendingActsMax) {
      throw new PkiError('PKI_BUSY', `over ${pendingActsMax} acts wait to be written`)
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ ...act, done: resolve, failed: reject })
    this.#turn ??= this.#audit.exclusively((write) => this.#flush(write)).catch((cause) => this.#fail(cause))
    return promise
  }

  async #flush(write: WriteActs): Promise<void> {
    const waiting = this.#waiting.splice(0)
    this.#turn = undefined
    try {
      await this.catchUp()
      const untold = this.#read.filter((entry) => !this.#told.has(nameOf(entry.event, entry.serial)))
      const good = waiting.filter((act) => this.#passes(act))
      const entries = good.flatMap((act) => act.entries)
      if (entries.length > 0) await this.#journal.append(entries)
      const tells = good.flatMap((act) => act.tells ?? act.entries.map((entry) => this.#actOf(entry)))
      await write([...untold.map((entry) => this.#actOf(entry)), ...tells])
      this.#settle(entries)
      for (const { done } of good) done()
    } catch (cause) {
      for (const { failed } of waiting) failed(cause)
    }
  }

  /** The register knows of it at once, so that the next one in the same turn is checked against it. */
  #passes({ check, entries, failed }: Waiting): boolean {
    try {
      check?.()
    } catch (fault) {
      failed(fault)
      return false
    }
    this.#register.add(entries)
    return true
  }

  /** What this process wrote comes back when the journal is next read, and is told already. */
  #settle(entries: readonly Entry[]): void {
    this.#read = []
    this.#told = new Set(entries.map(({ event, serial }) => nameOf(event, serial)))
  }

  /** The lock was not to be had: those who wait are told. */
  #fail(cause: unknown): void {
    this.#turn = undefined
    for (const { failed } of this.#waiting.splice(0)) failed(cause)
  }

  #actOf(entry: Entry): AuditAct {
    if (entry.event === 'issued') return issuedAct(this.#actor, entry)
    const { serial, reason } = entry
    const { profile, id } = this.#register.find(serial)
    return { kind: 'revoked', actor: this.#actor, subject: `${profile}:${id}`, serial, reason }
  }
}

function isOfJournal({ kind }: Pick<AuditEntry, 'kind'>): boolean {
  return kind === 'issued' || kind === 'revoked'
}

function nameOf(event: string, serial: string | undefined): string {
  return `${event} ${serial}`
}

/** The entries behind the last one of a name. */
function behind(entries: readonly Entry[], name: string): readonly Entry[] {
  const at = entries.findLastIndex(({ event, serial }) => nameOf(event, serial) === name)
  if (at < 0) throw new PkiError('JOURNAL_CORRUPT', `the audit log tells of '${name}', which the journal does not have`)
  return entries.slice(at + 1)
}
