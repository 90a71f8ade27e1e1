import type { PeerFault } from '#gateway/errors.ts'
import { isBundleName } from '#gateway/oneway/carrier-name.ts'

/** What lies in a folder under one name. */
export interface Found {
  /** its octets as Latin-1: no name is lost that is not UTF-8 */
  name: string
  kind: 'file' | 'folder' | 'other'
  octets: number
  links: number
  /** tells one state of a file from another: number, size and times */
  version: string
}

/** A file as it was last seen. */
export interface Watched {
  version: string
  /** when it was first seen so, milliseconds of a clock that is never set */
  sinceMs: number
  /** how often it was read so, 0 to 2 */
  reads: number
}

export interface FileTimes {
  /** a file that has not changed for so long is read */
  stableMs: number
  /** one that has not changed for so long, and is no bundle, will not become one */
  staleMs: number
}

/** `last`: what is no bundle now is none */
export type Verdict = { act: 'wait' } | { act: 'read'; last: boolean } | { act: 'quarantine'; code: PeerFault }

const wait: Verdict = { act: 'wait' }

/** @returns what is now known of it: a file that has changed begins anew */
export function watched(found: Found, before: Watched | undefined, nowMs: number): Watched {
  if (before?.version === found.version) return before
  return { version: found.version, sinceMs: nowMs, reads: 0 }
}

/**
 * What to do with what lies there. Movers write in place, write under other names and rename, allocate first and fill later, link and
 * unlink: so nothing is refused before it has not changed for `staleMs`, a bundle's file is read when it has not changed for
 * `stableMs`, and once more at the end of its time. A folder is nobody's bundle, and left alone.
 */
export function judgeFile(
  { name, kind, octets, links }: Found,
  { sinceMs, reads }: Watched,
  { nowMs, octetsMax, stableMs, staleMs }: FileTimes & { nowMs: number; octetsMax: number },
): Verdict {
  const isStale = nowMs - sinceMs >= staleMs
  if (kind === 'folder') return wait
  const code = fault({ name, kind, octets, links }, octetsMax)
  if (code !== undefined) return isStale ? { act: 'quarantine', code } : wait
  if (isStale) return reads < 2 ? { act: 'read', last: true } : wait // read twice, and could not be removed
  return reads === 0 && nowMs - sinceMs >= stableMs ? { act: 'read', last: false } : wait
}

function fault({ name, kind, octets, links }: Omit<Found, 'version'>, octetsMax: number): PeerFault | undefined {
  if (!isBundleName(name)) return 'FILE_NAME'
  if (kind !== 'file' || links !== 1) return 'FILE_KIND' // a second name of somebody else's file
  return octets > octetsMax ? 'FILE_SIZE' : undefined
}
