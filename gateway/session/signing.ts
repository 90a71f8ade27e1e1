import { type KeyObject, sign, verify } from 'node:crypto'
import type { ProtectionHeader } from '../codec/general-ciphering.ts'
import { type GeneralSigning, signedOctets } from '../codec/general-signing.ts'
import { PeerError } from '../errors.ts'
import { type SystemTitle, systemTitle } from '../model.ts'
import { curveOf, type Suite } from './suite.ts'
import { nextTransaction } from './transaction.ts'

/** What is known of who signs. */
export interface Signer {
  systemTitle: SystemTitle
  /** its public key for signatures, on the suite's curve */
  publicKey: KeyObject
  suite: Suite
  /** our own name, where it is addressed */
  own: SystemTitle
  /** the highest transaction identifier whose signature held, as a number; -1 before the first */
  lastTransaction: bigint
}

export interface Unsigned {
  /** the APDU inside */
  content: Uint8Array
  /** to store before the content takes effect */
  transaction: bigint
}

/**
 * r and s behind each other, as DLMS sends them.
 * @throws RangeError for a key that is not on the suite's curve, PeerError `SECURITY_SUITE` for suite 0
 * @see Green Book, ECDSA
 */
export function signOctets(octets: Uint8Array, privateKey: KeyObject, suite: Suite): Uint8Array {
  const { name, hash } = curveOf(suite)
  if (privateKey.asymmetricKeyDetails?.namedCurve !== name) throw new RangeError(`a signing key on ${name}`)
  return sign(hash, octets, { key: privateKey, dsaEncoding: 'ieee-p1363' })
}

/** @throws PeerError `SECURITY_SUITE`, `KEY_MISSING` for a key that is not on the suite's curve, `SIGNATURE_INVALID` */
export function checkSignature(
  octets: Uint8Array,
  signature: Uint8Array,
  { publicKey, suite }: { publicKey: KeyObject | undefined; suite: Suite },
): void {
  const { name, hash, octets: width } = curveOf(suite)
  if (publicKey?.asymmetricKeyDetails?.namedCurve !== name) {
    throw new PeerError('KEY_MISSING', `no key for signatures on ${name}`)
  }
  const isLong = signature.length === 2 * width
  if (!isLong || !verify(hash, octets, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) {
    throw new PeerError('SIGNATURE_INVALID', 'the signature does not hold')
  }
}

/** @param unsigned header and content @see IEC 62056-5-3, general-signing */
export function signApdu(
  {
    transactionId,
    originator,
    recipient,
    dateTime,
    otherInformation,
    content,
  }: ProtectionHeader & { content: Uint8Array },
  privateKey: KeyObject,
  suite: Suite,
): GeneralSigning {
  const unsigned = { transactionId, originator, recipient, dateTime, otherInformation, content }
  const signature = signOctets(signedOctets(unsigned), privateKey, suite)
  return { apdu: 'general-signing', ...unsigned, signature }
}

/**
 * Checks title, signature and then the transaction identifier, which must rise: nothing else tells a repeat. Changes
 * nothing.
 * @throws PeerError `SYSTEM_TITLE_FOREIGN`, `SECURITY_SUITE`, `KEY_MISSING`, `SIGNATURE_INVALID`, `COUNTER_REPLAYED`
 */
export function unsign(apdu: GeneralSigning, signer: Signer): Unsigned {
  checkName(apdu.originator, signer.systemTitle)
  checkName(apdu.recipient, signer.own)
  checkSignature(signedOctets(apdu), apdu.signature, signer)
  return { content: apdu.content, transaction: nextTransaction(apdu.transactionId, signer.lastTransaction) }
}

function checkName(title: Uint8Array, expected: SystemTitle): void {
  if (title.length !== 8 || systemTitle(title) !== expected) {
    throw new PeerError('SYSTEM_TITLE_FOREIGN', `not the system title ${expected}`)
  }
}
