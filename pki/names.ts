import { isIP } from 'node:net'
import {
  contextPrimitive,
  DerReader,
  decodeOid,
  decodeText,
  encode,
  oid,
  only,
  sequence,
  setOf,
  tag,
  text,
} from './der.ts'
import { PkiError } from './errors.ts'

const commonName = oid('2.5.4.3')
const organizationName = oid('2.5.4.10')

/**
 * A Name of one RDN per attribute: organisation where given, then common name, both UTF8String.
 * @throws PkiError `REQUEST_NAMES` for a part that is empty, over 64 characters or has control characters
 * @see RFC 5280, 4.1.2.4 and appendix A.1 (ub-common-name)
 */
export function encodeName(name: { common: string; organisation?: string }): Uint8Array {
  const organisation = name.organisation === undefined ? [] : [rdn(organizationName, name.organisation)]
  return sequence(...organisation, rdn(commonName, name.common))
}

function rdn(type: Uint8Array, value: string): Uint8Array {
  if (!/^[^\p{Cc}]{1,64}$/u.test(value))
    throw new PkiError('REQUEST_NAMES', 'a name part is 1 to 64 characters, none of control')
  return setOf([sequence(type, text(tag.utf8String, value))])
}

/** One attribute of a Name: its type in dotted numbers, and its text. */
export interface NameAttribute {
  type: string
  value: string
}

/** RDNs in one Name, the most that are read. */
export const rdnsMax = 16

/**
 * The attributes of each RDN of a DER Name, all of them text as UTF8String, PrintableString or IA5String.
 * @throws PkiError `DER_MALFORMED`
 * @see RFC 5280, 4.1.2.4
 */
export function nameOf(name: Uint8Array): NameAttribute[][] {
  const list = new DerReader(only(name, tag.sequence).content)
  const rdns: NameAttribute[][] = []
  while (!list.done) {
    if (rdns.length === rdnsMax) throw new PkiError('DER_MALFORMED', `a name of over ${rdnsMax} RDNs`)
    rdns.push(rdnOf(list.enter(tag.set)))
  }
  return rdns
}

function rdnOf(members: DerReader): NameAttribute[] {
  const attributes: NameAttribute[] = []
  do {
    const fields = members.enter(tag.sequence)
    attributes.push({ type: decodeOid(fields.take(tag.oid)), value: decodeText(fields.next()) })
    fields.end()
  } while (!members.done)
  return attributes
}

/** Names by which a host is reached. */
export interface HostNames {
  dns: readonly string[]
  ip: readonly string[]
}

/** Names in one certificate, the most. */
export const hostNamesMax = 64

const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const dnsPattern = new RegExp(`^(?=.{1,253}$)${label}(\\.${label})*$`)

/**
 * GeneralNames of DNS names and addresses, in the caller's order; no wildcards.
 * @throws PkiError `REQUEST_NAMES`
 * @see RFC 5280, 4.2.1.6
 */
export function encodeHostNames({ dns, ip }: HostNames): Uint8Array {
  const count = dns.length + ip.length
  if (count < 1 || count > hostNamesMax)
    throw new PkiError('REQUEST_NAMES', `${count} host names, 1 to ${hostNamesMax} are allowed`)
  const bad = dns.find((name) => !dnsPattern.test(name) || isIP(name) !== 0)
  if (bad !== undefined) throw new PkiError('REQUEST_NAMES', `'${bad}' is no DNS name`)
  return sequence(
    ...dns.map((name) => text(contextPrimitive(2), name)),
    ...ip.map((address) => encode(contextPrimitive(7), addressOctets(address))),
  )
}

/** GeneralNames of one URI. */
export function encodeUri(uri: string): Uint8Array {
  return sequence(text(contextPrimitive(6), uri))
}

/** Four or sixteen octets. @throws PkiError `REQUEST_NAMES` */
export function addressOctets(address: string): Uint8Array {
  if (isIP(address) === 4) return Uint8Array.from(address.split('.').map(Number))
  if (isIP(address) !== 6 || address.includes('%')) throw new PkiError('REQUEST_NAMES', `'${address}' is no IP address`)
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1) // hex groups only, one `::` at most
  const [head, tail] = canonical.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = tail === undefined ? [] : new Array<string>(8 - head!.length - tail.length).fill('0')
  return Buffer.from([...head!, ...zeros, ...(tail ?? [])].map((group) => group.padStart(4, '0')).join(''), 'hex')
}
