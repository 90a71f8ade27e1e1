import { parseCertificate } from '../certificate.ts'
import { constraintsOf, type Zones } from '../extensions.ts'
import { type Authority, issueCertificate } from '../issue.ts'
import { profileSets } from '../key-algorithm.ts'
import type { SigningKey } from '../keystore/keystore.ts'
import type { NameConstraints } from '../name-constraints.ts'
import { encodeName } from '../names.ts'
import { type AuthorityName, authorityProfiles, type Generation, generationParts, issuingNames } from '../profiles.ts'
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

/** The first key of a CA. */
async function certifyAuthority(
  name: AuthorityName,
  key: SigningKey,
  { config, zones, at, root }: Making & { root?: NewAuthority },
): Promise<NewAuthority> {
  const { scope } = authorityProfiles[name]
  const constraints = scope === undefined ? {} : { constraints: constraintsOf(scope, config.organisation, zones) }
  const how = { config, at, ...constraints, ...(root === undefined ? {} : { root }) }
  return { name, ...(await certifyGeneration(name, key, how)) }
}

export interface Certifying {
  config: StoreConfig
  /** seconds since 1970 */
  at: number
  constraints?: NameConstraints
  /** signs it; without: it signs itself */
  root?: Authority
}

/**
 * A certificate for one key of a CA. A later one has a name of its own, so that nobody takes the CRL of one key for that of
 * another.
 * @throws PkiError `REQUEST_NAMES`, `LINT`, and what a token throws
 */
export async function certifyGeneration(
  name: Generation,
  key: SigningKey,
  { config, at, constraints, root }: Certifying,
): Promise<Authority> {
  const profile = authorityProfiles[generationParts(name).name]
  const sign = (octets: Uint8Array): Promise<Uint8Array> => key.sign(octets)
  const template: Template = {
    profile,
    subject: encodeName({ organisation: config.organisation, common: commonName(name, config.organisation) }),
    id: name,
    hosts: { dns: [], ip: [] },
    publicKey: key.publicKey,
    at,
    ...(constraints === undefined ? {} : { constraints }),
  }
  const profileSet = profileSets[config.profileSet]
  const { der } = await issueCertificate(template, { issuer: root?.certificate, sign: root?.sign ?? sign, profileSet })
  return { certificate: parseCertificate(der), sign }
}

/** The organisation's name stands before the title where both fit. @see RFC 5280, appendix A.1 (ub-common-name) */
function commonName(generation: Generation, organisation: string): string {
  const { name, number } = generationParts(generation)
  const { title } = authorityProfiles[name]
  if (number === 1) return `${organisation} ${title}`
  const whole = `${organisation} ${title} ${number}`
  return whole.length <= 64 ? whole : `${title} ${number}`
}
