import type { ActionOutcome, ActionRequest, ActionResponse } from '../codec/action.ts'
import { type Apdu, encodeApdu } from '../codec/apdu.ts'
import { type Data, encodeData } from '../codec/axdr.ts'
import { BlockAssembler, dataBlocks } from '../codec/block-assembler.ts'
import { decodeBlockData } from '../codec/block-contents.ts'
import type { DataBlock } from '../codec/data-block.ts'
import type { MethodDescriptor, SelectedAttribute } from '../codec/descriptor.ts'
import type { GetResponse } from '../codec/get.ts'
import { invokeId } from '../codec/invoke.ts'
import type { GetResult } from '../codec/results.ts'
import type { SetRequest, SetResponse } from '../codec/set.ts'
import { PeerError } from '../errors.ts'

/** What a client asks for. */
export type Request =
  | { kind: 'get'; attribute: SelectedAttribute }
  | { kind: 'set'; attribute: SelectedAttribute; data: Data }
  | { kind: 'action'; method: MethodDescriptor; parameters: Data | undefined }

/** What it comes to; a result other than 0 is the server's answer too, and no fault. */
export type Answer =
  | { kind: 'get'; result: GetResult }
  | {
      kind: 'set'
      /** a `dataAccessResult` code */
      result: number
    }
  | { kind: 'action'; outcome: ActionOutcome }

/**
 * A request under way. Blocks that come are kept in an assembler that the states of one exchange share: it takes
 * a block that comes twice once, so stepping again from a state gives the same.
 */
export interface Exchange {
  request: Request
  /** invoke-id-and-priority */
  invokeId: number
  /** still to be sent, the next first */
  blocks: readonly DataBlock[]
  /** the number of the block that waits for its acknowledgement, 0 for none */
  sent: number
  received: BlockAssembler
}

/** The octet of a confirmed request of normal priority. @param id 0 to 15 */
export function invokeOctet(id: number): number {
  return invokeId({ id, confirmed: true, highPriority: false })
}

const noBlock: DataBlock = { last: false, number: 1, octets: new Uint8Array() }
/** The length of a block beyond its first octet. */
const longerLengthOctets = 2

/**
 * The first APDU of a request, in blocks where it would be longer than the server takes.
 * @param pduOctets what the server takes
 * @throws RangeError where not even the descriptor and its selection fit
 */
export function beginExchange(
  request: Request,
  invokeId: number,
  pduOctets: number,
): { exchange: Exchange; octets: Uint8Array } {
  const exchange: Exchange = { request, invokeId, blocks: [], sent: 0, received: new BlockAssembler() }
  const octets = encodeApdu(whole(request, invokeId))
  if (octets.length <= pduOctets) return { exchange, octets }
  const data = request.kind === 'set' ? request.data : request.kind === 'action' ? request.parameters : undefined
  if (data === undefined) throw new RangeError(`a request of ${octets.length} octets, the server takes ${pduOctets}`)
  const size = pduOctets - encodeApdu(first(request, invokeId, noBlock)).length - longerLengthOctets
  const [block, ...blocks] = dataBlocks(encodeData(data), size)
  return { exchange: { ...exchange, blocks, sent: 1 }, octets: encodeApdu(first(request, invokeId, block!)) }
}

function whole(request: Request, invokeId: number): Apdu {
  switch (request.kind) {
    case 'get':
      return { apdu: 'get-request', invokeId, choice: 'normal', attribute: request.attribute }
    case 'set':
      return { apdu: 'set-request', invokeId, choice: 'normal', attribute: request.attribute, data: request.data }
    case 'action':
      return {
        apdu: 'action-request',
        invokeId,
        choice: 'normal',
        method: request.method,
        parameters: request.parameters,
      }
  }
}

function first(request: Request, invokeId: number, block: DataBlock): SetRequest | ActionRequest {
  if (request.kind === 'action') {
    return { apdu: 'action-request', invokeId, choice: 'with-first-pblock', method: request.method, block }
  }
  return { apdu: 'set-request', invokeId, choice: 'with-first-datablock', attribute: request.attribute, block }
}

/** What a response leads to: the next APDU, or the answer. */
export type Progress = { exchange: Exchange; octets: Uint8Array } | { answer: Answer }

/**
 * @throws PeerError `ASSOCIATION_SEQUENCE` for the response to another request or in another form, and as
 *   `BlockAssembler.add` and `decodeApdu`
 */
export function takeResponse(exchange: Exchange, apdu: Apdu): Progress {
  const { request } = exchange
  if (!('invokeId' in apdu) || apdu.invokeId !== exchange.invokeId) throw unasked(exchange, apdu)
  if (request.kind === 'get' && apdu.apdu === 'get-response') return takeGet(exchange, apdu)
  if (request.kind === 'set' && apdu.apdu === 'set-response') return takeSet(exchange, apdu)
  if (request.kind === 'action' && apdu.apdu === 'action-response') return takeAction(exchange, apdu)
  throw unasked(exchange, apdu)
}

function unasked({ request, invokeId }: Exchange, apdu: Apdu): PeerError {
  const form = 'choice' in apdu ? `${apdu.apdu} ${apdu.choice}` : apdu.apdu
  return new PeerError('ASSOCIATION_SEQUENCE', `${form} does not answer ${request.kind} ${invokeId & 0x0f}`)
}

function takeGet(exchange: Exchange, apdu: GetResponse): Progress {
  if (apdu.choice === 'normal') return { answer: { kind: 'get', result: apdu.result } }
  if (apdu.choice === 'with-list') throw unasked(exchange, apdu)
  const { block } = apdu
  if ('result' in block) return { answer: { kind: 'get', result: { kind: 'error', result: block.result } } }
  const added = exchange.received.add(block)
  if (added.kind === 'whole') {
    return { answer: { kind: 'get', result: { kind: 'data', data: decodeBlockData(added.octets) } } }
  }
  const { invokeId } = exchange
  const octets = encodeApdu({ apdu: 'get-request', invokeId, choice: 'next', blockNumber: added.number })
  return { exchange, octets }
}

function takeSet(exchange: Exchange, apdu: SetResponse): Progress {
  const { blocks, sent, invokeId } = exchange
  if (apdu.choice === 'normal' && sent === 0) return { answer: { kind: 'set', result: apdu.result } }
  if (apdu.choice === 'last-datablock' && sent > 0) return { answer: { kind: 'set', result: apdu.result } }
  const [block, ...rest] = blocks
  if (apdu.choice !== 'datablock' || apdu.blockNumber !== sent || block === undefined) throw unasked(exchange, apdu)
  const octets = encodeApdu({ apdu: 'set-request', invokeId, choice: 'with-datablock', block })
  return { exchange: { ...exchange, blocks: rest, sent: block.number }, octets }
}

function takeAction(exchange: Exchange, apdu: ActionResponse): Progress {
  const { blocks, sent, invokeId } = exchange
  if (apdu.choice === 'normal') return { answer: { kind: 'action', outcome: apdu.outcome } }
  if (apdu.choice === 'with-pblock') return takeActionBlock(exchange, apdu.block)
  const [block, ...rest] = blocks
  if (apdu.choice !== 'next-pblock' || apdu.blockNumber !== sent || block === undefined) throw unasked(exchange, apdu)
  const octets = encodeApdu({ apdu: 'action-request', invokeId, choice: 'with-pblock', block })
  return { exchange: { ...exchange, blocks: rest, sent: block.number }, octets }
}

/** In blocks travels what a method returned, which it does where it succeeded. */
function takeActionBlock(exchange: Exchange, block: DataBlock): Progress {
  const added = exchange.received.add(block)
  if (added.kind === 'whole') {
    const data = decodeBlockData(added.octets)
    return { answer: { kind: 'action', outcome: { result: 0, returned: { kind: 'data', data } } } }
  }
  const { invokeId } = exchange
  const octets = encodeApdu({ apdu: 'action-request', invokeId, choice: 'next-pblock', blockNumber: added.number })
  return { exchange, octets }
}
