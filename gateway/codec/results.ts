import { type Budget, type Data, decodeData, writeData } from './axdr.ts'
import { choices, decodeChoice } from './constructs.ts'
import type { OctetReader, OctetWriter } from './octets.ts'

/** @see IEC 62056-5-3, Data-Access-Result */
export const dataAccessResult = {
  success: 0,
  'hardware-fault': 1,
  'temporary-failure': 2,
  'read-write-denied': 3,
  'object-undefined': 4,
  'object-class-inconsistent': 9,
  'object-unavailable': 11,
  'type-unmatched': 12,
  'scope-of-access-violated': 13,
  'data-block-unavailable': 14,
  'long-get-aborted': 15,
  'no-long-get-in-progress': 16,
  'long-set-aborted': 17,
  'no-long-set-in-progress': 18,
  'data-block-number-invalid': 19,
  'other-reason': 250,
} as const

/** @see IEC 62056-5-3, Action-Result */
export const actionResult = {
  success: 0,
  'hardware-fault': 1,
  'temporary-failure': 2,
  'read-write-denied': 3,
  'object-undefined': 4,
  'object-class-inconsistent': 9,
  'object-unavailable': 11,
  'type-unmatched': 12,
  'scope-of-access-violated': 13,
  'data-block-unavailable': 14,
  'long-action-aborted': 15,
  'no-long-action-in-progress': 16,
  'other-reason': 250,
} as const

/** The name of a code in such a table; a code that it does not have is `undefined`, and decoded all the same. */
export function codeName<const T extends Readonly<Record<string, number>>>(
  table: T,
  code: number,
): keyof T | undefined {
  return Object.keys(table).find((name) => table[name] === code)
}

/** What was read, or the `dataAccessResult` that says why it was not. @see IEC 62056-5-3, Get-Data-Result */
export type GetResult = { kind: 'data'; data: Data } | { kind: 'error'; result: number }

const getResults = { data: 0, error: 1 } as const
const getResultNames = choices(getResults)

/** @param budget shared by all values of the APDU @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `DATA_*` */
export function decodeGetResult(reader: OctetReader, budget: Budget): GetResult {
  const kind = decodeChoice(reader, 'a get-data-result', getResultNames)
  return kind === 'data' ? { kind, data: decodeData(reader, budget) } : { kind, result: reader.uint(1) }
}

/** @see decodeGetResult */
export function writeGetResult(writer: OctetWriter, result: GetResult): void {
  writer.uint(1, getResults[result.kind])
  if (result.kind === 'data') writeData(writer, result.data)
  else writer.uint(1, result.result)
}
