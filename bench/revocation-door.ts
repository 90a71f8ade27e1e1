import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type Broker, openBroker } from '#gateway/io/broker.ts'
import { openJournal } from '#gateway/io/journal.ts'
import { openRevocationFeed } from '#gateway/io/revocation-feed.ts'
import { serve } from './child.ts'

/** The gateway's front in a process of its own: TLS, MQTT, the revocation feed, a journal that stays empty. */
export type DoorRequest =
  | { kind: 'open'; key: string; cert: string; ca: string; feedSocket: string; sessionsMax: number }
  | { kind: 'measure' }

export interface DoorAnswer {
  port: number
  sessions: number
  /** processor milliseconds since the start */
  cpuMs: number
}

let broker: Broker | undefined

async function open({
  key,
  cert,
  ca,
  feedSocket,
  sessionsMax,
}: Extract<DoorRequest, { kind: 'open' }>): Promise<Broker> {
  const log = pino({ level: 'silent' })
  const revocation = await openRevocationFeed({
    path: feedSocket,
    authorities: ca,
    log,
    onRevoked: (serials) => broker?.cutRevoked(serials),
  })
  return openBroker({
    host: '127.0.0.1',
    port: 0,
    tls: { key: Buffer.from(key), cert: Buffer.from(cert), ca: Buffer.from(ca) },
    limits: {
      sessionsMax,
      handshakesPerSecondMax: 1_000_000,
      handshakeDeadlineSeconds: 60,
      connectDeadlineSeconds: 60,
      keepAliveSecondsMax: 3_600,
      packetOctetsMax: 65_536,
    },
    revocationFault: (certificate) => revocation.fault(certificate),
    journal: openJournal(mkdtempSync(join(tmpdir(), 'ami-bench-journal-'))),
    log,
    onFailure: (error) => {
      throw error
    },
  })
}

serve<DoorRequest>(async (request): Promise<DoorAnswer> => {
  if (request.kind === 'open') broker = await open(request)
  const { user, system } = process.cpuUsage()
  return { port: broker!.port, sessions: broker!.status().sessions, cpuMs: (user + system) / 1_000 }
})
