import type { Certificate } from './certificate.ts'
import { extensionOid } from './certificate.ts'
import { bitString, context, contextPrimitive, encode, integer, octetString, oid, sequence, tag, time } from './der.ts'
import { algorithmOf } from './unsigned.ts'

/** CRLReason values that may be given. @see RFC 5280, 5.3.1 */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const

export type RevocationReason = keyof typeof revocationReasons

export function isRevocationReason(word: string): word is RevocationReason {
  return Object.hasOwn(revocationReasons, word)
}

export interface Revocation {
  /** upper-case hex */
  serial: string
  /** seconds since 1970 */
  at: number
  reason: RevocationReason
}

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
 * A signed CRL. Written in DER here: pkijs takes a minute and gigabytes for a million entries, and an empty list must be
 * left out, where it would write an empty one.
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
