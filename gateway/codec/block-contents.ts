import { type ActionOutcome, decodeOutcome, writeOutcome } from './action.ts'
import { type Data, dataBudget, decodeData } from './axdr.ts'
import { decodeDataList, decodeList, writeDataList, writeList } from './constructs.ts'
import { OctetReader, OctetWriter } from './octets.ts'
import { decodeGetResult, type GetResult, writeGetResult } from './results.ts'

/**
 * What the data blocks of one transfer hold together; offsets of faults count in that, not in a block.
 * @see IEC 62056-5-3, service-specific block transfer
 */
function whole<T>(octets: Uint8Array, decode: (reader: OctetReader) => T): T {
  const reader = new OctetReader(octets)
  const value = decode(reader)
  reader.end()
  return value
}

/** Of a GET for one attribute, a SET of one, an ACTION of one method, and what that returned; `encodeData` writes it. @throws PeerError `APDU_*`, `DATA_*` */
export function decodeBlockData(octets: Uint8Array): Data {
  return whole(octets, (reader) => decodeData(reader))
}

/** Of a SET or an ACTION with a list: one value for each. @throws PeerError `APDU_*`, `DATA_*` */
export function decodeBlockDataList(octets: Uint8Array): Data[] {
  return whole(octets, (reader) => decodeDataList(reader))
}

/** @see decodeBlockDataList */
export function encodeBlockDataList(list: readonly Data[]): Uint8Array {
  const writer = new OctetWriter()
  writeDataList(writer, list)
  return writer.finish()
}

/** Of a GET with a list: one result for each. @throws PeerError `APDU_*`, `DATA_*` */
export function decodeBlockResults(octets: Uint8Array): GetResult[] {
  const budget = dataBudget()
  return whole(octets, (reader) => decodeList(reader, (reader) => decodeGetResult(reader, budget)))
}

/** @see decodeBlockResults */
export function encodeBlockResults(results: readonly GetResult[]): Uint8Array {
  const writer = new OctetWriter()
  writeList(writer, results, writeGetResult)
  return writer.finish()
}

/** Of an ACTION with a list: for each method its result and what it returned. @throws PeerError `APDU_*`, `DATA_*` */
export function decodeBlockOutcomes(octets: Uint8Array): ActionOutcome[] {
  const budget = dataBudget()
  return whole(octets, (reader) => decodeList(reader, (reader) => decodeOutcome(reader, budget)))
}

/** @see decodeBlockOutcomes */
export function encodeBlockOutcomes(outcomes: readonly ActionOutcome[]): Uint8Array {
  const writer = new OctetWriter()
  writeList(writer, outcomes, writeOutcome)
  return writer.finish()
}
