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
