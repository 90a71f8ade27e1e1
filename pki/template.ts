import { context, encode, integer, sequence, tag, time } from './der.ts'
import {
  alternativeNames,
  authorityKeyId,
  constraintsExtension,
  encodeExtension,
  profileExtensions,
  publicationExtensions,
  subjectKeyId,
} from './extensions.ts'
import type { Profile } from './profiles.ts'
import { type Issuer, keyIdOf, type Template, type Unsigned, validityOf } from './unsigned.ts'

/** Writes a certificate to be signed. @throws PkiError `REQUEST_NAMES`, `REQUEST_VALIDITY` */
export type Prepare = (template: Template, issuer: Issuer, serial: Uint8Array) => Unsigned

/** What every certificate of one profile from one issuer has in common, in DER. */
interface Fixed {
  version: Uint8Array
  /** signature algorithm and issuer */
  origin: Uint8Array
  authorityKeyId: Uint8Array
  extensions: Uint8Array
}

/**
 * A quick writer: what certificates of one profile and one issuer share is encoded once. It gives the octets that `prepare`
 * gives, which a property over all profiles checks.
 */
export function templateWriter(): Prepare {
  const known = new WeakMap<Issuer, Map<Profile, Fixed>>()
  return (template, issuer, serial) => {
    const fixed = fixedOf(known, template.profile, issuer)
    return { tbs: write(template, fixed, serial), signature: issuer.algorithm.signature }
  }
}

function fixedOf(known: WeakMap<Issuer, Map<Profile, Fixed>>, profile: Profile, issuer: Issuer): Fixed {
  const profiles = known.get(issuer) ?? new Map<Profile, Fixed>()
  const fixed = profiles.get(profile) ?? compile(profile, issuer)
  profiles.set(profile, fixed)
  known.set(issuer, profiles)
  return fixed
}

function compile(profile: Profile, { name, keyId, algorithm }: Issuer): Fixed {
  return {
    version: encode(context(0), integer(2)), // counted from 0: version 3
    origin: Buffer.concat([algorithm.signature, name]),
    authorityKeyId: encodeExtension(authorityKeyId(keyId)),
    extensions: Buffer.concat(profileExtensions(profile).map(encodeExtension)),
  }
}

function write(template: Template, fixed: Fixed, serial: Uint8Array): Uint8Array {
  const { profile, subject, publicKey, id, hosts, constraints, publication } = template
  const { notBefore, notAfter } = validityOf(template)
  const own = [
    ...(constraints === undefined ? [] : [constraintsExtension(constraints)]),
    ...alternativeNames(profile, id, hosts),
    ...(publication === undefined ? [] : publicationExtensions(publication)),
  ]
  const extensions = sequence(
    fixed.authorityKeyId,
    encodeExtension(subjectKeyId(keyIdOf(publicKey))),
    fixed.extensions,
    ...own.map(encodeExtension),
  )
  return sequence(
    fixed.version,
    encode(tag.integer, serial),
    fixed.origin,
    sequence(time(notBefore), time(notAfter)),
    subject,
    publicKey,
    encode(context(3), extensions),
  )
}
