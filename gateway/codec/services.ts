import {
  type AccessRequest,
  type AccessResponse,
  accessRequestTag,
  accessResponseTag,
  decodeAccessRequest,
  decodeAccessResponse,
  encodeAccessRequest,
  encodeAccessResponse,
} from './access.ts'
import {
  type Aare,
  type Aarq,
  aareTag,
  aarqTag,
  decodeAare,
  decodeAarq,
  decodeRlre,
  decodeRlrq,
  encodeAare,
  encodeAarq,
  encodeRlre,
  encodeRlrq,
  type Rlre,
  type Rlrq,
  rlreTag,
  rlrqTag,
} from './acse.ts'
import {
  type ActionRequest,
  type ActionResponse,
  actionRequestTag,
  actionResponseTag,
  decodeActionRequest,
  decodeActionResponse,
  encodeActionRequest,
  encodeActionResponse,
} from './action.ts'
import {
  type DataNotificationConfirm,
  dataNotificationConfirmTag,
  decodeDataNotificationConfirm,
  decodeEventNotification,
  type EventNotification,
  encodeDataNotificationConfirm,
  encodeEventNotification,
  eventNotificationTag,
} from './event.ts'
import {
  decodeExceptionResponse,
  type ExceptionResponse,
  encodeExceptionResponse,
  exceptionResponseTag,
} from './exception.ts'
import {
  decodeGetRequest,
  decodeGetResponse,
  encodeGetRequest,
  encodeGetResponse,
  type GetRequest,
  type GetResponse,
  getRequestTag,
  getResponseTag,
} from './get.ts'
import {
  decodeInitiateRequest,
  decodeInitiateResponse,
  encodeInitiateRequest,
  encodeInitiateResponse,
  type InitiateRequest,
  type InitiateResponse,
  initiateRequestTag,
  initiateResponseTag,
} from './initiate.ts'
import type { OctetReader } from './octets.ts'
import {
  decodeGatewayRequest,
  decodeGatewayResponse,
  encodeGatewayPrefix,
  type GatewayRequest,
  type GatewayResponse,
  gatewayRequestTag,
  gatewayResponseTag,
} from './prefix.ts'
import {
  type ConfirmedServiceError,
  confirmedServiceErrorTag,
  decodeConfirmedServiceError,
  encodeConfirmedServiceError,
} from './service-error.ts'
import {
  decodeSetRequest,
  decodeSetResponse,
  encodeSetRequest,
  encodeSetResponse,
  type SetRequest,
  type SetResponse,
  setRequestTag,
  setResponseTag,
} from './set.ts'
import {
  decodeInformationReport,
  decodeReadRequest,
  decodeReadResponse,
  decodeUnconfirmedWriteRequest,
  decodeWriteRequest,
  decodeWriteResponse,
  encodeInformationReport,
  encodeReadRequest,
  encodeReadResponse,
  encodeWriteRequest,
  encodeWriteResponse,
  type InformationReport,
  informationReportTag,
  type ReadRequest,
  type ReadResponse,
  readRequestTag,
  readResponseTag,
  type UnconfirmedWriteRequest,
  unconfirmedWriteRequestTag,
  type WriteRequest,
  type WriteResponse,
  writeRequestTag,
  writeResponseTag,
} from './short-name.ts'

/** The services of an association in clear, and what opens and ends one. */
export type ServiceApdu =
  | InitiateRequest
  | InitiateResponse
  | ConfirmedServiceError
  | DataNotificationConfirm
  | ReadRequest
  | ReadResponse
  | WriteRequest
  | UnconfirmedWriteRequest
  | WriteResponse
  | InformationReport
  | Aarq
  | Aare
  | Rlrq
  | Rlre
  | GetRequest
  | GetResponse
  | SetRequest
  | SetResponse
  | ActionRequest
  | ActionResponse
  | EventNotification
  | ExceptionResponse
  | AccessRequest
  | AccessResponse
  | GatewayRequest
  | GatewayResponse

type Name = ServiceApdu['apdu']
type Named<N extends Name> = Extract<ServiceApdu, { apdu: N }>

interface Service<N extends Name> {
  tag: number
  decode(reader: OctetReader): Named<N>
  encode(apdu: Named<N>): Uint8Array
}

/** An APDU without both halves does not compile. */
const services: { readonly [N in Name]: Service<N> } = {
  'initiate-request': { tag: initiateRequestTag, decode: decodeInitiateRequest, encode: encodeInitiateRequest },
  'read-request': { tag: readRequestTag, decode: decodeReadRequest, encode: encodeReadRequest },
  'write-request': { tag: writeRequestTag, decode: decodeWriteRequest, encode: encodeWriteRequest },
  'initiate-response': { tag: initiateResponseTag, decode: decodeInitiateResponse, encode: encodeInitiateResponse },
  'read-response': { tag: readResponseTag, decode: decodeReadResponse, encode: encodeReadResponse },
  'write-response': { tag: writeResponseTag, decode: decodeWriteResponse, encode: encodeWriteResponse },
  'confirmed-service-error': {
    tag: confirmedServiceErrorTag,
    decode: decodeConfirmedServiceError,
    encode: encodeConfirmedServiceError,
  },
  'data-notification-confirm': {
    tag: dataNotificationConfirmTag,
    decode: decodeDataNotificationConfirm,
    encode: encodeDataNotificationConfirm,
  },
  'unconfirmed-write-request': {
    tag: unconfirmedWriteRequestTag,
    decode: decodeUnconfirmedWriteRequest,
    encode: encodeWriteRequest,
  },
  'information-report-request': {
    tag: informationReportTag,
    decode: decodeInformationReport,
    encode: encodeInformationReport,
  },
  aarq: { tag: aarqTag, decode: decodeAarq, encode: encodeAarq },
  aare: { tag: aareTag, decode: decodeAare, encode: encodeAare },
  rlrq: { tag: rlrqTag, decode: decodeRlrq, encode: encodeRlrq },
  rlre: { tag: rlreTag, decode: decodeRlre, encode: encodeRlre },
  'get-request': { tag: getRequestTag, decode: decodeGetRequest, encode: encodeGetRequest },
  'set-request': { tag: setRequestTag, decode: decodeSetRequest, encode: encodeSetRequest },
  'event-notification': { tag: eventNotificationTag, decode: decodeEventNotification, encode: encodeEventNotification },
  'action-request': { tag: actionRequestTag, decode: decodeActionRequest, encode: encodeActionRequest },
  'get-response': { tag: getResponseTag, decode: decodeGetResponse, encode: encodeGetResponse },
  'set-response': { tag: setResponseTag, decode: decodeSetResponse, encode: encodeSetResponse },
  'action-response': { tag: actionResponseTag, decode: decodeActionResponse, encode: encodeActionResponse },
  'exception-response': { tag: exceptionResponseTag, decode: decodeExceptionResponse, encode: encodeExceptionResponse },
  'access-request': { tag: accessRequestTag, decode: decodeAccessRequest, encode: encodeAccessRequest },
  'access-response': { tag: accessResponseTag, decode: decodeAccessResponse, encode: encodeAccessResponse },
  'gateway-request': { tag: gatewayRequestTag, decode: decodeGatewayRequest, encode: encodeGatewayPrefix },
  'gateway-response': { tag: gatewayResponseTag, decode: decodeGatewayResponse, encode: encodeGatewayPrefix },
}

/** The names of these APDUs by their tags. */
export const serviceNames: ReadonlyMap<number, Name> = new Map(
  (Object.keys(services) as Name[]).map((name) => [services[name].tag, name]),
)

/** The APDU behind a tag that `serviceNames` has, `undefined` behind any other. @throws PeerError `APDU_*`, `DATA_*` */
export function decodeService(tag: number, reader: OctetReader): ServiceApdu | undefined {
  const name = serviceNames.get(tag)
  return name === undefined ? undefined : services[name].decode(reader)
}

/** Whether `encodeService` writes it. */
export function isService(apdu: { apdu: string }): apdu is ServiceApdu {
  return Object.hasOwn(services, apdu.apdu)
}

/** With its tag. */
export function encodeService<N extends Name>(apdu: Named<N>): Uint8Array {
  return services[apdu.apdu as N].encode(apdu)
}
