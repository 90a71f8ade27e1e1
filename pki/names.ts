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
const organizationalUnitName = oid('2.5.4.11')
const serialNumber = oid('2.5.4.5')

/** What a subject may say of itself, each where given. */
export interface NameParts {
  organisation?: string
  unit?: string
  /** of a device, PrintableString */
  serialNumber?: string
  common?: string
}

/**
 * A Name of one RDN per attribute: organisation, unit, serial number, common name; UTF8String but for the serial number.
 * @throws PkiError `REQUEST_NAMES` for a part that is empty, over 64 characters or has control characters
 * @see RFC 5280, 4.1.2.4 and appendix A.1 (upper bounds); X.520, 6.2.9 (serial number)
 */
export function encodeName({ organisation, unit, serialNumber: serial, common }: NameParts): Uint8Array {
  return sequence(
    ...part(organizationName, organisation),
    ...part(organizationalUnitName, unit),
    ...(serial === undefined ? [] : [setOf([sequence(serialNumber, text(tag.printableString, printable(serial)))])]),
    ...part(commonName, common),
  )
}

function part(type: Uint8Array, value: string | undefined): Uint8Array[] {
  return value === undefined ? [] : [rdn(type, value)]
}

function printable(value: string): string {
  if (/^[A-Za-z0-9 '()+,./:=?-]{1,64}$/.test(value)) return value
  throw new PkiError('REQUEST_NAMES', `'${value}' is not 1 to 64 characters of a PrintableString`)
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

/** DER of each RDN of a Name. @throws PkiError `DER_MALFORMED` */
export function rdnsOf(name: Uint8Array): Uint8Array[] {
  const list = new DerReader(only(name, tag.sequence).content)
  const rdns: Uint8Array[] = []
  while (!list.done) rdns.push(list.take(tag.set).octets)
  return rdns
}

/** The value of the first attribute of a type in a DER Name. @throws PkiError `DER_MALFORMED` */
export function attributeOf(name: Uint8Array, type: string): string | undefined {
  return nameOf(name)
    .flat()
    .find((attribute) => attribute.type === type)?.value
}

/** Attribute types by which a subject is known. */
export const attributeType = { common: '2.5.4.3', serialNumber: '2.5.4.5', unit: '2.5.4.11' } as const

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
