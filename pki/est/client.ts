import { X509Certificate } from 'node:crypto'
import { type Agent, request } from 'node:https'
import { PkiError } from '../errors.ts'
import { fromPem } from '../pem.ts'
import { certificatesMax, decodeBody, decodeCertsOnly, encodeBody, estBodyMax, estType } from './body.ts'

/** Where a device enrols, and whom it trusts there. */
export interface EstServer {
  host: string
  port: number
  /** PEM of the root */
  trust: string
}

export interface EstCredentials {
  /** PEM: the manufacturer's certificate with its chain, or the one to renew */
  cert: string
  key: string
}

/** Milliseconds for one question, the most. */
export const estQuestionMsMax = 60_000
/** Times that a device comes again when it is told to, the most. */
export const estTriesMax = 20
/** Seconds between two tries, the most, whatever the server says. */
export const retrySecondsMax = 300

export interface EstQuestion {
  server: EstServer
  credentials: EstCredentials
  /** DER of the PKCS#10 request */
  csr: Uint8Array
  /** an agent with these credentials, for many questions over one connection */
  agent?: Agent
  /** waits so many seconds between two tries */
  pause: (seconds: number) => Promise<void>
}

/**
 * Enrols or renews, and comes again with the same request when it is told to.
 * @returns DER of the certificate that was issued for the key of the request, then of its CA's, leading to the trusted root
 * @throws PkiError `EST_REFUSED` with the server's words, `EST_UNREACHABLE`, `EST_BODY`
 * @see RFC 7030, 4.2
 */
export async function enrol(question: EstQuestion): Promise<Uint8Array[]> {
  for (let tries = 0; tries < estTriesMax; tries++) {
    const { status, body, retryAfter } = await ask(question)
    if (status === 200) return issued(decodeCertsOnly(decodeBody(body)), question)
    if (status !== 202 && status !== 503)
      throw new PkiError('EST_REFUSED', body.trim().slice(0, 512) || `HTTP ${status}`)
    await question.pause(Math.min(retrySecondsMax, Math.max(1, retryAfter)))
  }
  throw new PkiError('EST_UNREACHABLE', `no answer after ${estTriesMax} tries`)
}

/** The one among them that is for the key asked for, first; it must lead to the root that the device trusts. */
function issued(certificates: Uint8Array[], { csr, server }: EstQuestion): Uint8Array[] {
  const asked = Buffer.from(csr)
  const all = certificates.map((der) => new X509Certificate(der))
  const own = all.filter(({ publicKey }) => asked.includes(publicKey.export({ format: 'der', type: 'spki' })))
  if (own.length !== 1) throw new PkiError('EST_BODY', 'the answer is not for the key that was asked for')
  if (!leadsToRoot(own[0]!, all, server.trust))
    throw new PkiError('EST_BODY', 'the certificate leads to no trusted root')
  return [own[0]!, ...all.filter((one) => one !== own[0])].map(({ raw }) => raw)
}

/** By signatures alone: who lies here is a listener that has no CA key, and whoever uses the certificate judges it whole. */
function leadsToRoot(leaf: X509Certificate, others: readonly X509Certificate[], trust: string): boolean {
  const roots = fromPem('CERTIFICATE', trust).map((der) => new X509Certificate(der))
  const signs = (below: X509Certificate) => (above: X509Certificate) =>
    below.checkIssued(above) && below.verify(above.publicKey)
  let at: X509Certificate | undefined = leaf
  for (let steps = 0; at !== undefined && steps < certificatesMax; steps++) {
    if (roots.some(signs(at))) return true
    at = others.find(signs(at))
  }
  return false
}

interface Reply {
  status: number
  body: string
  retryAfter: number
}

function ask({ server, credentials, csr, agent }: EstQuestion): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const fail = (cause: unknown): void =>
    reject(new PkiError('EST_UNREACHABLE', `${server.host}:${server.port}: ${(cause as Error).message}`, { cause }))
  const asking = request(
    {
      host: server.host,
      port: server.port,
      path: '/.well-known/est/simpleenroll',
      method: 'POST',
      ca: server.trust,
      ...credentials,
      agent: agent ?? false,
      minVersion: 'TLSv1.3',
      headers: { 'content-type': estType.request, 'content-transfer-encoding': 'base64' },
      timeout: estQuestionMsMax,
    },
    (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > answerOctetsMax) response.destroy(new Error(`an answer of over ${answerOctetsMax} octets`))
        else chunks.push(chunk)
      })
      response.on('error', fail)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString('latin1'),
          retryAfter: Number(response.headers['retry-after'] ?? 1) || 1,
        }),
      )
    },
  )
  asking.on('error', fail)
  asking.on('timeout', () => asking.destroy(new Error('no answer in time')))
  asking.end(encodeBody(csr))
  return promise
}

/** An answer holds up to eight certificates. */
const answerOctetsMax: number = estBodyMax * 8
