import { type Certificate, extensionOid, keyUsageBit } from './certificate.ts'
import { type ChainFault, type Refused, refused } from './chain-fault.ts'
import type { Crl } from './crl.ts'
import { type KeyAlgorithm, signedWith } from './key-algorithm.ts'
import { namesKeyOf } from './key-identifier.ts'
import { type ProfileName, profiles } from './profiles.ts'
import { equalOctets } from './signature.ts'

export interface RevocationQuestion {
  at: number
  crls: readonly Crl[]
  /** of the CAs' keys, which sign their CRLs */
  authority: KeyAlgorithm
  purpose: ProfileName
  /** is it the leaf that is asked about? */
  leaf: boolean
}

/**
 * Any acceptable CRL of the issuer answers; being named by any of its signed lists, even a stale one, refuses. An OCSP
 * responder's certificate says that it is not to be asked about, and a manufacturer may publish no CRL.
 * @see RFC 5280, 6.3.3; RFC 6960, 4.2.2.2.1
 */
export function revocationFault(
  one: Certificate,
  issuer: Certificate,
  question: RevocationQuestion,
): Refused | undefined {
  const { revocation } = profiles[question.purpose]
  if (revocation === 'nocheck' && question.leaf && isNotAskedAbout(one)) return undefined
  const lists = question.crls.filter((crl) => equalOctets(crl.issuer, issuer.subject))
  const named = `serial ${one.serial}`
  if (lists.length === 0)
    return revocation === 'optional' ? undefined : refused('CRL_MISSING', `no CRL covers ${named}`)
  const faults = lists.map((crl) => crlFault(crl, issuer, question) ?? scopeFault(crl, one))
  const listing = lists.findIndex((crl, index) => faults[index] !== 'CRL_SIGNATURE' && crl.serials.has(one.serial))
  if (listing >= 0) return refused(question.leaf ? 'REVOKED' : 'CA_REVOKED', `${named} is on its issuer's CRL`)
  return faults.includes(undefined) ? undefined : refused(faults[0]!, `the CRL that covers ${named}`)
}

function isNotAskedAbout({ extensions }: Certificate): boolean {
  return extensions.some(({ oid }) => oid === extensionOid.ocspNoCheck)
}

function crlFault(crl: Crl, issuer: Certificate, { at, authority }: RevocationQuestion): ChainFault | undefined {
  if (!crlSignatureHolds(crl, issuer, authority)) return 'CRL_SIGNATURE'
  if (!namesKeyOf(crl, issuer)) return 'CRL_KEY_ID'
  if (crl.unsupported) return 'CRL_UNSUPPORTED'
  if (!(at >= crl.thisUpdate)) return 'CRL_NOT_YET_VALID'
  if (crl.nextUpdate === undefined || !(at < crl.nextUpdate)) return 'CRL_STALE'
  return undefined
}

/** A shard says nothing about a certificate that does not name it. @see RFC 5280, 6.3.3 (b) */
function scopeFault(
  { distributionPoint }: Crl,
  { distributionPoints, basicConstraints }: Certificate,
): ChainFault | undefined {
  if (distributionPoint === undefined) return undefined
  const named = distributionPoints?.some((uri) => distributionPoint.uris.includes(uri)) === true
  const among = !distributionPoint.onlyUser || basicConstraints?.ca !== true
  return named && among ? undefined : 'CRL_SCOPE'
}

/** A CRL's signature covers all its octets: checked once for a CRL and a key, however many handshakes ask. */
const crlChecks = new WeakMap<Crl, Map<string, boolean>>()

function crlSignatureHolds(crl: Crl, issuer: Certificate, authority: KeyAlgorithm): boolean {
  if (issuer.keyUsage?.has(keyUsageBit.crlSign) !== true) return false
  const checks = crlChecks.get(crl) ?? new Map<string, boolean>()
  const key = Buffer.from(issuer.publicKey).toString('base64')
  const holds = checks.get(key) ?? crlHolds(crl, issuer.publicKey, authority)
  checks.set(key, holds)
  crlChecks.set(crl, checks)
  return holds
}

function crlHolds(crl: Crl, publicKey: Uint8Array, authority: KeyAlgorithm): boolean {
  return (
    equalOctets(crl.innerAlgorithm, authority.signature) &&
    equalOctets(crl.outerAlgorithm, authority.signature) &&
    signedWith(authority, crl.tbs, { publicKey, signature: crl.signature })
  )
}
