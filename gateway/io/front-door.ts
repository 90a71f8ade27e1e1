import { constants, X509Certificate } from 'node:crypto'
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import { certificatesFromPem, type Staple } from '#pki/verify.ts'
import { ConfigError, PeerError } from '../errors.ts'
import { certificateFault } from '../session/trust.ts'
import { type HandshakeCount, Handshakes, keyExchangeGroups } from './handshakes.ts'
import type { Refusals } from './refusals.ts'

/**
 * TCP and TLS 1.3 with client certificates: how many may come in, how fast, and with whose certificate. What it hands on
 * has a chain that TLS has checked; who that is, and whether it is revoked, is asked by whoever takes it.
 */
export interface FrontDoorOptions {
  host: string
  port: number
  /**
   * PEM; `cert` with its CA's certificate, `ca` with the CA of the one class that is let in, and the roots above it. TLS checks
   * the chain up to a root, and would so let in every class: that the CA of this one issued the peer's is checked besides.
   */
  tls: { key: Buffer; cert: Buffer; ca: Buffer }
  /** what peers, and `tls` itself, sign with; without: P-256 alone */
  profileSet?: FrontDoorSet
  limits: FrontDoorLimits
  refusals: Refusals
  onPeer: (socket: TLSSocket) => void
  /** what is given along about our own certificate to clients that ask, RFC 6066, 8 */
  staple?: Pick<Staple, 'attach' | 'close'> | undefined
}

export interface FrontDoorLimits {
  /** connections, those in their handshake too */
  sessionsMax: number
  /** connections that may begin a handshake in one second: after a blackout all come at once, and each costs a signature */
  handshakesPerSecondMax: number
  handshakeDeadlineSeconds: number
}

/** The profile sets that may come in here. */
export type FrontDoorSet = 'p256' | 'ml-dsa'

/** A PKI of the set signs with nothing else; a list keeps all others, odd curves among them, out of the handshake. */
const signatureAlgorithms: Readonly<Record<FrontDoorSet, string>> = {
  p256: 'ecdsa_secp256r1_sha256',
  'ml-dsa': 'mldsa44:mldsa65', // leaves, CAs
}

export class FrontDoor {
  readonly #options: FrontDoorOptions
  readonly #tcp: TcpServer
  readonly #tls: TlsServer
  readonly #class: readonly X509Certificate[]
  /** below the sessions, those still in their handshake too */
  readonly #connections = new Set<Socket>()
  readonly #addresses = new WeakMap<Socket, string>()
  readonly #handshakes = new Handshakes()
  #second = { number: 0, handshakes: 0 }

  constructor(options: FrontDoorOptions) {
    this.#options = options
    this.#class = classAuthorities(options.tls.ca)
    this.#tls = this.#tlsServer()
    this.#tcp = createTcpServer((socket) => this.#enter(socket))
    this.#tcp.maxConnections = options.limits.sessionsMax
    this.#tcp.on('drop', (socket) => {
      const fault = new PeerError('SESSION_LIMIT', `over ${options.limits.sessionsMax} sessions`)
      options.refusals.note(fault, { address: socket?.remoteAddress })
    })
  }

  get port(): number {
    return (this.#tcp.address() as AddressInfo).port
  }

  handshakes(): HandshakeCount[] {
    return this.#handshakes.counts()
  }

  /** @throws ConfigError when the address or port cannot be had */
  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const { host, port } = this.#options
    this.#tcp.once('error', reject)
    this.#tcp.listen(port, host, resolve)
    await promise.catch(({ code }: NodeJS.ErrnoException) => {
      throw new ConfigError([`zonesFile: cannot listen on ${host}, TCP port ${port} (${code})`])
    })
    this.#tcp.off('error', reject)
  }

  /** Nobody new from now on. @returns when the last connection is gone */
  shut(): Promise<void> {
    this.#options.staple?.close()
    return new Promise((resolve) => this.#tcp.close(() => resolve()))
  }

  destroyAll(): void {
    for (const socket of this.#connections) socket.destroy()
  }

  #enter(socket: Socket): void {
    if (!this.#mayShakeHands()) {
      const fault = new PeerError(
        'HANDSHAKE_LIMIT',
        `over ${this.#options.limits.handshakesPerSecondMax} in one second`,
      )
      this.#options.refusals.note(fault, { address: socket.remoteAddress })
      socket.destroy()
      return
    }
    this.#connections.add(socket)
    if (socket.remoteAddress !== undefined) this.#addresses.set(socket, socket.remoteAddress)
    socket.once('close', () => this.#connections.delete(socket))
    this.#tls.emit('connection', socket)
  }

  /** TLS has let go of a socket that it refused, and Node then no longer says whose it was. */
  #addressOf(socket: TLSSocket): string | undefined {
    const below = (socket as { _parent?: Socket })._parent
    return socket.remoteAddress ?? (below && this.#addresses.get(below))
  }

  #mayShakeHands(): boolean {
    const number = Math.floor(performance.now() / 1000)
    if (this.#second.number !== number) this.#second = { number, handshakes: 0 }
    this.#second.handshakes++
    return this.#second.handshakes <= this.#options.limits.handshakesPerSecondMax
  }

  #isOfClass(socket: TLSSocket): boolean {
    const peer = socket.getPeerX509Certificate()
    return peer !== undefined && this.#class.some((one) => peer.checkIssued(one) && peer.verify(one.publicKey))
  }

  #tlsServer(): TlsServer {
    const { tls, profileSet = 'p256', limits, refusals, onPeer, staple } = this.#options
    const server = createTlsServer({
      ...tls,
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: true,
      sigalgs: signatureAlgorithms[profileSet],
      ecdhCurve: keyExchangeGroups,
      secureOptions: constants.SSL_OP_NO_TICKET,
      handshakeTimeout: limits.handshakeDeadlineSeconds * 1000,
    })
    staple?.attach(server)
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      this.#handshakes.failed()
      refusals.note(tlsFault(error, socket), { address: this.#addressOf(socket) })
      socket.destroy() // a failed handshake leaves the socket open otherwise
    })
    server.on('secureConnection', (socket) => {
      this.#handshakes.completed(socket)
      if (this.#isOfClass(socket)) return onPeer(socket)
      refusals.note(otherClass(), { address: this.#addressOf(socket) })
      socket.on('error', () => socket.destroy())
      socket.destroy()
    })
    return server
  }
}

/** The CAs below a root. @throws ConfigError when there is none */
function classAuthorities(pem: Buffer): X509Certificate[] {
  const all = certificatesFromPem(pem.toString('latin1')).map((der) => new X509Certificate(der))
  const below = all.filter((one) => one.ca && !one.checkIssued(one))
  if (below.length > 0) return below
  throw new ConfigError([
    'tls.trustFile: no CA below a root in it, and a root would let in every class of certificates',
  ])
}

function otherClass(): PeerError {
  return new PeerError('CERTIFICATE_UNTRUSTED', 'its CA is not the one of the class that is let in here')
}

/** With TLS 1.3 the client believes it is connected until we close: our log is the only place that says why. */
function tlsFault(error: NodeJS.ErrnoException, socket: TLSSocket): PeerError {
  const verdict = socket.authorizationError as unknown as string | undefined
  if (verdict) return new PeerError(certificateFault(verdict), verdict)
  if (error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
    return new PeerError('CERTIFICATE_MISSING', 'the client sent no certificate')
  }
  return new PeerError('TLS_FAILED', error.code ?? error.message)
}
