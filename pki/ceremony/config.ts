import { createHash } from 'node:crypto'
import { privateZones, type Zones } from '../extensions.ts'
import { isProfileSetName, type ProfileSetName } from '../key-algorithm.ts'
import type { KeyPlace } from '../keystore/keystore.ts'
import { rangeOctets } from '../name-constraints.ts'
import { encodeName } from '../names.ts'
import { type AuthorityName, isAuthorityName } from '../profiles.ts'
import { idPattern } from '../purpose.ts'
import { checkPublication, type PublicationBase } from '../store/config.ts'

export interface Approver {
  name: string
  /** file: a certificate or a public key, PEM */
  key: string
  /** file in which the approval is brought */
  approval: string
}

/** What a ceremony makes, and who answers for it. */
export interface CeremonyConfig {
  /** 1 to 64 of `A-Z a-z 0-9 . _ -` */
  ceremony: string
  /** when it may be held: seconds since 1970 */
  window: { from: number; to: number }
  approvers: readonly [Approver, Approver]
  /** the directory to be made */
  store: string
  /** opens the keys that lie in files; without: none does */
  passphraseFile: string | undefined
  organisation: string
  profileSet: Exclude<ProfileSetName, 'ml-dsa'>
  keys: Partial<Record<AuthorityName, KeyPlace>>
  zones: Zones
  publication: PublicationBase
}

/** Octets of a ceremony's file, the most. */
export const ceremonyOctetsMax: number = 64 * 1_024
/** Days from the first to the last moment at which a ceremony may be held, the most. */
export const windowDaysMax = 31

/** A configuration, or everything that is wrong with it. */
export type Parsed = { config: CeremonyConfig; value: Readonly<Record<string, unknown>> } | { faults: string[] }

type Fields = Readonly<Record<string, unknown>>

/** Reads a ceremony's file: JSON, in which nothing may stand that is not known. Never throws. */
export function parseCeremony(text: string): Parsed {
  if (Buffer.byteLength(text) > ceremonyOctetsMax) return { faults: [`over ${ceremonyOctetsMax} octets`] }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    return { faults: [`not JSON: ${(cause as Error).message}`] }
  }
  const reader = new Reader()
  const config = reader.config(value)
  return reader.faults.length > 0 ? { faults: reader.faults } : { config, value: value as Fields }
}

/** Goes on where something is wrong, so that one reading names it all. */
class Reader {
  readonly faults: string[] = []

  config(value: unknown): CeremonyConfig {
    const required = ['ceremony', 'window', 'approvers', 'store', 'organisation', 'profileSet']
    const found = this.#object('', value, required, ['passphraseFile', 'keys', 'zones', 'publication'])
    return {
      ceremony: this.#check('ceremony', found.ceremony, (id) => idPattern.test(id), '1 to 64 of A-Z a-z 0-9 . _ -'),
      window: this.#window(found.window),
      approvers: this.#approvers(found.approvers),
      store: this.#text('store', found.store),
      passphraseFile:
        found.passphraseFile === undefined ? undefined : this.#text('passphraseFile', found.passphraseFile),
      organisation: this.#check('organisation', found.organisation, isOrganisation, 'a name of 1 to 64 characters'),
      profileSet: this.#check(
        'profileSet',
        found.profileSet,
        (name) => isProfileSetName(name) && name !== 'ml-dsa',
        'p256 or brainpool: a transcript is signed with ECDSA',
      ) as CeremonyConfig['profileSet'],
      keys: this.#keys(found.keys ?? {}),
      zones: this.#zones(found.zones ?? {}),
      publication: this.#publication(found.publication ?? {}),
    }
  }

  #fault(path: string, what: string): void {
    this.faults.push(`${path === '' ? 'the file' : path}: ${what}`)
  }

  #object(path: string, value: unknown, required: readonly string[], optional: readonly string[] = []): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#fault(path, 'a JSON object')
      return {}
    }
    const prefix = path === '' ? '' : `${path}.`
    for (const name of Object.keys(value)) {
      if (![...required, ...optional].includes(name)) this.#fault(`${prefix}${name}`, 'not known')
    }
    for (const name of required) if (!Object.hasOwn(value, name)) this.#fault(`${prefix}${name}`, 'missing')
    return value as Fields
  }

  /** What is missing was told of already. */
  #check(path: string, value: unknown, holds: (text: string) => boolean, what: string): string {
    if (value === undefined) return ''
    if (typeof value === 'string' && holds(value)) return value
    this.#fault(path, what)
    return ''
  }

  #text(path: string, value: unknown): string {
    return this.#check(path, value, (text) => text.length > 0 && text.length <= 1_024, 'a text of 1 to 1024 characters')
  }

  #window(value: unknown): CeremonyConfig['window'] {
    if (value === undefined) return { from: 0, to: 0 }
    const { from, to } = this.#object('window', value, ['from', 'to'])
    const window = { from: this.#time('window.from', from), to: this.#time('window.to', to) }
    const seconds = window.to - window.from
    if (Number.isNaN(seconds)) return window
    if (seconds <= 0 || seconds > windowDaysMax * 86_400)
      this.#fault('window', `over 0 and up to ${windowDaysMax} days`)
    return window
  }

  #time(path: string, value: unknown): number {
    const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
    const text = this.#check(
      path,
      value,
      (one) => form.test(one) && !Number.isNaN(Date.parse(one)),
      'a time such as 2027-03-01T09:00:00Z',
    )
    return text === '' ? Number.NaN : Date.parse(text) / 1_000
  }

  #approvers(value: unknown): CeremonyConfig['approvers'] {
    const list = Array.isArray(value) ? value : []
    if (value !== undefined && list.length !== 2) this.#fault('approvers', 'two of them')
    const read = (at: number): Approver => {
      if (list.length !== 2) return { name: '', key: '', approval: '' }
      const path = `approvers[${at}]`
      const { name, key, approval } = this.#object(path, list[at], ['name', 'key', 'approval'])
      return {
        name: this.#check(`${path}.name`, name, (one) => personOf(one) !== '' && one.length <= 128, 'a name'),
        key: this.#text(`${path}.key`, key),
        approval: this.#text(`${path}.approval`, approval),
      }
    }
    return [read(0), read(1)]
  }

  #keys(value: unknown): CeremonyConfig['keys'] {
    const found = this.#object('keys', value, [])
    this.faults.splice(this.faults.length - Object.keys(found).length) // each of them is judged below
    return Object.fromEntries(
      Object.entries(found).map(([name, place]) => {
        if (!isAuthorityName(name)) this.#fault(`keys.${name}`, 'no CA of this name')
        return [name, this.#place(`keys.${name}`, place)]
      }),
    )
  }

  #place(path: string, value: unknown): KeyPlace {
    const isToken = (value as { kind?: unknown } | null)?.kind === 'pkcs11'
    const found = this.#object(path, value, isToken ? ['kind', 'module', 'token', 'pinFile'] : ['kind'])
    if (!isToken) {
      this.#check(`${path}.kind`, found.kind, (kind) => kind === 'pkcs8', 'pkcs8 or pkcs11')
      return { kind: 'pkcs8' }
    }
    const text = (name: string): string => this.#text(`${path}.${name}`, found[name])
    return { kind: 'pkcs11', module: text('module'), token: text('token'), pinFile: text('pinFile') }
  }

  #zones(value: unknown): Zones {
    const { dns = privateZones.dns, ip = privateZones.ip } = this.#object('zones', value, [], ['dns', 'ip'])
    const label = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
    return {
      dns: this.#list('zones.dns', dns, (one) => label.test(one), 'lower-case domains'),
      ip: ip === 'any' ? 'any' : this.#list('zones.ip', ip, isRange, 'ranges such as 10.0.0.0/8, or "any"'),
    }
  }

  #list(path: string, value: unknown, holds: (one: string) => boolean, what: string): string[] {
    const list: unknown[] = Array.isArray(value) ? value : []
    if (!Array.isArray(value) || list.length > 16 || !list.every((one) => typeof one === 'string' && holds(one))) {
      this.#fault(path, `up to 16 ${what}`)
    }
    return list.map(String)
  }

  #publication(value: unknown): PublicationBase {
    const { crl, ocsp } = this.#object('publication', value, [], ['crl', 'ocsp'])
    const urls = Object.entries({ crl, ocsp }).flatMap(([name, url]): [string, string][] =>
      url === undefined ? [] : [[name, this.#check(`publication.${name}`, url, isUrl, 'an http: URL')]],
    )
    return Object.fromEntries(urls)
  }
}

function isOrganisation(name: string): boolean {
  return succeeds(() => encodeName({ organisation: name, common: `${name} Infrastructure CA` }))
}

function isRange(range: string): boolean {
  return succeeds(() => rangeOctets(range))
}

function isUrl(url: string): boolean {
  return succeeds(() => checkPublication({ crl: url }))
}

function succeeds(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch {
    return false // the path and what is wanted are told
  }
}

/** How a person is told from another: letters of whatever width and case, and single spaces. */
export function personOf(name: string): string {
  return name.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim()
}

/**
 * What approvers sign: the file's value as JSON with its keys sorted and no spaces, each approver's key file replaced by its
 * key's digest, so that neither the layout of the file counts nor another key can be slipped in under its name.
 * @param keys `sha256:<hex>` of each approver's SubjectPublicKeyInfo
 * @see RFC 8785, 3.2 (for values of text, as these are)
 */
export function canonicalOf(value: Readonly<Record<string, unknown>>, keys: readonly [string, string]): string {
  const approvers = (value.approvers as Approver[]).map((one, at) => ({ ...one, key: keys[at] }))
  return sorted({ ...value, approvers })
}

function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, one]) => `${JSON.stringify(name)}:${sorted(one)}`).join(',')}}`
}

/** SHA-256 in lower-case hex: names files, keys and certificates in what is told of them. */
export function sha256(octets: Uint8Array | string): string {
  return createHash('sha256').update(octets).digest('hex')
}
