import { type Data, dataBudget, decodeData, writeData } from './axdr.ts'
import { choices, decodeChoice, decodeDataList, decodeList, writeDataList, writeList } from './constructs.ts'
import { type DataBlock, decodeDataBlock, writeDataBlock } from './data-block.ts'
import { decodeSelectedAttribute, type SelectedAttribute, writeSelectedAttribute } from './descriptor.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/** @see IEC 62056-5-3, Set-Request */
export type SetRequest = {
  apdu: 'set-request'
  /** invoke-id-and-priority, 0 to 255; `invoke.ts` reads it */
  invokeId: number
} & (
  | { choice: 'normal'; attribute: SelectedAttribute; data: Data }
  | { choice: 'with-first-datablock'; attribute: SelectedAttribute; block: DataBlock }
  | { choice: 'with-datablock'; block: DataBlock }
  | {
      choice: 'with-list'
      attributes: SelectedAttribute[]
      /** one for each attribute; a list of another length is the receiver's to refuse */
      data: Data[]
    }
  | { choice: 'with-list-and-first-datablock'; attributes: SelectedAttribute[]; block: DataBlock }
)

/** Results are `dataAccessResult` codes. @see IEC 62056-5-3, Set-Response */
export type SetResponse = { apdu: 'set-response'; invokeId: number } & (
  | { choice: 'normal'; result: number }
  | { choice: 'datablock'; blockNumber: number }
  | { choice: 'last-datablock'; result: number; blockNumber: number }
  | { choice: 'last-datablock-with-list'; results: number[]; blockNumber: number }
  | { choice: 'with-list'; results: number[] }
)

export const setRequestTag = 0xc1
export const setResponseTag = 0xc5

const requests = {
  normal: 1,
  'with-first-datablock': 2,
  'with-datablock': 3,
  'with-list': 4,
  'with-list-and-first-datablock': 5,
} as const
const requestNames = choices(requests)
const responses = {
  normal: 1,
  datablock: 2,
  'last-datablock': 3,
  'last-datablock-with-list': 4,
  'with-list': 5,
} as const
const responseNames = choices(responses)

/**
 * The APDU behind its tag C1.
 * @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*`
 */
export function decodeSetRequest(reader: OctetReader): SetRequest {
  const choice = decodeChoice(reader, 'a set-request', requestNames)
  const head = { apdu: 'set-request', invokeId: reader.uint(1) } as const
  const budget = dataBudget()
  const decodeOne = (reader: OctetReader): SelectedAttribute => decodeSelectedAttribute(reader, budget)
  switch (choice) {
    case 'normal':
      return { ...head, choice, attribute: decodeOne(reader), data: decodeData(reader, budget) }
    case 'with-first-datablock':
      return { ...head, choice, attribute: decodeOne(reader), block: decodeDataBlock(reader) }
    case 'with-datablock':
      return { ...head, choice, block: decodeDataBlock(reader) }
    case 'with-list':
      return { ...head, choice, attributes: decodeList(reader, decodeOne), data: decodeDataList(reader, budget) }
    case 'with-list-and-first-datablock':
      return { ...head, choice, attributes: decodeList(reader, decodeOne), block: decodeDataBlock(reader) }
  }
}

/** With its tag C1. */
export function encodeSetRequest(apdu: SetRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, setRequestTag).uint(1, requests[apdu.choice]).uint(1, apdu.invokeId)
  if ('attribute' in apdu) writeSelectedAttribute(writer, apdu.attribute)
  if ('attributes' in apdu) writeList(writer, apdu.attributes, writeSelectedAttribute)
  if ('block' in apdu) writeDataBlock(writer, apdu.block)
  else if (apdu.choice === 'normal') writeData(writer, apdu.data)
  else writeDataList(writer, apdu.data)
  return writer.finish()
}

/**
 * The APDU behind its tag C5.
 * @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `DATA_COUNT`
 */
export function decodeSetResponse(reader: OctetReader): SetResponse {
  const choice = decodeChoice(reader, 'a set-response', responseNames)
  const head = { apdu: 'set-response', invokeId: reader.uint(1) } as const
  switch (choice) {
    case 'normal':
      return { ...head, choice, result: reader.uint(1) }
    case 'datablock':
      return { ...head, choice, blockNumber: reader.uint(4) }
    case 'last-datablock':
      return { ...head, choice, result: reader.uint(1), blockNumber: reader.uint(4) }
    case 'last-datablock-with-list':
      return { ...head, choice, results: decodeList(reader, decodeResult), blockNumber: reader.uint(4) }
    case 'with-list':
      return { ...head, choice, results: decodeList(reader, decodeResult) }
  }
}

/** With its tag C5. */
export function encodeSetResponse(apdu: SetResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, setResponseTag).uint(1, responses[apdu.choice]).uint(1, apdu.invokeId)
  if ('result' in apdu) writer.uint(1, apdu.result)
  if ('results' in apdu) writeList(writer, apdu.results, (writer, result) => writer.uint(1, result))
  if ('blockNumber' in apdu) writer.uint(4, apdu.blockNumber)
  return writer.finish()
}

function decodeResult(reader: OctetReader): number {
  return reader.uint(1)
}
