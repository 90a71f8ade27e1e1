import { dataBudget } from './axdr.ts'
import { choices, decodeChoice, decodeList, writeList } from './constructs.ts'
import { decodeGetDataBlock, type GetDataBlock, writeGetDataBlock } from './data-block.ts'
import { decodeSelectedAttribute, type SelectedAttribute, writeSelectedAttribute } from './descriptor.ts'
import { type OctetReader, OctetWriter } from './octets.ts'
import { decodeGetResult, type GetResult, writeGetResult } from './results.ts'

/** @see IEC 62056-5-3, Get-Request */
export type GetRequest = {
  apdu: 'get-request'
  /** invoke-id-and-priority, 0 to 255; `invoke.ts` reads it */
  invokeId: number
} & (
  | { choice: 'normal'; attribute: SelectedAttribute }
  | {
      choice: 'next'
      /** of the block that came last, 0 to 2^32 - 1 */
      blockNumber: number
    }
  | { choice: 'with-list'; attributes: SelectedAttribute[] }
)

/** @see IEC 62056-5-3, Get-Response */
export type GetResponse = { apdu: 'get-response'; invokeId: number } & (
  | { choice: 'normal'; result: GetResult }
  | { choice: 'with-datablock'; block: GetDataBlock }
  | { choice: 'with-list'; results: GetResult[] }
)

export const getRequestTag = 0xc0
export const getResponseTag = 0xc4

const requests = { normal: 1, next: 2, 'with-list': 3 } as const
const requestNames = choices(requests)
const responses = { normal: 1, 'with-datablock': 2, 'with-list': 3 } as const
const responseNames = choices(responses)

/**
 * The APDU behind its tag C0.
 * @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*`
 */
export function decodeGetRequest(reader: OctetReader): GetRequest {
  const choice = decodeChoice(reader, 'a get-request', requestNames)
  const head = { apdu: 'get-request', invokeId: reader.uint(1) } as const
  const budget = dataBudget()
  const decodeOne = (reader: OctetReader): SelectedAttribute => decodeSelectedAttribute(reader, budget)
  switch (choice) {
    case 'normal':
      return { ...head, choice, attribute: decodeOne(reader) }
    case 'next':
      return { ...head, choice, blockNumber: reader.uint(4) }
    case 'with-list':
      return { ...head, choice, attributes: decodeList(reader, decodeOne) }
  }
}

/** With its tag C0. */
export function encodeGetRequest(apdu: GetRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, getRequestTag).uint(1, requests[apdu.choice]).uint(1, apdu.invokeId)
  switch (apdu.choice) {
    case 'normal':
      writeSelectedAttribute(writer, apdu.attribute)
      break
    case 'next':
      writer.uint(4, apdu.blockNumber)
      break
    case 'with-list':
      writeList(writer, apdu.attributes, writeSelectedAttribute)
  }
  return writer.finish()
}

/**
 * The APDU behind its tag C4.
 * @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*`
 */
export function decodeGetResponse(reader: OctetReader): GetResponse {
  const choice = decodeChoice(reader, 'a get-response', responseNames)
  const head = { apdu: 'get-response', invokeId: reader.uint(1) } as const
  const budget = dataBudget()
  switch (choice) {
    case 'normal':
      return { ...head, choice, result: decodeGetResult(reader, budget) }
    case 'with-datablock':
      return { ...head, choice, block: decodeGetDataBlock(reader) }
    case 'with-list':
      return { ...head, choice, results: decodeList(reader, (reader) => decodeGetResult(reader, budget)) }
  }
}

/** With its tag C4. */
export function encodeGetResponse(apdu: GetResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, getResponseTag).uint(1, responses[apdu.choice]).uint(1, apdu.invokeId)
  switch (apdu.choice) {
    case 'normal':
      writeGetResult(writer, apdu.result)
      break
    case 'with-datablock':
      writeGetDataBlock(writer, apdu.block)
      break
    case 'with-list':
      writeList(writer, apdu.results, writeGetResult)
  }
  return writer.finish()
}
