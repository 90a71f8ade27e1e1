import { daySeconds } from './profiles.ts'
import type { Listed } from './store/register.ts'

/** What a certificate is at a moment: `expiring` is one of the live ones. */
export type Standing = 'live' | 'expiring' | 'expired' | 'revoked'

/** @param at seconds since 1970 @param days within which a live one's end counts as near */
export interface Horizon {
  at: number
  days: number
}

/**
 * Tells the standing of each of these. One that ends soon is not expiring when its identity has a live one that lasts longer:
 * it was renewed, and nobody needs to act; nor on that of a ceremony, which is held once.
 */
export function standings(list: readonly Listed[], { at, days }: Horizon): (one: Listed) => Standing {
  const isLive = ({ revoked, notAfter }: Listed): boolean => revoked === undefined && notAfter >= at
  const lasts = new Map<string, number>()
  for (const one of list) {
    if (isLive(one)) lasts.set(identityOf(one), Math.max(one.notAfter, lasts.get(identityOf(one)) ?? 0))
  }
  const near = at + days * daySeconds
  return (one) => {
    if (one.revoked !== undefined) return 'revoked'
    if (!isLive(one)) return 'expired'
    if (one.profile === 'ceremony') return 'live'
    return one.notAfter <= near && one.notAfter === lasts.get(identityOf(one)) ? 'expiring' : 'live'
  }
}

function identityOf({ profile, id }: Listed): string {
  return `${profile} ${id}`
}
