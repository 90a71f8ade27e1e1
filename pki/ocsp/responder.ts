import type { Certificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import { issuerKeys, type OcspRequest, parseOcspRequest } from './request.ts'
import {
  type CertificateStatus,
  encodeOcspError,
  encodeOcspResponse,
  encodeResponseData,
  type OcspStatus,
} from './response.ts'
import { delegateFault } from './verify.ts'

/** One CA that is answered for, by a responder of its own. */
export interface OcspIssuer {
  certificate: Certificate
  /** the delegated responder's, issued by this CA */
  responder: Certificate
  /** with the responder's key, as `signWith` does */
  sign(octets: Uint8Array): Promise<Uint8Array> | Uint8Array
  /** @param serial upper-case hex; one that was never issued is `unknown`, never good */
  statusOf(serial: string): CertificateStatus
}

export interface ResponderOptions {
  issuers: readonly OcspIssuer[]
  /** seconds since 1970 */
  now: () => number
  /** told of what kept an answer from being given */
  onFault: (cause: unknown) => void
  /** may the statuses be relied on now? Without: always */
  ready?: () => boolean
}

/** Seconds from this update to next update. */
export const ocspLifeSeconds = 3_600
/** Signed answers kept for requests without a nonce, the most; those asked for longest ago make room. */
export const cachedAnswersMax = 10_000
/** Seconds that one is given again, by us and by caches on the way. A revocation ends it here at once, there within these. */
export const cachedSecondsMax = 300
/** Answers being signed at one time, the most: others are told to try later. */
export const ocspInFlightMax = 256

export interface OcspAnswer {
  status: OcspStatus
  /** DER of the response */
  octets: Uint8Array
  /** for caches on the way; `undefined`: not to be kept */
  keep: { thisUpdate: number; nextUpdate: number; seconds: number } | undefined
}

interface Cached {
  answer: OcspAnswer
  status: CertificateStatus
  /** seconds since 1970 */
  signedAt: number
}

/** Requests in, answers out: pure but for its cache; who listens, and for whom it signs, is the caller's. */
export class OcspResponder {
  readonly #options: ResponderOptions
  readonly #issuers: ReadonlyMap<string, OcspIssuer>
  /** by the DER of the CertID, oldest use first */
  readonly #cache = new Map<string, Cached>()
  #inFlight = 0

  constructor(options: ResponderOptions) {
    this.#options = options
    this.#issuers = new Map(options.issuers.flatMap((one) => issuerKeys(one.certificate).map((key) => [key, one])))
  }

  /** An answer for any octets. Never throws. */
  async answer(octets: Uint8Array): Promise<OcspAnswer> {
    let request: OcspRequest
    try {
      request = parseOcspRequest(octets)
    } catch (cause) {
      if (!(cause instanceof PkiError)) throw cause
      return refusal('malformedRequest')
    }
    const issuer = this.#issuerOf(request)
    if (issuer === undefined) return refusal('unauthorized')
    if (this.#options.ready?.() === false || this.#inFlight >= ocspInFlightMax) return refusal('tryLater')
    this.#inFlight += 1
    try {
      return await this.#answerFor(issuer, request)
    } catch (cause) {
      this.#options.onFault(cause)
      return refusal('internalError')
    } finally {
      this.#inFlight -= 1
    }
  }

  /** One signature answers for one issuer: a request about several, or one not served here, is not ours. @see RFC 5019, 2.2.3 */
  #issuerOf({ asked }: OcspRequest): OcspIssuer | undefined {
    const issuer = this.#issuers.get(asked[0]!.issuer)
    return asked.every((one) => this.#issuers.get(one.issuer) === issuer) ? issuer : undefined
  }

  async #answerFor(issuer: OcspIssuer, { asked, nonce }: OcspRequest): Promise<OcspAnswer> {
    const answers = asked.map(({ octets, serial }) => ({ certId: octets, status: issuer.statusOf(serial) }))
    const [only] = answers
    if (nonce !== undefined || answers.length > 1 || only!.status.state === 'unknown') {
      return this.#signed(issuer, answers, nonce) // strangers' serials must not push out our own
    }
    const key = Buffer.from(only!.certId).toString('latin1')
    const cached = this.#cached(key, only!.status)
    if (cached !== undefined) return cached
    const signedAt = this.#options.now()
    const answer = await this.#signed(issuer, answers, nonce)
    this.#keep(key, { answer, status: only!.status, signedAt })
    return answer
  }

  /** An answer is given again only while it is still true. */
  #cached(key: string, status: CertificateStatus): OcspAnswer | undefined {
    const found = this.#cache.get(key)
    if (found === undefined) return undefined
    this.#cache.delete(key)
    const age = this.#options.now() - found.signedAt
    if (age < 0 || age >= cachedSecondsMax || !sameStatus(found.status, status)) return undefined
    this.#cache.set(key, found)
    return found.answer
  }

  #keep(key: string, cached: Cached): void {
    if (cached.answer.status !== 'successful') return
    const [oldest] = this.#cache.size >= cachedAnswersMax ? this.#cache.keys() : []
    if (oldest !== undefined) this.#cache.delete(oldest)
    this.#cache.set(key, cached)
  }

  async #signed(
    { certificate, responder, sign }: OcspIssuer,
    answers: readonly { certId: Uint8Array; status: CertificateStatus }[],
    nonce: Uint8Array | undefined,
  ): Promise<OcspAnswer> {
    const thisUpdate = Math.floor(this.#options.now())
    const nextUpdate = Math.min(thisUpdate + ocspLifeSeconds, responder.notAfter)
    if (!this.#mayAnswer(responder, certificate, thisUpdate)) return refusal('tryLater')
    const data = encodeResponseData({ responderKey: responder.publicKey, thisUpdate, nextUpdate, answers, nonce })
    const octets = encodeOcspResponse(data, await sign(data), responder)
    const seconds = Math.min(cachedSecondsMax, nextUpdate - thisUpdate)
    const keepable = nonce === undefined && answers.every(({ status }) => status.state !== 'unknown')
    return { status: 'successful', octets, keep: keepable ? { thisUpdate, nextUpdate, seconds } : undefined }
  }

  /** Judged once a minute: nobody would believe an answer of a responder that has run out. */
  #mayAnswer(responder: Certificate, issuer: Certificate, at: number): boolean {
    const minute = Math.floor(at / 60)
    const known = this.#judged.get(responder)
    if (known?.minute === minute) return known.may
    const fault = delegateFault(responder, issuer, at)
    if (fault !== undefined) this.#options.onFault(new PkiError('OCSP_RESPONDER', fault))
    this.#judged.set(responder, { minute, may: fault === undefined })
    return fault === undefined
  }

  readonly #judged = new WeakMap<Certificate, { minute: number; may: boolean }>()
}

function refusal(status: Exclude<OcspStatus, 'successful'>): OcspAnswer {
  return { status, octets: encodeOcspError(status), keep: undefined }
}

function sameStatus(one: CertificateStatus, other: CertificateStatus): boolean {
  if (one.state !== 'revoked' || other.state !== 'revoked') return one.state === other.state
  return one.at === other.at && one.reason === other.reason
}
