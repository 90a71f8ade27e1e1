import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { generate } from 'mqtt-packet'
import { serve } from './child.ts'

/** Concentrators of which each has one MQTT session that says nothing more. */
export type ClientsRequest =
  | { kind: 'open'; port: number; ca: string; credentials: { key: string; cert: string }[] }
  /** when does the session of this one end? */
  | { kind: 'watch'; index: number }
  /** tries to resume, then anew */
  | { kind: 'return'; index: number }
  | { kind: 'count' }

export interface ClientsAnswer {
  open: number
  /** milliseconds since 1970 */
  closedAt: number
  admitted: boolean
}

/** Handshakes at one time. */
const together = 64
const keepAliveSeconds = 3_600
const hello = generate({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clean: true,
  clientId: 'any',
  keepalive: keepAliveSeconds,
})

interface Client {
  options: ConnectionOptions
  socket: TLSSocket
  session: Buffer | undefined
  closed: Promise<number>
}

const clients: Client[] = []

/** @returns the session, or nothing when it was refused before its CONNACK */
async function begin(options: ConnectionOptions): Promise<TLSSocket | undefined> {
  const socket = connect(options)
  socket.on('error', () => socket.destroy())
  const answered = new Promise<boolean>((resolve) => {
    socket.once('data', () => resolve(true))
    socket.once('close', () => resolve(false))
  })
  socket.write(hello)
  return (await answered) ? socket : undefined
}

async function open({ port, ca, credentials }: Extract<ClientsRequest, { kind: 'open' }>): Promise<void> {
  const rest = credentials.entries()
  const work = async (): Promise<void> => {
    for (const [index, { key, cert }] of rest) {
      const options = { host: '127.0.0.1', servername: 'localhost', port, ca, key, cert }
      const socket = await begin(options)
      if (socket === undefined) throw new Error(`session ${index} was refused`)
      const closed = new Promise<number>((resolve) => socket.once('close', () => resolve(now())))
      clients[index] = { options, socket, session: socket.getSession(), closed }
    }
  }
  await Promise.all(Array.from({ length: together }, work))
}

const now = (): number => performance.timeOrigin + performance.now()

async function mayReturn(index: number): Promise<boolean> {
  const { options, session } = clients[index]!
  for (const more of [{ session }, {}]) {
    const socket = await begin({ ...options, ...more })
    if (socket === undefined) continue
    socket.destroy()
    return true
  }
  return false
}

serve<ClientsRequest>(async (request): Promise<ClientsAnswer> => {
  if (request.kind === 'open') await open(request)
  const closedAt = request.kind === 'watch' ? await clients[request.index]!.closed : 0
  const admitted = request.kind === 'return' && (await mayReturn(request.index))
  return { open: clients.filter(({ socket }) => !socket.destroyed).length, closedAt, admitted }
})
