/** Attempts on one input, the most. */
export const attemptsMax = 1_500

/**
 * A smaller input of which the same still holds: blocks are cut out, large ones first, and what is left is made zero.
 * @param holds what must stay true; true of `octets`
 */
export async function shrink(
  octets: Uint8Array,
  holds: (candidate: Uint8Array) => Promise<boolean>,
  limit: number = attemptsMax,
): Promise<Uint8Array> {
  let best = octets
  let attempts = 0
  const attempt = async (candidate: Uint8Array): Promise<boolean> => {
    if (attempts++ >= limit || !(await holds(candidate))) return false
    best = candidate
    return true
  }
  for (let size = best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.length && attempts < limit; ) {
      if (!(await attempt(Buffer.concat([best.subarray(0, at), best.subarray(at + size)])))) at += size
    }
  }
  for (let at = 0; at < best.length && attempts < limit; at++) {
    if (best[at] !== 0) await attempt(best.map((octet, i) => (i === at ? 0 : octet)))
  }
  return best
}
