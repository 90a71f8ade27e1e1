import type { ActionOutcome } from '../codec/action.ts'
import { type Apdu, encodeApdu } from '../codec/apdu.ts'
import type { Data } from '../codec/axdr.ts'
import { BlockAssembler, dataBlocks } from '../codec/block-assembler.ts'
import { decodeBlockData, decodeBlockDataList } from '../codec/block-contents.ts'
import type { DataBlock } from '../codec/data-block.ts'
import type { MethodDescriptor, SelectedAttribute } from '../codec/descriptor.ts'
import { type ExceptionResponse, serviceError, stateError } from '../codec/exception.ts'
import { type ConformanceName, conformance } from '../codec/initiate.ts'
import type { GetResult } from '../codec/results.ts'
import { PeerError } from '../errors.ts'
import { blockHeadOctets } from './association.ts'

/** The objects behind a server. What they refuse they say in a result; they throw no fault of the client's. */
export interface CosemObjects {
  get(attribute: SelectedAttribute): GetResult
  /** @returns a `dataAccessResult` code */
  set(attribute: SelectedAttribute, data: Data): number
  act(method: MethodDescriptor, parameters: Data | undefined): ActionOutcome
}

/** A transfer in blocks under way; another request ends it. */
export type Transfer = Sending | Receiving

export interface Sending {
  kind: 'sending'
  service: 'get' | 'action'
  invokeId: number
  blocks: readonly DataBlock[]
  /** the number of the block that was sent last */
  number: number
}

export interface Receiving {
  kind: 'receiving'
  target: Target
  invokeId: number
  assembler: BlockAssembler
}

/** What the blocks that come are for; without `list` it is one. */
export type Target = { list: boolean } & (
  | { service: 'set'; attributes: readonly SelectedAttribute[] }
  | { service: 'action'; methods: readonly MethodDescriptor[] }
)

/** What a server knows of an association that is open. */
export interface Serving {
  /** octets that the client takes in one APDU, less what ciphering adds */
  pduOctets: number
  /** bits of `conformance` that both have */
  conformance: number
  transfer: Transfer | undefined
}

/** What to answer, and what is known then; nobody waits for an answer to an unconfirmed request. */
export interface Served {
  serving: Serving
  response: Apdu | undefined
}

/** The whole APDU is refused. */
export function exception(
  state: keyof typeof stateError,
  service: Exclude<keyof typeof serviceError, 'invocation-counter-error'>,
): ExceptionResponse {
  return {
    apdu: 'exception-response',
    stateError: stateError[state],
    serviceError: serviceError[service],
    invocationCounter: undefined,
  }
}

/** Whether both ends have each of these. */
export function has({ conformance: bits }: Serving, ...names: readonly ConformanceName[]): boolean {
  return names.every((name) => (bits & conformance[name]) !== 0)
}

export function unsupported(serving: Serving): Served {
  return answer(serving, exception('service-unknown', 'service-not-supported'))
}

/** Lists of a request that belong together and differ in length. */
export function mismatched(serving: Serving): Served {
  return answer(serving, exception('service-not-allowed', 'other-reason'))
}

export function tooLong(serving: Serving): Served {
  return answer(serving, exception('service-not-allowed', 'pdu-too-long'))
}

/** Ends a transfer, where there was one. */
export function answer(serving: Serving, response: Apdu): Served {
  return { serving: { ...serving, transfer: undefined }, response }
}

/** In one APDU where it fits, else in blocks of which this is the first. */
export function answerOrBlocks(
  serving: Serving,
  response: Apdu,
  inBlocks: { service: 'get' | 'action'; invokeId: number; contents: () => Uint8Array },
): Served {
  if (encodeApdu(response).length <= serving.pduOctets) return answer(serving, response)
  const { service, invokeId, contents } = inBlocks
  const name = service === 'get' ? 'block-transfer-with-get-or-read' : 'block-transfer-with-action'
  if (!has(serving, name)) return tooLong(serving)
  const blocks = dataBlocks(contents(), serving.pduOctets - blockHeadOctets)
  return sendBlock(serving, { kind: 'sending', service, invokeId, blocks, number: 1 })
}

export function sendBlock(serving: Serving, transfer: Sending): Served {
  const { service, invokeId, blocks, number } = transfer
  const block = blocks[number - 1]!
  const response: Apdu =
    service === 'get'
      ? { apdu: 'get-response', invokeId, choice: 'with-datablock', block }
      : { apdu: 'action-response', invokeId, choice: 'with-pblock', block }
  return { serving: { ...serving, transfer }, response }
}

/** The blocks that a `next` of this service goes on with: of the same request, behind the last or the last again. */
export function continued(
  { transfer }: Serving,
  service: 'get' | 'action',
  next: { invokeId: number; blockNumber: number },
): Sending | 'none' | 'number' {
  if (transfer?.kind !== 'sending' || transfer.service !== service || transfer.invokeId !== next.invokeId) return 'none'
  const number = next.blockNumber + 1
  const isNext = number === transfer.number + 1 || number === transfer.number
  return isNext && number >= 1 && number <= transfer.blocks.length ? { ...transfer, number } : 'number'
}

/** What a block that came leads to: the next is asked for, all are there, or why the transfer ends. */
export type Received =
  | { kind: 'more'; number: number }
  | { kind: 'whole'; data: Data[] }
  | { kind: 'fault'; sequence: boolean }

/** @returns as `whole` one value for each target */
export function take({ assembler, target }: Receiving, block: DataBlock): Received {
  try {
    const added = assembler.add(block)
    if (added.kind !== 'whole') return { kind: 'more', number: added.number }
    const data = target.list ? decodeBlockDataList(added.octets) : [decodeBlockData(added.octets)]
    const { length } = target.service === 'set' ? target.attributes : target.methods
    return data.length === length ? { kind: 'whole', data } : { kind: 'fault', sequence: false }
  } catch (fault) {
    if (fault instanceof PeerError) return { kind: 'fault', sequence: fault.code === 'FRAME_SEQUENCE' }
    throw fault
  }
}

export function begin(target: Target, invokeId: number): Receiving {
  return { kind: 'receiving', target, invokeId, assembler: new BlockAssembler() }
}

/** The transfer of this service and this request, where it is under way. */
export function receivingOf(
  { transfer }: Serving,
  service: Target['service'],
  invokeId: number,
): Receiving | undefined {
  if (transfer?.kind !== 'receiving' || transfer.invokeId !== invokeId) return undefined
  return transfer.target.service === service ? transfer : undefined
}
