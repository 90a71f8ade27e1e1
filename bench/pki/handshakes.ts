import { BenchChild, cpuSeconds } from '../child.ts'
import { type Figure, figure, grouped, spread, table } from '../figures.ts'
import type { PkiLab } from './lab.ts'
import { Daemon, runProgram } from './program.ts'
import type { HandshakeOrder, HandshakeRun } from './tls-client.ts'
import type { TlsOrder } from './tls-server.ts'

export interface HandshakeFigures {
  handshake: 'full' | 'resumed'
  group: string
  server: string
  perSecond: Figure
  /** of the server, processor microseconds a handshake */
  cpuMicroseconds: Figure
  /** processor time of `openssl s_server` with X25519 to this server's, of the same round */
  ratio: Figure | undefined
}

interface Case {
  handshake: HandshakeFigures['handshake']
  group: string
  server: string
  /** whose processor time is looked at, and where it listens */
  pid: number
  port: number
}

interface Turn {
  perSecond: number
  cpuMicroseconds: number
}

export interface HandshakeResult {
  cases: HandshakeFigures[]
  /** handshakes a second of `openssl s_time -new` against each server, X25519 */
  sTime: { server: string; perSecond: Figure }[]
}

export interface HandshakeOptions {
  seconds: number
  rounds: number
  progress: (text: string) => void
}

/** Before each measurement: what runs for the first time is compiled first. */
const warmUpSeconds = 0.5
const hybrid = 'X25519MLKEM768'
const classical = 'X25519'

export async function measureHandshakes(lab: PkiLab, options: HandshakeOptions): Promise<HandshakeResult> {
  const { seconds, rounds, progress } = options
  const [door, plain] = [await ourServer(lab, 'door'), await ourServer(lab, 'plain')]
  const openssl = await opensslServer(lab)
  const client = new BenchChild('pki/tls-client')
  const cases: Case[] = [
    { handshake: 'full', group: classical, server: 's_server', ...openssl },
    { handshake: 'full', group: classical, server: 'front door', ...door },
    { handshake: 'full', group: hybrid, server: 'front door', ...door },
    { handshake: 'resumed', group: classical, server: 's_server', ...openssl },
    { handshake: 'resumed', group: classical, server: 'Node, tickets', ...plain },
    { handshake: 'resumed', group: hybrid, server: 'Node, tickets', ...plain },
  ]
  const turns: Turn[][] = []
  const timed: number[][] = []
  for (let round = 0; round < rounds; round++) {
    progress(`handshakes, round ${round + 1} of ${rounds}`)
    const turn: Turn[] = []
    for (const one of cases) turn.push(await measure(client, lab, one, seconds))
    turns.push(turn)
    timed.push([await sTime(lab, openssl.port, seconds), await sTime(lab, door.port, seconds)])
  }
  await Promise.all([door, plain, openssl].map(({ stop }) => stop()))
  await client.stop()
  return {
    cases: cases.map((one, at) => figuresOf(one, cases, turns, at)),
    sTime: ['s_server', 'front door'].map((server, at) => ({
      server,
      perSecond: figure(timed.map((all) => all[at]!)),
    })),
  }
}

interface Serving {
  pid: number
  port: number
  stop: () => Promise<void>
}

async function ourServer({ gateway, deviceTrustFile }: PkiLab, kind: TlsOrder['kind']): Promise<Serving> {
  const child = new BenchChild('pki/tls-server')
  const { keyFile, chainFile: certificateFile } = gateway
  const port = await child.ask<number>({ kind, keyFile, certificateFile, trustFile: deviceTrustFile } as TlsOrder)
  return { pid: child.pid, port, stop: () => child.stop() }
}

/** Asks for a client's certificate and insists on a good one, TLS 1.3 alone, tickets as it comes. */
async function opensslServer({ folder, gateway, deviceTrustFile }: PkiLab): Promise<Serving> {
  const { keyFile, chainFile } = gateway
  const own = ['-cert', chainFile, '-cert_chain', chainFile, '-key', keyFile, '-CAfile', deviceTrustFile]
  const strict = ['-Verify', '3', '-verify_return_error', '-tls1_3', '-sigalgs', 'ECDSA+SHA256', '-www']
  const { daemon, said } = await Daemon.start(
    ['openssl', 's_server', '-accept', '127.0.0.1:0', ...own, ...strict],
    folder,
    /ACCEPT .*:(\d+)/,
  )
  return { pid: daemon.pid, port: Number(said[1]), stop: () => daemon.stop() }
}

async function measure(
  client: BenchChild,
  lab: PkiLab,
  { pid, port, group, handshake }: Case,
  seconds: number,
): Promise<Turn> {
  const { keyFile, chainFile: certificateFile } = lab.concentrator
  const credentials = { keyFile, certificateFile, trustFile: lab.rootFile }
  const order: HandshakeOrder = { port, group, resumed: handshake === 'resumed', seconds, ...credentials }
  await client.ask<HandshakeRun>({ ...order, seconds: warmUpSeconds })
  const before = cpuSeconds(pid)
  const run = await client.ask<HandshakeRun>(order)
  const used = cpuSeconds(pid) - before
  return { perSecond: run.handshakes / run.seconds, cpuMicroseconds: (used * 1e6) / run.handshakes }
}

/** OpenSSL's own client, one connection after the other. */
async function sTime({ folder, concentrator, rootFile }: PkiLab, port: number, seconds: number): Promise<number> {
  const credentials = ['-cert', concentrator.chainFile, '-key', concentrator.keyFile, '-CAfile', rootFile]
  const time = ['-new', '-time', `${Math.ceil(seconds)}`, '-tls1_3']
  const { out } = await runProgram(
    'openssl',
    ['s_time', '-connect', `127.0.0.1:${port}`, ...credentials, ...time],
    folder,
  )
  const found = /(\d+) connections in (\d+) real seconds/.exec(out)
  if (found === null) throw new Error(`s_time said something else: ${out.slice(-300)}`)
  return Number(found[1]) / Number(found[2])
}

function figuresOf(
  { handshake, group, server }: Case,
  cases: readonly Case[],
  turns: readonly Turn[][],
  at: number,
): HandshakeFigures {
  const base = cases.findIndex((one) => one.server === 's_server' && one.handshake === handshake)
  const ratios = turns.map((turn) => turn[base]!.cpuMicroseconds / turn[at]!.cpuMicroseconds)
  return {
    ...{ handshake, group, server },
    perSecond: figure(turns.map((turn) => turn[at]!.perSecond)),
    cpuMicroseconds: figure(turns.map((turn) => turn[at]!.cpuMicroseconds)),
    ratio: at === base ? undefined : figure(ratios),
  }
}

export function handshakeTable({ cases, sTime: timed }: HandshakeResult): string {
  const rows = cases.map(({ handshake, group, server, perSecond, cpuMicroseconds, ratio }) => [
    `${handshake}, ${group}`,
    server,
    grouped(perSecond.median),
    grouped(cpuMicroseconds.median),
    ratio === undefined ? '' : spread(ratio),
  ])
  const lines = timed.map(({ server, perSecond }) => `${server} ${grouped(perSecond.median)}`)
  return `${table([['handshake', 'server', 'a second', 'server µs', 'ratio'], ...rows])}openssl s_time -new, a second: ${lines.join(', ')}\n`
}
