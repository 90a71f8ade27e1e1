import type { Apdu } from '../codec/apdu.ts'
import type { Data } from '../codec/axdr.ts'
import { BlockAssembler } from '../codec/block-assembler.ts'
import {
  decodeBlockData,
  decodeBlockDataList,
  decodeBlockOutcomes,
  decodeBlockResults,
} from '../codec/block-contents.ts'
import type { DataBlock } from '../codec/data-block.ts'
import type { GetResult } from '../codec/results.ts'
import { PeerError } from '../errors.ts'

/** What the data blocks of GET, SET and ACTION hold together, a transfer at a time in each service. */
export class BlockContents {
  readonly #assemblers = new Map<Apdu['apdu'], BlockAssembler>()

  /** @returns the values of a transfer whose last block this is; none of one that is not whole or cannot be read */
  add(apdu: Apdu): Data[] {
    const block = blockOf(apdu)
    if (block === undefined) return []
    try {
      const assembler = this.#assemblerOf(apdu.apdu, block)
      const found = assembler.add(block)
      return found.kind === 'whole' ? contentsOf(apdu.apdu, found.octets) : []
    } catch (fault) {
      if (fault instanceof PeerError) return [] // the capture does not hold all of it
      throw fault
    }
  }

  #assemblerOf(name: Apdu['apdu'], { number }: DataBlock): BlockAssembler {
    const known = number === 1 ? undefined : this.#assemblers.get(name)
    const assembler = known ?? new BlockAssembler()
    this.#assemblers.set(name, assembler)
    return assembler
  }
}

function blockOf(apdu: Apdu): DataBlock | undefined {
  if (!('block' in apdu) || apdu.block instanceof Uint8Array || 'result' in apdu.block) return undefined
  return apdu.block
}

/** A value, or one for each of a list: which, only the first block's request says, so that what reads tells. */
function contentsOf(name: Apdu['apdu'], octets: Uint8Array): Data[] {
  const single = tolerated(() => [decodeBlockData(octets)])
  if (single !== undefined) return single
  if (name === 'get-response') return dataOf(decodeBlockResults(octets))
  if (name !== 'action-response') return decodeBlockDataList(octets)
  return dataOf(decodeBlockOutcomes(octets).map(({ returned }) => returned))
}

function dataOf(results: readonly (GetResult | undefined)[]): Data[] {
  return results.flatMap((result) => (result?.kind === 'data' ? [result.data] : []))
}

function tolerated<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}
