import { isIP } from 'node:net'
import { context, DerReader, decodeAscii, type Element, encode, only, sequence, tag } from './der.ts'
import { PkiError } from './errors.ts'
import { addressOctets, type NameAttribute, nameOf, rdnsOf } from './names.ts'
import { equalOctets } from './signature.ts'

/** One GeneralName that a subtree begins at: its identifier octet and its content. */
export interface Subtree {
  form: number
  base: Uint8Array
}

export interface NameConstraints {
  permitted: Subtree[]
  excluded: Subtree[]
}

/** Identifier octets of the name forms that constraints may speak of. @see RFC 5280, 4.2.1.6 */
export const nameForm = { email: 0x81, dns: 0x82, directory: 0xa4, uri: 0x86, ip: 0x87 } as const

/** Subtrees in one certificate, the most that are read. */
export const subtreesMax = 64

/** Names that a certificate claims, for constraints to be laid on. */
export interface ConstrainedNames {
  /** DER of the subject */
  subject: Uint8Array
  dns: readonly string[]
  ip: readonly Uint8Array[]
  uri: readonly string[]
  email: readonly string[]
  /** DER of Names in the alternative names */
  directory: readonly Uint8Array[]
  /** no CA: its common name may be taken for a host's */
  leaf: boolean
}

export function encodeNameConstraints({ permitted, excluded }: NameConstraints): Uint8Array {
  const list = (number: number, subtrees: readonly Subtree[]): Uint8Array[] =>
    subtrees.length === 0
      ? []
      : [encode(context(number), ...subtrees.map(({ form, base }) => sequence(encode(form, base))))]
  return sequence(...list(0, permitted), ...list(1, excluded))
}

/**
 * Reads name constraints whose minimum is 0 and whose maximum is absent, as RFC 5280 demands of them.
 * @throws PkiError `DER_MALFORMED`, also for an empty list and for a name form that is not known here
 * @see RFC 5280, 4.2.1.10
 */
export function decodeNameConstraints(value: Uint8Array): NameConstraints {
  const fields = new DerReader(only(value, tag.sequence).content)
  const permitted = decodeSubtrees(fields.optional(context(0)))
  const excluded = decodeSubtrees(fields.optional(context(1)))
  fields.end()
  if (permitted.length + excluded.length === 0) throw new PkiError('DER_MALFORMED', 'name constraints that say nothing')
  if (permitted.length + excluded.length > subtreesMax) {
    throw new PkiError('DER_MALFORMED', `over ${subtreesMax} subtrees`)
  }
  return { permitted, excluded }
}

function decodeSubtrees(element: Element | undefined): Subtree[] {
  if (element === undefined) return []
  const list = new DerReader(element.content)
  const subtrees: Subtree[] = []
  do {
    const fields = list.enter(tag.sequence)
    const { tag: form, content: base } = fields.next()
    fields.end() // a minimum or maximum
    checkBase({ form, base })
    subtrees.push({ form, base })
  } while (!list.done)
  return subtrees
}

function checkBase({ form, base }: Subtree): void {
  if (form === nameForm.directory) nameOf(base)
  else if (form === nameForm.ip) {
    if (base.length !== 8 && base.length !== 32) throw new PkiError('DER_MALFORMED', 'an address range of odd length')
  } else if (form === nameForm.dns || form === nameForm.email || form === nameForm.uri) {
    decodeAscii({ tag: form, content: base, octets: base })
  } else throw new PkiError('DER_MALFORMED', 'a constraint on a name form that is not known')
}

const emailAddressOid = '1.2.840.113549.1.9.1'
const commonNameOid = '2.5.4.3'

interface Claimed {
  form: number
  value: Uint8Array
}

/** Every name of a certificate, the e-mail addresses in its subject and a common name like a host's among them. */
function claimedBy({ subject, dns, ip, uri, email, directory, leaf }: ConstrainedNames): Claimed[] {
  const attributes = nameOf(subject).flat()
  const ofType = (wanted: string): string[] => attributes.filter(({ type }) => type === wanted).map((one) => one.value)
  const hosts = leaf && dns.length === 0 ? ofType(commonNameOid).filter(looksLikeHost) : []
  const text = (form: number, values: readonly string[]): Claimed[] =>
    values.map((value) => ({ form, value: Buffer.from(value, 'utf8') }))
  const names = [...(subject.length === 2 ? [] : [subject]), ...directory]
  return [
    ...names.map((value) => ({ form: nameForm.directory, value })),
    ...text(nameForm.email, [...email, ...ofType(emailAddressOid)]),
    ...text(nameForm.dns, [...dns, ...hosts]),
    ...text(nameForm.uri, uri),
    ...ip.map((value) => ({ form: nameForm.ip, value })),
  ]
}

/**
 * Might a TLS client take this common name for a host's? OpenSSL lays DNS constraints on such a one where the alternative
 * names hold no DNS name, and so do we.
 */
export function looksLikeHost(common: string): boolean {
  return common.includes('.') && /^[A-Za-z0-9._-]+$/.test(common)
}

/**
 * Why these names are not within a CA's constraints: which one lies in an excluded subtree, or in no permitted one of its
 * form. A name that cannot be compared where its form is constrained is outside.
 * @throws PkiError `DER_MALFORMED` for a subject that is no Name
 * @see RFC 5280, 6.1.3 (b), (c) and 4.2.1.10
 */
export function constraintFault({ permitted, excluded }: NameConstraints, names: ConstrainedNames): string | undefined {
  for (const claimed of claimedBy(names)) {
    const own = ({ form }: Subtree): boolean => form === claimed.form
    const [allowed, barred] = [permitted.filter(own), excluded.filter(own)]
    if (allowed.length + barred.length === 0) continue
    const shown = claimed.form === nameForm.directory ? 'a directory name' : `'${Buffer.from(claimed.value)}'`
    if (!comparable(claimed)) return `${shown} cannot be compared with a constraint`
    if (barred.some((subtree) => within(claimed, subtree, 'excluded'))) return `${shown} is excluded`
    if (allowed.length > 0 && !allowed.some((subtree) => within(claimed, subtree, 'permitted')))
      return `${shown} is not permitted`
  }
  return undefined
}

function comparable({ form, value }: Claimed): boolean {
  if (form === nameForm.uri) return hostOf(text(value)) !== undefined
  if (form === nameForm.email) return mailboxOf(text(value)) !== undefined
  return form !== nameForm.ip || value.length === 4 || value.length === 16
}

function text(octets: Uint8Array): string {
  return Buffer.from(octets).toString('utf8').toLowerCase()
}

function within({ form, value }: Claimed, { base }: Subtree, list: 'permitted' | 'excluded'): boolean {
  if (form === nameForm.directory) return list === 'permitted' ? beginsWith(value, base) : beginsLike(value, base)
  if (form === nameForm.ip) return inRange(value, base)
  if (form === nameForm.dns) return dnsWithin(text(value), text(base))
  if (form === nameForm.uri) return hostWithin(hostOf(text(value))!, text(base))
  return mailWithin(value, base, list)
}

/** Octet for octet, which permits no more than a folding comparison does. */
function beginsWith(name: Uint8Array, base: Uint8Array): boolean {
  const [own, wanted] = [rdnsOf(name), rdnsOf(base)]
  return wanted.length <= own.length && wanted.every((rdn, index) => equalOctets(rdn, own[index]!))
}

/** Folded, which excludes no less than RFC 5280, 7.1, does. */
function beginsLike(name: Uint8Array, base: Uint8Array): boolean {
  const [own, wanted] = [nameOf(name).map(folded), nameOf(base).map(folded)]
  return wanted.length <= own.length && wanted.every((rdn, index) => rdn === own[index])
}

function folded(rdn: readonly NameAttribute[]): string {
  const fold = (value: string): string => value.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ')
  return JSON.stringify(rdn.map(({ type, value }) => `${type}=${fold(value)}`).toSorted())
}

/** Address and mask, four or sixteen octets each. */
function inRange(address: Uint8Array, range: Uint8Array): boolean {
  const { length } = address
  return range.length === length * 2 && address.every((octet, at) => ((octet ^ range[at]!) & range[length + at]!) === 0)
}

/** The host itself or one below it; an empty base is above all. */
function dnsWithin(name: string, base: string): boolean {
  if (base === '' || name === base) return true
  return name.endsWith(base.startsWith('.') ? base : `.${base}`)
}

/** One host, or with a dot before it those below it. */
function hostWithin(host: string, base: string): boolean {
  return base.startsWith('.') ? host.endsWith(base) && host.length > base.length : host === base
}

/** The host of a URI whose authority is a host's name, and a port perhaps: with user information programs disagree on it. */
function hostOf(uri: string): string | undefined {
  const host = /^[a-z][a-z0-9+.-]*:\/\/([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::\d*)?(?:\/|$)/.exec(uri)?.[1]
  return host === undefined || isIP(host) !== 0 ? undefined : host
}

function mailboxOf(address: string): { local: string; host: string } | undefined {
  const [, local, host] = /^([^@\s]+)@([^@\s]+)$/.exec(address) ?? []
  return local === undefined || host === undefined ? undefined : { local, host }
}

/** A mailbox, a host, or with a dot before it the hosts below it. */
function mailWithin(value: Uint8Array, base: Uint8Array, list: 'permitted' | 'excluded'): boolean {
  if (!text(base).includes('@')) return hostWithin(mailboxOf(text(value))!.host, text(base))
  return list === 'permitted' ? equalOctets(value, base) : text(value) === text(base)
}

/** A range such as `10.0.0.0/8` or `::1/128`, as a constraint has it. @throws PkiError `REQUEST_NAMES` */
export function rangeOctets(range: string): Uint8Array {
  const [address = '', prefix = ''] = range.split('/')
  const octets = addressOctets(address)
  const bits = Number(prefix)
  if (!/^\d{1,3}$/.test(prefix) || bits > octets.length * 8) {
    throw new PkiError('REQUEST_NAMES', `'${range}' is no range of addresses`)
  }
  const mask = octets.map((_, at) => 0xff & (0xff00 >> Math.min(8, Math.max(0, bits - at * 8))))
  return Buffer.concat([octets.map((octet, at) => octet & mask[at]!), mask])
}
