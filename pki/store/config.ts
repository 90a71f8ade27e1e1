import { PkiError } from '../errors.ts'
import { isProfileSetName, type ProfileSetName } from '../key-algorithm.ts'
import type { KeyPlace } from '../keystore/keystore.ts'
import { type AuthorityName, authorityNames } from '../profiles.ts'

/** Where certificates say that their standing is told; `http:` URLs, each where given. */
export interface PublicationBase {
  /** each authority's CRL shards stand below it: `<crl>/device/0.crl` */
  crl?: string
  ocsp?: string
}

/** What a store is, fixed when it is made: `store.json`. */
export interface StoreConfig {
  version: 2
  /** random hex: what this PKI's keys on a token are labelled with */
  id: string
  organisation: string
  profileSet: ProfileSetName
  keys: Record<AuthorityName, KeyPlace>
  publication: PublicationBase
}

const httpUrl = /^http:\/\/[\x21-\x7e]{1,200}[^/]$/

/** @throws PkiError `STORE_CONFIG` */
export function checkPublication({ crl, ocsp }: PublicationBase): void {
  const bad = [crl, ocsp].find((url) => url !== undefined && !httpUrl.test(url))
  if (bad !== undefined) throw new PkiError('STORE_CONFIG', `'${bad}' is no http: URL without a slash at its end`)
}

/** @throws PkiError `STORE_CONFIG` for what `JSON.stringify` of a configuration does not give */
export function parseStoreConfig(text: string): StoreConfig {
  const value = parseJson(text) as Partial<StoreConfig>
  const { version, id, organisation, profileSet, keys, publication } = value
  if (version !== 2) throw new PkiError('STORE_CONFIG', 'store.json: not of version 2')
  if (!/^[0-9a-f]{16}$/.test(String(id))) throw new PkiError('STORE_CONFIG', 'store.json: id')
  if (typeof organisation !== 'string') throw new PkiError('STORE_CONFIG', 'store.json: organisation')
  if (!isProfileSetName(String(profileSet))) throw new PkiError('STORE_CONFIG', 'store.json: profileSet')
  if (typeof publication !== 'object' || publication === null) {
    throw new PkiError('STORE_CONFIG', 'store.json: publication')
  }
  checkPublication(publication)
  const bad = authorityNames.find((name) => !isPlace(keys?.[name]))
  if (bad !== undefined) throw new PkiError('STORE_CONFIG', `store.json: keys.${bad}`)
  return value as StoreConfig
}

function parseJson(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
  } catch (cause) {
    throw new PkiError('STORE_CONFIG', 'store.json is not JSON', { cause })
  }
  throw new PkiError('STORE_CONFIG', 'store.json is no JSON object')
}

function isPlace(place: KeyPlace | undefined): boolean {
  if (place?.kind === 'pkcs8' || place?.kind === 'memory') return true
  return place?.kind === 'pkcs11' && [place.module, place.token, place.pinFile].every((one) => typeof one === 'string')
}
