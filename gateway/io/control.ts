import { createServer, type Socket } from 'node:net'
import { listenUnix } from './unix-socket.ts'

/**
 * Where an operator on this machine asks the running gateway: a Unix domain socket in its data folder, which only the
 * folder's owner may open. A connection is one line of text in and one line out; who ends it before the answer is gone.
 */
export interface ControlOptions {
  path: string
  /**
   * @param line without its line feed
   * @param gone fires when whoever asked has hung up: the answer goes nowhere
   * @returns one line, without its line feed
   */
  answer: (line: string, gone: AbortSignal) => Promise<string>
  /** the line for whoever comes while all connections are taken */
  busy: string
  limits?: Partial<ControlLimits>
}

export interface ControlLimits {
  /** at a time; one more is told `busy` and closed */
  connectionsMax: number
  /** of a line in, its line feed too; beyond, the connection is closed */
  lineOctetsMax: number
  /** from the connection to its whole line */
  lineDeadlineMs: number
  /** of a connection as a whole: beyond the longest that a command may take */
  deadlineMs: number
}

export const controlLimits: ControlLimits = {
  connectionsMax: 4,
  lineOctetsMax: 65_536,
  lineDeadlineMs: 5_000,
  deadlineMs: 310_000,
}

export interface Control {
  /** Nobody new; those that wait get no answer any more. The socket's file is gone then. */
  close(): Promise<void>
}

/**
 * The caller holds the folder, so that a socket that lies there is one of a gateway that was killed.
 * @throws ConfigError where the socket cannot be had
 */
export async function openControl({ path, answer, busy, limits }: ControlOptions): Promise<Control> {
  const bounds = { ...controlLimits, ...limits }
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy()) // whoever hung up has no one to tell
    if (open.size >= bounds.connectionsMax) return void socket.end(`${busy}\n`, () => socket.destroy())
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    serve(socket, answer, bounds)
  })
  await listenUnix(server, path, 'data')
  return {
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

function serve(socket: Socket, answer: ControlOptions['answer'], bounds: ControlLimits): void {
  const gone = new AbortController()
  const deadlines = [
    setTimeout(() => socket.destroy(), bounds.deadlineMs),
    setTimeout(() => socket.destroy(), bounds.lineDeadlineMs),
  ]
  let octets: Buffer = Buffer.alloc(0)
  socket.on('close', () => {
    for (const deadline of deadlines) clearTimeout(deadline)
    gone.abort()
  })
  const hear = (chunk: Buffer): void => {
    octets = Buffer.concat([octets, chunk])
    const end = octets.indexOf(0x0a)
    const length = end < 0 ? octets.length : end + 1
    if (length > bounds.lineOctetsMax) return void socket.destroy()
    if (end < 0) return
    socket.off('data', hear)
    socket.resume() // to hear of its end
    clearTimeout(deadlines[1])
    answer(octets.toString('utf8', 0, end), gone.signal).then((line) => socket.end(`${line}\n`))
  }
  socket.on('data', hear)
}
