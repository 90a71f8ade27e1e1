import { constants } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { intermediatesMax } from '../chain.ts'
import { RequestQueue } from '../enrolment/queue.ts'
import { PkiError } from '../errors.ts'
import { keyAlgorithms, profileSets } from '../key-algorithm.ts'
import { profileSetOfRoots } from '../verify.ts'
import { decodeBody, encodeBody, encodeCertsOnly, estBodyMax, estType, requestAttributes } from './body.ts'

/** Connections at one time, the most. */
export const estConnectionsMax = 4_096
/** Milliseconds for a handshake and for a request to arrive, the most. */
export const estRequestMsMax = 10_000
/** Questions that wait for the CA, the most; one more is told to come again. */
export const estWaitingMax = 10_000
/** Milliseconds that a device waits for the CA before it is told to come again. */
export const estWaitMsMax = 20_000
/** Seconds after which a device that was not answered should come again; spread, so that they do not all come at once. */
export const retrySeconds: readonly [number, number] = [5, 30]

/** Signatures that a client may prove its key with: no curve outside NIST's is parsed before it is authenticated. */
const signatureAlgorithms =
  'ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pkcs1_sha256'
/** Besides, where our own CAs sign with ML-DSA; manufacturers' certificates stay as they are. */
const postQuantum = 'mldsa44:mldsa65'

/**
 * Groups to agree on keys by: the hybrid one in a tuple of its own, so that a client that has it is asked for it; the others
 * are for clients that do not know it.
 */
const keyExchangeGroups = 'X25519MLKEM768/X25519:P-256'

/** How one request ended, for the log and the counters. */
export interface EstOutcome {
  path: string
  status: number
  address: string
  /** serial of the client's certificate, upper-case hex */
  serial: string | undefined
  code: string | undefined
}

export interface EstOptions {
  host: string
  port: number
  tls: { key: string; cert: string }
  /** PEM of all whose certificates may enrol or renew: the manufacturers', the root and the CA of devices */
  clientCas: string
  /** DER: what a device is to trust, as `cacerts` gives it */
  caCertificates: readonly Uint8Array[]
  queue?: RequestQueue
  /** milliseconds since 1970 */
  now: () => number
  /** 0 to 1 */
  random: () => number
  onOutcome: (outcome: EstOutcome) => void
}

export interface EstListener {
  port: number
  queue: RequestQueue
  close(): Promise<void>
}

const base = '/.well-known/est'
const expireMs = 500

/**
 * The enrolment listener of the DMZ: it speaks TLS and EST, holds no CA key and decides nothing. Who comes with which
 * certificate, manufacturer's or our own, and for what, goes into the queue; the CA takes it from there.
 *
 * `cacerts` and `csrattrs` are for everyone, as a device must be able to ask them first; all else needs a certificate that
 * TLS accepted. `simpleenroll` and `simplereenroll` are the same: clients differ in which they use first, and the certificate
 * that they come with tells what they want.
 * @throws NodeJS.ErrnoException when the address or port cannot be had
 * @see RFC 7030, 3.2 and 4
 */
export async function listenEst(options: EstOptions): Promise<EstListener> {
  const queue = options.queue ?? new RequestQueue({ waitingMax: estWaitingMax, waitMsMax: estWaitMsMax })
  const set = profileSetOfRoots(options.caCertificates) ?? 'p256'
  const app = fastify({
    https: {
      ...options.tls,
      ca: options.clientCas,
      requestCert: true,
      rejectUnauthorized: false, // the routes that need a certificate say so themselves
      minVersion: 'TLSv1.2', // EST clients of today's devices speak no newer one
      sigalgs: set === 'ml-dsa' ? `${postQuantum}:${signatureAlgorithms}` : signatureAlgorithms,
      ecdhCurve: keyExchangeGroups,
      secureOptions: constants.SSL_OP_NO_TICKET, // a resumed session would not show the chain again
      handshakeTimeout: estRequestMsMax,
    },
    bodyLimit: estBodyMax,
    requestTimeout: estRequestMsMax,
    connectionTimeout: estWaitMsMax + estRequestMsMax,
    keepAliveTimeout: estRequestMsMax,
    forceCloseConnections: 'idle',
  })
  app.server.maxConnections = estConnectionsMax
  app.server.on('tlsClientError', (_fault, socket) => socket.destroy())
  routes(app, options, { queue, attributes: requestAttributes(keyAlgorithms[profileSets[set].signing]) })
  const timer = setInterval(() => queue.expire(options.now()), expireMs)
  await app.listen({ host: options.host, port: options.port })
  return {
    port: (app.server.address() as AddressInfo).port,
    queue,
    async close() {
      clearInterval(timer)
      queue.expire(Number.POSITIVE_INFINITY)
      await app.close()
    },
  }
}

function routes(
  app: FastifyInstance,
  options: EstOptions,
  { queue, attributes }: { queue: RequestQueue; attributes: Uint8Array },
): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(estType.request, { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.addHook('onResponse', async (request, reply) => options.onOutcome(outcomeOf(request, reply)))
  app.setNotFoundHandler((_request, reply) => refuse(reply, 404, 'EST_REFUSED', 'no such operation'))
  app.setErrorHandler((fault, _request, reply) => {
    const { statusCode, message } = fault as { statusCode?: number; message: string }
    if (fault instanceof PkiError) refuse(reply, 400, fault.code, fault.message)
    else refuse(reply, statusCode ?? 500, 'EST_REFUSED', statusCode === undefined ? 'a fault of ours' : message)
  })
  const certificates = encodeBody(encodeCertsOnly(options.caCertificates))
  app.get(`${base}/cacerts`, (_request, reply) => send(reply, estType.certificates, certificates))
  app.get(`${base}/csrattrs`, (_request, reply) => send(reply, estType.attributes, encodeBody(attributes)))
  for (const operation of ['simpleenroll', 'simplereenroll']) {
    app.post(`${base}/${operation}`, (request, reply) => enrol(request, reply, options, queue))
  }
}

function send(reply: FastifyReply, type: string, body: string): FastifyReply {
  return reply.header('content-transfer-encoding', 'base64').type(type).send(body)
}

function refuse(reply: FastifyReply, status: number, code: string, detail: string): FastifyReply {
  answers.set(reply.request, code)
  return reply.status(status).type('text/plain').send(`${code}: ${detail}\n`)
}

/** The code that a request was refused with, for its outcome. */
const answers = new WeakMap<FastifyRequest, string>()

async function enrol(
  request: FastifyRequest,
  reply: FastifyReply,
  { now, random }: EstOptions,
  queue: RequestQueue,
): Promise<FastifyReply> {
  const chain = presented(request)
  if (chain === undefined)
    return refuse(reply, 401, 'EST_REFUSED', 'a certificate of a known maker, or of ours, is needed')
  const asked = queue.ask({ chain, request: decodeBody(request.body as string) }, now())
  const answer = await asked
  if (answer === undefined) return later(reply, asked === undefined ? 503 : 202, random)
  if (answer.kind === 'refused') return refuse(reply, 403, answer.code, answer.detail)
  return send(reply, estType.certificates, encodeBody(encodeCertsOnly(answer.certificates)))
}

/** @see RFC 7030, 4.2.3 */
function later(reply: FastifyReply, status: 202 | 503, random: () => number): FastifyReply {
  const [least, most] = retrySeconds
  const seconds = least + Math.floor(random() * (most - least + 1))
  if (status === 503) answers.set(reply.request, 'EST_BUSY')
  return reply.status(status).header('retry-after', seconds).type('text/plain').send('')
}

/** DER of the client's certificate and of those behind it in its chain; `undefined` when TLS did not accept it. */
function presented(request: FastifyRequest): Uint8Array[] | undefined {
  const socket = request.raw.socket as TLSSocket
  if (!socket.authorized) return undefined
  const chain: Uint8Array[] = []
  let one = socket.getPeerX509Certificate()
  for (; one !== undefined && chain.length <= intermediatesMax; one = one.issuerCertificate) chain.push(one.raw)
  return chain.length === 0 ? undefined : chain
}

function outcomeOf(request: FastifyRequest, reply: FastifyReply): EstOutcome {
  const socket = request.raw.socket as TLSSocket
  return {
    path: request.url.slice(0, 128),
    status: reply.statusCode,
    address: request.ip,
    serial: socket.destroyed ? undefined : socket.getPeerX509Certificate()?.serialNumber,
    code: answers.get(request),
  }
}
