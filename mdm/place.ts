import { decodeHeader, decodeSealedBatch } from '#gateway/codec/batch.ts'
import { PeerError } from '#gateway/errors.ts'
import { follows, type OpenedBatch } from '#gateway/oneway/seal.ts'
import type { BatchStore } from './store.ts'

/**
 * A signed batch must be the one that its datagrams said, and stand in its chain where both neighbours are known.
 * @throws PeerError `BATCH_CHAIN`
 */
export function checkPlace(
  { epoch, sequence }: { epoch: number; sequence: number },
  { header, batch }: Pick<OpenedBatch, 'header' | 'batch'>,
  store: Pick<BatchStore, 'received' | 'batch'>,
): void {
  if (header.epoch !== epoch || header.sequence !== sequence) {
    throw new PeerError('BATCH_CHAIN', `batch ${header.sequence} came as ${sequence}`)
  }
  const [before, after] = [headerOf(store, epoch, sequence - 1), headerOf(store, epoch, sequence + 1)]
  if (before !== undefined && !follows(header, before)) {
    throw new PeerError('BATCH_CHAIN', `batch ${sequence} does not follow ${sequence - 1}`)
  }
  if (after !== undefined && !follows(decodeHeader(after), batch.header)) {
    throw new PeerError('BATCH_CHAIN', `batch ${sequence + 1} does not follow ${sequence}`)
  }
}

function headerOf(
  store: Pick<BatchStore, 'received' | 'batch'>,
  epoch: number,
  sequence: number,
): Uint8Array | undefined {
  const octets = store.received(epoch).has(sequence) ? store.batch(epoch, sequence) : undefined
  return octets && decodeSealedBatch(octets).header
}
