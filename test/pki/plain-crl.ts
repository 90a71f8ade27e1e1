import { type Certificate, extensionOid } from '#pki/certificate.ts'
import {
  bitString,
  context,
  contextPrimitive,
  encode,
  integer,
  octetString,
  oid,
  sequence,
  tag,
  time,
} from '#pki/der.ts'
import { type Revocation, revocationReasons } from '#pki/revoke.ts'
import { algorithmOf } from '#pki/unsigned.ts'

export interface CrlTemplate {
  issuer: Certificate
  /** grows from one CRL of this issuer to the next */
  number: bigint
  /** seconds since 1970 */
  thisUpdate: number
  nextUpdate: number
  /** each one already encoded by `encodeRevocation` */
  entries: readonly Uint8Array[]
}

/** One entry; "unspecified" is said by leaving the reason out. @see RFC 5280, 5.1.2.6 and 5.3.1 */
export function encodeRevocation({ serial, at, reason }: Revocation): Uint8Array {
  const code = revocationReasons[reason]
  const value = octetString(encode(tag.enumerated, Uint8Array.of(code)))
  const extensions = code === 0 ? [] : [sequence(sequence(oid(extensionOid.crlReason), value))]
  return sequence(integer(Buffer.from(serial, 'hex')), time(at), ...extensions)
}

/**
 * A signed CRL, one entry after the other as the RFC has it: what the writer of the product, which is quick, is held to.
 * @returns DER
 * @see RFC 5280, 5.1
 */
export async function issueCrl(
  template: CrlTemplate,
  sign: (octets: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { issuer, number, thisUpdate, nextUpdate, entries } = template
  const { signature } = algorithmOf(issuer.publicKey)
  const keyId = Buffer.from(issuer.subjectKeyId ?? '', 'hex')
  const numberOctets = Buffer.from(number.toString(16).padStart(40, '0'), 'hex')
  const tbs = sequence(
    integer(1), // version 2
    signature,
    issuer.subject,
    time(thisUpdate),
    time(nextUpdate),
    ...(entries.length === 0 ? [] : [sequence(Buffer.concat(entries))]),
    encode(
      context(0),
      sequence(
        sequence(oid(extensionOid.authorityKeyId), octetString(sequence(encode(contextPrimitive(0), keyId)))),
        sequence(oid(extensionOid.crlNumber), octetString(integer(numberOctets))),
      ),
    ),
  )
  return sequence(tbs, signature, bitString(await sign(tbs)))
}
