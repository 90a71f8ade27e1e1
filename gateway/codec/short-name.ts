import { type Budget, type Data, dataBudget, decodeData, writeData } from './axdr.ts'
import {
  choices,
  decodeBoolean,
  decodeChoice,
  decodeDataList,
  decodeList,
  decodeOctets,
  decodeOptional,
  writeBoolean,
  writeDataList,
  writeList,
  writeOctets,
  writeOptional,
} from './constructs.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/** A piece of what is too long for one APDU; `blockNumber` from 1, 0 to 65,535. */
export interface ShortNameBlock {
  last: boolean
  blockNumber: number
  octets: Uint8Array
}

/**
 * What is read or written. A `name` is a base name and the offset of the attribute, 0 to 65,535 (FA00 is the
 * association).
 * @see IEC 62056-5-3, Variable-Access-Specification
 */
export type VariableAccess =
  | { kind: 'name'; name: number }
  | { kind: 'parameterized'; name: number; selector: number; parameter: Data }
  | { kind: 'block-number'; blockNumber: number }
  | ({ kind: 'read-data-block' } & ShortNameBlock)
  | { kind: 'write-data-block'; last: boolean; blockNumber: number }

/** @see IEC 62056-5-3, ReadRequest */
export interface ReadRequest {
  apdu: 'read-request'
  variables: VariableAccess[]
}

/** One for each variable; `error` has a `dataAccessResult` code. @see IEC 62056-5-3, ReadResponse */
export type ReadResult =
  | { kind: 'data'; data: Data }
  | { kind: 'error'; result: number }
  | ({ kind: 'data-block' } & ShortNameBlock)
  | { kind: 'block-number'; blockNumber: number }

export interface ReadResponse {
  apdu: 'read-response'
  results: ReadResult[]
}

/** @see IEC 62056-5-3, WriteRequest */
export interface WriteRequest {
  apdu: 'write-request'
  variables: VariableAccess[]
  /** one for each variable; another length is the receiver's to refuse */
  data: Data[]
}

/** A write that nobody answers. @see IEC 62056-5-3, UnconfirmedWriteRequest */
export interface UnconfirmedWriteRequest extends Omit<WriteRequest, 'apdu'> {
  apdu: 'unconfirmed-write-request'
}

/** One for each variable; `error` has a `dataAccessResult` code. @see IEC 62056-5-3, WriteResponse */
export type WriteResult =
  | { kind: 'success' }
  | { kind: 'error'; result: number }
  | { kind: 'block-number'; blockNumber: number }

export interface WriteResponse {
  apdu: 'write-response'
  results: WriteResult[]
}

/** Values that a server sends unasked. @see IEC 62056-5-3, InformationReportRequest */
export interface InformationReport {
  apdu: 'information-report-request'
  /** a GeneralizedTime: visible text such as `20240101120000Z` */
  currentTime: Uint8Array | undefined
  variables: VariableAccess[]
  data: Data[]
}

export const readRequestTag = 0x05
export const writeRequestTag = 0x06
export const readResponseTag = 0x0c
export const writeResponseTag = 0x0d
export const unconfirmedWriteRequestTag = 0x16
export const informationReportTag = 0x18

const variableKinds = {
  name: 2,
  parameterized: 4,
  'block-number': 5,
  'read-data-block': 6,
  'write-data-block': 7,
} as const
const variableNames = choices(variableKinds)
const readKinds = { data: 0, error: 1, 'data-block': 2, 'block-number': 3 } as const
const readNames = choices(readKinds)
const writeKinds = { success: 0, error: 1, 'block-number': 2 } as const
const writeNames = choices(writeKinds)

/** The APDU behind its tag 05. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeReadRequest(reader: OctetReader): ReadRequest {
  return { apdu: 'read-request', variables: decodeVariables(reader, dataBudget()) }
}

/** With its tag 05. */
export function encodeReadRequest({ variables }: ReadRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, readRequestTag)
  writeList(writer, variables, writeVariable)
  return writer.finish()
}

/** The APDU behind its tag 0C. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeReadResponse(reader: OctetReader): ReadResponse {
  const budget = dataBudget()
  return { apdu: 'read-response', results: decodeList(reader, (reader) => decodeReadResult(reader, budget)) }
}

/** With its tag 0C. */
export function encodeReadResponse({ results }: ReadResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, readResponseTag)
  writeList(writer, results, writeReadResult)
  return writer.finish()
}

/** The APDU behind its tag 06. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeWriteRequest(reader: OctetReader): WriteRequest {
  return { apdu: 'write-request', ...decodeVariablesWithData(reader) }
}

/** The APDU behind its tag 16. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeUnconfirmedWriteRequest(reader: OctetReader): UnconfirmedWriteRequest {
  return { apdu: 'unconfirmed-write-request', ...decodeVariablesWithData(reader) }
}

/** With its tag 06 or 16. */
export function encodeWriteRequest({ apdu, variables, data }: WriteRequest | UnconfirmedWriteRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, apdu === 'write-request' ? writeRequestTag : unconfirmedWriteRequestTag)
  writeList(writer, variables, writeVariable)
  writeDataList(writer, data)
  return writer.finish()
}

/** The APDU behind its tag 0D. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `DATA_COUNT` */
export function decodeWriteResponse(reader: OctetReader): WriteResponse {
  return { apdu: 'write-response', results: decodeList(reader, decodeWriteResult) }
}

/** With its tag 0D. */
export function encodeWriteResponse({ results }: WriteResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, writeResponseTag)
  writeList(writer, results, writeWriteResult)
  return writer.finish()
}

/** The APDU behind its tag 18. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeInformationReport(reader: OctetReader): InformationReport {
  const currentTime = decodeOptional(reader, decodeOctets)
  return { apdu: 'information-report-request', currentTime, ...decodeVariablesWithData(reader) }
}

/** With its tag 18. */
export function encodeInformationReport({ currentTime, variables, data }: InformationReport): Uint8Array {
  const writer = new OctetWriter().uint(1, informationReportTag)
  writeOptional(writer, currentTime, writeOctets)
  writeList(writer, variables, writeVariable)
  writeDataList(writer, data)
  return writer.finish()
}

function decodeVariablesWithData(reader: OctetReader): { variables: VariableAccess[]; data: Data[] } {
  const budget = dataBudget()
  return { variables: decodeVariables(reader, budget), data: decodeDataList(reader, budget) }
}

function decodeVariables(reader: OctetReader, budget: Budget): VariableAccess[] {
  return decodeList(reader, (reader) => decodeVariable(reader, budget))
}

function decodeVariable(reader: OctetReader, budget: Budget): VariableAccess {
  const kind = decodeChoice(reader, 'a variable-access-specification', variableNames)
  switch (kind) {
    case 'name':
      return { kind, name: reader.uint(2) }
    case 'parameterized':
      return { kind, name: reader.uint(2), selector: reader.uint(1), parameter: decodeData(reader, budget) }
    case 'block-number':
      return { kind, blockNumber: reader.uint(2) }
    case 'read-data-block':
      return { kind, ...decodeBlock(reader) }
    case 'write-data-block':
      return { kind, last: decodeBoolean(reader), blockNumber: reader.uint(2) }
  }
}

function writeVariable(writer: OctetWriter, variable: VariableAccess): void {
  writer.uint(1, variableKinds[variable.kind])
  switch (variable.kind) {
    case 'name':
      writer.uint(2, variable.name)
      break
    case 'parameterized':
      writeData(writer.uint(2, variable.name).uint(1, variable.selector), variable.parameter)
      break
    case 'block-number':
      writer.uint(2, variable.blockNumber)
      break
    case 'read-data-block':
      writeBlock(writer, variable)
      break
    case 'write-data-block':
      writeBoolean(writer, variable.last)
      writer.uint(2, variable.blockNumber)
  }
}

function decodeReadResult(reader: OctetReader, budget: Budget): ReadResult {
  const kind = decodeChoice(reader, 'a read-response', readNames)
  switch (kind) {
    case 'data':
      return { kind, data: decodeData(reader, budget) }
    case 'error':
      return { kind, result: reader.uint(1) }
    case 'data-block':
      return { kind, ...decodeBlock(reader) }
    case 'block-number':
      return { kind, blockNumber: reader.uint(2) }
  }
}

function writeReadResult(writer: OctetWriter, result: ReadResult): void {
  writer.uint(1, readKinds[result.kind])
  switch (result.kind) {
    case 'data':
      writeData(writer, result.data)
      break
    case 'error':
      writer.uint(1, result.result)
      break
    case 'data-block':
      writeBlock(writer, result)
      break
    case 'block-number':
      writer.uint(2, result.blockNumber)
  }
}

function decodeWriteResult(reader: OctetReader): WriteResult {
  const kind = decodeChoice(reader, 'a write-response', writeNames)
  if (kind === 'success') return { kind }
  return kind === 'error' ? { kind, result: reader.uint(1) } : { kind, blockNumber: reader.uint(2) }
}

function writeWriteResult(writer: OctetWriter, result: WriteResult): void {
  writer.uint(1, writeKinds[result.kind])
  if (result.kind === 'error') writer.uint(1, result.result)
  else if (result.kind === 'block-number') writer.uint(2, result.blockNumber)
}

function decodeBlock(reader: OctetReader): ShortNameBlock {
  return { last: decodeBoolean(reader), blockNumber: reader.uint(2), octets: decodeOctets(reader) }
}

function writeBlock(writer: OctetWriter, { last, blockNumber, octets }: ShortNameBlock): void {
  writeBoolean(writer, last)
  writeOctets(writer.uint(2, blockNumber), octets)
}
