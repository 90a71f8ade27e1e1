import { readFileSync } from 'node:fs'
import type { OnReadOpts } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { generate } from 'mqtt-packet'

/** Publishes of one session that wait for their PUBACK, the most. */
export const windowMax = 16

const keepAliveSeconds = 600
const readOctets = 65_536
const connack = Buffer.of(0x20, 0x02, 0x00, 0x00)
const ackOctets = 4

/** Where a broker listens, and what a concentrator needs to speak to it. */
export interface Endpoint {
  port: number
  /** the name that the broker's certificate must bear */
  servername: string
  trustFile: string
  /** `ID.key.pem` and `ID.chain.pem` of each concentrator */
  credentials: string
}

/**
 * One MQTT 3.1.1 session with as little in it as a load generator can do with: packets are encoded beforehand, read
 * into one buffer, and of what comes only PUBACKs are expected, which are counted.
 */
export class LeanSession {
  readonly id: string
  readonly #socket: TLSSocket
  readonly #opened = Promise.withResolvers<void>()
  #rest: Buffer = Buffer.alloc(0)
  #open = false
  #onAcknowledged: (count: number) => void = () => {}

  private constructor(id: string, { port, servername, trustFile, credentials }: Endpoint) {
    this.id = id
    const buffer = Buffer.allocUnsafe(readOctets)
    const options: ConnectionOptions & { onread: OnReadOpts } = {
      host: '127.0.0.1',
      port,
      servername,
      minVersion: 'TLSv1.3',
      ca: readFileSync(trustFile),
      key: readFileSync(join(credentials, `${id}.key.pem`)),
      cert: readFileSync(join(credentials, `${id}.chain.pem`)),
      onread: {
        buffer,
        callback: (length) => {
          this.#take(buffer.subarray(0, length))
          return true
        },
      },
    }
    this.#socket = connect(options)
    this.#socket.setNoDelay(true)
    this.#socket.once('error', (error) => this.#opened.reject(error))
    this.#socket.once('close', () => this.#opened.reject(new Error(`${id}: the broker closed the session`)))
    const hello = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: keepAliveSeconds }
    this.#socket.once('secureConnect', () => this.#socket.write(generate({ ...hello, clientId: id } as never)))
  }

  /** @returns the session, accepted by the broker */
  static async open(id: string, endpoint: Endpoint): Promise<LeanSession> {
    const session = new LeanSession(id, endpoint)
    await session.#opened.promise
    return session
  }

  /** @param listener told how many PUBACKs have come, a few at a time */
  onAcknowledged(listener: (count: number) => void): void {
    this.#onAcknowledged = listener
  }

  write(octets: Uint8Array): void {
    this.#socket.write(octets)
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const octets = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const count = Math.floor(octets.length / ackOctets)
    for (let at = 0; at < count * ackOctets; at += ackOctets) this.#check(octets, at)
    this.#rest =
      octets.length % ackOctets === 0 ? this.#rest.subarray(0, 0) : Buffer.from(octets.subarray(count * ackOctets))
    const acks = this.#open ? count : count - 1
    if (!this.#open && count > 0) {
      this.#open = true
      this.#opened.resolve()
    }
    if (acks > 0) this.#onAcknowledged(acks)
  }

  #check(octets: Buffer, at: number): void {
    if (!this.#open && at === 0) {
      if (!octets.subarray(0, ackOctets).equals(connack)) throw new Error(`${this.id}: the broker refused the session`)
    } else if (octets[at] !== 0x40 || octets[at + 1] !== 0x02) throw new Error(`${this.id}: not a PUBACK`)
  }
}

/** One session a concentrator, some at a time: handshakes of all at once would run into the broker's deadlines. */
export async function openSessions(ids: readonly string[], endpoint: Endpoint): Promise<LeanSession[]> {
  const sessions: LeanSession[] = []
  const atOnce = 10
  for (let from = 0; from < ids.length; from += atOnce) {
    sessions.push(...(await Promise.all(ids.slice(from, from + atOnce).map((id) => LeanSession.open(id, endpoint)))))
  }
  return sessions
}

/** A PUBLISH of QoS 1 under the concentrator's own topic. @param messageId 1 to 65,535 */
export function encodePublish(id: string, payload: Buffer, messageId: number): Buffer {
  const topic = `ami/v1/${id}/up`
  return generate({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId })
}
