import { join } from 'node:path'
import { type Certificate, parseCertificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import { equalOctets } from '../signature.ts'
import { files } from '../store/authority.ts'
import { Journal } from '../store/journal.ts'
import { type Listed, Register } from '../store/register.ts'
import type { CertificateStatus } from './response.ts'

/** Milliseconds between two looks at the journal. */
export const lookEveryMs = 1_000
/** Milliseconds since the last good look after which nothing is answered for. */
export const statusAgeMsMax = 5_000

/** What the PKI's journal says of a serial, read on every second: no key is needed for it. */
export class JournalStatuses {
  readonly #journal: Journal
  readonly #register = new Register()
  readonly #onFault: (cause: unknown) => void
  #seenAt = 0
  #timer: NodeJS.Timeout | undefined

  private constructor(journal: Journal, onFault: (cause: unknown) => void) {
    this.#journal = journal
    this.#onFault = onFault
  }

  /**
   * @param dir of the PKI @param onFault told of each look that failed
   * @throws PkiError `STORE_MISSING`, `JOURNAL_CORRUPT`
   */
  static async open(dir: string, onFault: (cause: unknown) => void): Promise<JournalStatuses> {
    const statuses = new JournalStatuses(await Journal.openToRead(join(dir, files.journal)), onFault)
    await statuses.look()
    statuses.#again()
    return statuses
  }

  /** Reads what came since. @throws PkiError `JOURNAL_CORRUPT` */
  async look(): Promise<void> {
    this.#register.add(await this.#journal.read())
    this.#seenAt = performance.now()
  }

  #again(): void {
    this.#timer = setTimeout(() => {
      this.look()
        .catch(this.#onFault)
        .finally(() => this.#timer !== undefined && this.#again())
    }, lookEveryMs).unref()
  }

  /** May it be relied on? Silence must not look like a clean record. */
  ready(): boolean {
    return performance.now() - this.#seenAt <= statusAgeMsMax
  }

  /** `unknown` for what was never issued, or by another CA. */
  statusOf(issuer: Certificate, serial: string): CertificateStatus {
    const listed = this.#find(serial)
    if (listed === undefined || !isIssuedBy(listed, issuer)) return { state: 'unknown' }
    const { revoked } = listed
    return revoked === undefined ? { state: 'good' } : { state: 'revoked', at: revoked.at, reason: revoked.reason }
  }

  #find(serial: string): Listed | undefined {
    try {
      return this.#register.find(serial)
    } catch (cause) {
      if (cause instanceof PkiError && cause.code === 'SERIAL_UNKNOWN') return undefined
      throw cause
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#journal.close()
  }
}

function isIssuedBy({ certificate }: Listed, issuer: Certificate): boolean {
  const found = parseCertificate(Buffer.from(certificate, 'base64'))
  return equalOctets(found.issuer, issuer.subject) && found.authorityKeyId === issuer.subjectKeyId
}
