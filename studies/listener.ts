import { createServer as createHttp, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { Socket } from 'node:net'
import { limits } from './limits.ts'
import { errorBody } from './refusal.ts'

export interface Credentials {
  key: Buffer
  cert: Buffer
}

export interface ListenerOptions {
  /** absent: plain HTTP, for loopback only */
  credentials: Credentials | undefined
  /** open connections; the next one is closed at once */
  connectionsMax: number
}

/** A server with every limit set. */
export function createListener(handler: RequestListener, { credentials, connectionsMax }: ListenerOptions): Server {
  const options = {
    maxHeaderSize: limits.headerOctetsMax,
    requestTimeout: limits.requestMilliseconds,
    headersTimeout: limits.requestMilliseconds,
    keepAliveTimeout: limits.keepAliveMilliseconds,
    connectionsCheckingInterval: 1_000,
  }
  const server =
    credentials === undefined ? createHttp(options, handler) : createTls(handler, { ...options, ...credentials })
  server.maxConnections = connectionsMax
  server.maxRequestsPerSocket = limits.requestsPerConnectionMax
  return server
}

/**
 * Groups to agree on keys by: the hybrid one in a tuple of its own, so that a client that has it is asked for it; the others
 * are for clients that do not know it.
 */
const keyExchangeGroups = 'X25519MLKEM768/X25519:P-256'

function createTls(handler: RequestListener, options: Credentials & { requestTimeout: number }): Server {
  const server = createHttps(
    {
      ...options,
      minVersion: 'TLSv1.3',
      ecdhCurve: keyExchangeGroups,
      handshakeTimeout: limits.requestMilliseconds,
    },
    handler,
  )
  server.on('tlsClientError', (_error, socket) => socket.destroy()) // the handshake timeout alone leaves it open
  return server
}

const malformed: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

/** Answers what the HTTP parser refuses, before there is a request; then the connection ends. */
export function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const status = malformed[error.code ?? ''] ?? 400
  const body = JSON.stringify(errorBody({ code: 'REQUEST_INVALID', message: 'the request is malformed' }))
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
  socket.end(`${head}\r\nConnection: close\r\n\r\n${body}`, () => socket.destroy())
}
