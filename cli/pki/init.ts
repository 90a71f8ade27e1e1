import { ConfigError } from '#gateway/errors.ts'
import { privateZones, type Zones } from '#pki/extensions.ts'
import { isProfileSetName, profileSets } from '#pki/key-algorithm.ts'
import type { KeyPlace } from '#pki/keystore/keystore.ts'
import { type AuthorityName, isAuthorityName } from '#pki/profiles.ts'
import { initPki } from '#pki/store.ts'
import { UsageError } from '../command.ts'
import { type Answer, needed, place, readInput, type Subcommand, store, type Values } from './subcommand.ts'

export const init: Subcommand = {
  takes: [...store, 'organisation', 'profile-set', 'keys', 'zone', 'range', 'crl-url', 'ocsp-url'],
  positionals: [0, 0],
  run,
}

async function run(values: Values): Promise<Answer> {
  const { organisation, keys, 'profile-set': profileSet = 'p256', 'crl-url': crl, 'ocsp-url': ocsp } = values
  if (!isProfileSetName(profileSet)) {
    throw new UsageError(`--profile-set: ${Object.keys(profileSets).join(', ')}, not '${profileSet}'`)
  }
  const dir = needed(values, 'dir')
  await initPki({
    ...place(values),
    ...(organisation === undefined ? {} : { organisation }),
    ...(keys === undefined ? {} : { keys: parsePlaces((await readInput(keys)).toString('utf8'), keys) }),
    profileSet,
    zones: zonesOf(values),
    publication: { ...(crl === undefined ? {} : { crl }), ...(ocsp === undefined ? {} : { ocsp }) },
  })
  return { ok: true, json: { dir, profileSet }, text: `${dir}: root and four CAs made; now take ${dir}/root offline\n` }
}

/** What is not said of one kind stays as it is without. */
function zonesOf({ zone, range }: Values): Zones {
  const isAny = range?.length === 1 && range[0] === 'any'
  return { dns: zone ?? privateZones.dns, ip: isAny ? 'any' : (range ?? privateZones.ip) }
}

/** A JSON object of CA names to places on a token. @throws ConfigError */
function parsePlaces(text: string, file: string): Partial<Record<AuthorityName, KeyPlace>> {
  const bad = (what: string): ConfigError => new ConfigError([`${file}: ${what}`])
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
