import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { parseSystemTitle, type SystemTitle } from '../model.ts'
import type { MeterProfile } from '../readings/meter-profile.ts'
import { gatewayPolicy, meterPolicy, type Policy } from '../session/policy.ts'
import { transaction } from './database.ts'
import type { Enlisted } from './enlisted.ts'
import type { FormName } from './meter-forms.ts'
import { type Layered, MeterKeys, meterKeysSchema } from './meter-keys.ts'
import { meterProfiles } from './meter-profiles.ts'

/**
 * Which meters there are, on which substation, with which keys. Keys lie wrapped under the key-encryption key (AES key
 * wrap, RFC 3394) and are unwrapped when a meter first speaks. The counter here is the global unicast key's; those of
 * others lie beside their keys.
 */
export const registrySchema: string = `
  CREATE TABLE IF NOT EXISTS substation (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS meter (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, substation INTEGER NOT NULL REFERENCES substation(id),
    ek BLOB NOT NULL, ak BLOB NOT NULL, counter INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS meter_by_substation ON meter (substation);
  ${meterKeysSchema}`

/** Columns that ledgers of former versions lack; NULL is what those did. */
const addedColumns = [
  ['profile', 'TEXT'],
  ['suite', 'INTEGER'],
  ['policy', 'INTEGER'],
  ['forms', 'TEXT'],
  ['our_title', 'TEXT'],
  ['algorithm_id', 'BLOB'],
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
  /** what it calls us, where its line says so */
  ourTitle: SystemTitle | undefined
  /** where its line names forms: else general-glo-ciphering under `ek` is all there is */
  layered: Layered | undefined
}

interface MeterRow {
  id: number
  ek: Uint8Array
  ak: Uint8Array
  counter: number
  profile: string | null
  suite: number | null
  policy: number | null
  forms: string | null
  our_title: string | null
  algorithm_id: Uint8Array | null
}

/** Meters kept ready in memory, the most; beyond, those that came first are read again when they speak. */
const readyMax = 200_000
const wrapIv = Buffer.alloc(8, 0xa6) // RFC 3394, 2.2.3.1
export const kekOctets = 32
/** Bits of `security_policy`. @see Blue Book, security setup (class 64), version 1 */
const authenticatedEncrypted = 0x60

export class Registry {
  readonly #database: DatabaseSync
  readonly #kek: Uint8Array
  readonly #select: StatementSync
  readonly keys: MeterKeys
  readonly #ready = new Map<string, RegisteredMeter>()
  /** all that there are, by name */
  readonly profiles: ReadonlyMap<string, MeterProfile> = meterProfiles()

  /** Adds the columns that a former version's ledger lacks. */
  constructor(database: DatabaseSync, kek: Uint8Array) {
    this.#database = database
    this.#kek = kek
    addColumns(database)
    this.keys = new MeterKeys(database, { wrap: (key) => this.#wrap(key), unwrap: (key) => this.#unwrap(key) })
    this.#select = database.prepare(
      'SELECT id, ek, ak, counter, profile, suite, policy, forms, our_title, algorithm_id FROM meter WHERE title = ?',
    )
  }

  meter(title: SystemTitle): RegisteredMeter | undefined {
    const ready = this.#ready.get(title)
    if (ready !== undefined) return ready
    const row = this.#select.get(title) as MeterRow | undefined
    if (row === undefined) return undefined
    const meter: RegisteredMeter = {
      id: row.id,
      title,
      ek: createSecretKey(this.#unwrap(row.ek)),
      ak: this.#unwrap(row.ak),
      counter: row.counter,
      policy: policyOf(row),
      profile: row.profile === null ? undefined : this.profiles.get(row.profile),
      ourTitle: ourTitleOf(row),
      layered: row.forms === null ? undefined : this.#layered(row, row.forms),
    }
    this.#ready.set(title, meter)
    return meter
  }

  /**
   * Forgets whom there is no room for, as they came. Only between stretches of the journal: a meter that is read again
   * within one has not heard of the counters that the stretch has moved.
   */
  trim(readyMost: number = readyMax): void {
    for (const title of this.#ready.keys()) {
      if (this.#ready.size <= readyMost) return
      this.#ready.delete(title)
    }
  }

  #layered(row: MeterRow, forms: string): Layered {
    const { id, suite, algorithm_id: algorithmId } = row
    const told = { ourTitle: ourTitleOf(row), algorithmId: algorithmId ?? undefined }
    return this.keys.read({ id, suite: suite ?? 0, ...told, forms: forms.split(' ') as FormName[] }, policyOf(row))
  }

  /** Adds meters, or gives known ones all that is said anew; an invocation counter stays. All or none. */
  enlist(meters: readonly Enlisted[]): void {
    const place = this.#database.prepare(
      'INSERT INTO substation (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id',
    )
    const insert = this.#database.prepare(
      `INSERT INTO meter (title, substation, ek, ak, profile, suite, policy, forms, our_title, algorithm_id, counter)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, -1)
       ON CONFLICT (title) DO UPDATE SET substation = excluded.substation, ek = excluded.ek, ak = excluded.ak,
         profile = excluded.profile, suite = excluded.suite, policy = excluded.policy, forms = excluded.forms,
         our_title = excluded.our_title, algorithm_id = excluded.algorithm_id RETURNING id`,
    )
    const wrapped = meters.map(({ ek, ak, ...rest }) => ({ ...rest, ek: this.#wrap(ek), ak: this.#wrap(ak) }))
    transaction(this.#database, () => {
      for (const { meter, substation, ek, ak, profile = null, suite = null, policy = null, keys, ...rest } of wrapped) {
        const at = place.get(substation) as { id: number }
        const { forms, ourTitle = null, algorithmId = null } = rest
        const said = [profile, suite, policy, forms?.join(' ') ?? null, ourTitle, algorithmId]
        const { id } = insert.get(meter, at.id, ek, ak, ...said) as { id: number }
        this.keys.put(id, keys)
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

function ourTitleOf({ our_title: title }: MeterRow): SystemTitle | undefined {
  return title === null ? undefined : parseSystemTitle(title)
}

/** What a line that says nothing of it stands for is one object for all meters. */
function policyOf({ suite, policy }: MeterRow): Policy {
  if (suite === null && policy === null) return gatewayPolicy
  return meterPolicy(policy ?? authenticatedEncrypted, suite ?? 0).fromMeter
}
