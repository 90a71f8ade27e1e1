import {
  type BatchHeader,
  decodeHeader,
  decodeSealedBatch,
  decodeSeries,
  type SealedSeries,
} from '#gateway/codec/batch.ts'
import { PeerError } from '#gateway/errors.ts'
import { inclusionProof, provesInclusion } from '#gateway/oneway/merkle.ts'
import { type OpenedBatch, openBatch } from '#gateway/oneway/seal.ts'
import { profileSetOfRoots, verifyDetached } from '#pki/verify.ts'

export interface VerifiedBatch extends OpenedBatch {
  /** URI of the sealer in its certificate */
  signer: string
  /** seconds since 1970-01-01T00:00Z */
  signedAt: number
}

/**
 * A batch from its octets, believed only when all of it holds: signature, the signer's chain and its standing, root, form.
 * The signature comes first: anybody on the line can make a batch that costs much to take apart, and only we one that is signed.
 * @param roots DER @param nowSeconds by the verifier's clock
 * @throws PeerError `BATCH_MALFORMED`, `BATCH_ROOT`, `BATCH_SIGNATURE`
 */
export async function verifyBatch(
  octets: Uint8Array,
  roots: readonly Uint8Array[],
  nowSeconds: number,
): Promise<VerifiedBatch> {
  const { signer, signedAt } = await checkSignature(decodeSealedBatch(octets), roots, nowSeconds)
  return { ...openBatch(octets), signer, signedAt }
}

/** Which reading: of which meter, channel and interval. */
export interface ReadingName {
  meter: string
  obis: string
  /** seconds since 1970-01-01T00:00Z */
  end: number
}

/**
 * What shows that one meter's series stands in a signed batch, and tells of no other meter: octets as base64.
 * The series is the leaf, so a proof for one reading holds its neighbours of the same meter, channel and batch.
 */
export interface InclusionProof {
  header: string
  signature: string
  series: string
  index: number
  path: string[]
}

/** @returns undefined when no such reading stands in the batch */
export function proveReading(
  { batch, series }: OpenedBatch,
  { meter, obis, end }: ReadingName,
): InclusionProof | undefined {
  const index = series.findIndex((one) => one.meter === meter && one.obis === obis && one.ends.includes(end))
  if (index < 0) return undefined
  return {
    header: base64(batch.header),
    signature: base64(batch.signature),
    series: base64(batch.series[index]!),
    index,
    path: inclusionProof(batch.series, index).map(base64),
  }
}

export interface ProvenSeries {
  header: BatchHeader
  series: SealedSeries
  signer: string
}

/**
 * Checks a proof that came alone, as `proveReading` made it or from anybody.
 * @throws PeerError `PROOF_INVALID`, `BATCH_MALFORMED`, `BATCH_SIGNATURE`
 */
export async function verifyProof(
  proof: unknown,
  roots: readonly Uint8Array[],
  nowSeconds: number,
): Promise<ProvenSeries> {
  const { header: signed, signature, series, index, path } = parseProof(proof)
  const header = decodeHeader(signed)
  const { signer } = await checkSignature({ header: signed, signature }, roots, nowSeconds)
  if (!provesInclusion(series, { index, count: header.seriesCount, path, root: header.root })) {
    throw new PeerError('PROOF_INVALID', 'the path does not lead to the signed root')
  }
  return { header, series: decodeSeries(series), signer }
}

/** Siblings of a proof, the most: a tree of 2^32 leaves. */
const pathMax = 32

function parseProof(proof: unknown): {
  header: Buffer
  signature: Buffer
  series: Buffer
  index: number
  path: Buffer[]
} {
  const { header, signature, series, index, path } = (proof ?? {}) as Record<string, unknown>
  const octets = (text: unknown): Buffer => {
    if (typeof text !== 'string') throw new PeerError('PROOF_INVALID', 'not a proof')
    return Buffer.from(text, 'base64')
  }
  if (!Number.isInteger(index) || !Array.isArray(path) || path.length > pathMax) {
    throw new PeerError('PROOF_INVALID', 'not a proof')
  }
  const parts = { header: octets(header), signature: octets(signature), series: octets(series) }
  return { ...parts, index: index as number, path: path.map(octets) }
}

async function checkSignature(
  { header, signature }: { header: Uint8Array; signature: Uint8Array },
  roots: readonly Uint8Array[],
  nowSeconds: number,
): Promise<{ signer: string; signedAt: number }> {
  const profileSet = profileSetOfRoots(roots) ?? 'p256'
  const verdict = await verifyDetached({ cms: signature, content: header, roots, at: nowSeconds, profileSet })
  if (!verdict.ok) throw new PeerError('BATCH_SIGNATURE', `${verdict.code}: ${verdict.detail}`)
  return verdict
}

function base64(octets: Uint8Array): string {
  return Buffer.from(octets).toString('base64')
}
