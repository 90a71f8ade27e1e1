import { encodeSealedBatch, encodeSeries, type SealedBatch, type SealedSeries } from '#gateway/codec/batch.ts'
import { openSigner, type Signer } from '#gateway/io/signer.ts'
import { unitWh } from '#gateway/model.ts'
import { type ChainHead, headerDigest, nextHeader } from '#gateway/oneway/seal.ts'
import { activeImport, meter, monday, quarter } from './meters.ts'
import type { ThrowawayPki } from './pki.ts'

/** A sealer of this PKI. */
export async function sealerOf(pki: ThrowawayPki, id = 'gw-1'): Promise<Signer> {
  const { keyFile, certificateFile } = await pki.issue('sealer', id)
  return openSigner({ keyFile: keyFile!, certificateFile, crlFile: pki.crlFile })
}

/** One channel of the `n`th meter: `count` quarter-hours. */
export function seriesOf(n: number, count = 3, rest: Partial<SealedSeries> = {}): SealedSeries {
  return {
    meter: meter(n).meter,
    obis: activeImport,
    scaler: 0,
    unit: unitWh,
    ends: Array.from({ length: count }, (_, i) => monday + (i + 1) * quarter),
    values: Array.from({ length: count }, (_, i) => 100 * n + i),
    qualities: Array(count).fill(0),
    revisions: Array(count).fill(0),
    ...rest,
  }
}

export interface Sealed extends SealedBatch {
  sequence: number
  octets: Uint8Array
}

/** A chain of sealed batches, as a gateway makes one. */
export class Chain {
  readonly #signer: Signer
  head: ChainHead

  constructor(signer: Signer, epoch: number) {
    this.#signer = signer
    this.head = { epoch, sequence: 0, digest: new Uint8Array(0) }
  }

  async next(all: readonly SealedSeries[], changes: { readingCount?: number } = {}): Promise<Sealed> {
    const series = all.map(encodeSeries)
    const readingCount = changes.readingCount ?? all.reduce((sum, { ends }) => sum + ends.length, 0)
    const header = nextHeader(this.head, { series, readingCount, createdAtMs: Date.now() })
    const signature = await this.#signer.sign(header)
    this.head = { ...this.head, sequence: this.head.sequence + 1, digest: headerDigest(header) }
    const batch = { header, signature, series }
    return { ...batch, sequence: this.head.sequence, octets: encodeSealedBatch(batch) }
  }
}
