import { createServer, type Socket } from 'node:net'
import { frameWrapper, unframeWrapper } from '#gateway/codec/wrapper.ts'

/** What a session does with an APDU: it answers, and may end. */
export interface Reaction {
  send: readonly Uint8Array[]
  close: boolean
}

/** One association's server; `undefined` is the end of the connection. */
export type MeterSession = (apdu: Uint8Array | undefined) => Reaction

export interface MeterServerSettings {
  host: string
  /** 0 takes any */
  port: number
  /** called for each connection */
  open: () => MeterSession
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
    serve(socket, open(), bounds)
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

function serve(socket: Socket, session: MeterSession, bounds: MeterServerLimits): void {
  let octets: Buffer = Buffer.alloc(0)
  const deadline = setTimeout(() => socket.destroy(), bounds.sessionMs)
  socket.setTimeout(bounds.silenceMs, () => socket.destroy())
  socket.on('error', () => socket.destroy()) // whoever hung up has no one to tell
  socket.on('close', () => {
    clearTimeout(deadline)
    session(undefined)
  })
  /** A client that does not read is not answered further: few octets could ask for many. */
  const work = (): void => {
    while (!socket.writableNeedDrain) {
      const length = frameLength(octets, bounds)
      if (length === undefined) return void socket.resume()
      if (length === 'broken') return void socket.destroy() // nothing marks where the next frame begins
      const frame = octets.subarray(0, length)
      octets = octets.subarray(length)
      if (answer(socket, session, frame)) return void socket.end()
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

/** @returns whether the session is at its end */
function answer(socket: Socket, session: MeterSession, frame: Buffer): boolean {
  const ports = { source: frame.readUInt16BE(4), destination: frame.readUInt16BE(2) }
  for (const { octets } of unframeWrapper(frame).payloads) {
    const { send, close } = session(octets)
    for (const apdu of send) socket.write(frameWrapper(apdu, ports))
    if (close) return true
  }
  return false
}
