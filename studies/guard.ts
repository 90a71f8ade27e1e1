import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { errorBody, Refusal, statusOf } from './refusal.ts'

/** Nothing but our own files, no frame around us, no form to anywhere: there is nothing to inject into. */
const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
}

const strictTransport = { 'strict-transport-security': 'max-age=31536000' }

export interface GuardOptions {
  /** host names that a request may ask for, lower case, without port */
  names: readonly string[]
  tls: boolean
  log: Logger
  /** takes a request of this address; 0 when it may pass, else seconds to wait */
  admit: (address: string) => number
}

/** Headers on every answer, and what is refused before any route sees it. */
export function guard(app: FastifyInstance, { names, tls, log, admit }: GuardOptions): void {
  const headers = tls ? { ...securityHeaders, ...strictTransport } : securityHeaders
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(headers)
    const wait = admit(request.ip)
    if (wait > 0) throw tooMany(reply, wait)
    refuseHost(request, names)
    refuseMethod(request, reply)
  })
  app.setNotFoundHandler((request) => {
    throw new Refusal('ROUTE_UNKNOWN', `no such resource: ${request.url.split('?')[0]}`)
  })
  app.setErrorHandler<FastifyError>((error, request, reply) => answer(error, request, { reply, log }))
}

/** A page of another name that resolves to us must not read us. @see RFC 9110, 7.4 */
function refuseHost({ headers }: FastifyRequest, names: readonly string[]): void {
  const name = headers.host?.toLowerCase().replace(/:\d{1,5}$/, '')
  if (name === undefined || !names.includes(name))
    throw new Refusal('HOST_UNKNOWN', 'this host name is not served here')
}

function refuseMethod({ method }: FastifyRequest, reply: FastifyReply): void {
  if (method === 'GET' || method === 'HEAD') return
  reply.header('allow', 'GET, HEAD')
  throw new Refusal('METHOD_NOT_ALLOWED', 'only GET and HEAD: studies are read-only')
}

function tooMany(reply: FastifyReply, waitSeconds: number): Refusal {
  reply.header('retry-after', waitSeconds)
  return new Refusal('RATE_LIMITED', `too many requests, wait ${waitSeconds} s`)
}

function answer(
  error: FastifyError,
  { method, url }: FastifyRequest,
  to: { reply: FastifyReply; log: Logger },
): FastifyReply {
  const refusal = refusalOf(error)
  const status = statusOf[refusal.code]
  if (status >= 500) to.log.error({ event: 'studies.failed', code: refusal.code, method, url, err: refusal.cause })
  else to.log.debug({ event: 'studies.refused', code: refusal.code, method, url })
  return to.reply.code(status).header('cache-control', 'no-store').type('application/json').send(errorBody(refusal))
}

/** Fastify's own faults carry a status below 500; whatever else arrives here is ours and says nothing outside. */
function refusalOf(error: FastifyError): Refusal {
  if (error instanceof Refusal) return error
  if (error.validation !== undefined) return new Refusal('QUERY_INVALID', error.message, { cause: error })
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new Refusal('REQUEST_INVALID', 'the request is malformed', { cause: error })
  }
  return new Refusal('INTERNAL', 'the service failed; the operator has been told', { cause: error })
}

/** A URL that cannot be decoded never reaches the hooks, yet counts as a request. @param wait as `admit` returns it */
export function answerBadUrl(error: FastifyError, wait: number, reply: FastifyReply): void {
  const refusal = wait > 0 ? tooMany(reply, wait) : refusalOf(error)
  reply.headers(securityHeaders).code(statusOf[refusal.code]).type('application/json').send(errorBody(refusal))
}
