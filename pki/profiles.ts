import type { KeyUsage } from './certificate.ts'
import { keyPurpose, policy } from './purpose.ts'

export type ProfileName =
  | 'manufacturer'
  | 'concentrator'
  | 'gateway'
  | 'sealer'
  | 'mdm'
  | 'operator'
  | 'researcher'
  | 'ocsp'
  | 'ceremony'

/** The root that goes offline, and the four CAs below it, each for one class of certificates. */
export type AuthorityName = 'root' | 'device' | 'infrastructure' | 'signing' | 'people'
export type IssuingName = Exclude<AuthorityName, 'root'>

/** What one kind of certificate contains. Everything in it not said here is the same for all kinds. */
export interface Profile {
  /** validity, at most and unless fewer are asked for; `undefined`: no end */
  days: number | undefined
  keyUsage: readonly KeyUsage[]
  extendedKeyUsage: readonly string[]
  /** the alternative names: a URI of this prefix and the id; or DNS names and IP addresses from the caller; or none */
  names: { uri: string } | 'hosts' | 'none'
  policies: readonly string[]
  /** CAs that may stand between this one and a leaf; `undefined`: no CA */
  pathLength: number | undefined
}

/** An end entity's. */
export interface LeafProfile extends Profile {
  /** the CAs that may issue it, the usual one first; none: a manufacturer does */
  issuers: readonly IssuingName[]
  /** is its standing to be asked for: by CRL, never, or where its issuer happens to publish a CRL */
  revocation: 'crl' | 'nocheck' | 'optional'
}

/** Which names a CA may issue, beside subjects under its own unit: its name constraints. What is not said is excluded. */
export interface NameScope {
  /** OU of every subject that it issues */
  unit: string
  /** `any`: URNs have no host that a constraint could speak of; see RFC 5280, 4.2.1.10 */
  uri: 'any' | 'none'
  /** DNS names and addresses within the zones that the PKI was made for, or none */
  hosts: 'zones' | 'none'
}

export interface AuthorityProfile extends Profile {
  /** its common name, behind the organisation */
  title: string
  scope: NameScope | undefined
  /** days that its CRL may be relied on; the root's is long, because its key is away */
  crlDays: number
}

const leaf = { pathLength: undefined, revocation: 'crl' } as const

export const profiles: Readonly<Record<ProfileName, LeafProfile>> = {
  /** Put in at the factory, and good for enrolment only. Its identity is the serial number in its subject. */
  manufacturer: {
    ...leaf,
    days: undefined, // IEEE 802.1AR, 8.7: a device's first identity has no end
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.clientAuth],
    names: 'none',
    policies: [],
    issuers: [],
    revocation: 'optional',
  },
  concentrator: {
    ...leaf,
    days: 90,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.clientAuth],
    names: { uri: 'urn:ami:concentrator:' },
    policies: [policy.concentrator],
    issuers: ['device'],
  },
  gateway: {
    ...leaf,
    days: 30,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.serverAuth],
    names: 'hosts',
    policies: [policy.gateway],
    issuers: ['infrastructure'],
  },
  sealer: {
    ...leaf,
    days: 365,
    keyUsage: ['digitalSignature'],
    // emailProtection so that stock `openssl cms -verify`, which asks for it, accepts without a flag
    extendedKeyUsage: [keyPurpose.sealer, keyPurpose.emailProtection],
    names: { uri: 'urn:ami:sealer:' },
    policies: [policy.sealer],
    issuers: ['signing'],
  },
  mdm: {
    ...leaf,
    days: 365,
    keyUsage: ['keyAgreement'],
    // without one it could serve TLS: key agreement alone is enough for that
    extendedKeyUsage: [keyPurpose.mdm],
    names: { uri: 'urn:ami:mdm:' },
    policies: [policy.mdm],
    issuers: ['signing'],
  },
  operator: {
    ...leaf,
    days: 1,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.clientAuth],
    names: { uri: 'urn:ami:operator:' },
    policies: [policy.operator],
    issuers: ['people'],
  },
  researcher: {
    ...leaf,
    days: 7,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.clientAuth],
    names: { uri: 'urn:ami:researcher:' },
    policies: [policy.researcher],
    issuers: ['people'],
  },
  /** A delegated responder answers for the CA that issued it. @see RFC 6960, 4.2.2.2 */
  ocsp: {
    ...leaf,
    days: 14,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.ocspSigning],
    names: 'none',
    policies: [policy.ocsp],
    issuers: ['device', 'infrastructure', 'signing', 'people'],
    revocation: 'nocheck',
  },
  /** Signs the transcript of one ceremony, once; its key is never written down. */
  ceremony: {
    ...leaf,
    days: 1,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.emailProtection], // what stock `openssl cms -verify` asks for
    names: { uri: 'urn:ami:ceremony:' },
    policies: [policy.ceremony],
    issuers: ['signing'],
  },
}

export function isProfileName(name: string): name is ProfileName {
  return Object.hasOwn(profiles, name)
}

const issuing = {
  days: 1_826,
  keyUsage: ['keyCertSign', 'crlSign'],
  names: 'none',
  pathLength: 0,
  crlDays: 7,
} as const

/** One key of a CA: its first has the CA's name, a later one a number as well. The root has one. */
export type Generation = AuthorityName | `${IssuingName}-${number}`

export const issuingNames: readonly IssuingName[] = ['device', 'infrastructure', 'signing', 'people']
export const authorityNames: readonly AuthorityName[] = ['root', ...issuingNames]

/** What a CA may issue follows from the profiles that name it. */
function issuedBy(name: IssuingName): Pick<Profile, 'extendedKeyUsage' | 'policies'> {
  const own = Object.values(profiles).filter(({ issuers }) => issuers.includes(name))
  const once = (all: readonly string[]): string[] => [...new Set(all)]
  return {
    extendedKeyUsage: once(own.flatMap(({ extendedKeyUsage }) => extendedKeyUsage)),
    policies: once(own.flatMap(({ policies }) => policies)),
  }
}

export const authorityProfiles: Readonly<Record<AuthorityName, AuthorityProfile>> = {
  root: {
    days: 3_653,
    keyUsage: ['keyCertSign', 'crlSign'],
    extendedKeyUsage: [],
    names: 'none',
    policies: [],
    pathLength: 1,
    title: 'Root CA',
    scope: undefined,
    crlDays: 365,
  },
  device: {
    ...issuing,
    ...issuedBy('device'),
    title: 'Device CA',
    scope: { unit: 'Devices', uri: 'any', hosts: 'none' },
  },
  infrastructure: {
    ...issuing,
    ...issuedBy('infrastructure'),
    title: 'Infrastructure CA',
    scope: { unit: 'Infrastructure', uri: 'none', hosts: 'zones' },
  },
  signing: {
    ...issuing,
    ...issuedBy('signing'),
    title: 'Signing CA',
    scope: { unit: 'Signing', uri: 'any', hosts: 'none' },
  },
  people: {
    ...issuing,
    ...issuedBy('people'),
    title: 'People CA',
    scope: { unit: 'People', uri: 'any', hosts: 'none' },
  },
}

export function isAuthorityName(name: string): name is AuthorityName {
  return Object.hasOwn(authorityProfiles, name)
}

const laterPattern = /^(device|infrastructure|signing|people)-([2-9]|[1-9]\d{1,2})$/

export function isGeneration(text: string): text is Generation {
  return isAuthorityName(text) || laterPattern.test(text)
}

/** Which CA it is a key of, and its number from 1 on. */
export function generationParts(generation: Generation): { name: AuthorityName; number: number } {
  const later = laterPattern.exec(generation)
  if (later === null) return { name: generation as AuthorityName, number: 1 }
  return { name: later[1] as IssuingName, number: Number(later[2]) }
}

/** @param number 1 to 999 */
export function generationOf(name: IssuingName, number: number): Generation {
  return number === 1 ? name : `${name}-${number}`
}

/** Seconds that a validity begins before issuance: a concentrator's clock may be that much behind. */
export const backdateSeconds = 300

export const daySeconds = 86_400

/** 9999-12-31T23:59:59Z, which says that there is no end. @see RFC 5280, 4.1.2.5 */
export const noEnd = 253_402_300_799
