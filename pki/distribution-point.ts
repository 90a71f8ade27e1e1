import {
  boolean,
  context,
  contextPrimitive,
  DerReader,
  decodeAscii,
  decodeBoolean,
  encode,
  only,
  sequence,
  tag,
  text,
} from './der.ts'
import { PkiError } from './errors.ts'

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
    fields.optional(contextPrimitive(1)) // reasons
    fields.optional(context(2)) // CRL issuer
    fields.end()
    if (plain && name !== undefined) uris.push(...decodePoint(name.content))
  }
  return uris
}

/** URIs of a full name; none of a name of another kind. */
function decodePoint(octets: Uint8Array): string[] {
  const choice = new DerReader(octets)
  const name = choice.next()
  choice.end()
  if (name.tag !== context(0)) return []
  const names = new DerReader(name.content)
  const uris: string[] = []
  for (let count = 0; count === 0 || !names.done; count += 1) {
    if (count === distributionPointsMax) throw new PkiError('DER_MALFORMED', `over ${distributionPointsMax} names`)
    const one = names.next()
    if (one.tag === contextPrimitive(6)) uris.push(decodeAscii(one))
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
