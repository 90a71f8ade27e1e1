import type { KeyUsage } from './certificate.ts'
import { keyPurpose } from './purpose.ts'

/** What one kind of certificate contains. Everything in it not said here is the same for all kinds. */
export interface Profile {
  /** validity, at most and unless fewer are asked for */
  days: number
  keyUsage: readonly KeyUsage[]
  extendedKeyUsage: readonly string[]
  /** the alternative names: a URI of this prefix and the id; or DNS names and IP addresses from the caller; or none */
  names: { uri: string } | 'hosts' | 'none'
  /** CAs that may stand between this one and a leaf; `undefined`: no CA */
  pathLength: number | undefined
}

export type ProfileName = 'concentrator' | 'gateway' | 'sealer' | 'mdm'
export type AuthorityName = 'root' | 'issuing'

/** Kinds that the issuing CA issues. */
export const profiles: Readonly<Record<ProfileName, Profile>> = {
  concentrator: {
    days: 90,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.clientAuth],
    names: { uri: 'urn:ami:concentrator:' },
    pathLength: undefined,
  },
  gateway: {
    days: 30,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [keyPurpose.serverAuth],
    names: 'hosts',
    pathLength: undefined,
  },
  sealer: {
    days: 365,
    keyUsage: ['digitalSignature'],
    // emailProtection so that stock `openssl cms -verify`, which asks for it, accepts without a flag
    extendedKeyUsage: [keyPurpose.sealer, keyPurpose.emailProtection],
    names: { uri: 'urn:ami:sealer:' },
    pathLength: undefined,
  },
  mdm: {
    days: 365,
    keyUsage: ['keyAgreement'],
    extendedKeyUsage: [],
    names: { uri: 'urn:ami:mdm:' },
    pathLength: undefined,
  },
}

export function isProfileName(name: string): name is ProfileName {
  return Object.hasOwn(profiles, name)
}

/** The two authorities: the root that goes offline, and the CA that issues. */
export const authorityProfiles: Readonly<Record<AuthorityName, Profile>> = {
  root: {
    days: 3_653,
    keyUsage: ['keyCertSign', 'crlSign'],
    extendedKeyUsage: [],
    names: 'none',
    pathLength: 1,
  },
  issuing: {
    days: 1_826,
    keyUsage: ['keyCertSign', 'crlSign'],
    extendedKeyUsage: [],
    names: 'none',
    pathLength: 0,
  },
}

/** Seconds that a validity begins before issuance: a concentrator's clock may be that much behind. */
export const backdateSeconds = 300

export const daySeconds = 86_400
