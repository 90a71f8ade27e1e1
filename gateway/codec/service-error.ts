import { choices, decodeChoice } from './constructs.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/** Why a service failed; DLMS/COSEM itself has initiate, read and write. @see IEC 62056-5-3, ConfirmedServiceError; IEC 61334-4-41 */
export interface ConfirmedServiceError {
  apdu: 'confirmed-service-error'
  service: FailedService
  /** a key of `serviceErrors` */
  kind: ServiceErrorKind
  /** a code of `serviceErrors[kind]`, 0 to 255 */
  code: number
}

const services = {
  initiate: 1,
  'get-status': 2,
  'get-name-list': 3,
  'get-variable-attribute': 4,
  read: 5,
  write: 6,
  'get-data-set-attribute': 7,
  'get-ti-attribute': 8,
  'change-scope': 9,
  start: 10,
  stop: 11,
  resume: 12,
  'make-usable': 13,
  'initiate-load': 14,
  'load-segment': 15,
  'terminate-load': 16,
  'initiate-upload': 17,
  'upload-segment': 18,
  'terminate-upload': 19,
} as const

/** Every service of DLMS that is confirmed. @see IEC 61334-4-41, ConfirmedServiceError */
export type FailedService = keyof typeof services

/** In the order of their tags. */
export const failedServices: readonly FailedService[] = Object.keys(services) as FailedService[]

const kinds = {
  'application-reference': 0,
  'hardware-resource': 1,
  'vde-state-error': 2,
  service: 3,
  definition: 4,
  access: 5,
  initiate: 6,
  'load-data-set': 7,
  'change-scope': 8,
  task: 9,
  other: 10,
} as const

export type ServiceErrorKind = keyof typeof kinds

/** What each code means. @see IEC 62056-5-3, ServiceError */
export const serviceErrors: Record<ServiceErrorKind, Readonly<Record<string, number>>> = {
  'application-reference': {
    other: 0,
    'time-elapsed': 1,
    'application-unreachable': 2,
    'application-reference-invalid': 3,
    'application-context-unsupported': 4,
    'provider-communication-error': 5,
    'deciphering-error': 6,
  },
  'hardware-resource': {
    other: 0,
    'memory-unavailable': 1,
    'processor-resource-unavailable': 2,
    'mass-storage-unavailable': 3,
    'other-resource-unavailable': 4,
  },
  'vde-state-error': {
    other: 0,
    'no-dlms-context': 1,
    'loading-data-set': 2,
    'status-nochange': 3,
    'status-inoperable': 4,
  },
  service: { other: 0, 'pdu-size': 1, 'service-unsupported': 2 },
  definition: { other: 0, 'object-undefined': 1, 'object-class-inconsistent': 2, 'object-attribute-inconsistent': 3 },
  access: {
    other: 0,
    'scope-of-access-violated': 1,
    'object-access-violated': 2,
    'hardware-fault': 3,
    'object-unavailable': 4,
  },
  initiate: {
    other: 0,
    'dlms-version-too-low': 1,
    'incompatible-conformance': 2,
    'pdu-size-too-short': 3,
    'refused-by-the-vde-handler': 4,
  },
  'load-data-set': {
    other: 0,
    'primitive-out-of-sequence': 1,
    'not-loadable': 2,
    'dataset-size-too-large': 3,
    'not-awaited-segment': 4,
    'interpretation-failure': 5,
    'storage-failure': 6,
    'data-set-not-ready': 7,
  },
  'change-scope': { other: 0 },
  other: { other: 0 },
  task: { other: 0, 'no-remote-control': 1, 'ti-stopped': 2, 'ti-running': 3, 'ti-unusable': 4 },
}

export const confirmedServiceErrorTag = 0x0e

const serviceNames = choices(services)
const kindNames = choices(kinds)

/** The APDU behind its tag 0E. @throws PeerError `APDU_CHOICE`, `APDU_TRUNCATED` */
export function decodeConfirmedServiceError(reader: OctetReader): ConfirmedServiceError {
  return {
    apdu: 'confirmed-service-error',
    service: decodeChoice(reader, 'a confirmed-service-error', serviceNames),
    kind: decodeChoice(reader, 'a service-error', kindNames),
    code: reader.uint(1),
  }
}

/** With its tag 0E. */
export function encodeConfirmedServiceError({ service, kind, code }: ConfirmedServiceError): Uint8Array {
  return new OctetWriter()
    .uint(1, confirmedServiceErrorTag)
    .uint(1, services[service])
    .uint(1, kinds[kind])
    .uint(1, code)
    .finish()
}
