import { readFileSync } from 'node:fs'
import { pino } from 'pino'
import { type Broker, type BrokerLimits, openBroker } from '#gateway/io/broker.ts'
import { openJournal } from '#gateway/io/journal.ts'
import { serve } from './child.ts'

/** Our front half alone: TLS, MQTT and the journal, without the pipeline behind it. */
export type BrokerRequest = ({ kind: 'start' } & BrokerStart) | { kind: 'status' }

export interface BrokerStart {
  journal: string
  keyFile: string
  certificateFile: string
  trustFile: string
  limits: BrokerLimits
}

const releaseIntervalMs = 500

async function start({ journal: folder, limits, ...files }: BrokerStart): Promise<Broker> {
  const journal = openJournal(folder)
  // Nobody reads it here; what is durable is erased, or long runs would fill the disk.
  setInterval(() => journal.release(journal.durable), releaseIntervalMs)
  return await openBroker({
    host: '127.0.0.1',
    port: 0,
    tls: {
      key: readFileSync(files.keyFile),
      cert: readFileSync(files.certificateFile),
      ca: readFileSync(files.trustFile),
    },
    limits,
    revocationFault: () => undefined,
    journal,
    log: pino({ level: 'warn' }, pino.destination(2)),
    onFailure: (error) => {
      throw error
    },
  })
}

let broker: Broker | undefined

serve<BrokerRequest>(async (request) => {
  if (request.kind === 'start') broker = await start(request)
  return { port: broker?.port, acknowledged: broker?.status().acknowledged }
})
