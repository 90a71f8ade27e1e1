import { type Certificate, extensionOid } from './certificate.ts'
import {
  bitString,
  boolean,
  context,
  contextPrimitive,
  encode,
  integer,
  octetString,
  oid,
  sequence,
  tag,
  time,
} from './der.ts'
import {
  encodeIssuingDistributionPoint,
  type IssuingDistributionPoint,
  issuingDistributionPointOid,
} from './distribution-point.ts'
import { PkiError } from './errors.ts'
import { type Revocation, revocationReasons } from './revoke.ts'
import { algorithmOf } from './unsigned.ts'

/** Everything in a CRL but its entries. */
export interface CrlHead {
  issuer: Certificate
  /** grows from one CRL of this issuer and this scope to the next */
  number: bigint
  /** seconds since 1970 */
  thisUpdate: number
  nextUpdate: number
  /** of a shard; without: the CRL covers everything of its issuer's */
  distributionPoint?: IssuingDistributionPoint
}

/** Octets of the longest TLV header that is written. */
const headerMax = 6
/** Octets for the algorithm and the signature, the most: ML-DSA-65 signs in 3,309. @see FIPS 204, table 2 */
const signatureMax = 3_400
const daySeconds = 86_400

/** Entry extensions with a reason, but for the reason itself. @see RFC 5280, 5.3.1 */
const reasonPrefix = Buffer.from('300c300a0603551d1504030a01', 'hex')

/**
 * A signed CRL, written once into one buffer: a million entries cost their 35 MB and no object each.
 * @param revocations gone through twice, and the same both times; an empty list is left out, as it must be
 * @returns DER
 * @throws PkiError `CRL_MALFORMED` for a serial that is not upper-case hex of 1 to 20 octets; `REQUEST_KEY` for an issuer whose
 *   key is of no kind that is known
 * @see RFC 5280, 5.1
 */
export async function encodeCrl(
  head: CrlHead,
  revocations: Iterable<Revocation>,
  sign: (octets: Uint8Array) => Promise<Uint8Array> | Uint8Array,
): Promise<Uint8Array> {
  let length = 0
  for (const one of revocations) length += entryOctets(one)
  const before = encodeBefore(head)
  const list = length === 0 ? Buffer.of() : header(tag.sequence, length)
  const after = encodeAfter(head)
  const inner = before.length + list.length + length + after.length
  const tbsHeader = header(tag.sequence, inner)
  const tbsLength = tbsHeader.length + inner
  const octets = Buffer.allocUnsafe(headerMax + tbsLength + signatureMax)
  let at = place(octets, headerMax, tbsHeader, before, list)
  for (const one of revocations) at = writeEntry(octets, at, one)
  at = place(octets, at, after)
  if (at !== headerMax + tbsLength) throw new Error('the revocations changed while they were written')
  const { signature } = algorithmOf(head.issuer.publicKey)
  at = place(octets, at, signature, bitString(await sign(octets.subarray(headerMax, at))))
  const outer = header(tag.sequence, at - headerMax)
  const start = headerMax - outer.length
  place(octets, start, outer)
  return octets.subarray(start, at)
}

function encodeBefore({ issuer, thisUpdate, nextUpdate }: CrlHead): Uint8Array {
  const { signature } = algorithmOf(issuer.publicKey)
  return Buffer.concat([integer(1), signature, issuer.subject, time(thisUpdate), time(nextUpdate)]) // version 2
}

function encodeAfter({ issuer, number, distributionPoint }: CrlHead): Uint8Array {
  const keyId = Buffer.from(issuer.subjectKeyId ?? '', 'hex')
  const numberOctets = Buffer.from(number.toString(16).padStart(40, '0'), 'hex')
  const extensions = [
    sequence(oid(extensionOid.authorityKeyId), octetString(sequence(encode(contextPrimitive(0), keyId)))),
    sequence(oid(extensionOid.crlNumber), octetString(integer(numberOctets))),
  ]
  if (distributionPoint !== undefined) {
    const value = octetString(encodeIssuingDistributionPoint(distributionPoint))
    extensions.push(sequence(oid(issuingDistributionPointOid), boolean(true), value))
  }
  return encode(context(0), sequence(...extensions))
}

/** The identifier and length octets alone. */
function header(identifier: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(identifier, length)
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Uint8Array.of(identifier, 0x80 | octets.length, ...octets)
}

function place(octets: Buffer, at: number, ...parts: readonly Uint8Array[]): number {
  let next = at
  for (const part of parts) {
    octets.set(part, next)
    next += part.length
  }
  return next
}

/** Octets of the serial's INTEGER content: the top bit set asks for a zero before it. */
function serialOctets(serial: string): number {
  return serial.length / 2 + (serial.charCodeAt(0) >= 0x38 ? 1 : 0) // '8'
}

function contentOctets({ serial, at, reason }: Revocation): number {
  return 2 + serialOctets(serial) + dayTime(at).length + (reason === 'unspecified' ? 0 : reasonPrefix.length + 1)
}

/** Always below 128 within, so that its header is two octets. */
function entryOctets(one: Revocation): number {
  if (!/^([1-9A-F][0-9A-F]|0[1-9A-F])([0-9A-F]{2}){0,19}$/.test(one.serial)) {
    throw new PkiError('CRL_MALFORMED', `'${one.serial}' is no serial number`)
  }
  return 2 + contentOctets(one)
}

/** "unspecified" is said by leaving the reason out. @see RFC 5280, 5.1.2.6 and 5.3.1 */
function writeEntry(octets: Buffer, start: number, one: Revocation): number {
  octets[start] = tag.sequence
  octets[start + 1] = contentOctets(one)
  octets[start + 2] = tag.integer
  const length = serialOctets(one.serial)
  octets[start + 3] = length
  octets[start + 4] = 0 // written over where no sign octet is needed
  let at = start + 4 + length
  octets.write(one.serial, at - one.serial.length / 2, 'hex')
  at = writeTime(octets, at, one.at)
  if (one.reason === 'unspecified') return at
  at = place(octets, at, reasonPrefix)
  octets[at] = revocationReasons[one.reason]
  return at + 1
}

/** The TLV of a day's first second: a list has few days and many entries. */
const days = new Map<number, Uint8Array>()
const daysMax = 4_096

function dayTime(seconds: number): Uint8Array {
  const day = Math.floor(seconds / daySeconds)
  const known = days.get(day)
  if (known !== undefined) return known
  if (days.size === daysMax) days.clear()
  const made = time(day * daySeconds)
  days.set(day, made)
  return made
}

function writeTime(octets: Buffer, start: number, seconds: number): number {
  const day = dayTime(seconds)
  const end = place(octets, start, day)
  const second = Math.floor(seconds) % daySeconds
  writeTwo(octets, end - 7, Math.floor(second / 3_600)) // before the Z: hours, minutes, seconds
  writeTwo(octets, end - 5, Math.floor(second / 60) % 60)
  writeTwo(octets, end - 3, second % 60)
  return end
}

function writeTwo(octets: Buffer, at: number, value: number): void {
  octets[at] = 0x30 + Math.floor(value / 10)
  octets[at + 1] = 0x30 + (value % 10)
}
