import { isIP } from 'node:net'
import { ConfigError } from '#gateway/errors.ts'
import { openLink } from '#simulator/link.ts'
import { decimalNumber, parse, UsageError, wholeNumber } from './command.ts'
import { openLog } from './log.ts'
import { untilSignal } from './signals.ts'

export const linkHelp = `link     a one-way link with faults, over UDP, between a gateway and an MDM: what comes at --listen goes to --to, but what
         is lost. --loss, --duplicate, --reorder: percent of the datagrams, each by itself; --burst N --burst-every M: one in M
         begins a run of N lost ones; --delay: milliseconds; --outage S --outage-after S: nothing passes for so many seconds, so
         many seconds after the first datagram. The same --seed gives the same faults. Until SIGINT or SIGTERM; counts in the log.
`

const options = {
  listen: { type: 'string' },
  to: { type: 'string' },
  loss: { type: 'string', default: '0' },
  burst: { type: 'string', default: '0' },
  'burst-every': { type: 'string', default: '100000' },
  duplicate: { type: 'string', default: '0' },
  reorder: { type: 'string', default: '0' },
  delay: { type: 'string', default: '0' },
  outage: { type: 'string', default: '0' },
  'outage-after': { type: 'string', default: '0' },
  seed: { type: 'string', default: '1' },
} as const

/** @throws UsageError, ConfigError where the port cannot be had */
export async function simulateLink(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length > 0 || values.listen === undefined || values.to === undefined) {
    throw new UsageError('simulate link: --listen ADDRESS:PORT and --to ADDRESS:PORT are required')
  }
  const share = (name: 'loss' | 'duplicate' | 'reorder'): number => decimalNumber(name, values[name], [0, 100]) / 100
  const ms = (name: 'outage' | 'outage-after'): number => decimalNumber(name, values[name], [0, 86_400]) * 1000
  const datagrams = wholeNumber('burst', values.burst, [0, 10_000_000])
  const every = wholeNumber('burst-every', values['burst-every'], [1, 1_000_000_000])
  const signal = untilSignal()
  const listen = endpoint('listen', values.listen)
  const link = await openLink({
    listen,
    to: endpoint('to', values.to),
    seed: wholeNumber('seed', values.seed, [0, 4_294_967_295]),
    lossShare: share('loss'),
    ...(datagrams > 0 ? { bursts: { every, datagrams } } : {}),
    duplicateShare: share('duplicate'),
    reorderShare: share('reorder'),
    outage: { afterMs: ms('outage-after'), forMs: ms('outage') },
    delayMs: wholeNumber('delay', values.delay, [0, 60_000]),
    log: openLog('link'),
  }).catch(({ code }: NodeJS.ErrnoException) => {
    throw new ConfigError([`--listen: cannot listen on ${values.listen}, UDP (${code})`])
  })
  await signal
  await link.stop()
  return 0
}

/** An IP address, IPv6 in brackets, and a port: names are not looked up. @throws UsageError */
export function endpoint(name: string, text: string): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain ?? ''
  const version = bracketed === undefined ? 4 : 6
  if (isIP(host) !== version || Number(digits) > 65_535) {
    throw new UsageError(`--${name}: an IP address and a port, 192.0.2.1:9700 or [2001:db8::1]:9700, not '${text}'`)
  }
  return { host, port: Number(digits) }
}
