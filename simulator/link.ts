import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Logger } from 'pino'
import { FaultyLink, type LinkCounts, type LinkFaults } from './link-faults.ts'

export interface LinkOptions extends LinkFaults {
  listen: { host: string; port: number }
  to: { host: string; port: number }
  /** every datagram that arrives takes this long */
  delayMs: number
  log: Logger
}

/** A faulty link between a sender and a receiver, over UDP; nothing goes the other way. */
export interface SimulatedLink {
  readonly port: number
  status(): LinkCounts & { overflowed: number }
  /** ends it; what is on its way is lost */
  stop(): Promise<void>
}

const receiveBufferOctets = 4_194_304
/** Datagrams on their way, the most; beyond, they are dropped and counted. */
const underWayMax = 65_536
/** The line is still: what is held back comes. */
const stillMs = 100
const statusIntervalMs = 500

/** @throws Error where `listen` cannot be had */
export async function openLink(options: LinkOptions): Promise<SimulatedLink> {
  const link = new RelayedLink(options)
  await link.listen()
  return link
}

class RelayedLink implements SimulatedLink {
  readonly #options: LinkOptions
  readonly #link: FaultyLink
  readonly #in: Socket
  readonly #out: Socket
  readonly #underWay: { octets: Uint8Array; atMs: number }[] = []
  #timer: NodeJS.Timeout | undefined
  #status: NodeJS.Timeout | undefined
  #still: NodeJS.Timeout
  #overflowed = 0

  constructor(options: LinkOptions) {
    this.#options = options
    this.#link = new FaultyLink(options)
    this.#in = socketFor(options.listen.host)
    this.#out = socketFor(options.to.host)
    this.#still = setTimeout(() => this.#forward(this.#link.flush()), stillMs)
    this.#in.on('message', (octets) => {
      this.#still.refresh()
      this.#forward(this.#link.take(octets, performance.now()))
    })
    for (const socket of [this.#in, this.#out]) {
      socket.on('error', ({ message }) => options.log.error({ event: 'link.socket', detail: message }))
    }
  }

  get port(): number {
    return this.#in.address().port
  }

  async listen(): Promise<void> {
    const { listen, log } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#in.once('error', reject)
    this.#in.bind({ address: listen.host, port: listen.port, exclusive: true }, resolve)
    await promise
    this.#in.off('error', reject)
    this.#in.setRecvBufferSize(receiveBufferOctets)
    this.#status = setInterval(() => log.info({ event: 'link.status', ...this.status() }), statusIntervalMs)
    log.info({ event: 'link.listening', port: this.port })
  }

  status(): LinkCounts & { overflowed: number } {
    return { ...this.#link.counts, overflowed: this.#overflowed }
  }

  async stop(): Promise<void> {
    for (const timer of [this.#timer, this.#still]) clearTimeout(timer)
    clearInterval(this.#status)
    this.#options.log.info({ event: 'link.status', ...this.status() })
    for (const socket of [this.#in, this.#out]) socket.close()
  }

  #forward(arriving: readonly Uint8Array[]): void {
    const { delayMs } = this.#options
    for (const octets of arriving) {
      if (delayMs === 0) this.#send(octets)
      else if (this.#underWay.length < underWayMax) this.#underWay.push({ octets, atMs: performance.now() + delayMs })
      else this.#overflowed++
    }
    if (this.#underWay.length > 0) this.#timer ??= setTimeout(() => this.#arrive(), delayMs)
  }

  /** Those that are due, in order; then again when the next one is. */
  #arrive(): void {
    this.#timer = undefined
    const nowMs = performance.now()
    const next = this.#underWay.findIndex(({ atMs }) => atMs > nowMs)
    for (const { octets } of this.#underWay.splice(0, next < 0 ? this.#underWay.length : next)) this.#send(octets)
    const [first] = this.#underWay
    if (first !== undefined) this.#timer = setTimeout(() => this.#arrive(), first.atMs - nowMs)
  }

  #send(octets: Uint8Array): void {
    const { host, port } = this.#options.to
    this.#out.send(octets, port, host, (error) => {
      if (error !== null) this.#overflowed++
    })
  }
}

function socketFor(host: string): Socket {
  const family = isIPv6(host) ? 6 : 4
  return createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: (name, _options, done) => done(null, name, family),
  })
}
