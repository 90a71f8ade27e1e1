import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { parseSystemTitle, type SubstationId, type SystemTitle, substationId } from '../model.ts'
import { transaction } from './database.ts'

/**
 * Which meters there are, on which substation, with which keys. Keys lie wrapped under the key-encryption key (AES key
 * wrap, RFC 3394) and are unwrapped when a meter first speaks.
 */
export const registrySchema = `
  CREATE TABLE IF NOT EXISTS substation (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS meter (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, substation INTEGER NOT NULL REFERENCES substation(id),
    ek BLOB NOT NULL, ak BLOB NOT NULL, counter INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS meter_by_substation ON meter (substation);
`

/** A meter as the field knows it; the keys in the clear, on their way in. */
export interface Enlisted {
  meter: SystemTitle
  substation: SubstationId
  ek: Uint8Array
  ak: Uint8Array
}

export interface RegisteredMeter {
  id: number
  title: SystemTitle
  ek: KeyObject
  ak: Uint8Array
  /** last invocation counter that came with a tag that holds; -1 before the first */
  counter: number
}

/** Meters kept ready in memory, the most; beyond, the one that came first is read again when it speaks. */
const readyMax = 200_000
const wrapIv = Buffer.alloc(8, 0xa6) // RFC 3394, 2.2.3.1
export const kekOctets = 32

export class Registry {
  readonly #database: DatabaseSync
  readonly #kek: Uint8Array
  readonly #select: StatementSync
  readonly #ready = new Map<string, RegisteredMeter>()

  constructor(database: DatabaseSync, kek: Uint8Array) {
    this.#database = database
    this.#kek = kek
    this.#select = database.prepare('SELECT id, ek, ak, counter FROM meter WHERE title = ?')
  }

  meter(title: SystemTitle): RegisteredMeter | undefined {
    const ready = this.#ready.get(title)
    if (ready !== undefined) return ready
    const row = this.#select.get(title) as { id: number; ek: Uint8Array; ak: Uint8Array; counter: number } | undefined
    if (row === undefined) return undefined
    const ek = createSecretKey(this.#unwrap(row.ek))
    const meter = { id: row.id, title, ek, ak: this.#unwrap(row.ak), counter: row.counter }
    if (this.#ready.size >= readyMax) this.#ready.delete(this.#ready.keys().next().value!)
    this.#ready.set(title, meter)
    return meter
  }

  /** Adds meters, or gives known ones their new place and keys; an invocation counter stays. All or none. */
  enlist(meters: readonly Enlisted[]): void {
    const place = this.#database.prepare(
      'INSERT INTO substation (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id',
    )
    const insert = this.#database.prepare(
      `INSERT INTO meter (title, substation, ek, ak, counter) VALUES (?, ?, ?, ?, -1)
       ON CONFLICT (title) DO UPDATE SET substation = excluded.substation, ek = excluded.ek, ak = excluded.ak`,
    )
    const wrapped = meters.map(({ ek, ak, ...rest }) => ({ ...rest, ek: this.#wrap(ek), ak: this.#wrap(ak) }))
    transaction(this.#database, () => {
      for (const { meter, substation, ek, ak } of wrapped) {
        const { id } = place.get(substation) as { id: number }
        insert.run(meter, id, ek, ak)
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

  #wrap(key: Uint8Array): Buffer {
    const cipher = createCipheriv('id-aes256-wrap', this.#kek, wrapIv)
    return Buffer.concat([cipher.update(key), cipher.final()])
  }

  #unwrap(wrapped: Uint8Array): Buffer {
    const decipher = createDecipheriv('id-aes256-wrap', this.#kek, wrapIv)
    return Buffer.concat([decipher.update(wrapped), decipher.final()])
  }
}

/**
 * One line of a registry file: `{"meter":"…16 hex…","substation":"…","ek":"…32 hex…","ak":"…32 hex…"}`.
 * @throws PeerError, TypeError when it is not of that form; the message holds no key
 */
export function parseEnlisted(line: string): Enlisted {
  const { meter, substation, ek, ak, ...rest } = parseObject(line)
  const extra = Object.keys(rest)
  if (extra.length > 0) throw new TypeError(`unknown key '${extra[0]}'`)
  if (typeof meter !== 'string' || typeof substation !== 'string') throw new TypeError('meter and substation are texts')
  return {
    meter: parseSystemTitle(meter),
    substation: substationId(substation),
    ek: aesKey('ek', ek),
    ak: aesKey('ak', ak),
  }
}

/** JSON.parse quotes its input in what it throws, and here that holds keys. */
function parseObject(line: string): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    throw new TypeError('not JSON')
  }
  if (typeof parsed !== 'object' || parsed === null) throw new TypeError('not a JSON object')
  return parsed as Record<string, unknown>
}

function aesKey(name: string, hex: unknown): Buffer {
  if (typeof hex !== 'string' || !/^[0-9a-fA-F]{32}$/.test(hex)) throw new TypeError(`${name}: 32 hex digits`)
  return Buffer.from(hex, 'hex')
}
