import { PeerError } from '../errors.ts'

/** Authentications of a server's that failed one after the other, whichever client tried; the caller keeps them. */
export interface Attempts {
  failed: number
  /** no authentication is taken before, in the seconds of the event's `now` */
  heldUntil: number
}

/** When a server stops to listen, and for how long. */
export interface LockoutRule {
  /** failures in a row before the first hold, from 1 */
  failedMax: number
  /** of the first hold; each failure behind it doubles the next */
  holdSeconds: number
  holdSecondsMax: number
}

export const noAttempts: Attempts = { failed: 0, heldUntil: 0 }

/** Three tries, then ten seconds, doubling up to an hour: some 10,000 guesses a year. */
export const defaultLockout: LockoutRule = { failedMax: 3, holdSeconds: 10, holdSecondsMax: 3_600 }

/** @throws PeerError `AUTHENTICATION_LOCKED` */
export function checkHeld({ failed, heldUntil }: Attempts, now: number): void {
  if (now >= heldUntil) return
  const seconds = Math.ceil(heldUntil - now)
  throw new PeerError('AUTHENTICATION_LOCKED', `${failed} authentications failed: none is taken for ${seconds} s`)
}

/** What is kept after one more failure; a success keeps `noAttempts`. */
export function afterFailure({ failed: before }: Attempts, rule: LockoutRule, now: number): Attempts {
  const failed = before + 1
  const doubled = failed - rule.failedMax
  if (doubled < 0) return { failed, heldUntil: 0 }
  return { failed, heldUntil: now + Math.min(rule.holdSeconds * 2 ** doubled, rule.holdSecondsMax) }
}
