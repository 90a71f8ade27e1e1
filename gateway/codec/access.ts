import { type Budget, type Data, dataBudget } from './axdr.ts'
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
import {
  type AttributeDescriptor,
  decodeAttribute,
  decodeMethod,
  type MethodDescriptor,
  writeAttribute,
  writeMethod,
} from './descriptor.ts'
import { decodeDateTimeOrNone, writeDateTimeOrNone } from './event.ts'
import { type OctetReader, OctetWriter } from './octets.ts'
import { decodeSelectiveAccess, type SelectiveAccess, writeSelectiveAccess } from './selective-access.ts'

/** One thing that is asked. @see IEC 62056-5-3, Access-Request-Specification */
export type AccessRequestSpecification =
  | { kind: 'get' | 'set'; attribute: AttributeDescriptor }
  | { kind: 'action'; method: MethodDescriptor }
  | { kind: 'get-with-selection' | 'set-with-selection'; attribute: AttributeDescriptor; selection: SelectiveAccess }

/** What became of it: a `dataAccessResult`, for an action an `actionResult`. @see IEC 62056-5-3, Access-Response-Specification */
export interface AccessResponseSpecification {
  kind: 'get' | 'set' | 'action'
  result: number
}

/** @see IEC 62056-5-3, Access-Request */
export interface AccessRequest {
  apdu: 'access-request'
  /** long-invoke-id-and-priority, 0 to 2^32 - 1; `invoke.ts` reads it */
  longInvokeId: number
  /** the twelve octets of a date-time */
  dateTime: Uint8Array | undefined
  specifications: AccessRequestSpecification[]
  /** one for each specification, null-data for a get; another length is the receiver's to refuse */
  data: Data[]
}

/** @see IEC 62056-5-3, Access-Response */
export interface AccessResponse {
  apdu: 'access-response'
  longInvokeId: number
  dateTime: Uint8Array | undefined
  /** what was asked, where the request is self-descriptive */
  requested: AccessRequestSpecification[] | undefined
  data: Data[]
  specifications: AccessResponseSpecification[]
}

export const accessRequestTag = 0xd9
export const accessResponseTag = 0xda

const requestKinds = { get: 1, set: 2, action: 3, 'get-with-selection': 4, 'set-with-selection': 5 } as const
const requestKindNames = choices(requestKinds)
const responseKinds = { get: 1, set: 2, action: 3 } as const
const responseKindNames = choices(responseKinds)

/** The APDU behind its tag D9. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeAccessRequest(reader: OctetReader): AccessRequest {
  const budget = dataBudget()
  return {
    apdu: 'access-request',
    longInvokeId: reader.uint(4),
    dateTime: decodeDateTimeOrNone(reader),
    specifications: decodeRequestSpecifications(reader, budget),
    data: decodeDataList(reader, budget),
  }
}

/** With its tag D9. */
export function encodeAccessRequest(apdu: AccessRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, accessRequestTag).uint(4, apdu.longInvokeId)
  writeDateTimeOrNone(writer, apdu.dateTime)
  writeRequestSpecifications(writer, apdu.specifications)
  writeDataList(writer, apdu.data)
  return writer.finish()
}

/** The APDU behind its tag DA. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED`, `APDU_LENGTH`, `DATA_*` */
export function decodeAccessResponse(reader: OctetReader): AccessResponse {
  const budget = dataBudget()
  return {
    apdu: 'access-response',
    longInvokeId: reader.uint(4),
    dateTime: decodeDateTimeOrNone(reader),
    requested: decodeOptional(reader, (reader) => decodeRequestSpecifications(reader, budget)),
    data: decodeDataList(reader, budget),
    specifications: decodeList(reader, decodeResponseSpecification),
  }
}

/** With its tag DA. */
export function encodeAccessResponse(apdu: AccessResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, accessResponseTag).uint(4, apdu.longInvokeId)
  writeDateTimeOrNone(writer, apdu.dateTime)
  writeOptional(writer, apdu.requested, writeRequestSpecifications)
  writeDataList(writer, apdu.data)
  writeList(writer, apdu.specifications, (writer, { kind, result }) =>
    writer.uint(1, responseKinds[kind]).uint(1, result),
  )
  return writer.finish()
}

function decodeRequestSpecifications(reader: OctetReader, budget: Budget): AccessRequestSpecification[] {
  return decodeList(reader, (reader) => decodeRequestSpecification(reader, budget))
}

function decodeRequestSpecification(reader: OctetReader, budget: Budget): AccessRequestSpecification {
  const kind = decodeChoice(reader, 'an access-request-specification', requestKindNames)
  switch (kind) {
    case 'get':
    case 'set':
      return { kind, attribute: decodeAttribute(reader) }
    case 'action':
      return { kind, method: decodeMethod(reader) }
    case 'get-with-selection':
    case 'set-with-selection':
      return { kind, attribute: decodeAttribute(reader), selection: decodeSelectiveAccess(reader, budget) }
  }
}

function writeRequestSpecifications(writer: OctetWriter, specifications: readonly AccessRequestSpecification[]): void {
  writeList(writer, specifications, writeRequestSpecification)
}

function writeRequestSpecification(writer: OctetWriter, specification: AccessRequestSpecification): void {
  writer.uint(1, requestKinds[specification.kind])
  if (specification.kind === 'action') writeMethod(writer, specification.method)
  else writeAttribute(writer, specification.attribute)
  if ('selection' in specification) writeSelectiveAccess(writer, specification.selection)
}

function decodeResponseSpecification(reader: OctetReader): AccessResponseSpecification {
  const kind = decodeChoice(reader, 'an access-response-specification', responseKindNames)
  return { kind, result: reader.uint(1) }
}
