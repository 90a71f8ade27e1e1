import { createServer, type Socket } from 'node:net'
import { frameWrapper, unframeWrapper } from '#gateway/codec/wrapper.ts'

/** What a session does with an APDU: it answers, and may end. */
export interface Reaction {
  send: readonly Uint8Array[]
  close: boolean
}

/** One association's server; `undefined` is the end of the connection. */
export type MeterSession = (apdu: Uint8Array | undefined) => Reaction

/** Service access points of an association, as the wrapper has them. */
export interface Ports {
  client: number
  server: number
}

export interface MeterServerSettings {
  host: string
  /** 0 takes any */
  port: number
  /**
   * Called for each association of a connection, when its first APDU comes.
   * @returns `undefined` for a client or a logical device that the meter does not have: the connection ends
   */
  open: (ports: Ports) => MeterSession | undefined
  limits?: Partial<MeterServerLimits>
}

export interface MeterServerLimits {
  /** connections at a time; one more is closed at once */
  sessionsMax: number
  /** without an octet from the client */
  silenceMs: number
  /** of a connection as a whole */
  sessionMs: number
  /** of an APDU that comes in */
  apduOctetsMax: number
}

export interface MeterServer {
  port: number
  /** ends every connection */
  close(): Promise<void>
}

const defaults: MeterServerLimits = { sessionsMax: 8, silenceMs: 60_000, sessionMs: 600_000, apduOctetsMax: 65_535 }
const headerOctets = 8
const versionOctets = Buffer.of(0, 1)

/** Serves the wrapper on TCP. @throws Error as `listen`, for an address that is taken or not ours @see IEC 62056-47 */
export async function startMeterServer({ host, port, open, limits }: MeterServerSettings): Promise<MeterServer> {
  const bounds = { ...defaults, ...limits }
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    if (sockets.size >= bounds.sessionsMax) return void socket.destroy()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    serve(socket, sessionsOf(open), bounds)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      return closed
    },
  }
}

/** The associations of one connection: as many as there are clients that the meter knows. */
interface Sessions {
  of: (ports: Ports) => MeterSession | undefined
  end: () => void
}

function sessionsOf(open: MeterServerSettings['open']): Sessions {
  const sessions = new Map<string, MeterSession>()
  return {
    of(ports) {
      const name = `${ports.client} ${ports.server}`
      const session = sessions.get(name) ?? open(ports)
      if (session !== undefined) sessions.set(name, session)
      return session
    },
    end() {
      for (const session of sessions.values()) session(undefined)
    },
  }
}

function serve(socket: Socket, sessions: Sessions, bounds: MeterServerLimits): void {
  let octets: Buffer = Buffer.alloc(0)
  const deadline = setTimeout(() => socket.destroy(), bounds.sessionMs)
  socket.setTimeout(bounds.silenceMs, () => socket.destroy())
  socket.on('error', () => socket.destroy()) // whoever hung up has no one to tell
  socket.on('close', () => {
    clearTimeout(deadline)
    sessions.end()
  })
  /** A client that does not read is not answered further: few octets could ask for many. */
  const work = (): void => {
    while (!socket.writableNeedDrain) {
      const length = frameLength(octets, bounds)
      if (length === undefined) return void socket.resume()
      if (length === 'broken') return void socket.destroy() // nothing marks where the next frame begins
      const frame = octets.subarray(0, length)
      octets = octets.subarray(length)
      if (answer(socket, sessions, frame)) return void socket.end()
    }
    socket.pause()
  }
  socket.on('drain', work)
  socket.on('data', (chunk: Buffer) => {
    octets = Buffer.concat([octets, chunk])
    work()
  })
}

/** Octets of the first frame; `undefined` while it has not come as a whole. */
function frameLength(octets: Buffer, { apduOctetsMax }: MeterServerLimits): number | 'broken' | undefined {
  if (octets.length < headerOctets) return undefined
  const length = octets.readUInt16BE(6)
  if (!octets.subarray(0, 2).equals(versionOctets) || length > apduOctetsMax) return 'broken'
  return octets.length < headerOctets + length ? undefined : headerOctets + length
}

/** @returns whether the connection is at its end */
function answer(socket: Socket, sessions: Sessions, frame: Buffer): boolean {
  const ports = { source: frame.readUInt16BE(4), destination: frame.readUInt16BE(2) }
  const session = sessions.of({ client: ports.destination, server: ports.source })
  if (session === undefined) return true
  for (const { octets } of unframeWrapper(frame).payloads) {
    const { send, close } = session(octets)
    for (const apdu of send) socket.write(frameWrapper(apdu, ports))
    if (close) return true
  }
  return false
}
