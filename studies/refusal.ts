/** Stable codes of the API, public text: add, never rename. */
export type RefusalCode =
  | 'QUERY_INVALID'
  | 'SPAN_INVALID'
  | 'SPAN_TOO_LONG'
  | 'REQUEST_INVALID'
  | 'SUBSTATION_UNKNOWN'
  | 'ROUTE_UNKNOWN'
  | 'METHOD_NOT_ALLOWED'
  | 'HOST_UNKNOWN'
  | 'RATE_LIMITED'
  | 'STORE_UNAVAILABLE'
  | 'INTERNAL'

/** A code without a status does not compile. @see RFC 9110, 15 */
export const statusOf: Record<RefusalCode, number> = {
  QUERY_INVALID: 400,
  SPAN_INVALID: 400,
  SPAN_TOO_LONG: 400,
  REQUEST_INVALID: 400,
  SUBSTATION_UNKNOWN: 404,
  ROUTE_UNKNOWN: 404,
  METHOD_NOT_ALLOWED: 405,
  HOST_UNKNOWN: 421,
  RATE_LIMITED: 429,
  STORE_UNAVAILABLE: 503,
  INTERNAL: 500,
}

/** A request that is answered with an error: a code for programs, a message for people. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode

  constructor(code: RefusalCode, message: string, options?: { cause: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** What the client reads: never a stack, never the cause. */
export interface ErrorBody {
  error: { code: RefusalCode; message: string }
}

export function errorBody({ code, message }: { code: RefusalCode; message: string }): ErrorBody {
  return { error: { code, message } }
}
