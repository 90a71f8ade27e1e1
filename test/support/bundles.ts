import type { PeerFault } from '#gateway/errors.ts'
import { bundleName } from '#gateway/oneway/carrier-name.ts'
import { type Bundle, encodeFrame, FrameReader } from '#gateway/oneway/frame.ts'
import type { Outcome, TakeBundle } from '#mdm/intake.ts'
import { linkKey } from './datagrams.ts'

/** Octets of a batch in a test, the most: small, so that files beyond it are. */
export const octetsMax = 1_000_000
export const reader: FrameReader = new FrameReader([linkKey], octetsMax)

export interface FramedBundle extends Bundle {
  frame: Buffer
  /** of its file */
  name: string
}

export function bundleOf(sequence: number, content: string | Uint8Array = `batch ${sequence}`): FramedBundle {
  const bundle = { epoch: 7, sequence, octets: Buffer.from(content) }
  const { frame, digest } = encodeFrame(bundle, linkKey)
  return { ...bundle, frame, name: bundleName({ ...bundle, digest }) }
}

/** A receiver that stores everything once, but what it is told to refuse. */
export class Shelf {
  readonly batches: Map<number, string> = new Map()
  readonly refusing: Map<number, PeerFault> = new Map()

  readonly take: TakeBundle = async ({ sequence, octets }): Promise<Outcome> => {
    const code = this.refusing.get(sequence)
    if (code !== undefined) return code
    if (this.batches.has(sequence)) return 'repeated'
    this.batches.set(sequence, octets.toString('latin1'))
    return 'stored'
  }
}
