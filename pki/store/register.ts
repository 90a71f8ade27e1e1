import { PkiError } from '../errors.ts'
import type { Generation } from '../profiles.ts'
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
  /** serials of the certificates of each public key */
  readonly #keys = new Map<string, string[]>()
  readonly #counts = new Map<Generation, number>()
  /** serials of the certificates that name each CRL shard, by CA */
  readonly #shards = new Map<Generation, Map<number, string[]>>()

  add(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.event === 'issued') this.#addIssued(entry)
      else if (!this.#revoked.has(entry.serial)) this.#revoked.set(entry.serial, entry)
    }
  }

  /** Again changes nothing: what was checked in memory comes back from the journal. */
  #addIssued(entry: Issued): void {
    if (this.#issued.has(entry.serial)) return
    this.#issued.set(entry.serial, entry)
    this.#keys.set(entry.key, [...(this.#keys.get(entry.key) ?? []), entry.serial])
    this.#counts.set(entry.issuer, this.issuedBy(entry.issuer) + 1)
    if (entry.shard !== undefined) this.#shard(entry.issuer, entry.shard).push(entry.serial)
  }

  /** How many certificates a CA has issued with one key. */
  issuedBy(issuer: Generation): number {
    return this.#counts.get(issuer) ?? 0
  }

  /**
   * Why a public key may not be certified for this identity: it was certified for another one, or a certificate of it was
   * revoked. To be certified again for the same one is renewal.
   * @param key its digest, as `keyDigest` gives it
   */
  keyFault(key: string, { profile, id }: Pick<Issued, 'profile' | 'id'>): PkiError | undefined {
    for (const serial of this.#keys.get(key) ?? []) {
      const found = this.#issued.get(serial)!
      if (this.#revoked.has(serial)) return new PkiError('KEY_REVOKED', `the key's certificate ${serial} was revoked`)
      if (found.profile !== profile || found.id !== id) {
        return new PkiError('KEY_REUSED', `the key is certified for ${found.profile} ${found.id}: ${serial}`)
      }
    }
    return undefined
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

  /** Those of one public key, oldest first. @param key its digest, as `keyDigest` gives it */
  withKey(key: string): Listed[] {
    return (this.#keys.get(key) ?? []).map((serial) => this.find(serial))
  }

  revokedBy(issuer: Generation): Revocation[] {
    return [...this.#revoked.values()].filter(({ serial }) => this.#issued.get(serial)?.issuer === issuer)
  }

  /**
   * The revocations of CRL shards that certificates of this CA name, the empty ones too.
   * @param only these; without: all of them
   */
  shardsOf(issuer: Generation, only?: ReadonlySet<number>): Map<number, Revocation[]> {
    const shards = new Map<number, Revocation[]>()
    for (const [shard, serials] of this.#shards.get(issuer) ?? []) {
      if (only?.has(shard) === false) continue
      shards.set(
        shard,
        serials.flatMap((serial) => this.#revoked.get(serial) ?? []),
      )
    }
    return shards
  }

  #shard(issuer: Generation, shard: number): string[] {
    const shards = this.#shards.get(issuer) ?? new Map<number, string[]>()
    this.#shards.set(issuer, shards)
    const serials = shards.get(shard) ?? []
    shards.set(shard, serials)
    return serials
  }
}
