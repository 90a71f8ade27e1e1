import { PkiError } from '../errors.ts'
import type { AuthorityName } from '../profiles.ts'
import type { Revocation } from '../revoke.ts'
import type { Entry, Issued } from './journal.ts'

/** What was issued, and what became of it. */
export interface Listed extends Issued {
  revoked: Revocation | undefined
}

/** The journal's entries, by serial. */
export class Register {
  readonly #issued = new Map<string, Issued>()
  readonly #revoked = new Map<string, Revocation>()

  add(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.event === 'issued') this.#issued.set(entry.serial, entry)
      else if (!this.#revoked.has(entry.serial)) this.#revoked.set(entry.serial, entry)
    }
  }

  /** Oldest first. */
  list(): Listed[] {
    return [...this.#issued.values()].map((issued) => ({ ...issued, revoked: this.#revoked.get(issued.serial) }))
  }

  /** @param serial hex in either case, colons allowed @throws PkiError `SERIAL_UNKNOWN` */
  find(serial: string): Listed {
    const issued = this.#issued.get(serial.replaceAll(':', '').toUpperCase())
    if (issued === undefined) throw new PkiError('SERIAL_UNKNOWN', `${serial} was not issued here`)
    return { ...issued, revoked: this.#revoked.get(issued.serial) }
  }

  revokedBy(issuer: AuthorityName): Revocation[] {
    return [...this.#revoked.values()].filter(({ serial }) => this.#issued.get(serial)?.issuer === issuer)
  }
}
