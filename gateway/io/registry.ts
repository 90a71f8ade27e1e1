import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SystemTitle } from '../model.ts'
import type { MeterProfile } from '../readings/meter-profile.ts'
import { gatewayPolicy, meterPolicy, type Policy } from '../session/policy.ts'
import { transaction } from './database.ts'
import type { Enlisted } from './enlisted.ts'
import { meterProfiles } from './meter-profiles.ts'

/**
 * Which meters there are, on which substation, with which keys. Keys lie wrapped under the key-encryption key (AES key
 * wrap, RFC 3394) and are unwrapped when a meter first speaks. A meter has one counter, its global unicast key's.
 */
export const registrySchema = `
  CREATE TABLE IF NOT EXISTS substation (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS meter (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, substation INTEGER NOT NULL REFERENCES substation(id),
    ek BLOB NOT NULL, ak BLOB NOT NULL, counter INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS meter_by_substation ON meter (substation);
`

/** Columns that ledgers of former versions lack; NULL is what those did. */
const addedColumns = [
  ['profile', 'TEXT'],
  ['suite', 'INTEGER'],
  ['policy', 'INTEGER'],
] as const

export interface RegisteredMeter {
  id: number
  title: SystemTitle
  ek: KeyObject
  ak: Uint8Array
  /** last invocation counter that came with a tag that holds; -1 before the first */
  counter: number
  /** what its pushes must be protected with */
  policy: Policy
  /** of its family, where somebody named it */
  profile: MeterProfile | undefined
}

interface MeterRow {
  id: number
  ek: Uint8Array
  ak: Uint8Array
  counter: number
  profile: string | null
  suite: number | null
  policy: number | null
}

/** Meters kept ready in memory, the most; beyond, the one that came first is read again when it speaks. */
const readyMax = 200_000
const wrapIv = Buffer.alloc(8, 0xa6) // RFC 3394, 2.2.3.1
export const kekOctets = 32
/** Bits of `security_policy`. @see Blue Book, security setup (class 64), version 1 */
const authenticatedEncrypted = 0x60

export class Registry {
  readonly #database: DatabaseSync
  readonly #kek: Uint8Array
  readonly #select: StatementSync
  readonly #ready = new Map<string, RegisteredMeter>()
  /** all that there are, by name */
  readonly profiles: ReadonlyMap<string, MeterProfile> = meterProfiles()

  /** Adds the columns that a former version's ledger lacks. */
  constructor(database: DatabaseSync, kek: Uint8Array) {
    this.#database = database
    this.#kek = kek
    addColumns(database)
    this.#select = database.prepare('SELECT id, ek, ak, counter, profile, suite, policy FROM meter WHERE title = ?')
  }

  meter(title: SystemTitle): RegisteredMeter | undefined {
    const ready = this.#ready.get(title)
    if (ready !== undefined) return ready
    const row = this.#select.get(title) as MeterRow | undefined
    if (row === undefined) return undefined
    const meter = {
      id: row.id,
      title,
      ek: createSecretKey(this.#unwrap(row.ek)),
      ak: this.#unwrap(row.ak),
      counter: row.counter,
      policy: policyOf(row),
      profile: row.profile === null ? undefined : this.profiles.get(row.profile),
    }
    if (this.#ready.size >= readyMax) this.#ready.delete(this.#ready.keys().next().value!)
    this.#ready.set(title, meter)
    return meter
  }

  /** Adds meters, or gives known ones all that is said anew; an invocation counter stays. All or none. */
  enlist(meters: readonly Enlisted[]): void {
    const place = this.#database.prepare(
      'INSERT INTO substation (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id',
    )
    const insert = this.#database.prepare(
      `INSERT INTO meter (title, substation, ek, ak, profile, suite, policy, counter) VALUES (?, ?, ?, ?, ?, ?, ?, -1)
       ON CONFLICT (title) DO UPDATE SET substation = excluded.substation, ek = excluded.ek, ak = excluded.ak,
         profile = excluded.profile, suite = excluded.suite, policy = excluded.policy`,
    )
    const wrapped = meters.map(({ ek, ak, ...rest }) => ({ ...rest, ek: this.#wrap(ek), ak: this.#wrap(ak) }))
    transaction(this.#database, () => {
      for (const { meter, substation, ek, ak, profile = null, suite = null, policy = null } of wrapped) {
        const { id } = place.get(substation) as { id: number }
        insert.run(meter, id, ek, ak, profile, suite, policy)
      }
    })
    this.#ready.clear()
  }

  /** Whether the key-encryption key opens what is stored; an empty registry fits any. */
  opens(): boolean {
    const row = this.#database.prepare('SELECT ek FROM meter LIMIT 1').get() as { ek: Uint8Array } | undefined
    try {
      return row === undefined || this.#unwrap(row.ek).length > 0
    } catch {
      return false
    }
  }

  count(): number {
    return (this.#database.prepare('SELECT count(*) AS n FROM meter').get() as { n: number }).n
  }

  /** Names of profiles that meters have and that there are no more: their pushes would be read otherwise. */
  lostProfiles(): string[] {
    const rows = this.#database.prepare('SELECT DISTINCT profile FROM meter WHERE profile IS NOT NULL').all()
    return (rows as { profile: string }[]).map(({ profile }) => profile).filter((name) => !this.profiles.has(name))
  }

  #wrap(key: Uint8Array): Buffer {
    const cipher = createCipheriv('id-aes256-wrap', this.#kek, wrapIv)
    return Buffer.concat([cipher.update(key), cipher.final()])
  }

  #unwrap(wrapped: Uint8Array): Buffer {
    const decipher = createDecipheriv('id-aes256-wrap', this.#kek, wrapIv)
    return Buffer.concat([decipher.update(wrapped), decipher.final()])
  }
}

/** Looks again under the lock: another process may open the same ledger. */
function addColumns(database: DatabaseSync): void {
  const missing = (): (typeof addedColumns)[number][] => {
    const there = (database.prepare('PRAGMA table_info(meter)').all() as { name: string }[]).map(({ name }) => name)
    return addedColumns.filter(([name]) => !there.includes(name))
  }
  if (missing().length === 0) return
  transaction(database, () => {
    for (const [name, type] of missing()) database.exec(`ALTER TABLE meter ADD COLUMN ${name} ${type}`)
  })
}

/** What a line that says nothing of it stands for is one object for all meters. */
function policyOf({ suite, policy }: MeterRow): Policy {
  if (suite === null && policy === null) return gatewayPolicy
  return meterPolicy(policy ?? authenticatedEncrypted, suite ?? 0).fromMeter
}
