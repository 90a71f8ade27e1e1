import { type KeyObject, sign } from 'node:crypto'
import { bitString, context, DerReader, encode, only, sequence, tag } from '#pki/der.ts'

/** DER of every field of a certificate, in their order; an empty one is left out. */
export interface CertificateAnatomy {
  version: Uint8Array
  serial: Uint8Array
  inner: Uint8Array
  issuer: Uint8Array
  notBefore: Uint8Array
  notAfter: Uint8Array
  subject: Uint8Array
  key: Uint8Array
  /** issuer and subject unique identifiers */
  unique: Uint8Array
  /** each a whole Extension; none: the field is left out */
  extensions: Uint8Array[]
  outer: Uint8Array
  /** DER of the signature's BIT STRING, in place of a right one */
  signature?: Uint8Array
  /** behind the signature */
  rest?: Uint8Array
}

/** DER of every field of a CRL, in their order; an empty one is left out. */
export interface CrlAnatomy {
  version: Uint8Array
  inner: Uint8Array
  issuer: Uint8Array
  thisUpdate: Uint8Array
  nextUpdate: Uint8Array
  /** each a whole entry; none: the list is left out */
  entries: Uint8Array[]
  extensions: Uint8Array[]
  outer: Uint8Array
  signature?: Uint8Array
  rest?: Uint8Array
}

const nothing = new Uint8Array()

function tbsOf(der: Uint8Array): { tbs: DerReader; outer: Uint8Array } {
  const whole = new DerReader(only(der, tag.sequence).content)
  return { tbs: whole.enter(tag.sequence), outer: whole.next().octets }
}

function elements(octets: Uint8Array): Uint8Array[] {
  const reader = new DerReader(octets)
  const all: Uint8Array[] = []
  while (!reader.done) all.push(reader.next().octets)
  return all
}

/** The extensions within `[n] EXPLICIT SEQUENCE OF Extension`. */
function extensionsWithin(octets: Uint8Array): Uint8Array[] {
  return elements(only(octets, tag.sequence).content)
}

export function dissect(der: Uint8Array): CertificateAnatomy {
  const { tbs, outer } = tbsOf(der)
  const [version, serial, inner, issuer] = [tbs.next(), tbs.next(), tbs.next(), tbs.next()].map(({ octets }) => octets)
  const validity = tbs.enter(tag.sequence)
  const [notBefore, notAfter] = [validity.next().octets, validity.next().octets]
  const [subject, key] = [tbs.next().octets, tbs.next().octets]
  const extensions = extensionsWithin(tbs.next().content)
  return {
    ...{ version: version!, serial: serial!, inner: inner!, issuer: issuer! },
    ...{ notBefore, notAfter, subject, key, unique: nothing, extensions, outer },
  }
}

/** Signed by whoever has the key, with ECDSA and SHA-256 whatever the algorithm fields say. */
export function assemble(anatomy: CertificateAnatomy, signer: KeyObject): Uint8Array {
  const { version, serial, inner, issuer, notBefore, notAfter, subject, key, unique, extensions } = anatomy
  const validity = sequence(notBefore, notAfter)
  const list = extensions.length === 0 ? nothing : encode(context(3), sequence(...extensions))
  return signed(sequence(version, serial, inner, issuer, validity, subject, key, unique, list), anatomy, signer)
}

export function dissectCrl(der: Uint8Array): CrlAnatomy {
  const { tbs, outer } = tbsOf(der)
  const [version, inner, issuer, thisUpdate, nextUpdate] = Array.from({ length: 5 }, () => tbs.next().octets)
  const entries = tbs.peek() === tag.sequence ? elements(tbs.next().content) : []
  const extensions = extensionsWithin(tbs.next().content)
  const times = { thisUpdate: thisUpdate!, nextUpdate: nextUpdate! }
  return { version: version!, inner: inner!, issuer: issuer!, ...times, entries, extensions, outer }
}

export function assembleCrl(anatomy: CrlAnatomy, signer: KeyObject): Uint8Array {
  const { version, inner, issuer, thisUpdate, nextUpdate, entries, extensions } = anatomy
  const list = entries.length === 0 ? nothing : sequence(...entries)
  const more = extensions.length === 0 ? nothing : encode(context(0), sequence(...extensions))
  return signed(sequence(version, inner, issuer, thisUpdate, nextUpdate, list, more), anatomy, signer)
}

function signed(
  tbs: Uint8Array,
  anatomy: { outer: Uint8Array; signature?: Uint8Array; rest?: Uint8Array },
  signer: KeyObject,
): Uint8Array {
  const signature = anatomy.signature ?? bitString(sign('sha256', tbs, signer))
  return sequence(tbs, anatomy.outer, signature, anatomy.rest ?? nothing)
}

/** DER of an Extension's type, criticality and value's octets. */
export interface ExtensionParts {
  type: Uint8Array
  /** DER of the BOOLEAN, or nothing */
  critical: Uint8Array
  /** what the OCTET STRING holds */
  value: Uint8Array
}

export function extensionParts(extension: Uint8Array): ExtensionParts {
  const [type, ...rest] = elements(only(extension, tag.sequence).content)
  const critical = rest.length === 2 ? rest[0]! : nothing
  return { type: type!, critical, value: only(rest.at(-1)!, tag.octetString).content }
}

export function extensionOf({ type, critical, value }: ExtensionParts): Uint8Array {
  return sequence(type, critical, encode(tag.octetString, value))
}
