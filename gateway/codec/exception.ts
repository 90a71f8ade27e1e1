import { type OctetReader, OctetWriter } from './octets.ts'

/** The server refuses an APDU as a whole. @see IEC 62056-5-3, ExceptionResponse */
export interface ExceptionResponse {
  apdu: 'exception-response'
  /** a code of `stateError` */
  stateError: number
  /** a code of `serviceError` */
  serviceError: number
  /** the least that the server takes next, 0 to 2^32 - 1; only with `invocation-counter-error` */
  invocationCounter: number | undefined
}

/** @see IEC 62056-5-3, ExceptionResponse, state-error */
export const stateError = { 'service-not-allowed': 1, 'service-unknown': 2 } as const

/** @see IEC 62056-5-3, ExceptionResponse, service-error */
export const serviceError = {
  'operation-not-possible': 1,
  'service-not-supported': 2,
  'other-reason': 3,
  'pdu-too-long': 4,
  'deciphering-error': 5,
  'invocation-counter-error': 6,
} as const

export const exceptionResponseTag = 0xd8

/** The APDU behind its tag D8. @throws PeerError `APDU_TRUNCATED` */
export function decodeExceptionResponse(reader: OctetReader): ExceptionResponse {
  const [state, service] = [reader.uint(1), reader.uint(1)]
  const invocationCounter = service === serviceError['invocation-counter-error'] ? reader.uint(4) : undefined
  return { apdu: 'exception-response', stateError: state, serviceError: service, invocationCounter }
}

/** With its tag D8. */
export function encodeExceptionResponse(apdu: ExceptionResponse): Uint8Array {
  const isCounter = apdu.serviceError === serviceError['invocation-counter-error']
  if (isCounter !== (apdu.invocationCounter !== undefined)) {
    throw new RangeError('an invocation counter goes with invocation-counter-error, and only with it')
  }
  const writer = new OctetWriter().uint(1, exceptionResponseTag).uint(1, apdu.stateError).uint(1, apdu.serviceError)
  if (apdu.invocationCounter !== undefined) writer.uint(4, apdu.invocationCounter)
  return writer.finish()
}
