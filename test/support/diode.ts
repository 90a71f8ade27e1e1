import { execFileSync, spawnSync } from 'node:child_process'

/**
 * A one-way link in the kernel: three network namespaces, two virtual cables, and a firewall in the middle that lets one UDP
 * port through from left to right and nothing from right to left.
 *
 * ```
 *  dmz ── out ═ dmz ── diode ── it ═ in ── it        no ARP: neighbours are permanent; no IPv6
 *                forward: UDP to the port, numgen random drops a share; the rest refused
 *                ingress of `it`: everything dropped (`returned`)
 *                egress of `dmz`: everything counted (`passedBack`): stays 0
 * ```
 * Needs Linux, root, `ip` and `nft`. Names are this process's own; `close` takes away what was made.
 */
export type Space = 'dmz' | 'diode' | 'it'

export const gatewayAddress = '192.0.2.10'
export const mdmAddress = '192.0.2.140'
export const linkPort = 9700

export interface DiodeOptions {
  /** datagrams that the link loses, of a hundred */
  lossPercent?: number
  /** the port that is let through */
  port?: number
  /** nothing is dropped on the way back: to show that the judges would see it */
  leaky?: boolean
}

/** Packets, by what became of them in the diode. */
export interface DiodeCounters {
  admitted: number
  lost: number
  refused: number
  returned: number
  passedBack: number
}

/** Large enough for symbols of 8,800 octets. */
const mtu = 9_000
let made = 0

/** Why there can be no diode here; undefined where there can. */
export function whyNoDiode(): string | undefined {
  const probe = spawnSync('unshare', ['--net', 'nft', 'list', 'ruleset'], { encoding: 'utf8' })
  if (probe.error !== undefined) return probe.error.message
  if (probe.status !== 0) return probe.stderr.trim() || `unshare exits ${probe.status}`
  const ip = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  return ip.status === 0 ? undefined : 'no `ip netns`'
}

export class Diode {
  readonly #prefix = `ami-oneway-${process.pid}-${made++}`
  readonly #spaces: Space[] = []
  readonly #atExit = (): void => this.close()

  /** @throws Error with what `ip` or `nft` says; nothing is left behind */
  constructor({ lossPercent = 0, port = linkPort, leaky = false }: DiodeOptions = {}) {
    process.once('exit', this.#atExit)
    try {
      for (const space of ['dmz', 'diode', 'it'] as const) this.#add(space)
      this.#cable({ space: 'dmz', device: 'out', address: gatewayAddress }, 'dmz', mdmAddress)
      this.#cable({ space: 'it', device: 'in', address: mdmAddress }, 'it', gatewayAddress)
      this.#in('diode', ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
      this.#in('diode', ['nft', '-f', '-'], rules(port, leaky))
      this.lose(lossPercent)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** What runs a program in a namespace, to be followed by the program and its arguments; the process id stays that of `ip`. */
  within(space: Space): [string, ...string[]] {
    return ['ip', 'netns', 'exec', this.#name(space)]
  }

  /** From now on the link loses this share, each datagram by itself. @param percent whole, 0 to 100 */
  lose(percent: number): void {
    if (percent === 0) this.#losing([])
    else this.#losing([percent === 100 ? '' : `numgen random mod 100 < ${percent}`])
  }

  /** From now on it loses the first `lost` of every `every` datagrams. */
  loseRuns(lost: number, every: number): void {
    this.#losing([`numgen inc mod ${every} < ${lost}`])
  }

  /** From now on it takes so many datagrams a second, and a tenth of them at once; the rest it loses. */
  narrow(perSecond: number): void {
    this.#losing([`limit rate over ${perSecond}/second burst ${Math.ceil(perSecond / 10)} packets`])
  }

  /** What one of these matches is lost. */
  #losing(matches: readonly string[]): void {
    const verdicts = [...matches.map((match) => `${match} counter name lost drop`), 'counter name admitted accept']
    const rules = verdicts.map((verdict) => `add rule inet diode link ${verdict}\n`)
    this.#in('diode', ['nft', '-f', '-'], `flush chain inet diode link\n${rules.join('')}`)
  }

  counters(): DiodeCounters {
    const { nftables } = JSON.parse(this.#in('diode', ['nft', '-j', 'list', 'counters'])) as {
      nftables: { counter?: { name: string; packets: number } }[]
    }
    const packets = nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]]))
    return Object.fromEntries(packets) as DiodeCounters
  }

  /** Frames that the DMZ's end of its cable has received, by the interface's own count. */
  receivedInDmz(): number {
    const [link] = JSON.parse(
      execFileSync('ip', ['-n', this.#name('dmz'), '-j', '-s', 'link', 'show', 'out'], { encoding: 'utf8' }),
    ) as [{ stats64: { rx: { packets: number } } }]
    return link.stats64.rx.packets
  }

  /** Of a namespace: what the kernel counts of UDP. @see proc(5), /proc/net/snmp */
  udp(space: Space): Record<'InDatagrams' | 'NoPorts' | 'InErrors' | 'OutDatagrams' | 'RcvbufErrors', number> {
    const [names, values] = this.#in(space, ['cat', '/proc/net/snmp'])
      .split('\n')
      .filter((line) => line.startsWith('Udp: '))
      .map((line) => line.split(' ').slice(1))
    return Object.fromEntries(names!.map((name, i) => [name, Number(values![i])])) as ReturnType<Diode['udp']>
  }

  /** Takes the namespaces away, and with them cables and rules. Processes in them are their makers' to end before. */
  close(): void {
    process.off('exit', this.#atExit)
    for (const space of this.#spaces.splice(0))
      execFileSync('ip', ['netns', 'del', this.#name(space)], { stdio: 'pipe' })
  }

  #name(space: Space): string {
    return `${this.#prefix}-${space}`
  }

  #add(space: Space): void {
    execFileSync('ip', ['netns', 'add', this.#name(space)], { stdio: 'pipe' })
    this.#spaces.push(space)
    this.#in(space, ['sh', '-c', 'for one in all default; do echo 1 > /proc/sys/net/ipv6/conf/$one/disable_ipv6; done'])
    this.#ip(space, 'link', 'set', 'lo', 'up')
  }

  /** From an end to the diode's device `device`; each is the other's permanent neighbour. */
  #cable(end: { space: Space; device: string; address: string }, device: string, other: string): void {
    this.#ip(end.space, 'link', 'add', end.device, 'type', 'veth', 'peer', 'name', device, 'netns', this.#name('diode'))
    for (const [space, name] of [
      [end.space, end.device],
      ['diode', device],
    ] as const) {
      this.#ip(space, 'link', 'set', name, 'mtu', String(mtu), 'arp', 'off', 'address', macOf(space, device), 'up')
    }
    this.#ip(end.space, 'addr', 'add', `${end.address}/32`, 'dev', end.device)
    this.#ip('diode', 'route', 'add', end.address, 'dev', device)
    this.#neighbour('diode', device, end.address, macOf(end.space, device))
    this.#ip(end.space, 'route', 'add', other, 'dev', end.device)
    this.#neighbour(end.space, end.device, other, macOf('diode', device))
  }

  #neighbour(space: Space, device: string, address: string, mac: string): void {
    this.#ip(space, 'neigh', 'add', address, 'lladdr', mac, 'dev', device, 'nud', 'permanent')
  }

  #ip(space: Space, ...args: string[]): void {
    execFileSync('ip', ['-n', this.#name(space), ...args], { stdio: 'pipe' })
  }

  #in(space: Space, command: readonly string[], input = ''): string {
    const [program, ...args] = this.within(space)
    return execFileSync(program, [...args, ...command], { encoding: 'utf8', input, stdio: 'pipe' })
  }
}

/** Of the diode's end towards the DMZ: what came from there, whoever made it. */
export const diodeMac: string = macOf('diode', 'dmz')

function macOf(space: Space, cable: string): string {
  return `02:00:00:00:${cable === 'dmz' ? '0d' : '01'}:${space === 'diode' ? '02' : '01'}`
}

/** @param leaky the way back is open */
function rules(port: number, leaky: boolean): string {
  return `
table netdev diode {
  counter returned {}
  counter passedBack {}
  chain from_it { type filter hook ingress device "it" priority 0; policy ${leaky ? 'accept' : 'drop'}; counter name returned; }
  chain to_dmz { type filter hook egress device "dmz" priority 0; policy accept; counter name passedBack; }
}
table inet diode {
  counter admitted {}
  counter lost {}
  counter refused {}
  chain link {}
  chain forward {
    type filter hook forward priority 0; policy ${leaky ? 'accept' : 'drop'};
    iifname "dmz" oifname "it" ip daddr ${mdmAddress} udp dport ${port} jump link
    counter name refused
  }
  chain input { type filter hook input priority 0; policy drop; }
  chain output { type filter hook output priority 0; policy drop; }
}
`
}
