import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Logger } from 'pino'
import { ConfigError, PeerError, type PeerFault } from '#gateway/errors.ts'
import { type Bundle, type FrameHeader, type FrameReader, frameHeaderOctets } from '#gateway/oneway/frame.ts'
import { type Intake, type IntakeStatus, type TakeBundle, Tally } from './intake.ts'

export interface TcpIntakeOptions {
  host: string
  port: number
  reader: FrameReader
  take: TakeBundle
  log: Logger
  /** the receiver cannot store */
  onFailure: (error: Error) => void
  /** of one connection, from its first moment; `connectionMsMax` without */
  msMax?: number
}

export interface TcpIntake extends Intake {
  readonly port: number
}

/** Connections at once, the most: with the largest batch on each, 64 MiB. */
export const connectionsMax = 8
/** Milliseconds for a connection to bring its bundle. */
const connectionMsMax = 60_000

/**
 * Takes bundles from a diode's proxy, one a connection. Nothing is ever answered: a connection is closed when its bundle is taken, or
 * when it brings something else.
 * @throws ConfigError when it cannot listen there
 */
export async function openTcpIntake(options: TcpIntakeOptions): Promise<TcpIntake> {
  const intake = new TcpListener(options)
  await intake.listen()
  return intake
}

class TcpListener implements TcpIntake {
  readonly #options: TcpIntakeOptions
  readonly #tally: Tally
  /** half open, so that a bundle counts as a connection until it is taken */
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
  readonly #open = new Map<Socket, Promise<void>>()
  #closing = false

  constructor(options: TcpIntakeOptions) {
    this.#options = options
    this.#tally = new Tally(`tcp ${options.host} ${options.port}`)
    this.#server.maxConnections = connectionsMax
    this.#server.on('drop', () => this.#refuse('BUNDLE_CONNECTIONS', `over ${connectionsMax} at once`))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  status(): IntakeStatus {
    return this.#tally.status
  }

  async listen(): Promise<void> {
    const { host, port, log } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject)
    this.#server.listen({ host, port }, resolve)
    await promise.catch(({ code }: NodeJS.ErrnoException) => {
      throw new ConfigError([`intakes: cannot listen on ${host}, TCP port ${port} (${code})`])
    })
    this.#server.off('error', reject)
    this.#server.on('error', (error) => log.error({ event: 'intake.socket', detail: error.message }))
  }

  async close(): Promise<void> {
    this.#closing = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#open.keys()) if (!socket.readableEnded) socket.destroy() // the carrier brings it again, or UDP does
    await Promise.all(this.#open.values())
    await closed
  }

  #accept(socket: Socket): void {
    const taken = this.#take(socket).finally(() => {
      socket.destroy()
      this.#open.delete(socket)
    })
    this.#open.set(socket, taken)
  }

  async #take(socket: Socket): Promise<void> {
    const { reader, msMax = connectionMsMax, take, onFailure } = this.#options
    try {
      this.#tally.note(await take(await receiveBundle(socket, reader, msMax)))
    } catch (error) {
      if (!(error instanceof PeerError)) onFailure(error as Error)
      else if (!this.#closing) this.#refuse(error.code, error.message)
    }
  }

  #refuse(code: PeerFault, detail: string): void {
    this.#tally.note(code)
    this.#options.log.warn({ event: 'bundle.refused', intake: this.#tally.status.name, code, detail })
  }
}

/** What one connection brings, to its end. @throws PeerError `BUNDLE_…` */
function receiveBundle(socket: Socket, reader: FrameReader, msMax: number): Promise<Bundle> {
  const { promise, resolve, reject } = Promise.withResolvers<Bundle>()
  const frame = new Incoming(reader)
  const late = setTimeout(() => reject(new PeerError('BUNDLE_LATE', `not whole after ${msMax} ms`)), msMax)
  const guarded = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      reject(error)
      socket.destroy()
    }
  }
  socket.on('data', (octets) => guarded(() => frame.add(octets)))
  socket.on('end', () => guarded(() => resolve(frame.end())))
  socket.on('error', ({ message }) => reject(new PeerError('BUNDLE_TRUNCATED', message)))
  socket.on('close', () => reject(new PeerError('BUNDLE_TRUNCATED', 'closed')))
  return promise.finally(() => clearTimeout(late))
}

/** A frame as its octets come. Room for the batch is made only when the header's MAC holds. */
class Incoming {
  readonly #reader: FrameReader
  readonly #start = Buffer.alloc(frameHeaderOctets)
  #header: FrameHeader | undefined
  #body: Buffer = Buffer.alloc(0)
  #length = 0

  constructor(reader: FrameReader) {
    this.#reader = reader
  }

  /** @throws PeerError */
  add(octets: Buffer): void {
    const ofHeader = Math.max(0, frameHeaderOctets - this.#length)
    octets.copy(this.#start, Math.min(this.#length, frameHeaderOctets), 0, ofHeader)
    if (this.#header === undefined && this.#length + octets.length >= frameHeaderOctets) {
      this.#header = this.#reader.header(this.#start)
      this.#body = Buffer.allocUnsafe(this.#header.length)
    }
    const at = Math.max(0, this.#length - frameHeaderOctets)
    this.#length += octets.length
    if (this.#header === undefined) return
    if (this.#length > frameHeaderOctets + this.#body.length)
      throw new PeerError('BUNDLE_TRAILING', 'more than a bundle')
    octets.copy(this.#body, at, ofHeader)
  }

  /** @throws PeerError */
  end(): Bundle {
    const octets = this.#body.subarray(0, Math.max(0, this.#length - frameHeaderOctets))
    const header = this.#header ?? this.#reader.header(this.#start.subarray(0, this.#length))
    return this.#reader.bundle(header, octets)
  }
}
