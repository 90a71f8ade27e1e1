import { privateZones, type Zones } from '#pki/extensions.ts'
import { isProfileSetName, profileSets } from '#pki/key-algorithm.ts'
import { initPki } from '#pki/store.ts'
import { UsageError } from '../command.ts'
import { readPlaces } from './places.ts'
import { type Answer, needed, place, type Subcommand, store, type Values } from './subcommand.ts'

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
    ...(keys === undefined ? {} : { keys: await readPlaces(keys) }),
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
