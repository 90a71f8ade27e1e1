import { hash } from 'node:crypto'
import {
  type BatchHeader,
  decodeHeader,
  decodeSealedBatch,
  decodeSeries,
  encodeHeader,
  type SealedBatch,
  type SealedSeries,
} from '../codec/batch.ts'
import { PeerError } from '../errors.ts'
import { merkleRoot } from './merkle.ts'

/** Where the chain of batches stands. @see ami.proto, `BatchHeader` */
export interface ChainHead {
  epoch: number
  /** of the last batch sealed, 0 before the first */
  sequence: number
  /** SHA-256 of its encoded header; empty before the first */
  digest: Uint8Array
}

/** Series that wait for their batch. */
export interface Unsealed {
  octets: number
  /** when the first of them came, milliseconds since 1970 */
  sinceMs: number
}

export interface SealLimits {
  /** octets of series of one batch, the most */
  octets: number
  /** milliseconds that the first of them waits, the most */
  waitMs: number
}

/** Whether they are to be sealed now: enough for a batch, or long enough waited. A clock that was set back waits for nobody. */
export function isSealDue({ octets, sinceMs }: Unsealed, limits: SealLimits, nowMs: number): boolean {
  return octets > 0 && (octets >= limits.octets || nowMs - sinceMs >= limits.waitMs || nowMs < sinceMs)
}

/** The next header over these leaves, encoded: what the sealer signs. */
export function nextHeader(
  head: ChainHead,
  { series, readingCount, createdAtMs }: { series: readonly Uint8Array[]; readingCount: number; createdAtMs: number },
): Uint8Array {
  return encodeHeader({
    epoch: head.epoch,
    sequence: head.sequence + 1,
    createdAtMs,
    previous: head.digest,
    seriesCount: series.length,
    readingCount,
    root: merkleRoot(series),
  })
}

/** How the next header refers to this one. */
export function headerDigest(header: Uint8Array): Uint8Array {
  return hash('sha256', header, 'buffer')
}

export interface OpenedBatch {
  header: BatchHeader
  batch: SealedBatch
  series: SealedSeries[]
}

/**
 * Everything about a batch that needs no key: form, counts, root. The signature over `batch.header` is the caller's to check.
 * @throws PeerError `BATCH_MALFORMED`, `BATCH_ROOT`
 */
export function openBatch(octets: Uint8Array): OpenedBatch {
  const batch = decodeSealedBatch(octets)
  const header = decodeHeader(batch.header)
  if (batch.series.length !== header.seriesCount || !merkleRoot(batch.series).equals(header.root)) {
    throw new PeerError('BATCH_ROOT', `batch ${header.sequence}: its series do not give the signed root`)
  }
  const series = batch.series.map(decodeSeries)
  const readings = series.reduce((sum, { ends }) => sum + ends.length, 0)
  if (readings !== header.readingCount) {
    throw new PeerError(
      'BATCH_MALFORMED',
      `batch ${header.sequence}: ${readings} readings, header says ${header.readingCount}`,
    )
  }
  return { header, batch, series }
}

/** @returns whether `next` names `before` as the batch it follows */
export function follows(next: BatchHeader, before: Uint8Array): boolean {
  return Buffer.from(headerDigest(before)).equals(next.previous)
}
