import { request as httpRequest } from 'node:http'
import type { Server } from 'node:tls'
import { type Certificate, extensionOid, parseCertificate } from '../certificate.ts'
import { contextPrimitive, DerReader, decodeAscii, decodeOid, only, tag } from '../der.ts'
import { PkiError } from '../errors.ts'
import { equalOctets } from '../signature.ts'
import { ocspResponseOctetsMax } from './read-response.ts'
import { encodeCertId, encodeOcspRequest } from './request.ts'
import { verifyOcsp } from './verify.ts'

/** Seconds between tries while the responder gives no good answer: doubled from the first to the last. */
export const retrySeconds = { first: 5, last: 300 } as const

export interface StapleOptions {
  /** DER of the server's own certificate and of its issuer's */
  leaf: Uint8Array
  issuer: Uint8Array
  /** asks the responder: DER in, DER out */
  fetch(request: Uint8Array): Promise<Uint8Array>
  /** seconds since 1970 */
  now: () => number
  /** told of each try that brought no answer to believe; handshakes go on, with the last answer while it is in time */
  onFault: (cause: unknown) => void
}

interface Held {
  octets: Uint8Array
  nextUpdate: number
}

/**
 * Holds a fresh OCSP response about one server certificate, for its handshakes to give along. It is fetched, judged and
 * renewed at half its life on the side: a handshake takes what is there, and never waits.
 * @see RFC 6066, 8 (certificate status request)
 */
export class Staple {
  readonly #options: StapleOptions
  readonly #leaf: Certificate
  readonly #issuer: Certificate
  readonly #request: Uint8Array
  #held: Held | undefined
  #timer: NodeJS.Timeout | undefined
  #retry: number = retrySeconds.first
  #closed = false

  /** @throws PkiError `CERTIFICATE_MALFORMED` */
  constructor(options: StapleOptions) {
    this.#options = options
    this.#leaf = parseCertificate(options.leaf)
    this.#issuer = parseCertificate(options.issuer)
    this.#request = encodeOcspRequest([encodeCertId({ issuer: this.#issuer, serial: this.#leaf.serial, hash: 'sha1' })])
  }

  /** @returns when the first try is over, with an answer or without; from then on it renews itself */
  async start(): Promise<void> {
    const seconds = await this.#renew()
    if (this.#closed) return
    this.#timer = setTimeout(() => void this.start(), seconds * 1_000).unref()
  }

  /** The response to give along now; `undefined` before the first, and when the last has run out. */
  get current(): Uint8Array | undefined {
    return this.#held !== undefined && this.#options.now() <= this.#held.nextUpdate ? this.#held.octets : undefined
  }

  /** Answers those of the server's clients that ask, as long as the server shows this very certificate. */
  attach(server: Server): void {
    server.on('OCSPRequest', (certificate, _issuer, callback) => {
      const ours = equalOctets(certificate, this.#leaf.der)
      const octets = ours ? this.current : undefined
      callback(null, (octets === undefined ? null : Buffer.from(octets)) as Buffer)
    })
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** @returns seconds until the next try */
  async #renew(): Promise<number> {
    const { now, fetch, onFault } = this.#options
    try {
      const { octets, thisUpdate, nextUpdate } = this.#judged(await fetch(this.#request))
      this.#held = { octets, nextUpdate }
      this.#retry = retrySeconds.first
      return Math.min(Math.max((thisUpdate + nextUpdate) / 2 - now(), retrySeconds.first), 86_400)
    } catch (cause) {
      onFault(cause)
      const seconds = this.#retry
      this.#retry = Math.min(seconds * 2, retrySeconds.last)
      return seconds
    }
  }

  /** A revocation is given along too: those who ask are to know. */
  #judged(octets: Uint8Array): Held & { thisUpdate: number } {
    const { now, onFault } = this.#options
    const verdict = verifyOcsp({ response: octets, serial: this.#leaf.serial, issuer: this.#issuer, at: now() })
    if (!verdict.ok) throw new PkiError('OCSP_RESPONDER', `${verdict.code}: ${verdict.detail}`)
    const { status, thisUpdate, nextUpdate } = verdict
    if (status.state !== 'good') onFault(new PkiError('OCSP_RESPONDER', `the server’s certificate is ${status.state}`))
    return { octets, thisUpdate, nextUpdate }
  }
}

/**
 * A staple for a server's own certificate, begun, where that names a responder; it renews itself until it is closed.
 * @param chain DER, the server's certificate and its issuer's @param onFault as in `StapleOptions`
 * @throws PkiError `CERTIFICATE_MALFORMED`, `DER_MALFORMED`
 */
export function stapleOf([leaf, issuer]: readonly Uint8Array[], onFault: (cause: unknown) => void): Staple | undefined {
  const url = leaf === undefined ? undefined : responderOf(parseCertificate(leaf))
  if (leaf === undefined || issuer === undefined || url === undefined) return undefined
  const now = (): number => Date.now() / 1_000
  const staple = new Staple({ leaf, issuer, fetch: (request) => fetchOcsp(url, request), now, onFault })
  void staple.start()
  return staple
}

/** The `http:` URL of the OCSP responder that a certificate names. @see RFC 5280, 4.2.2.1 */
export function responderOf({ extensions }: Certificate): string | undefined {
  const found = extensions.find(({ oid }) => oid === extensionOid.authorityInfoAccess)
  if (found === undefined) return undefined
  const descriptions = new DerReader(only(found.value, tag.sequence).content)
  while (!descriptions.done) {
    const description = descriptions.enter(tag.sequence)
    const method = decodeOid(description.next())
    const location = description.next()
    if (method === ocspMethod && location.tag === contextPrimitive(6)) return decodeAscii(location)
  }
  return undefined
}

/** id-ad-ocsp */
const ocspMethod = '1.3.6.1.5.5.7.48.1'

/** Milliseconds for an answer over HTTP, the most. */
export const ocspFetchMsMax = 5_000

/**
 * Asks over HTTP, by POST.
 * @param url `http:` only: what comes back is signed
 * @throws PkiError `OCSP_UNREACHABLE`
 */
export async function fetchOcsp(url: string, request: Uint8Array): Promise<Uint8Array> {
  try {
    return await post(new URL(url), request)
  } catch (cause) {
    throw new PkiError('OCSP_UNREACHABLE', `${url}: ${(cause as Error).message}`, { cause })
  }
}

async function post(url: URL, request: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const headers = { 'content-type': 'application/ocsp-request', 'content-length': request.length }
  const signal = AbortSignal.timeout(ocspFetchMsMax)
  const asking = httpRequest(url, { method: 'POST', headers, signal, agent: false }, async (response) => {
    const chunks: Buffer[] = []
    let length = 0
    try {
      if (response.statusCode !== 200) throw new Error(`HTTP status ${response.statusCode}`)
      for await (const chunk of response as AsyncIterable<Buffer>) {
        length += chunk.length
        if (length > ocspResponseOctetsMax) throw new Error(`over ${ocspResponseOctetsMax} octets`)
        chunks.push(chunk)
      }
      resolve(Buffer.concat(chunks))
    } catch (cause) {
      response.destroy()
      reject(cause as Error)
    }
  })
  asking.on('error', reject)
  asking.end(request)
  return promise
}
