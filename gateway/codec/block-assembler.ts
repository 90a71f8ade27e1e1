import { PeerError } from '../errors.ts'
import type { DataBlock } from './data-block.ts'
import { OctetWriter, octetsMax } from './octets.ts'

/** Blocks of one transfer, the most: even of few octets each they fill what an APDU may have. */
export const blocksMax = 65_535

/** What a block came to: `repeated` and `more` ask for the block behind `number`; `whole` is what was cut up. */
export type Assembled = { kind: 'repeated' | 'more'; number: number } | { kind: 'whole'; octets: Uint8Array }

/**
 * Puts the data blocks of one GET, SET or ACTION together: from 1, in order, each taken once. The block that came
 * last may come again, for its acknowledgement can get lost; a block left out, an earlier one, the last one with
 * other octets and any behind the end are refused and change nothing, so that the right one can still come.
 */
export class BlockAssembler {
  readonly #writer = new OctetWriter()
  #length = 0
  #last: DataBlock | undefined
  #whole: Uint8Array | undefined

  /**
   * @throws PeerError `FRAME_SEQUENCE` out of order, `APDU_LENGTH` beyond `octetsMax` octets, `DATA_COUNT` beyond
   *   `blocksMax` blocks
   */
  add(block: DataBlock): Assembled {
    if (this.#last !== undefined && isSame(this.#last, block)) return this.#answer('repeated')
    this.#check(block)
    this.#writer.octets(block.octets)
    this.#length += block.octets.length
    this.#last = { ...block, octets: Uint8Array.from(block.octets) } // what was given may be a view that is reused
    if (block.last) this.#whole = this.#writer.finish()
    return this.#answer('more')
  }

  #answer(kind: 'repeated' | 'more'): Assembled {
    if (this.#whole !== undefined) return { kind: 'whole', octets: this.#whole }
    return { kind, number: this.#last!.number }
  }

  #check({ number, octets }: DataBlock): void {
    const expected = (this.#last?.number ?? 0) + 1
    if (this.#last?.last === true) throw new PeerError('FRAME_SEQUENCE', `block ${number} behind the last`)
    if (number !== expected) throw new PeerError('FRAME_SEQUENCE', `block ${number}, expected ${expected}`)
    if (number > blocksMax) throw new PeerError('DATA_COUNT', `beyond ${blocksMax} blocks`)
    if (this.#length + octets.length > octetsMax) {
      throw new PeerError('APDU_LENGTH', `beyond ${octetsMax} octets in blocks`)
    }
  }
}

function isSame(a: DataBlock, b: DataBlock): boolean {
  if (a.number !== b.number || a.last !== b.last || a.octets.length !== b.octets.length) return false
  return a.octets.every((octet, i) => octet === b.octets[i])
}

/**
 * The data blocks that `octets` travel in; no octets are one empty block.
 * @param size octets of each block but the last, from 1; such that there are at most `blocksMax`
 */
export function dataBlocks(octets: Uint8Array, size: number): DataBlock[] {
  const count = Math.max(1, Math.ceil(octets.length / size))
  if (!Number.isInteger(size) || size < 1 || count > blocksMax) {
    throw new RangeError(`${octets.length} octets in blocks of ${size}`)
  }
  return Array.from({ length: count }, (_, i) => {
    return { last: i === count - 1, number: i + 1, octets: octets.subarray(i * size, (i + 1) * size) }
  })
}
