import { type Command, UsageError } from './command.ts'
import { receiveProbe } from './link-receive.ts'
import { sendProbe } from './link-send.ts'

const help = `ami link probe: how fast the one-way link may go before it loses

usage: ami link probe send --config FILE | --to ADDRESS:PORT --key-file FILE [--key-id N] [--from ADDRESS]
                      [--from-mbit M] [--to-mbit M] [--step M] [--seconds S] [--octets N] [--json]
       ami link probe receive --config FILE | --listen ADDRESS:PORT --key-file FILE [--key-id N] [--buffer OCTETS]
                      [--loss-limit PERCENT] [--wait S] [--json]

Start 'receive' first, with the MDM's configuration, while 'ami mdm' is stopped: it takes the MDM's port. Then 'send' with the
gateway's configuration; the gateway may run, and what it sends meanwhile is not counted here, but takes its share of the line.
Datagrams go one way, under the link's key, and each tells what was sent before it: nothing comes back. At the end 'receive'
shows of each rate what was sent, what came, and what the kernel dropped because its buffer was full; and the knee, the highest
rate up to which no step lost more than --loss-limit. Set 'bitsPerSecondMax' of the zones file to half of it or less.

send
  --config FILE         the gateway's: where to, from where, link key, octets of a datagram
  --from-mbit, --to-mbit, --step  rates tried, Mbit/s of the datagrams' own octets (default 10, 200, 10; at most 100 steps)
  --seconds S           of each step (default 2, at most 60)
  --octets N            of a datagram (default: what the zones file allows, or 1460)
receive
  --config FILE         the MDM's: where to listen, link keys, receive buffer
  --loss-limit PERCENT  (default 0.1)
  --wait S              for the first datagram (default 60, at most 3600); once begun, it ends when the sender says so or
                        has been silent for ten seconds
  --json                one JSON line in place of the table

Exit 0: there is a knee (receive), all was handed to the kernel (send). Exit 1: there is none; some was not.
`

async function run(args: readonly string[]): Promise<number> {
  const [what, verb, ...rest] = args
  if (what === 'probe' && verb === 'send') return sendProbe(rest)
  if (what === 'probe' && verb === 'receive') return receiveProbe(rest)
  throw new UsageError("link: 'probe send' or 'probe receive' with their options")
}

export const command: Command = { summary: 'measures the one-way link, one way', help, run }
