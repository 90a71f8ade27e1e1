import {
  boolean,
  context,
  contextPrimitive,
  DerReader,
  decodeAscii,
  decodeBoolean,
  type Element,
  encode,
  only,
  sequence,
  tag,
  text,
} from './der.ts'
import { PkiError } from './errors.ts'
import { nameForm } from './name-constraints.ts'
import { nameOf } from './names.ts'

/** Extension of a CRL that covers some of its issuer's certificates only; critical. @see RFC 5280, 5.2.5 */
export const issuingDistributionPointOid = '2.5.29.28'

/** Distribution points in one certificate, and names in one of them, the most. */
export const distributionPointsMax = 8

export interface IssuingDistributionPoint {
  /** where the CRL is published: it covers the certificates that name one of these */
  uris: string[]
  /** it covers no CA's certificate */
  onlyUser: boolean
}

/** DistributionPointName: a full name of URIs. */
function encodePoint(uris: readonly string[]): Uint8Array {
  return encode(context(0), encode(context(0), ...uris.map((uri) => text(contextPrimitive(6), uri))))
}

/** CRLDistributionPoints of one point, for a certificate. @see RFC 5280, 4.2.1.13 */
export function encodeDistributionPoints(uri: string): Uint8Array {
  return sequence(sequence(encodePoint([uri])))
}

/**
 * The URIs of a certificate's distribution points. Points of other names, for some reasons only or of another CRL issuer are
 * passed over: what they offer is not taken here.
 * @throws PkiError `DER_MALFORMED`
 */
export function decodeDistributionPoints(value: Uint8Array): string[] {
  const list = new DerReader(only(value, tag.sequence).content)
  const uris: string[] = []
  for (let count = 0; count === 0 || !list.done; count += 1) {
    if (count === distributionPointsMax) throw new PkiError('DER_MALFORMED', `over ${distributionPointsMax} points`)
    const fields = list.enter(tag.sequence)
    const name = fields.optional(context(0))
    const plain = fields.done
    checkReasons(fields.optional(contextPrimitive(1)))
    const issuer = fields.optional(context(2))
    if (issuer !== undefined) urisOf(issuer.content)
    fields.end()
    if (plain && name !== undefined) uris.push(...decodePoint(name.content))
  }
  return uris
}

function checkReasons(element: Element | undefined): void {
  const [unused] = element?.content ?? [0]
  if (unused === undefined || unused > 7) throw new PkiError('DER_MALFORMED', 'reasons that are no bit string')
}

/** URIs of a full name; none of a name of another kind. */
function decodePoint(octets: Uint8Array): string[] {
  const choice = new DerReader(octets)
  const name = choice.next()
  choice.end()
  if (name.tag === context(0)) return urisOf(name.content)
  if (name.tag !== context(1)) throw new PkiError('DER_MALFORMED', 'neither a full name nor a relative one')
  nameOf(sequence(encode(tag.set, name.content)))
  return []
}

/** GeneralNames, read whole and of the usual forms, the URIs among them kept. @see RFC 5280, 4.2.1.6 */
function urisOf(octets: Uint8Array): string[] {
  const names = new DerReader(octets)
  const uris: string[] = []
  for (let count = 0; count === 0 || !names.done; count += 1) {
    if (count === distributionPointsMax) throw new PkiError('DER_MALFORMED', `over ${distributionPointsMax} names`)
    const one = names.next()
    if (one.tag === nameForm.uri) uris.push(decodeAscii(one))
    else if (one.tag === nameForm.directory) nameOf(one.content)
    else if (one.tag === nameForm.dns || one.tag === nameForm.email) decodeAscii(one)
    else throw new PkiError('DER_MALFORMED', 'a place that is of no usual form')
  }
  return uris
}

export function encodeIssuingDistributionPoint({ uris, onlyUser }: IssuingDistributionPoint): Uint8Array {
  const flag = onlyUser ? [encode(contextPrimitive(1), only(boolean(true), tag.boolean).content)] : []
  return sequence(encodePoint(uris), ...flag)
}

/**
 * @returns `undefined` when it says something else than where it is published and that it covers no CA: a list of CAs alone,
 *   of some reasons, an indirect one. Such a list must not be taken for a whole one
 * @throws PkiError `DER_MALFORMED`
 */
export function decodeIssuingDistributionPoint(value: Uint8Array): IssuingDistributionPoint | undefined {
  const fields = new DerReader(only(value, tag.sequence).content)
  const name = fields.optional(context(0))
  const flag = fields.optional(contextPrimitive(1))
  const onlyUser = flag !== undefined && decodeBoolean(flag)
  if (flag !== undefined && !onlyUser) throw new PkiError('DER_MALFORMED', 'FALSE is the default and not written')
  const uris = name === undefined ? [] : decodePoint(name.content)
  return fields.done && uris.length > 0 ? { uris, onlyUser } : undefined
}
