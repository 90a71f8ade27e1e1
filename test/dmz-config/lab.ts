import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

/** Why packets cannot be tried here, or undefined where they can: needs Linux, root, `ip` and `nft`. */
export function whyNoLab(): string | undefined {
  const probe = spawnSync('unshare', ['--net', 'nft', 'list', 'ruleset'], { encoding: 'utf8' })
  if (probe.error !== undefined) return probe.error.message
  if (probe.status !== 0) return probe.stderr.trim() || `unshare exits ${probe.status}`
  const ip = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  return ip.status === 0 ? undefined : 'no `ip netns`'
}

/** What `nft -c -f -` says about a ruleset in a fresh network namespace; empty when it is accepted. */
export function nftRefusal(rules: string): string {
  const check = spawnSync('unshare', ['--net', 'nft', '-c', '-f', '-'], { encoding: 'utf8', input: rules })
  return check.status === 0 ? '' : check.stderr || String(check.error)
}

/** A TCP connect from a namespace: `open`, or the error, or `silence` after a while without an answer. */
export type Outcome = 'open' | 'silence' | string

const connectScript = `
const [host, port, count] = process.argv.slice(1)
const tries = Array.from({ length: Number(count) }, () => new Promise((resolve) => {
  const socket = require('node:net').connect({ host, port: Number(port), timeout: 1000 })
  socket.on('connect', () => resolve('open')).on('error', (error) => resolve(error.code)).on('timeout', () => resolve('silence'))
}))
Promise.all(tries).then((all) => { console.log(JSON.stringify(all)); process.exit(0) })`

const tcpServerScript = `
Promise.all(process.argv.slice(1).map((port) => new Promise((resolve) => {
  require('node:net').createServer(() => {}).listen(Number(port), '::', resolve)
}))).then(() => console.log('ready'))`

const udpServerScript = `
const [address, port] = process.argv.slice(1)
const socket = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
socket.on('message', (octets, { address }) => console.log(address + ' ' + octets))
socket.bind(Number(port), address, () => console.log('ready'))`

const sendScript = `
const [host, port, text] = process.argv.slice(1)
const socket = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4')
socket.send(text, Number(port), host, (error) => { console.log(error?.code ?? 'sent'); socket.close() })`

interface Server {
  process: ChildProcessWithoutNullStreams
  /** all it printed, the first line of which is `ready` */
  lines(): string[]
}

/** Network namespaces of its own around one gateway, joined by virtual cables; gone after `close`. */
export class Lab {
  readonly #prefix = `ami-${process.pid}`
  readonly #names: string[] = []
  readonly #servers: Server[] = []

  #ip(...args: string[]): void {
    execFileSync('ip', args, { stdio: 'pipe' })
  }

  #space(name: string): string {
    return `${this.#prefix}-${name}`
  }

  /** A namespace with its loopback up. */
  add(name: string, ...addresses: string[]): void {
    this.#ip('netns', 'add', this.#space(name))
    this.#names.push(name)
    this.#ip('-n', this.#space(name), 'link', 'set', 'lo', 'up')
    for (const address of addresses) this.#ip('-n', this.#space(name), 'addr', 'add', address, 'dev', 'lo')
  }

  /** A cable between two namespaces; each reaches the other's addresses through it. */
  join(left: string, leftAddresses: readonly string[], right: string, rightAddresses: readonly string[]): void {
    const [a, b] = [this.#space(left), this.#space(right)]
    this.#ip('-n', a, 'link', 'add', right, 'type', 'veth', 'peer', 'name', left, 'netns', b)
    const octet = this.#names.indexOf(right)
    const ends = [
      { space: a, device: right, mac: `02:00:00:00:00:${octet}0`, routes: rightAddresses },
      { space: b, device: left, mac: `02:00:00:00:00:${octet}1`, routes: leftAddresses },
    ] as const
    for (const { space, device, mac } of ends) this.#ip('-n', space, 'link', 'set', device, 'address', mac, 'up')
    for (const [index, { space, device, routes }] of ends.entries()) {
      for (const address of routes) {
        this.#ip('-n', space, 'route', 'add', address, 'dev', device)
        // as an operator would for a one-way link: the neighbour is not asked for
        const { mac } = ends[1 - index]!
        this.#ip('-n', space, 'neigh', 'add', address, 'lladdr', mac, 'dev', device, 'nud', 'permanent')
      }
    }
  }

  route(name: string, address: string, via: string, device: string): void {
    this.#ip('-n', this.#space(name), 'route', 'add', address, 'via', via, 'dev', device, 'onlink')
  }

  forwardIpv4(name: string): void {
    this.#ip('netns', 'exec', this.#space(name), 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
  }

  load(name: string, rules: string): void {
    execFileSync('ip', ['netns', 'exec', this.#space(name), 'nft', '-f', '-'], { input: rules })
  }

  /** Packets that a named counter of table `inet ami` has seen. */
  counter(name: string, counter: string): number {
    const args = ['netns', 'exec', this.#space(name), 'nft', '-j', 'list', 'counter', 'inet', 'ami', counter]
    const { nftables } = JSON.parse(execFileSync('ip', args, { encoding: 'utf8' }))
    return nftables.find((part: object) => 'counter' in part).counter.packets
  }

  #run(name: string, script: string, args: readonly (string | number)[]): ChildProcessWithoutNullStreams {
    const node = [process.execPath, '-e', script, '--', ...args.map(String)]
    return spawn('ip', ['netns', 'exec', this.#space(name), ...node])
  }

  async #output(child: ChildProcessWithoutNullStreams): Promise<string> {
    let text = ''
    child.stdout.on('data', (octets) => {
      text += octets
    })
    await once(child, 'close')
    return text.trim()
  }

  /** @param count connections opened and held together */
  async connect(name: string, host: string, port: number, count = 1): Promise<Outcome[]> {
    return JSON.parse(await this.#output(this.#run(name, connectScript, [host, port, count])))
  }

  /** @returns `sent`, or the error's code */
  async send(name: string, host: string, port: number, text: string): Promise<string> {
    return this.#output(this.#run(name, sendScript, [host, port, text]))
  }

  async listenTcp(name: string, ports: readonly number[]): Promise<void> {
    await this.#serve(this.#run(name, tcpServerScript, ports))
  }

  /** @returns the datagrams received so far, as `source text` */
  async listenUdp(name: string, address: string, port: number): Promise<() => string[]> {
    const server = await this.#serve(this.#run(name, udpServerScript, [address, port]))
    return () => server.lines().slice(1)
  }

  async #serve(process: ChildProcessWithoutNullStreams): Promise<Server> {
    let text = ''
    const server = { process, lines: () => text.split('\n').slice(0, -1) }
    this.#servers.push(server)
    await new Promise<void>((resolve, reject) => {
      process.stdout.on('data', (octets) => {
        text += octets
        if (text.startsWith('ready\n')) resolve()
      })
      process.on('close', () => reject(new Error('the server ended')))
    })
    return server
  }

  async close(): Promise<void> {
    for (const { process } of this.#servers) {
      if (process.exitCode !== null) continue
      process.kill('SIGKILL')
      await once(process, 'close')
    }
    for (const name of this.#names) this.#ip('netns', 'del', this.#space(name))
  }
}
