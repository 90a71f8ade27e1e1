import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { generate, type IConnectPacket, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { onTestFinished } from 'vitest'
import type { FiledCertificate, ThrowawayPki } from './pki.ts'

/** An MQTT client that does exactly what it is told, wrong things too: octets out, packets in. */
export class RawClient {
  readonly socket: TLSSocket
  readonly packets: Packet[] = []
  readonly closed: Promise<void>
  #isClosed = false
  #waiters: (() => void)[] = []

  constructor(socket: TLSSocket) {
    this.socket = socket
    const reading = parser({ protocolVersion: 4 })
    reading.on('packet', (packet) => {
      this.packets.push(packet)
      this.#wake()
    })
    socket.on('data', (octets) => reading.parse(octets))
    socket.on('error', () => {}) // a reset is one way of being refused
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true
        this.#wake()
        resolve()
      })
    })
    onTestFinished(() => void socket.destroy())
  }

  send(...packets: (Packet | Uint8Array)[]): void {
    const octets = packets.map((one) => (one instanceof Uint8Array ? one : generate(one)))
    this.socket.write(Buffer.concat(octets))
  }

  /** Resolves when so many packets have come. @throws Error when the session ends before */
  async until(count: number): Promise<Packet[]> {
    while (this.packets.length < count) {
      if (this.#isClosed) throw new Error(`closed after ${this.packets.length} packets of ${count}`)
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
    return this.packets
  }

  /** Sends a CONNECT and waits for its CONNACK. */
  async open(more: Partial<IConnectPacket> = {}): Promise<this> {
    this.send(connectPacket(more))
    await this.until(1)
    return this
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve()
  }
}

export function connectPacket(more: Partial<IConnectPacket> = {}): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: 'any',
    clean: true,
    keepalive: 60,
    ...more,
  }
}

export function publishPacket(id: string, more: Partial<IPublishPacket> = {}): IPublishPacket {
  const payload = Buffer.from('payload')
  return { cmd: 'publish', topic: `ami/v1/${id}/up`, payload, qos: 1, messageId: 1, dup: false, retain: false, ...more }
}

/** TLS options of a client with this certificate, or with none. */
export function credentials(pki: ThrowawayPki, certificate?: FiledCertificate): ConnectionOptions {
  const own = certificate === undefined ? {} : { key: certificate.privateKeyPem!, cert: certificate.chainPem }
  return { host: '127.0.0.1', servername: 'localhost', ca: pki.rootPem, ...own }
}

/** Resolves when the client believes that it is connected; with TLS 1.3 the server may still refuse it. */
export async function dial(port: number, options: ConnectionOptions): Promise<RawClient> {
  const client = new RawClient(connect({ port, ...options }))
  await Promise.race([new Promise((resolve) => client.socket.once('secureConnect', resolve)), client.closed])
  return client
}
