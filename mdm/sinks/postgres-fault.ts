import { SinkError, type SinkFault } from './sink.ts'

/** Classes of SQLSTATE, and single codes before them. @see PostgreSQL, appendix A */
const states: readonly (readonly [prefix: string, SinkFault])[] = [
  ['57014', 'SINK_TIMEOUT'], // query_canceled: statement_timeout
  ['55P03', 'SINK_TIMEOUT'], // lock_not_available
  ['25P03', 'SINK_TIMEOUT'], // idle_in_transaction_session_timeout
  ['53100', 'SINK_FULL'], // disk_full
  ['53300', 'SINK_UNREACHABLE'], // too_many_connections
  ['42501', 'SINK_REFUSED'], // insufficient_privilege
  ['25006', 'SINK_REFUSED'], // read_only_sql_transaction
  ['3D000', 'SINK_REFUSED'], // no such database
  ['28', 'SINK_REFUSED'], // invalid_authorization
  ['08', 'SINK_UNREACHABLE'],
  ['57P', 'SINK_UNREACHABLE'], // shutdown, crash_shutdown, cannot_connect_now
  ['3F', 'SINK_SCHEMA'],
  ['42', 'SINK_SCHEMA'],
]

const system: Record<string, SinkFault> = {
  ECONNREFUSED: 'SINK_UNREACHABLE',
  ECONNRESET: 'SINK_UNREACHABLE',
  EPIPE: 'SINK_UNREACHABLE',
  ENOENT: 'SINK_UNREACHABLE', // no such Unix socket
  ENOTFOUND: 'SINK_UNREACHABLE',
  EAI_AGAIN: 'SINK_UNREACHABLE',
  EHOSTUNREACH: 'SINK_UNREACHABLE',
  ENETUNREACH: 'SINK_UNREACHABLE',
  ETIMEDOUT: 'SINK_UNREACHABLE',
  EACCES: 'SINK_REFUSED',
}

/** Without a code of its own: what the package says. */
const words: readonly (readonly [pattern: RegExp, SinkFault])[] = [
  [/read timeout/i, 'SINK_TIMEOUT'],
  [/timeout expired|terminated|connection error|not queryable|was closed/i, 'SINK_UNREACHABLE'],
  [/does not support SSL/i, 'SINK_UNTRUSTED'],
  [/password|SASL|SCRAM/i, 'SINK_REFUSED'],
]

/** Codes of `node:tls` and OpenSSL for a chain that does not hold. */
const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL/

/** What the connection or the server said, under a stable code. A server's detail may quote a row: it is left out. */
export function postgresError(error: unknown): SinkError {
  if (error instanceof SinkError) return error
  const { code = '', message } = error as { code?: string; message: string }
  return new SinkError(faultOf(code, message), `${message}${code === '' ? '' : ` (${code})`}`)
}

function faultOf(code: string, message: string): SinkFault {
  if (system[code] !== undefined) return system[code]
  if (untrusted.test(code)) return 'SINK_UNTRUSTED'
  const state = /^[0-9A-Z]{5}$/.test(code) && states.find(([prefix]) => code.startsWith(prefix))
  if (state) return state[1]
  return words.find(([pattern]) => pattern.test(message))?.[1] ?? 'SINK_FAILED'
}
