import { PkiError } from '../errors.ts'
import { openCheckpoint } from './checkpoint.ts'
import { type Consistency, type Digest, digestOctets, leafHash, provesConsistency, provesInclusion } from './merkle.ts'

/** Hashes in one path, the most: a log of 2^53 entries has no longer one. */
export const pathLengthMax = 64

/** Shows, with the log's public key alone, that an entry stands in the log. As JSON: paths in base64. */
export interface InclusionProof {
  /** the entry as written, without its line feed */
  entry: string
  index: number
  /** in base64 */
  path: readonly string[]
  /** the signed head that the path leads to; its size is the path's */
  checkpoint: string
}

/** Shows that what the first checkpoint covered is unchanged beneath the second. */
export interface ConsistencyProof {
  path: readonly string[]
  first: string
  second: string
}

/** @returns the checkpoint's size @throws PkiError `AUDIT_CHECKPOINT`; `AUDIT_PROOF` when it does not hold */
export function checkInclusion(proof: InclusionProof, publicKey: Uint8Array): number {
  const { size, root } = openCheckpoint(proof.checkpoint, publicKey)
  const inclusion = { index: proof.index, size, path: fromBase64(proof.path) }
  if (!provesInclusion(inclusion, leafHash(Buffer.from(proof.entry)), root)) {
    throw new PkiError('AUDIT_PROOF', `the path does not lead from entry ${proof.index} to the head of size ${size}`)
  }
  return size
}

/** @returns both sizes @throws PkiError `AUDIT_CHECKPOINT`; `AUDIT_PROOF` when it does not hold */
export function checkConsistency(proof: ConsistencyProof, publicKey: Uint8Array): Omit<Consistency, 'path'> {
  const first = openCheckpoint(proof.first, publicKey)
  const second = openCheckpoint(proof.second, publicKey)
  const sizes = { first: first.size, second: second.size }
  const holds = provesConsistency({ ...sizes, path: fromBase64(proof.path) }, first.root, second.root)
  if (!holds || first.origin !== second.origin) {
    throw new PkiError('AUDIT_PROOF', `the head of size ${first.size} does not lie beneath that of size ${second.size}`)
  }
  return sizes
}

/** Either kind, from its JSON. @throws PkiError `AUDIT_PROOF` for other fields, forms or lengths */
export function parseProof(json: string): InclusionProof | ConsistencyProof {
  const value = parseObject(json)
  const names = Object.keys(value).toSorted().join()
  const texts = Object.entries(value).filter(([name]) => name !== 'path' && name !== 'index')
  const known = names === 'checkpoint,entry,index,path' || names === 'first,path,second'
  if (!known || !texts.every(([, text]) => typeof text === 'string')) {
    throw new PkiError('AUDIT_PROOF', 'a proof has entry, index, path and checkpoint; or path, first and second')
  }
  fromBase64(value.path)
  return value as unknown as InclusionProof | ConsistencyProof // whether the index is one, the path tells
}

export function toBase64(path: readonly Digest[]): string[] {
  return path.map((digest) => Buffer.from(digest).toString('base64'))
}

function parseObject(json: string): Record<string, unknown> {
  try {
    return { ...(JSON.parse(json) as object) }
  } catch (cause) {
    throw new PkiError('AUDIT_PROOF', 'a proof that is not JSON', { cause })
  }
}

function fromBase64(path: unknown): Digest[] {
  const whole = Array.isArray(path) && path.length <= pathLengthMax
  const digests = whole
    ? path.map((text) => (typeof text === 'string' ? Buffer.from(text, 'base64') : Buffer.of()))
    : []
  if (!whole || digests.some((one, at) => one.length !== digestOctets || one.toString('base64') !== path[at])) {
    throw new PkiError('AUDIT_PROOF', `a path is at most ${pathLengthMax} hashes in base64`)
  }
  return digests
}
