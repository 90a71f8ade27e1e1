import { decodeManifest, decodeSealedManifest, type Manifest } from '#gateway/codec/manifest.ts'
import { PeerError } from '#gateway/errors.ts'
import { manifestDigest } from '#gateway/oneway/manifest.ts'
import { verifyDetached } from '#pki/verify.ts'

export interface VerifiedManifest {
  manifest: Manifest
  /** of its octets: the next one names it */
  digest: Uint8Array
}

/**
 * A manifest from its octets, believed only when its signature, the signer's chain and its standing hold, as those of a batch.
 * @param roots DER @param nowSeconds by the verifier's clock
 * @throws PeerError `MANIFEST_MALFORMED`, `MANIFEST_SIGNATURE`
 */
export async function verifyManifest(
  octets: Uint8Array,
  roots: readonly Uint8Array[],
  nowSeconds: number,
): Promise<VerifiedManifest> {
  const { manifest: content, signature } = decodeSealedManifest(octets)
  const verdict = await verifyDetached({ cms: signature, content, roots, at: nowSeconds })
  if (!verdict.ok) throw new PeerError('MANIFEST_SIGNATURE', `${verdict.code}: ${verdict.detail}`)
  return { manifest: decodeManifest(content), digest: manifestDigest(content) }
}
