import { parseCertificate } from '../certificate.ts'
import { constraintsOf, type Zones } from '../extensions.ts'
import { type Authority, issueCertificate } from '../issue.ts'
import { profileSets } from '../key-algorithm.ts'
import type { SigningKey } from '../keystore/keystore.ts'
import { encodeName } from '../names.ts'
import { type AuthorityName, authorityProfiles, issuingNames } from '../profiles.ts'
import type { Template } from '../unsigned.ts'
import type { StoreConfig } from './config.ts'

/** A CA that was just made, its key in use. */
export interface NewAuthority extends Authority {
  name: AuthorityName
}

export interface Making {
  config: StoreConfig
  zones: Zones
  /** seconds since 1970 */
  at: number
}

/** The root and the four CAs below it; nothing is written. @throws PkiError `REQUEST_NAMES`, `LINT`, and what a token throws */
export async function certifyAll(
  keys: ReadonlyMap<AuthorityName, SigningKey>,
  making: Making,
): Promise<NewAuthority[]> {
  const root = await certifyAuthority('root', keys.get('root')!, making)
  const issuing: NewAuthority[] = []
  for (const name of issuingNames) issuing.push(await certifyAuthority(name, keys.get(name)!, { ...making, root }))
  return [root, ...issuing]
}

async function certifyAuthority(
  name: AuthorityName,
  key: SigningKey,
  { config, zones, at, root }: Making & { root?: NewAuthority },
): Promise<NewAuthority> {
  const { organisation } = config
  const profile = authorityProfiles[name]
  const sign = (octets: Uint8Array): Promise<Uint8Array> => key.sign(octets)
  const template: Template = {
    profile,
    subject: encodeName({ organisation, common: `${organisation} ${profile.title}` }),
    id: name,
    hosts: { dns: [], ip: [] },
    publicKey: key.publicKey,
    at,
    ...(profile.scope === undefined ? {} : { constraints: constraintsOf(profile.scope, organisation, zones) }),
  }
  const profileSet = profileSets[config.profileSet]
  const { der } = await issueCertificate(template, { issuer: root?.certificate, sign: root?.sign ?? sign, profileSet })
  return { name, certificate: parseCertificate(der), sign }
}
