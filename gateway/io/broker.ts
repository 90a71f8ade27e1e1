import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { Aedes, type Client } from 'aedes'
import type { Logger } from 'pino'
import { certificatesFromPem } from '#pki/verify.ts'
import { PacketLimit } from '../codec/packet-limit.ts'
import { PeerError } from '../errors.ts'
import type { ConcentratorId } from '../model.ts'
import { admitConnect, admitPublish, admitSubscribe, commandTopic } from '../session/rules.ts'
import { chainRevocationFault, concentratorOf, type RevocationFault } from '../session/trust.ts'
import { FrontDoor, type FrontDoorLimits, type FrontDoorOptions } from './front-door.ts'
import type { HandshakeCount } from './handshakes.ts'
import type { Journal } from './journal.ts'
import { JournalFailed } from './journal-record.ts'
import { Refusals } from './refusals.ts'

/**
 * MQTT 3.1.1 over mutual TLS 1.3. aedes speaks MQTT; everything that keeps a peer in its place stands in front of it:
 * TLS decides who may speak at all, `PacketLimit` what reaches its parser, `session/rules.ts` what a session may do. A
 * PUBACK leaves when the journal says that the publish is durable: `authorizePublish` holds it back until then.
 */
export interface BrokerOptions extends Omit<FrontDoorOptions, 'refusals' | 'onPeer'> {
  limits: BrokerLimits
  /** asked of a peer and the CAs above it at every new session, and by `cut` again for those that are open */
  revocationFault: RevocationFault
  journal: Journal
  log: Logger
  /** the journal failed: nothing can be acknowledged any more */
  onFailure: (error: Error) => void
}

export interface BrokerLimits extends FrontDoorLimits {
  connectDeadlineSeconds: number
  keepAliveSecondsMax: number
  packetOctetsMax: number
}

export interface Broker {
  readonly port: number
  status(): BrokerStatus
  /** ends the live sessions of certificates that are revoked or have run out */
  cut(): void
  /** ends the live sessions of these certificates. @param serials upper-case hex, told as revoked just now */
  cutRevoked(serials: readonly string[]): void
  /**
   * Publishes on a concentrator's own command topic, QoS 1.
   * @returns false where it has no session that takes commands: nothing is kept for later
   */
  command(concentrator: ConcentratorId, payload: Uint8Array): boolean
  close(): Promise<void>
}

export interface BrokerStatus {
  sessions: number
  /** publishes acknowledged since the start, and their octets */
  acknowledged: number
  octets: number
  refused: Partial<Record<string, number>>
  handshakes: readonly HandshakeCount[]
}

interface Session {
  concentrator: ConcentratorId
  certificate: X509Certificate
  peer: Record<string, unknown>
  /** set while it is subscribed to its commands */
  listener?: Client | undefined
}

export async function openBroker(options: BrokerOptions): Promise<Broker> {
  const broker = new TlsBroker(options)
  await broker.listen()
  return broker
}

class TlsBroker implements Broker {
  readonly #options: BrokerOptions
  readonly #refusals: Refusals
  readonly #sessions = new Map<unknown, Session>()
  /** by the serial of their certificate, so that a revocation finds its own among a hundred thousand */
  readonly #bySerial = new Map<string, Set<TLSSocket>>()
  readonly #authorities: readonly X509Certificate[]
  readonly #door: FrontDoor
  readonly #aedes: Aedes
  #acknowledged = 0
  #octets = 0

  constructor(options: BrokerOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.log)
    const { limits, tls } = options
    this.#authorities = [tls.cert, tls.ca]
      .flatMap((pem) => certificatesFromPem(pem.toString('latin1')))
      .map((der) => new X509Certificate(der))
      .filter(({ ca }) => ca)
    this.#aedes = new Aedes({
      connectTimeout: limits.connectDeadlineSeconds * 1000,
      keepaliveLimit: limits.keepAliveSecondsMax,
      maxTopicLevels: 8,
      preConnect: (client, packet, done) => {
        const fault = this.#rule(client, ({ concentrator }) => {
          Object.assign(packet, admitConnect(concentrator, packet))
        })
        done(fault, fault === null)
      },
      authorizeSubscribe: (client, subscription, done) => {
        const fault = this.#rule(client, ({ concentrator }) => admitSubscribe(concentrator, subscription.topic))
        done(fault, subscription)
      },
      authorizeForward: (client, packet) => {
        const session = this.#sessions.get(client.conn)
        return session !== undefined && packet.topic === commandTopic(session.concentrator) ? packet : null
      },
      authorizePublish: (client, packet, done) => {
        if (client === null) return done() // the broker's own
        const fault = this.#rule(client, (session) => {
          admitPublish(session.concentrator, packet)
          this.#ingest(session, packet.payload as Buffer, done)
        })
        if (fault !== null) done(fault)
      },
    })
    this.#aedes.on('subscribe', (subscriptions, client) => this.#listens(client, subscriptions))
    this.#aedes.on('unsubscribe', (_topics, client) => this.#listens(client, []))
    this.#aedes.on('connectionError', (client, error) => this.#connectFault(client, error))
    this.#aedes.on('clientError', (client, error) => this.#protocolFault(client, error))
    this.#door = new FrontDoor({ ...options, refusals: this.#refusals, onPeer: (socket) => this.#begin(socket) })
  }

  get port(): number {
    return this.#door.port
  }

  async listen(): Promise<void> {
    await this.#aedes.listen()
    await this.#door.listen().catch((error) => {
      this.#aedes.close() // its heartbeat would keep the process from ending
      throw error
    })
  }

  status(): BrokerStatus {
    const [acknowledged, octets, handshakes] = [this.#acknowledged, this.#octets, this.#door.handshakes()]
    return { sessions: this.#sessions.size, acknowledged, octets, refused: this.#refusals.counts(), handshakes }
  }

  cut(): void {
    for (const [socket, session] of this.#sessions) {
      const expired = session.certificate.validToDate.getTime() < Date.now()
      const fault = expired
        ? new PeerError('CERTIFICATE_EXPIRED', 'ran out while connected')
        : this.#revocationFault(session.certificate)
      // A CRL that ran out admits nobody, but to end every session for it would put the whole field in the dark.
      if (fault !== undefined && fault.code !== 'REVOCATION_UNKNOWN') this.#refuse(socket as TLSSocket, session, fault)
    }
  }

  cutRevoked(serials: readonly string[]): void {
    if (serials.some((serial) => this.#authorities.some((one) => one.serialNumber === serial))) {
      this.cut()
      return
    }
    for (const serial of serials) {
      for (const socket of this.#bySerial.get(serial) ?? []) {
        const fault = new PeerError('CERTIFICATE_REVOKED', 'revoked while connected')
        this.#refuse(socket, this.#sessions.get(socket)!, fault)
      }
    }
  }

  command(concentrator: ConcentratorId, payload: Uint8Array): boolean {
    const session = [...this.#sessions.values()].find((one) => one.concentrator === concentrator && one.listener)
    if (session?.listener === undefined || session.listener.closed) return false
    const topic = commandTopic(concentrator)
    const packet = { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false } as const
    const socket = session.listener.conn as TLSSocket
    socket.setNoDelay(true) // a command behind a PUBACK would wait 40 ms for that to be acknowledged
    session.listener.publish(packet, () => {}) // a line that breaks: the command's deadline tells
    return true
  }

  async close(): Promise<void> {
    const shut = this.#door.shut()
    await new Promise<void>((closed) => this.#aedes.close(() => closed()))
    this.#door.destroyAll()
    await shut
  }

  /** TLS has checked the chain; who it is and whether it is revoked is asked here, at every session. */
  #begin(socket: TLSSocket): void {
    const peer: Record<string, unknown> = { address: socket.remoteAddress }
    try {
      const certificate = socket.getPeerX509Certificate()
      if (!socket.authorized || certificate === undefined) throw new PeerError('CERTIFICATE_MISSING', 'no certificate')
      peer.serial = certificate.serialNumber
      const concentrator = concentratorOf(certificate)
      peer.concentrator = concentrator
      const fault = this.#revocationFault(certificate)
      if (fault !== undefined) throw fault
      this.#open(socket, { concentrator, certificate, peer })
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#refusals.note(error, peer)
      socket.on('error', () => socket.destroy())
      socket.destroy()
    }
  }

  #revocationFault(certificate: X509Certificate): PeerError | undefined {
    return chainRevocationFault(certificate, this.#authorities, this.#options.revocationFault)
  }

  #open(socket: TLSSocket, session: Session): void {
    this.#sessions.set(socket, session)
    const { serialNumber } = session.certificate
    const same = this.#bySerial.get(serialNumber) ?? new Set()
    this.#bySerial.set(serialNumber, same.add(socket))
    socket.once('close', () => {
      this.#sessions.delete(socket)
      same.delete(socket)
      if (same.size === 0 && this.#bySerial.get(serialNumber) === same) this.#bySerial.delete(serialNumber)
      this.#options.log.debug({ event: 'session.closed', ...session.peer })
    })
    this.#guard(socket, session)
    this.#aedes.handle(socket)
    this.#options.log.debug({ event: 'session.opened', ...session.peer })
  }

  /** aedes takes what `read` gives: here packets that are too long end, and everyone waits while the journal is full. */
  #guard(socket: TLSSocket, session: Session): void {
    const limit = new PacketLimit(this.#options.limits.packetOctetsMax)
    const read = socket.read.bind(socket)
    const { journal } = this.#options
    socket.read = (size?: number): unknown => {
      if (journal.full) {
        void journal.drained().then(() => socket.emit('readable'))
        return null
      }
      const chunk: Buffer | null = read(size)
      if (chunk === null) return null
      try {
        limit.pass(chunk)
        return chunk
      } catch (error) {
        this.#refuse(socket, session, error as PeerError)
        return null
      }
    }
  }

  /** Runs a rule for a session; a fault ends it, after the log has said why. @returns the fault */
  #rule(client: Client, rule: (session: Session) => void): Error | null {
    const session = this.#sessions.get(client.conn)
    if (session === undefined) return new Error('session is gone')
    try {
      rule(session)
      return null
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#refuse(client.conn as TLSSocket, session, error)
      return error
    }
  }

  #refuse(socket: TLSSocket, session: Session, error: PeerError): void {
    this.#refusals.note(error, session.peer)
    socket.destroy()
  }

  /** A session takes commands while it is subscribed to its one topic with a QoS that keeps them. */
  #listens(client: Client, subscriptions: readonly { qos: number }[]): void {
    const session = this.#sessions.get(client.conn)
    if (session !== undefined) session.listener = subscriptions.some(({ qos }) => qos > 0) ? client : undefined
  }

  #ingest({ concentrator }: Session, payload: Buffer, done: (error?: Error | null) => void): void {
    this.#options.journal.append({ concentrator, receivedAtMs: Date.now(), payload }).then(
      () => {
        this.#acknowledged++
        this.#octets += payload.length
        done()
      },
      (error: Error) => {
        done(error)
        this.#options.onFailure(error)
      },
    )
  }

  #connectFault(client: Client, error: Error): void {
    const session = this.#sessions.get(client.conn)
    if (session === undefined || isOurs(error)) return
    const late = error.message === 'connect did not arrive in time'
    const fault = late
      ? new PeerError('CONNECT_LATE', `no CONNECT within ${this.#options.limits.connectDeadlineSeconds} s`)
      : new PeerError('PACKET_MALFORMED', error.message)
    this.#refusals.note(fault, session.peer)
  }

  #protocolFault(client: Client, error: NodeJS.ErrnoException): void {
    const session = this.#sessions.get(client.conn)
    // A line that broke, or a keep-alive that ran out, is no fault of the peer's making.
    const broke = error.code !== undefined || error.message === 'keep alive timeout'
    if (session === undefined || isOurs(error) || broke) return
    this.#refusals.note(new PeerError('PACKET_MALFORMED', error.message), session.peer)
  }
}

/** Told already, or no peer's fault at all. */
function isOurs(error: Error): boolean {
  return error instanceof PeerError || error instanceof JournalFailed
}
