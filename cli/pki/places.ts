import { ConfigError } from '#gateway/errors.ts'
import type { KeyPlace } from '#pki/keystore/keystore.ts'
import { type AuthorityName, isAuthorityName } from '#pki/profiles.ts'
import { readInput } from './subcommand.ts'

/** Where each CA's key lies; those that are not named lie in encrypted files. */
export type Places = Partial<Record<AuthorityName, KeyPlace>>

/** A file with a JSON object of CA names to places. @throws ConfigError */
export async function readPlaces(file: string): Promise<Places> {
  const bad = (what: string): ConfigError => new ConfigError([`${file}: ${what}`])
  const text = (await readInput(file)).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw bad((cause as Error).message)
  }
  if (typeof value !== 'object' || value === null) throw bad('no JSON object')
  for (const [name, found] of Object.entries(value)) {
    if (!isAuthorityName(name)) throw bad(`'${name}' is no CA`)
    if (!isPlace(found)) throw bad(`${name}: {"kind": "pkcs8"} or {"kind": "pkcs11", "module", "token", "pinFile"}`)
  }
  return value
}

function isPlace(value: Partial<Record<string, unknown>> | null): boolean {
  if (value?.kind === 'pkcs8') return Object.keys(value).length === 1
  const strings = ['module', 'token', 'pinFile'].every((name) => typeof value?.[name] === 'string')
  return value?.kind === 'pkcs11' && strings && Object.keys(value).length === 4
}
