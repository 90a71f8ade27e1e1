import { type Budget, type Data, dataBudget, decodeData, writeData } from './axdr.ts'
import {
  choices,
  decodeChoice,
  decodeDataList,
  decodeList,
  decodeOptional,
  writeDataList,
  writeList,
  writeOptional,
} from './constructs.ts'
import { type DataBlock, decodeDataBlock, writeDataBlock } from './data-block.ts'
import { decodeMethod, type MethodDescriptor, writeMethod } from './descriptor.ts'
import { type OctetReader, OctetWriter } from './octets.ts'
import { decodeGetResult, type GetResult, writeGetResult } from './results.ts'

/** @see IEC 62056-5-3, Action-Request */
export type ActionRequest = {
  apdu: 'action-request'
  /** invoke-id-and-priority, 0 to 255; `invoke.ts` reads it */
  invokeId: number
} & (
  | { choice: 'normal'; method: MethodDescriptor; parameters: Data | undefined }
  | {
      choice: 'next-pblock'
      /** of the block that came last, 0 to 2^32 - 1 */
      blockNumber: number
    }
  | {
      choice: 'with-list'
      methods: MethodDescriptor[]
      /** one for each method, null-data where it takes none; another length is the receiver's to refuse */
      parameters: Data[]
    }
  | { choice: 'with-first-pblock'; method: MethodDescriptor; block: DataBlock }
  | { choice: 'with-list-and-first-pblock'; methods: MethodDescriptor[]; block: DataBlock }
  | { choice: 'with-pblock'; block: DataBlock }
)

/** What a method did and returned. @see IEC 62056-5-3, Action-Response-With-Optional-Data */
export interface ActionOutcome {
  /** an `actionResult` code */
  result: number
  returned: GetResult | undefined
}

/** @see IEC 62056-5-3, Action-Response */
export type ActionResponse = { apdu: 'action-response'; invokeId: number } & (
  | { choice: 'normal'; outcome: ActionOutcome }
  | { choice: 'with-pblock'; block: DataBlock }
  | { choice: 'with-list'; outcomes: ActionOutcome[] }
  | { choice: 'next-pblock'; blockNumber: number }
)

export const actionRequestTag = 0xc3
export const actionResponseTag = 0xc7

const requests = {
  normal: 1,
  'next-pblock': 2,
  'with-list': 3,
  'with-first-pblock': 4,
  'with-list-and-first-pblock': 5,
  'with-pblock': 6,
} as const
const requestNames = choices(requests)
const responses = { normal: 1, 'with-pblock': 2, 'with-list': 3, 'next-pblock': 4 } as const
const responseNames = choices(responses)

/**
 * The APDU behind its tag C3.
 * @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*`
 */
export function decodeActionRequest(reader: OctetReader): ActionRequest {
  const choice = decodeChoice(reader, 'an action-request', requestNames)
  const head = { apdu: 'action-request', invokeId: reader.uint(1) } as const
  switch (choice) {
    case 'normal':
      return { ...head, choice, method: decodeMethod(reader), parameters: decodeOptional(reader, (r) => decodeData(r)) }
    case 'next-pblock':
      return { ...head, choice, blockNumber: reader.uint(4) }
    case 'with-list':
      return { ...head, choice, methods: decodeList(reader, decodeMethod), parameters: decodeDataList(reader) }
    case 'with-first-pblock':
      return { ...head, choice, method: decodeMethod(reader), block: decodeDataBlock(reader) }
    case 'with-list-and-first-pblock':
      return { ...head, choice, methods: decodeList(reader, decodeMethod), block: decodeDataBlock(reader) }
    case 'with-pblock':
      return { ...head, choice, block: decodeDataBlock(reader) }
  }
}

/** With its tag C3. */
export function encodeActionRequest(apdu: ActionRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, actionRequestTag).uint(1, requests[apdu.choice]).uint(1, apdu.invokeId)
  if ('method' in apdu) writeMethod(writer, apdu.method)
  if ('methods' in apdu) writeList(writer, apdu.methods, writeMethod)
  if ('block' in apdu) writeDataBlock(writer, apdu.block)
  else if (apdu.choice === 'normal') writeOptional(writer, apdu.parameters, writeData)
  else if (apdu.choice === 'with-list') writeDataList(writer, apdu.parameters)
  else writer.uint(4, apdu.blockNumber)
  return writer.finish()
}

/**
 * The APDU behind its tag C7.
 * @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*`
 */
export function decodeActionResponse(reader: OctetReader): ActionResponse {
  const choice = decodeChoice(reader, 'an action-response', responseNames)
  const head = { apdu: 'action-response', invokeId: reader.uint(1) } as const
  const budget = dataBudget()
  switch (choice) {
    case 'normal':
      return { ...head, choice, outcome: decodeOutcome(reader, budget) }
    case 'with-pblock':
      return { ...head, choice, block: decodeDataBlock(reader) }
    case 'with-list':
      return { ...head, choice, outcomes: decodeList(reader, (reader) => decodeOutcome(reader, budget)) }
    case 'next-pblock':
      return { ...head, choice, blockNumber: reader.uint(4) }
  }
}

/** With its tag C7. */
export function encodeActionResponse(apdu: ActionResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, actionResponseTag).uint(1, responses[apdu.choice]).uint(1, apdu.invokeId)
  switch (apdu.choice) {
    case 'normal':
      writeOutcome(writer, apdu.outcome)
      break
    case 'with-pblock':
      writeDataBlock(writer, apdu.block)
      break
    case 'with-list':
      writeList(writer, apdu.outcomes, writeOutcome)
      break
    case 'next-pblock':
      writer.uint(4, apdu.blockNumber)
  }
  return writer.finish()
}

/** @throws PeerError `APDU_*`, `DATA_*` */
export function decodeOutcome(reader: OctetReader, budget: Budget): ActionOutcome {
  return { result: reader.uint(1), returned: decodeOptional(reader, (reader) => decodeGetResult(reader, budget)) }
}

/** @see decodeOutcome */
export function writeOutcome(writer: OctetWriter, { result, returned }: ActionOutcome): void {
  writeOptional(writer.uint(1, result), returned, writeGetResult)
}
