import { hash } from 'node:crypto'

/** The newest batches, of which each is told of by itself. */
const nearest = 16
/** And of those before as many at every distance: multiples of 4, of 16, of 64 … */
const perLevel = 4
const levelFactor = 4

/**
 * The batches that a manifest tells of: the last 16, then the last four multiples of 4 before them, of 16, of 64 and so on, and
 * the first that is still here. Their number grows with the logarithm of the history: 40 at a million batches, 87 at most.
 * A multiple stays in every manifest until as many have come as make it the fifth: what was told of once is told of again.
 * @returns in order
 */
export function checkpointSequences(oldest: number, highest: number): number[] {
  if (highest === 0) return []
  const chosen = new Set<number>([oldest])
  for (let sequence = highest; sequence > highest - nearest; sequence--) chosen.add(sequence)
  for (let step = levelFactor; step <= highest; step *= levelFactor) {
    const last = highest - (highest % step)
    for (let i = 0; i < perLevel; i++) chosen.add(last - i * step)
  }
  return [...chosen].filter((sequence) => sequence >= Math.max(1, oldest)).sort((a, b) => a - b)
}

/** How the next manifest refers to this one. @param manifest encoded */
export function manifestDigest(manifest: Uint8Array): Uint8Array {
  return hash('sha256', manifest, 'buffer')
}
