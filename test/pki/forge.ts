import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { parseCertificate } from '#pki/certificate.ts'
import { bitString, context, DerReader, encode, integer, only, sequence, tag, time } from '#pki/der.ts'
import {
  alternativeNames,
  authorityKeyId,
  constraintsExtension,
  constraintsOf,
  encodeExtension,
  type NewExtension,
  privateZones,
  profileExtensions,
  subjectKeyId,
} from '#pki/extensions.ts'
import { keyIdOf, newSerial, publicKeyOctets } from '#pki/issue.ts'
import { encodeName } from '#pki/names.ts'
import { type AuthorityProfile, authorityProfiles, type Profile, profiles } from '#pki/profiles.ts'
import { ecdsaSha256 } from '#pki/signature.ts'
import { encodeRevocation, issueCrl } from './plain-crl.ts'

/** 2026-06-01, whatever the clock says. */
export const now = 1_780_272_000
export const day = 86_400

/** Someone with a key and a name, who may issue or be issued to. */
export interface Party {
  key: KeyObject
  publicKey: Uint8Array
  name: Uint8Array
}

/** Subjects stand where the Device CA may issue. */
export function party(common: string, namedCurve = 'P-256', unit = 'Devices'): Party {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  const name = encodeName({ organisation: 'Forged', unit, common })
  return { key: privateKey, publicKey: publicKeyOctets(publicKey), name }
}

export type ForgedExtension = NewExtension

/** Every field that a forger may choose; what is left out is as the profile has it. */
export interface Forgery {
  profile: Profile | AuthorityProfile
  subject: Party
  issuer: Party
  /** the SAN's id */
  id?: string
  version?: number
  serial?: Uint8Array
  inner?: Uint8Array
  outer?: Uint8Array
  /** DER of the two times */
  validity?: [Uint8Array, Uint8Array]
  issuerName?: Uint8Array
  subjectName?: Uint8Array
  signer?: KeyObject
  extensions?: (usual: ForgedExtension[]) => ForgedExtension[]
}

/** A signed certificate, right or wrong. @returns DER */
export function forge(forgery: Forgery): Uint8Array {
  const { subject, issuer, version = 3, inner = ecdsaSha256, outer = ecdsaSha256 } = forgery
  const usual = usualExtensions(forgery)
  const extensions = forgery.extensions?.(usual) ?? usual
  const [from, to] = forgery.validity ?? [time(now - day), time(now + day)]
  const tbs = sequence(
    ...(version === 1 ? [] : [encode(context(0), integer(version - 1))]),
    encode(tag.integer, forgery.serial ?? newSerial()),
    inner,
    forgery.issuerName ?? issuer.name,
    sequence(from, to),
    forgery.subjectName ?? subject.name,
    subject.publicKey,
    ...(extensions.length === 0 ? [] : [encode(context(3), sequence(...extensions.map(encodeExtension)))]),
  )
  return sequence(tbs, outer, bitString(sign('sha256', tbs, forgery.signer ?? issuer.key)))
}

function usualExtensions({ profile, subject, issuer, id = 'c1' }: Forgery): ForgedExtension[] {
  const hosts = { dns: ['gateway.test'], ip: [] }
  return [
    authorityKeyId(keyIdOf(issuer.publicKey)),
    subjectKeyId(keyIdOf(subject.publicKey)),
    ...profileExtensions(profile),
    ...('scope' in profile && profile.scope !== undefined
      ? [constraintsExtension(constraintsOf(profile.scope, 'Forged', privateZones))]
      : []),
    ...alternativeNames(profile, id, hosts),
  ]
}

/** The usual list without one kind. */
export function without(type: string): (usual: ForgedExtension[]) => ForgedExtension[] {
  return (usual) => usual.filter((one) => one.oid !== type)
}

/** The usual list with one kind said otherwise, or said besides. */
export function replacing(
  change: Partial<ForgedExtension> & { oid: string },
): (usual: ForgedExtension[]) => ForgedExtension[] {
  return (usual) =>
    usual.some((one) => one.oid === change.oid)
      ? usual.map((one) => (one.oid === change.oid ? { ...one, ...change } : one))
      : [...usual, { critical: false, value: sequence(), ...change }]
}

/** A CRL of an issuer whose certificate is given. @returns DER */
export async function forgeCrl(
  issuerDer: Uint8Array,
  signer: KeyObject,
  options: { revoked?: Uint8Array[]; from?: number; to?: number } = {},
): Promise<Uint8Array> {
  return issueCrl(
    {
      issuer: parseCertificate(issuerDer),
      number: 1n,
      thisUpdate: options.from ?? now - day,
      nextUpdate: options.to ?? now + day,
      entries: (options.revoked ?? []).map((der) =>
        encodeRevocation({ serial: parseCertificate(der).serial, at: now - 60, reason: 'keyCompromise' }),
      ),
    },
    async (octets) => sign('sha256', octets, signer),
  )
}

export interface Cast {
  root: Party
  ca: Party
  leaf: Party
}

/** @param unit where the leaf stands: that of the CA that is to issue it */
export function cast(unit = 'Devices'): Cast {
  return { root: party('Forged Root CA'), ca: party('Forged CA'), leaf: party('c1', 'P-256', unit) }
}

export function forgeRoot({ root }: Cast, change: Partial<Forgery> = {}): Uint8Array {
  return forge({ profile: authorityProfiles.root, subject: root, issuer: root, ...change })
}

export function forgeCa({ root, ca }: Cast, change: Partial<Forgery> = {}): Uint8Array {
  return forge({ profile: authorityProfiles.device, subject: ca, issuer: root, ...change })
}

export function forgeLeaf({ ca, leaf }: Cast, change: Partial<Forgery> = {}): Uint8Array {
  return forge({ profile: profiles.concentrator, subject: leaf, issuer: ca, ...change })
}

/** The same CRL with one more extension, or without its next update, signed anew. */
export function extendCrl(crl: Uint8Array, signer: KeyObject, change: ForgedExtension | 'no next update'): Uint8Array {
  const tbs = new DerReader(only(crl, tag.sequence).content).enter(tag.sequence)
  const fields: Uint8Array[] = []
  while (tbs.peek() !== context(0)) fields.push(tbs.next().octets)
  const usual = only(tbs.next().content, tag.sequence).content
  const more = change === 'no next update' ? [] : [encodeExtension(change)]
  if (change === 'no next update') fields.splice(4, 1) // version, algorithm, issuer, this update, next update
  const changed = sequence(...fields, encode(context(0), sequence(usual, ...more)))
  return sequence(changed, ecdsaSha256, bitString(sign('sha256', changed, signer)))
}
