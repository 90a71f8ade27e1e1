import type { SealedSeries } from '#gateway/codec/batch.ts'
import { headerDigest, type OpenedBatch } from '#gateway/oneway/seal.ts'

/** A batch as it is kept: verified before it was. */
export interface KeptBatch {
  epoch: number
  sequence: number
  /** SHA-256 of its encoded header, as the batch after it names it: 32 octets */
  digest: Uint8Array
  createdAtMs: number
  readingCount: number
  series: readonly SealedSeries[]
  /** as it was sealed */
  octets: Uint8Array
}

/**
 * Somewhere that readings go to. Each has a durable position of its own, so that one that is slow or dead delays only itself;
 * what it has not taken lies in the kept batches until it does.
 */
export interface Sink {
  /** in the status and the log */
  readonly name: string
  /** between two groups, the least: what is dear to begin is begun seldom. 0: take each batch as it comes */
  readonly everyMs: number
  /**
   * Connects, or reads its folder, and learns where it stands. Asked again after a fault.
   * @throws SinkError, or what the system said
   */
  open(): Promise<void>
  /** Sequences of a stream that are durable here, as of `open` and what was taken since: closed ranges in order. */
  held(epoch: number): readonly Range[]
  /**
   * Resolves when all of them are durable. The same batch again changes nothing, whatever was killed meanwhile; whether a
   * group that failed counts, `open` tells.
   * @param batches one or more, by stream and sequence, none that is held
   * @throws SinkError, or what the system said
   */
  take(batches: readonly KeptBatch[]): Promise<void>
  /** Gives up what is under way. */
  close(): Promise<void>
}

/** Both ends belong to it. */
export type Range = readonly [from: number, to: number]

/** Stable codes, public text: add, never rename. */
export type SinkFault =
  | 'SINK_UNREACHABLE' // nobody answers, or the connection broke
  | 'SINK_UNTRUSTED' // its certificate does not hold
  | 'SINK_REFUSED' // it does not let us in, or not do that
  | 'SINK_TIMEOUT'
  | 'SINK_SCHEMA' // tables that are not ours, or of a later version
  | 'SINK_CONFLICT' // another batch under the same stream and sequence
  | 'SINK_FULL'
  | 'SINK_FAILED' // anything else
  | 'BATCH_MISSING' // a kept batch that somebody has taken away before this sink had it
  | 'BATCH_DAMAGED' // a kept batch that no longer is what was verified

/** The message holds no secret and no reading. */
export class SinkError extends Error {
  override readonly name = 'SinkError'
  readonly code: SinkFault

  constructor(code: SinkFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }
}

const systemFaults: Record<string, SinkFault> = {
  ENOSPC: 'SINK_FULL',
  EDQUOT: 'SINK_FULL',
  EACCES: 'SINK_REFUSED',
  EPERM: 'SINK_REFUSED',
  EROFS: 'SINK_REFUSED',
}

/** What a sink threw, under a stable code. */
export function sinkError(error: unknown): SinkError {
  if (error instanceof SinkError) return error
  const { code, message } = error as NodeJS.ErrnoException
  return new SinkError(systemFaults[code ?? ''] ?? 'SINK_FAILED', message, { cause: error })
}

/** What was opened, and is kept. @param octets as it was sealed */
export function keptBatch({ header, batch, series }: OpenedBatch, octets: Uint8Array): KeptBatch {
  const { epoch, sequence, createdAtMs, readingCount } = header
  return { epoch, sequence, createdAtMs, readingCount, digest: headerDigest(batch.header), series, octets }
}
