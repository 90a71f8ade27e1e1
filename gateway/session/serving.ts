import type { ActionOutcome, ActionRequest } from '../codec/action.ts'
import { type Apdu, encodeApdu } from '../codec/apdu.ts'
import { type Data, encodeData } from '../codec/axdr.ts'
import { BlockAssembler, dataBlocks } from '../codec/block-assembler.ts'
import { decodeBlockData, encodeBlockResults } from '../codec/block-contents.ts'
import type { DataBlock } from '../codec/data-block.ts'
import type { MethodDescriptor, SelectedAttribute } from '../codec/descriptor.ts'
import { type ExceptionResponse, serviceError, stateError } from '../codec/exception.ts'
import type { GetRequest } from '../codec/get.ts'
import { conformance } from '../codec/initiate.ts'
import { actionResult, dataAccessResult, type GetResult } from '../codec/results.ts'
import type { SetRequest } from '../codec/set.ts'
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
type Transfer =
  | {
      kind: 'sending'
      service: 'get' | 'action'
      invokeId: number
      blocks: readonly DataBlock[]
      /** the number of the block that was sent last */
      number: number
    }
  | { kind: 'receiving'; target: Target; invokeId: number; assembler: BlockAssembler }

type Target = { service: 'set'; attribute: SelectedAttribute } | { service: 'action'; method: MethodDescriptor }

/** What a server knows of an association that is open. */
export interface Serving {
  /** octets that the client takes in one APDU */
  pduOctets: number
  /** bits of `conformance` that both have */
  conformance: number
  transfer: Transfer | undefined
}

/** What to answer, and what is known then. */
export interface Served {
  serving: Serving
  response: Apdu
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

/** One request of the three services; `undefined` for an APDU that is none. */
export function serve(serving: Serving, apdu: Apdu, objects: CosemObjects): Served | undefined {
  if (apdu.apdu !== 'get-request' && apdu.apdu !== 'set-request' && apdu.apdu !== 'action-request') return undefined
  const service = apdu.apdu === 'get-request' ? 'get' : apdu.apdu === 'set-request' ? 'set' : 'action'
  if ((serving.conformance & conformance[service]) === 0) return unsupported(serving)
  if (apdu.apdu === 'get-request') return serveGet(serving, apdu, objects)
  return apdu.apdu === 'set-request' ? serveSet(serving, apdu, objects) : serveAction(serving, apdu, objects)
}

function unsupported(serving: Serving): Served {
  return answer(serving, exception('service-unknown', 'service-not-supported'))
}

/** Ends a transfer, where there was one. */
function answer(serving: Serving, response: Apdu): Served {
  return { serving: { ...serving, transfer: undefined }, response }
}

/** In one APDU where it fits, else in blocks of which this is the first. */
function answerOrBlocks(
  serving: Serving,
  response: Apdu,
  inBlocks: { service: 'get' | 'action'; invokeId: number; contents: () => Uint8Array },
): Served {
  if (encodeApdu(response).length <= serving.pduOctets) return answer(serving, response)
  const { service, invokeId, contents } = inBlocks
  const bit = conformance[service === 'get' ? 'block-transfer-with-get-or-read' : 'block-transfer-with-action']
  if ((serving.conformance & bit) === 0) return answer(serving, exception('service-not-allowed', 'pdu-too-long'))
  const blocks = dataBlocks(contents(), serving.pduOctets - blockHeadOctets)
  return sendBlock(serving, { kind: 'sending', service, invokeId, blocks, number: 1 })
}

function sendBlock(serving: Serving, transfer: Extract<Transfer, { kind: 'sending' }>): Served {
  const { service, invokeId, blocks, number } = transfer
  const block = blocks[number - 1]!
  const response: Apdu =
    service === 'get'
      ? { apdu: 'get-response', invokeId, choice: 'with-datablock', block }
      : { apdu: 'action-response', invokeId, choice: 'with-pblock', block }
  return { serving: { ...serving, transfer }, response }
}

/** The blocks that a `next` of this service goes on with: of the same request, behind the last or the last again. */
function continued(
  { transfer }: Serving,
  service: 'get' | 'action',
  next: { invokeId: number; blockNumber: number },
): Extract<Transfer, { kind: 'sending' }> | 'none' | 'number' {
  if (transfer?.kind !== 'sending' || transfer.service !== service || transfer.invokeId !== next.invokeId) return 'none'
  const number = next.blockNumber + 1
  const isNext = number === transfer.number + 1 || number === transfer.number
  return isNext && number >= 1 && number <= transfer.blocks.length ? { ...transfer, number } : 'number'
}

function serveGet(serving: Serving, apdu: GetRequest, objects: CosemObjects): Served {
  const { invokeId } = apdu
  switch (apdu.choice) {
    case 'normal': {
      const result = objects.get(apdu.attribute)
      const response: Apdu = { apdu: 'get-response', invokeId, choice: 'normal', result }
      const contents = (): Uint8Array => (result.kind === 'data' ? encodeData(result.data) : new Uint8Array())
      return answerOrBlocks(serving, response, { service: 'get', invokeId, contents })
    }
    case 'with-list': {
      const results = apdu.attributes.map((attribute) => objects.get(attribute))
      const response: Apdu = { apdu: 'get-response', invokeId, choice: 'with-list', results }
      return answerOrBlocks(serving, response, {
        service: 'get',
        invokeId,
        contents: () => encodeBlockResults(results),
      })
    }
    case 'next': {
      const transfer = continued(serving, 'get', apdu)
      if (typeof transfer === 'object') return sendBlock(serving, transfer)
      const result = dataAccessResult[transfer === 'none' ? 'no-long-get-in-progress' : 'data-block-number-invalid']
      const block = { last: true, number: apdu.blockNumber, result }
      return answer(serving, { apdu: 'get-response', invokeId, choice: 'with-datablock', block })
    }
  }
}

/** What a block that came leads to: the next is asked for, all are there, or why the transfer ends. */
type Received = { kind: 'more'; number: number } | { kind: 'whole'; data: Data } | { kind: 'fault'; sequence: boolean }

function take(assembler: BlockAssembler, block: DataBlock): Received {
  try {
    const added = assembler.add(block)
    if (added.kind === 'whole') return { kind: 'whole', data: decodeBlockData(added.octets) }
    return { kind: 'more', number: added.number }
  } catch (fault) {
    if (fault instanceof PeerError) return { kind: 'fault', sequence: fault.code === 'FRAME_SEQUENCE' }
    throw fault
  }
}

function receivingOf(
  { transfer }: Serving,
  service: Target['service'],
  invokeId: number,
): Extract<Transfer, { kind: 'receiving' }> | undefined {
  if (transfer?.kind !== 'receiving' || transfer.invokeId !== invokeId) return undefined
  return transfer.target.service === service ? transfer : undefined
}

function serveSet(serving: Serving, apdu: SetRequest, objects: CosemObjects): Served {
  const { invokeId } = apdu
  if (apdu.choice === 'normal') {
    const result = objects.set(apdu.attribute, apdu.data)
    return answer(serving, { apdu: 'set-response', invokeId, choice: 'normal', result })
  }
  if (apdu.choice === 'with-list' || apdu.choice === 'with-list-and-first-datablock') return unsupported(serving)
  const { block } = apdu
  const transfer =
    apdu.choice === 'with-datablock'
      ? receivingOf(serving, 'set', invokeId)
      : begin({ service: 'set', attribute: apdu.attribute }, invokeId)
  const end = (result: number): Served =>
    answer(serving, { apdu: 'set-response', invokeId, choice: 'last-datablock', result, blockNumber: block.number })
  if (transfer?.target.service !== 'set') return end(dataAccessResult['no-long-set-in-progress'])
  const received = take(transfer.assembler, block)
  if (received.kind === 'whole') return end(objects.set(transfer.target.attribute, received.data))
  if (received.kind === 'fault') {
    return end(dataAccessResult[received.sequence ? 'data-block-number-invalid' : 'long-set-aborted'])
  }
  const response = { apdu: 'set-response', invokeId, choice: 'datablock', blockNumber: received.number } as const
  return { serving: { ...serving, transfer }, response }
}

function begin(target: Target, invokeId: number): Extract<Transfer, { kind: 'receiving' }> {
  return { kind: 'receiving', target, invokeId, assembler: new BlockAssembler() }
}

function serveAction(serving: Serving, apdu: ActionRequest, objects: CosemObjects): Served {
  const { invokeId } = apdu
  const refuse = (result: number): Served => act(serving, invokeId, { result, returned: undefined })
  switch (apdu.choice) {
    case 'normal':
      return act(serving, invokeId, objects.act(apdu.method, apdu.parameters))
    case 'with-list':
    case 'with-list-and-first-pblock':
      return unsupported(serving)
    case 'next-pblock': {
      const transfer = continued(serving, 'action', apdu)
      if (typeof transfer === 'object') return sendBlock(serving, transfer)
      return refuse(actionResult[transfer === 'none' ? 'no-long-action-in-progress' : 'long-action-aborted'])
    }
  }
  const transfer =
    apdu.choice === 'with-pblock'
      ? receivingOf(serving, 'action', invokeId)
      : begin({ service: 'action', method: apdu.method }, invokeId)
  if (transfer?.target.service !== 'action') return refuse(actionResult['no-long-action-in-progress'])
  const received = take(transfer.assembler, apdu.block)
  if (received.kind === 'whole') return act(serving, invokeId, objects.act(transfer.target.method, received.data))
  if (received.kind === 'fault') return refuse(actionResult['long-action-aborted'])
  const response = { apdu: 'action-response', invokeId, choice: 'next-pblock', blockNumber: received.number } as const
  return { serving: { ...serving, transfer }, response }
}

function act(serving: Serving, invokeId: number, outcome: ActionOutcome): Served {
  const { returned } = outcome
  const contents = (): Uint8Array => (returned?.kind === 'data' ? encodeData(returned.data) : new Uint8Array())
  const response: Apdu = { apdu: 'action-response', invokeId, choice: 'normal', outcome }
  return answerOrBlocks(serving, response, { service: 'action', invokeId, contents })
}
