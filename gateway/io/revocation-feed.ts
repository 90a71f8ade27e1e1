import type { X509Certificate } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { Logger } from 'pino'
import {
  certificatesFromPem,
  FeedReader,
  feedAgeMsMax,
  PkiError,
  parseCertificate,
  RevokedSet,
  serialOctets,
} from '#pki/verify.ts'
import { PeerError } from '../errors.ts'
import type { Revocation } from './revocation.ts'
import { listenUnix } from './unix-socket.ts'

/** Publishers connected at a time: one, and the one that follows it. */
const publishersMax = 2
/** How often it is looked whether the feed still beats. */
const lookEveryMs = 500

export interface FeedOptions {
  /** a Unix socket that only its owner may open: whoever opens it says who is revoked */
  path: string
  log: Logger
  /** PEM of the CAs that peers come under: a feed that does not know each of them is of another PKI, and finds everybody good */
  authorities: string
  /** serials that were not revoked before, upper-case hex */
  onRevoked: (serials: readonly string[]) => void
  /** milliseconds that only grow */
  clock?: () => number
}

/**
 * Which certificates are revoked, as the PKI pushes it: nothing is fetched, and nothing is said back. What was revoked once
 * stays so as long as the process lives, whatever a later publisher leaves out. Until all was told, and once the last word is
 * over 5 s old, nobody is admitted; live sessions go on, but those that are told of end.
 * @throws ConfigError where the socket cannot be had
 */
export async function openRevocationFeed({
  clock = () => performance.now(),
  ...options
}: FeedOptions): Promise<Revocation> {
  const feed = new RevocationFeed(options, clock)
  await feed.listen(options.path)
  return feed
}

class RevocationFeed implements Revocation {
  readonly #log: Logger
  readonly #onRevoked: FeedOptions['onRevoked']
  readonly #clock: () => number
  readonly #server: Server
  readonly #publishers = new Set<Socket>()
  readonly #revoked = new RevokedSet()
  readonly #issuers = new Set<string>()
  readonly #trusted: readonly string[]
  readonly #timer: NodeJS.Timeout
  /** of the last state that held; none yet */
  #heardAt = Number.NEGATIVE_INFINITY
  #isFresh = false

  constructor({ log, onRevoked, authorities }: FeedOptions, clock: () => number) {
    this.#log = log
    this.#trusted = certificatesFromPem(authorities).map((der) => parseCertificate(der).subjectKeyId ?? '')
    this.#onRevoked = onRevoked
    this.#clock = clock
    this.#server = createServer((socket) => this.#serve(socket))
    this.#timer = setInterval(() => this.#look(), lookEveryMs)
  }

  async listen(path: string): Promise<void> {
    await listenUnix(this.#server, path, 'tls.feedSocket').catch((fault) => {
      this.close()
      throw fault
    })
  }

  /** A certificate is not read here, but for its serial: that costs two microseconds. */
  fault(certificate: X509Certificate): PeerError | undefined {
    if (this.#revoked.has(certificate.serialNumber)) return new PeerError('CERTIFICATE_REVOKED', 'revoked')
    if (!this.#fresh()) return new PeerError('REVOCATION_UNKNOWN', 'nothing was heard of revocations for over 5 s')
    return undefined
  }

  close(): void {
    clearInterval(this.#timer)
    this.#server.close()
    for (const socket of this.#publishers) socket.destroy()
  }

  #fresh(): boolean {
    return this.#clock() - this.#heardAt <= feedAgeMsMax
  }

  #look(): void {
    if (this.#fresh() === this.#isFresh) return
    this.#isFresh = !this.#isFresh
    const revoked = this.#revoked.size
    if (this.#isFresh) this.#log.info({ event: 'revocation.fresh', revoked, issuers: this.#issuers.size })
    else this.#log.error({ event: 'revocation.stale', revoked, detail: 'no feed: nobody is admitted' })
  }

  #serve(socket: Socket): void {
    socket.on('error', () => socket.destroy()) // its close tells
    if (this.#publishers.size >= publishersMax) return void socket.destroy()
    this.#publishers.add(socket)
    socket.once('close', () => this.#publishers.delete(socket))
    const reader = new FeedReader()
    socket.on('data', (chunk) => {
      try {
        for (const message of reader.take(chunk)) this.#take(message)
      } catch (fault) {
        if (!(fault instanceof PkiError)) throw fault
        this.#log.error({ event: 'revocation.malformed', detail: fault.message })
        socket.destroy()
      }
    })
  }

  #take(message: ReturnType<FeedReader['take']>[number]): void {
    if (message.kind === 'issuers') for (const keyId of message.keyIds) this.#issuers.add(keyId)
    else if (message.kind === 'revoked') this.#remember(message.serials)
    else if (message.count > this.#revoked.size) {
      throw new PkiError('FEED_MALFORMED', `${message.count} are revoked, ${this.#revoked.size} of them were told`)
    } else if (!this.#trusted.every((keyId) => this.#issuers.has(keyId))) {
      throw new PkiError('FEED_MALFORMED', 'it is not of the PKI whose CA is trusted here')
    } else {
      this.#heardAt = this.#clock()
      this.#look()
    }
  }

  #remember(serials: Uint8Array): void {
    const added: string[] = []
    for (let at = 0; at < serials.length; at += serialOctets) {
      if (!this.#revoked.add(serials, at)) continue
      added.push(
        Buffer.from(serials.buffer, serials.byteOffset + at, serialOctets)
          .toString('hex')
          .toUpperCase(),
      )
    }
    if (added.length > 0) this.#onRevoked(added)
  }
}
