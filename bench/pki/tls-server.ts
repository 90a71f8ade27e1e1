import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { pino } from 'pino'
import { FrontDoor } from '#gateway/io/front-door.ts'
import { keyExchangeGroups } from '#gateway/io/handshakes.ts'
import { Refusals } from '#gateway/io/refusals.ts'
import { serve } from '../child.ts'

/** `door`: the gateway's own, which resumes nothing; `plain`: Node's server with its settings, that hands out tickets. */
export interface TlsOrder {
  kind: 'door' | 'plain'
  keyFile: string
  certificateFile: string
  trustFile: string
}

const host = '127.0.0.1'
const limits = { sessionsMax: 10_000, handshakesPerSecondMax: 1_000_000, handshakeDeadlineSeconds: 10 }
const onPeer = (socket: TLSSocket): void => {
  socket.on('error', () => socket.destroy())
  socket.on('end', () => socket.destroy())
  socket.resume()
}

/** @returns the port */
async function listen({ kind, keyFile, certificateFile, trustFile }: TlsOrder): Promise<number> {
  const tls = { key: readFileSync(keyFile), cert: readFileSync(certificateFile), ca: readFileSync(trustFile) }
  if (kind === 'door') {
    const refusals = new Refusals(pino({ level: 'silent' }))
    const door = new FrontDoor({ host, port: 0, tls, limits, refusals, onPeer })
    await door.listen()
    return door.port
  }
  const server = createServer({
    ...tls,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: true,
    sigalgs: 'ecdsa_secp256r1_sha256',
    ecdhCurve: keyExchangeGroups,
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('secureConnection', onPeer)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return (server.address() as AddressInfo).port
}

serve<TlsOrder>(listen)
