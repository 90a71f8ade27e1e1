import { ConfigError } from '#gateway/errors.ts'
import { PkiError } from '#pki/errors.ts'
import { feedListenersMax, type PublisherEvent, publishRevocations } from '#pki/revocation/publisher.ts'
import { type Command, parse, UsageError } from '../command.ts'
import { type Logger, openLog } from '../log.ts'
import { untilSignal } from '../signals.ts'

const help = `usage: ami pki feed --dir DIR --listener SOCKET [--listener SOCKET]...

Pushes every revocation of the PKI in DIR to the gateways, as soon as it stands in the journal, and each second that there is
no other. A gateway whose feed is over 5 seconds old admits nobody. No key is opened, and nothing comes back.

  --listener SOCKET  the Unix socket of a gateway, its 'tls.feedSocket'; 1 to ${feedListenersMax}; it is connected to again
                     each second while it is away

SIGINT or SIGTERM ends it. Exit codes: 0 ended; 64 usage; 78 the PKI's directory is not in order.
`

const options = { dir: { type: 'string' }, listener: { type: 'string', multiple: true } } as const

export const command: Command = { summary: 'pushes revocations to the gateways', help, run }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  const { dir, listener: listeners = [] } = values
  if (positionals.length > 0) throw new UsageError(`pki feed: no argument '${positionals[0]}'`)
  if (dir === undefined || listeners.length === 0) throw new UsageError('pki feed: --dir and --listener are required')
  if (listeners.length > feedListenersMax) throw new UsageError(`pki feed: at most ${feedListenersMax} --listener`)
  const log = openLog('pki')
  const signal = untilSignal()
  const publisher = await publishRevocations({ dir, listeners, onEvent: (event) => tell(log, event) }).catch(
    (cause) => {
      if (cause instanceof PkiError) throw new ConfigError([`${cause.code}: ${cause.message}`])
      throw cause
    },
  )
  log.info({ event: 'feed.ready', listeners: listeners.length })
  await signal
  await publisher.close()
  log.info({ event: 'feed.closed' })
  return 0
}

function tell(log: Logger, { kind, ...fields }: PublisherEvent): void {
  const level = { connected: 'info', disconnected: 'warn', fault: 'error' } as const
  log[level[kind]]({ event: `feed.${kind}`, ...fields })
}
