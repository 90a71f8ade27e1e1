import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type ConnectionOptions, connect, type EphemeralKeyInfo, type TLSSocket } from 'node:tls'
import { serve } from '../child.ts'
import { servername } from './lab.ts'

export interface HandshakeOrder {
  port: number
  /** the only key exchange group that is offered */
  group: string
  /** each resumes the session of a first one; without: each is a full one */
  resumed: boolean
  keyFile: string
  certificateFile: string
  trustFile: string
  seconds: number
}

export interface HandshakeRun {
  handshakes: number
  seconds: number
}

const atOnce = 8

async function shakeHands(order: HandshakeOrder): Promise<HandshakeRun> {
  const options: ConnectionOptions = {
    host: '127.0.0.1',
    port: order.port,
    servername,
    minVersion: 'TLSv1.3',
    ecdhCurve: order.group,
    key: readFileSync(order.keyFile),
    cert: readFileSync(order.certificateFile),
    ca: readFileSync(order.trustFile),
  }
  if (order.resumed) options.session = await firstSession(options)
  const began = performance.now()
  let handshakes = 0
  const worker = async (): Promise<void> => {
    for (; performance.now() - began < order.seconds * 1000; handshakes++) await one(options, order)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return { handshakes, seconds: (performance.now() - began) / 1000 }
}

/** The server has taken our certificate when it closes in good order after us. @throws Error when it went otherwise */
async function one(options: ConnectionOptions, { group, resumed }: HandshakeOrder): Promise<void> {
  const socket = connect(options)
  await once(socket, 'secureConnect')
  if (socket.isSessionReused() !== resumed) throw new Error(`resumed: ${!resumed}`)
  const { name } = socket.getEphemeralKeyInfo() as EphemeralKeyInfo
  if (name !== group) throw new Error(`${name} and not ${group}`)
  await ended(socket)
}

async function ended(socket: TLSSocket): Promise<void> {
  const closed = once(socket, 'close')
  socket.resume()
  socket.end()
  await closed
}

async function firstSession(options: ConnectionOptions): Promise<Buffer> {
  const socket = connect(options)
  const [session] = await once(socket.resume(), 'session')
  await nextTurn() // we are told in the middle of reading: to close there would write into the handshake
  await ended(socket)
  return session as Buffer
}

serve<HandshakeOrder>(shakeHands)
