import { PeerError } from '../errors.ts'
import { decodeLength, encodeLength, type OctetReader, OctetWriter, octetsMax } from './octets.ts'

/** One block of a longer APDU. @see IEC 62056-5-3, general-block-transfer */
export interface GeneralBlockTransfer {
  apdu: 'general-block-transfer'
  last: boolean
  streaming: boolean
  /** blocks the sender takes without acknowledgement, 0 to 63 */
  window: number
  /** from 1 */
  number: number
  acknowledged: number
  block: Uint8Array
}

export const generalBlockTransferTag = 0xe0

const lastBit = 0x80
const streamingBit = 0x40
const windowBits = 0x3f

/** The APDU behind its tag E0. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeGeneralBlockTransfer(reader: OctetReader): GeneralBlockTransfer {
  const control = reader.uint(1)
  return {
    apdu: 'general-block-transfer',
    last: (control & lastBit) !== 0,
    streaming: (control & streamingBit) !== 0,
    window: control & windowBits,
    number: reader.uint(2),
    acknowledged: reader.uint(2),
    block: reader.octets(decodeLength(reader, octetsMax)),
  }
}

/** With its tag E0. */
export function encodeGeneralBlockTransfer(apdu: GeneralBlockTransfer): Uint8Array {
  const control = (apdu.last ? lastBit : 0) | (apdu.streaming ? streamingBit : 0) | apdu.window
  const writer = new OctetWriter().uint(1, generalBlockTransferTag).uint(1, control)
  writer.uint(2, apdu.number).uint(2, apdu.acknowledged)
  encodeLength(writer, apdu.block.length)
  return writer.octets(apdu.block).finish()
}

/**
 * Puts blocks together in the order they came. A block 1 starts afresh and drops what was unfinished; the same
 * block twice in a row counts once; anything else out of order is a fault, for its neighbours cannot be trusted.
 * @returns the finished APDUs
 * @throws PeerError `FRAME_SEQUENCE`, `FRAME_TRUNCATED` when the last block is missing, `APDU_LENGTH`
 */
export function reassemble(blocks: readonly GeneralBlockTransfer[]): Uint8Array[] {
  const finished: Uint8Array[] = []
  let pending: GeneralBlockTransfer[] = []
  for (const block of blocks) {
    if (block.number === 1 && !isRepeat(pending, block)) pending = [block]
    else if (!isRepeat(pending, block)) pending.push(next(pending, block))
    if (block.last) {
      finished.push(join(pending))
      pending = []
    }
  }
  if (pending.length > 0) throw new PeerError('FRAME_TRUNCATED', `the last block after ${pending.length} is missing`)
  return finished
}

function isRepeat(pending: readonly GeneralBlockTransfer[], block: GeneralBlockTransfer): boolean {
  const before = pending.at(-1)
  return before !== undefined && before.number === block.number && equal(before.block, block.block)
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((octet, i) => octet === b[i])
}

function next(pending: readonly GeneralBlockTransfer[], block: GeneralBlockTransfer): GeneralBlockTransfer {
  const expected = (pending.at(-1)?.number ?? 0) + 1
  if (block.number !== expected) throw new PeerError('FRAME_SEQUENCE', `block ${block.number}, expected ${expected}`)
  return block
}

function join(blocks: readonly GeneralBlockTransfer[]): Uint8Array {
  const length = blocks.reduce((sum, { block }) => sum + block.length, 0)
  if (length > octetsMax) {
    throw new PeerError('APDU_LENGTH', `${length} octets in blocks, limit ${octetsMax}`)
  }
  const writer = new OctetWriter()
  for (const { block } of blocks) writer.octets(block)
  return writer.finish()
}
