import type { ActionOutcome, ActionRequest } from '../codec/action.ts'
import { type Apdu, encodeApdu } from '../codec/apdu.ts'
import { type Data, encodeData } from '../codec/axdr.ts'
import { BlockAssembler, dataBlocks } from '../codec/block-assembler.ts'
import { encodeBlockDataList } from '../codec/block-contents.ts'
import type { DataBlock } from '../codec/data-block.ts'
import type { MethodDescriptor, SelectedAttribute } from '../codec/descriptor.ts'
import { invokeId } from '../codec/invoke.ts'
import type { GetResult } from '../codec/results.ts'
import type { SetRequest } from '../codec/set.ts'

/** What a client asks for; a list in one request, where both have multiple references. */
export type Request =
  | { kind: 'get'; attribute: SelectedAttribute }
  | { kind: 'set'; attribute: SelectedAttribute; data: Data }
  | { kind: 'action'; method: MethodDescriptor; parameters: Data | undefined }
  | { kind: 'get-list'; attributes: SelectedAttribute[] }
  | {
      kind: 'set-list'
      attributes: SelectedAttribute[]
      /** one for each attribute */
      data: Data[]
    }
  | {
      kind: 'action-list'
      methods: MethodDescriptor[]
      /** one for each method, null-data where it takes none */
      parameters: Data[]
    }

/** What it comes to; a result other than 0 is the server's answer too, and no fault. A list has one for each. */
export type Answer =
  | { kind: 'get'; result: GetResult }
  | {
      kind: 'set'
      /** a `dataAccessResult` code */
      result: number
    }
  | { kind: 'action'; outcome: ActionOutcome }
  | { kind: 'get-list'; results: GetResult[] }
  | { kind: 'set-list'; results: number[] }
  | { kind: 'action-list'; outcomes: ActionOutcome[] }

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
 * @throws RangeError where not even the descriptors and their selections fit, or where lists differ in length
 */
export function beginExchange(
  request: Request,
  invokeId: number,
  pduOctets: number,
): { exchange: Exchange; octets: Uint8Array } {
  const exchange: Exchange = { request, invokeId, blocks: [], sent: 0, received: new BlockAssembler() }
  checkLists(request)
  const octets = encodeApdu(whole(request, invokeId))
  if (octets.length <= pduOctets) return { exchange, octets }
  const contents = contentsOf(request)
  const head = contents && encodeApdu(first(request, invokeId, noBlock)).length + longerLengthOctets
  if (contents === undefined || head === undefined || head >= pduOctets) {
    throw new RangeError(`a request of ${octets.length} octets, the server takes ${pduOctets}`)
  }
  const [block, ...blocks] = dataBlocks(contents, pduOctets - head)
  return { exchange: { ...exchange, blocks, sent: 1 }, octets: encodeApdu(first(request, invokeId, block!)) }
}

function checkLists(request: Request): void {
  const [listed, values] =
    request.kind === 'set-list'
      ? [request.attributes, request.data]
      : request.kind === 'action-list'
        ? [request.methods, request.parameters]
        : [[], []]
  if (listed.length !== values.length) throw new RangeError(`${values.length} values for a list of ${listed.length}`)
}

function whole(request: Request, invokeId: number): Apdu {
  switch (request.kind) {
    case 'get':
      return { apdu: 'get-request', invokeId, choice: 'normal', attribute: request.attribute }
    case 'get-list':
      return { apdu: 'get-request', invokeId, choice: 'with-list', attributes: request.attributes }
    case 'set':
      return { apdu: 'set-request', invokeId, choice: 'normal', attribute: request.attribute, data: request.data }
    case 'set-list':
      return { apdu: 'set-request', invokeId, choice: 'with-list', attributes: request.attributes, data: request.data }
    case 'action': {
      const { method, parameters } = request
      return { apdu: 'action-request', invokeId, choice: 'normal', method, parameters }
    }
    case 'action-list': {
      const { methods, parameters } = request
      return { apdu: 'action-request', invokeId, choice: 'with-list', methods, parameters }
    }
  }
}

/** What is cut into blocks: the values without their descriptors. `undefined` where a request has none. */
function contentsOf(request: Request): Uint8Array | undefined {
  switch (request.kind) {
    case 'get':
    case 'get-list':
      return undefined
    case 'set':
      return encodeData(request.data)
    case 'action':
      return request.parameters && encodeData(request.parameters)
    case 'set-list':
      return encodeBlockDataList(request.data)
    case 'action-list':
      return encodeBlockDataList(request.parameters)
  }
}

function first(request: Request, invokeId: number, block: DataBlock): SetRequest | ActionRequest {
  switch (request.kind) {
    case 'set':
      return { apdu: 'set-request', invokeId, choice: 'with-first-datablock', attribute: request.attribute, block }
    case 'set-list': {
      const { attributes } = request
      return { apdu: 'set-request', invokeId, choice: 'with-list-and-first-datablock', attributes, block }
    }
    case 'action':
      return { apdu: 'action-request', invokeId, choice: 'with-first-pblock', method: request.method, block }
    case 'action-list': {
      const { methods } = request
      return { apdu: 'action-request', invokeId, choice: 'with-list-and-first-pblock', methods, block }
    }
    default:
      throw new RangeError(`a ${request.kind} is not sent in blocks`)
  }
}
