import { createSecretKey, type KeyObject } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SystemTitle } from '../model.ts'
import { type AgreementKeys, publicKeyFrom } from '../session/agreement.ts'
import type { Policy } from '../session/policy.ts'
import { type Suite, suiteOf } from '../session/suite.ts'
import { type EnlistedKeys, type KeyName, privateKeyFrom } from './enlisted-keys.ts'
import { type FormName, takenBy } from './meter-forms.ts'

/**
 * Keys of meters beside `ek` and `ak`, and what was heard under each: a counter for each key, and the highest transaction
 * identifier of keys that came with their message and of signatures. Keys lie wrapped like the others, public ones too, so
 * that nobody who writes to the file can put his own in their place.
 */
export const meterKeysSchema = `
  CREATE TABLE IF NOT EXISTS meter_key (
    meter INTEGER NOT NULL REFERENCES meter(id), name TEXT NOT NULL, wrapped BLOB NOT NULL,
    PRIMARY KEY (meter, name)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS meter_counter (
    meter INTEGER NOT NULL REFERENCES meter(id), name TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (meter, name)) WITHOUT ROWID;
`

/** What rises: the invocation counter of a key, or a transaction identifier, of keys of messages and of signatures. */
export const counterNames = ['unicast', 'broadcast', 'dedicated', 'settled', 'message', 'signature'] as const
export type CounterName = (typeof counterNames)[number]

/** The highest of each; -1 before the first. */
export type Counters = Readonly<Record<CounterName, bigint>>

/** Those that lie here: the unicast key's is its meter's own. */
type OtherCounters = Omit<Counters, 'unicast'>

/** A counter's new value, in a stretch of the journal. */
export interface CounterMove<Meter> {
  meter: Meter
  name: keyof OtherCounters
  value: bigint
}

/** What is known of a meter that may protect its pushes in other forms than general-glo-ciphering. */
export interface Layered {
  suite: Suite
  /** what each ciphering must be; whether the whole is signed is asked apart, for a signature may lie around it */
  policy: Policy
  takesSigned: boolean
  asksSigned: boolean
  own: SystemTitle | undefined
  /** encryption keys, by whose counter is theirs */
  eks: Partial<Record<'broadcast' | 'dedicated' | 'settled', KeyObject>>
  kek: KeyObject | undefined
  agreement: AgreementKeys | undefined
  signingKey: KeyObject | undefined
  /** beside the unicast key's */
  counters: OtherCounters
}

/** What a meter's line says of it, beside its keys. */
export interface LayeredRow {
  id: number
  suite: number
  forms: readonly FormName[]
  ourTitle: SystemTitle | undefined
  algorithmId: Uint8Array | undefined
}

/** How keys lie: under the key-encryption key. */
export interface KeyWrap {
  wrap(key: Uint8Array): Uint8Array
  unwrap(wrapped: Uint8Array): Uint8Array
}

/** A transaction identifier has 32 octets at most. */
const valueOctets = 32

export class MeterKeys {
  readonly #wrap: KeyWrap
  readonly #sql: Record<'keys' | 'erase' | 'put' | 'counters' | 'count', StatementSync>

  constructor(database: DatabaseSync, wrap: KeyWrap) {
    this.#wrap = wrap
    this.#sql = {
      keys: database.prepare('SELECT name, wrapped FROM meter_key WHERE meter = ?'),
      erase: database.prepare('DELETE FROM meter_key WHERE meter = ?'),
      put: database.prepare('INSERT INTO meter_key (meter, name, wrapped) VALUES (?, ?, ?)'),
      counters: database.prepare('SELECT name, value FROM meter_counter WHERE meter = ?'),
      count: database.prepare('INSERT OR REPLACE INTO meter_counter (meter, name, value) VALUES (?, ?, ?)'),
    }
  }

  /** These keys and no others, from now on; counters stay, so that a key that comes back opens no replay. */
  put(meter: number, keys: EnlistedKeys = {}): void {
    this.#sql.erase.run(meter)
    for (const [name, key] of Object.entries(keys)) this.#sql.put.run(meter, name, this.#wrap.wrap(key))
  }

  /** Within the ledger's transaction. */
  count(meter: number, { name, value }: Pick<CounterMove<unknown>, 'name' | 'value'>): void {
    this.#sql.count.run(meter, name, Buffer.from(value.toString(16).padStart(2 * valueOctets, '0'), 'hex'))
  }

  /** @param policy as `meterPolicy` makes it: protection, suite and whether it is signed */
  read(row: LayeredRow, policy: Policy): Layered {
    const suite = suiteOf(row.suite)
    const { broadcastEk, dedicatedEk, settledEk, kek, ...ofCurve } = this.#keys(row.id)
    return {
      suite,
      policy: { ...policy, ...takenBy(row.forms), signed: false },
      takesSigned: row.forms.includes('general-signing'),
      asksSigned: policy.signed === true,
      own: row.ourTitle,
      eks: defined({ broadcast: secret(broadcastEk), dedicated: secret(dedicatedEk), settled: secret(settledEk) }),
      kek: secret(kek),
      ...keysOfCurve(ofCurve, suite, row.algorithmId),
      counters: this.#counters(row.id),
    }
  }

  #keys(meter: number): EnlistedKeys {
    const rows = this.#sql.keys.all(meter) as { name: KeyName; wrapped: Uint8Array }[]
    return Object.fromEntries(rows.map(({ name, wrapped }) => [name, this.#wrap.unwrap(wrapped)]))
  }

  #counters(meter: number): OtherCounters {
    const rows = this.#sql.counters.all(meter) as { name: keyof OtherCounters; value: Uint8Array }[]
    const told = rows.map(({ name, value }) => [name, BigInt(`0x${Buffer.from(value).toString('hex')}`)])
    return { broadcast: -1n, dedicated: -1n, settled: -1n, message: -1n, signature: -1n, ...Object.fromEntries(told) }
  }
}

function secret(key: Uint8Array | undefined): KeyObject | undefined {
  return key && createSecretKey(key)
}

/** Without what is not there: `exactOptionalPropertyTypes` tells the two apart. */
function defined<K extends string, V>(all: Record<K, V | undefined>): Partial<Record<K, V>> {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Partial<Record<K, V>>
}

function keysOfCurve(
  { signingKey, agreementKey, ourAgreementKey }: EnlistedKeys,
  suite: Suite,
  algorithmId: Uint8Array | undefined,
): Pick<Layered, 'agreement' | 'signingKey'> {
  const open = (key: Uint8Array | undefined): KeyObject | undefined => key && publicKeyFrom(key, suite)
  const peerSigningKey = open(signingKey)
  if (ourAgreementKey === undefined) return { agreement: undefined, signingKey: peerSigningKey }
  const privateKey = privateKeyFrom(ourAgreementKey, suite.curve!)
  const others = defined({ peerKey: open(agreementKey), peerSigningKey, algorithmId })
  return { agreement: { privateKey, ...others } as AgreementKeys, signingKey: peerSigningKey }
}
