import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ocspRequestOctetsMax } from './request.ts'
import type { OcspAnswer, OcspResponder } from './responder.ts'

/** Milliseconds for a request to arrive, and for a connection to lie idle, the most. */
export const ocspRequestMsMax = 5_000
/** Connections at one time, the most. */
export const ocspConnectionsMax = 1_024

export interface OcspListener {
  port: number
  /** when the last connection is gone */
  close(): Promise<void>
}

/**
 * OCSP over HTTP: POST, and GET with the request in base64 as the path. Plain HTTP, as its clients want it: what is answered
 * is public and signed. Every OCSP refusal has HTTP status 200; 404, 405, 413 and 415 are for what is no OCSP request.
 * @throws NodeJS.ErrnoException when the address or port cannot be had
 * @see RFC 6960, appendix A.1; RFC 5019, 5 and 6
 */
export async function listenOcsp(options: {
  host: string
  port: number
  responder: OcspResponder
}): Promise<OcspListener> {
  const { host, port, responder } = options
  const server = createServer(
    {
      requestTimeout: ocspRequestMsMax,
      headersTimeout: ocspRequestMsMax,
      keepAliveTimeout: ocspRequestMsMax,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 16_384, // a GET of the largest request fits
    },
    (request, response) => void handle(responder, request, response),
  )
  server.maxConnections = ocspConnectionsMax
  await listening(server, host, port)
  return { port: (server.address() as AddressInfo).port, close: () => closing(server) }
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, resolve)
  await promise
  server.off('error', reject)
}

function closing(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}

async function handle(responder: OcspResponder, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const octets = await requestOctets(request)
  if (octets === 'gone') return
  if (typeof octets === 'number') {
    response.writeHead(octets, { 'content-length': 0, connection: 'close', allow: 'GET, POST' }).end()
    request.resume()
    return
  }
  const answer = await responder.answer(octets)
  response.writeHead(200, headersOf(answer)).end(answer.octets)
}

/** The request's DER, or the HTTP status for what is none. */
async function requestOctets(request: IncomingMessage): Promise<Uint8Array | number | 'gone'> {
  if (request.method === 'GET') return fromPath(request.url ?? '')
  if (request.method !== 'POST') return 405
  if (request.headers['content-type'] !== 'application/ocsp-request') return 415
  return body(request)
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Base64 that stands after the first slash, with or without escapes. What is none becomes octets that are no request. */
function fromPath(url: string): Uint8Array | number {
  if (!/^\/[A-Za-z0-9+/=%]+$/.test(url)) return 404
  const text = url.slice(1).replace(/%(2B|2F|3D)/gi, decodeURIComponent)
  return base64.test(text) ? Buffer.from(text, 'base64') : new Uint8Array(0)
}

async function body(request: IncomingMessage): Promise<Uint8Array | number | 'gone'> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > ocspRequestOctetsMax) return 413
      chunks.push(chunk)
    }
  } catch {
    return 'gone' // the client went, or its time is over: there is nobody to answer
  }
  return Buffer.concat(chunks)
}

/** @see RFC 5019, 6.2 */
function headersOf({ octets, keep }: OcspAnswer): Record<string, string | number> {
  const always = { 'content-type': 'application/ocsp-response', 'content-length': octets.length }
  if (keep === undefined) return { ...always, 'cache-control': 'no-store' }
  return {
    ...always,
    'last-modified': new Date(keep.thisUpdate * 1_000).toUTCString(),
    expires: new Date(keep.nextUpdate * 1_000).toUTCString(),
    etag: `"${createHash('sha256').update(octets).digest('hex').slice(0, 32)}"`,
    'cache-control': `max-age=${keep.seconds}, public, no-transform, must-revalidate`,
  }
}
