import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Crl, crlNumber, parseCrl } from './crl.ts'
import { encodeCrl } from './crl-writer.ts'
import { PkiError } from './errors.ts'
import type { Authority } from './issue.ts'
import type { Revocation } from './revoke.ts'
import { equalOctets } from './signature.ts'
import { syncDirectory } from './store/files.ts'

/**
 * Certificates of one shard, the most, and so entries of its CRL: about 37 KB, small enough to be fetched by whoever meets one
 * certificate of it.
 */
export const shardEntriesMax = 1_000

/**
 * The shard of a certificate, fixed when it is issued and written into it as its CRL distribution point.
 * @param ordinal how many certificates this authority issued before it: each shard fills up before the next is begun
 */
export function shardAt(ordinal: number): number {
  return Math.floor(ordinal / shardEntriesMax)
}

/** @param base an `http:` URL without a slash at its end, one for each authority */
export function shardUri(base: string, shard: number): string {
  return `${base}/${shard}.crl`
}

export interface ShardPlace {
  /** where a web server finds them: `0.crl`, `1.crl`, …, `full.crl`, as DER */
  dir: string
  /** as in `shardUri` */
  base: string
  authority: Authority
  /** seconds since 1970 */
  at: number
  /** seconds from this update to the next; a CRL of which less than half is left is made anew */
  lifeSeconds: number
  /** told of each shard that is signed, before it is in its place */
  signed?: (shard: number, der: Uint8Array) => Promise<void>
}

/**
 * Writes the CRLs that say something new or are half-way to their end; the others stay. One publisher at a time: the caller
 * sees to it, and that what it passes is no older than what was passed before.
 * @param shards revocations by shard number
 * @returns the shards written
 * @throws PkiError `CRL_SHARD` for over `shardEntriesMax` entries in one, before anything is written
 */
export async function publishShards(
  place: ShardPlace,
  shards: ReadonlyMap<number, readonly Revocation[]>,
): Promise<number[]> {
  const full = [...shards].find(([, revocations]) => revocations.length > shardEntriesMax)
  if (full !== undefined)
    throw new PkiError('CRL_SHARD', `${full[1].length} entries in shard ${full[0]}, at most ${shardEntriesMax}`)
  await mkdir(place.dir, { recursive: true })
  const written: number[] = []
  for (const [shard, revocations] of shards) {
    if (await publishShard(place, shard, revocations)) written.push(shard)
  }
  if (written.length > 0) await syncDirectory(place.dir)
  return written
}

/** Beside the shards, for those who want none: the one CRL of everything, `full.crl`. @param der as it was signed for the store */
export async function placeFull(dir: string, der: Uint8Array): Promise<void> {
  await mkdir(dir, { recursive: true })
  await replace(join(dir, 'full.crl'), der)
  await syncDirectory(dir)
}

async function publishShard(place: ShardPlace, shard: number, revocations: readonly Revocation[]): Promise<boolean> {
  const path = join(place.dir, `${shard}.crl`)
  const last = await readLast(path, parseCrl)
  if (last !== undefined && isFresh(last, revocations, place)) return false
  const uri = shardUri(place.base, shard)
  const der = await encoded(place, { last: last && crlNumber(last), uri }, revocations)
  await place.signed?.(shard, der)
  await replace(path, der)
  return true
}

function encoded(
  { authority, at, lifeSeconds }: ShardPlace,
  { last, uri }: { last: bigint | undefined; uri: string | undefined },
  revocations: Iterable<Revocation>,
): Promise<Uint8Array> {
  const head = {
    issuer: authority.certificate,
    number: numberAfter(last, at),
    thisUpdate: at,
    nextUpdate: at + lifeSeconds,
    ...(uri === undefined ? {} : { distributionPoint: { uris: [uri], onlyUser: true } }),
  }
  return encodeCrl(head, revocations, (octets) => authority.sign(octets))
}

/** Counts up from the last one, and past any that was lost, since none is written more often than once a second. */
function numberAfter(last: bigint | undefined, at: number): bigint {
  const byTime = BigInt(Math.floor(at))
  return last === undefined || last < byTime ? byTime : last + 1n
}

/** What stands there, read; `undefined` for nothing, and for what cannot be read and is replaced. */
async function readLast<T>(path: string, read: (der: Uint8Array) => T): Promise<T | undefined> {
  try {
    return read(await readFile(path))
  } catch (cause) {
    if (cause instanceof PkiError || (cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}

function isFresh(last: Crl, revocations: readonly Revocation[], { at, lifeSeconds, authority }: ShardPlace): boolean {
  const ours = equalOctets(last.issuer, authority.certificate.subject)
  const half = last.nextUpdate !== undefined && last.nextUpdate - at >= lifeSeconds / 2 && last.thisUpdate <= at
  const sameKey = last.authorityKeyId === authority.certificate.subjectKeyId
  const same = last.serials.size === revocations.length && revocations.every(({ serial }) => last.serials.has(serial))
  return ours && half && sameKey && same
}

/** A crash leaves the old file or the new one, whole. What lies here is public. */
async function replace(path: string, octets: Uint8Array): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  const file = await open(temporary, 'wx', 0o644)
  try {
    await file.writeFile(octets)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}
