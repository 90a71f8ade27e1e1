import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseCertificate } from '#pki/certificate.ts'
import { encodeCertId, encodeOcspRequest } from '#pki/ocsp/request.ts'
import { fromPem } from '#pki/pem.ts'
import { BenchChild, cpuSeconds } from '../child.ts'
import { type Figure, figure, grouped, spread, table } from '../figures.ts'
import { type PkiLab, readPem } from './lab.ts'
import type { Answering, OcspOrder } from './ocsp-server.ts'
import { Daemon } from './program.ts'

export interface OcspFigures {
  way: string
  perSecond: Figure
  /** of the responder, processor microseconds an answer */
  cpuMicroseconds: Figure
  /** processor time of `openssl ocsp` to this one's, of the same round */
  ratio: Figure | undefined
}

interface Turn {
  perSecond: number
  cpuMicroseconds: number
}

interface Responder {
  pid: number
  port: number
}

/** Connections at one time: openssl's responder answers one after the other, and a new connection waits meanwhile. */
const atOnce = 4
/** Before each measurement: what runs for the first time is compiled first. */
const warmUpSeconds = 0.5

export async function measureOcsp(
  lab: PkiLab,
  { seconds, rounds, progress }: { seconds: number; rounds: number; progress: (text: string) => void },
): Promise<OcspFigures[]> {
  const issuer = parseCertificate(fromPem('CERTIFICATE', readPem(lab.caFile))[0]!)
  const { serial } = lab.concentrator
  const certId = encodeCertId({ issuer, serial, hash: 'sha1' })
  const [signed, cached] = [encodeOcspRequest([certId], randomBytes(16)), encodeOcspRequest([certId])]
  const child = new BenchChild('pki/ocsp-server')
  const listen: OcspOrder = { kind: 'listen', dir: lab.pki, caFile: lab.caFile, responder: lab.ocsp }
  const ours = { pid: child.pid, port: await child.ask<number>(listen) }
  const { daemon, openssl } = await startOpenssl(lab, serial)
  const within = async (nonce: boolean, seconds: number): Promise<Turn> => {
    const order: OcspOrder = { kind: 'answer', serial, nonce, seconds }
    const { answers, cpuSeconds: used } = await child.ask<Answering>(order)
    return { perSecond: answers / seconds, cpuMicroseconds: (used * 1e6) / answers }
  }
  const ways: { way: string; run: (seconds: number) => Promise<Turn> }[] = [
    { way: 'openssl ocsp, HTTP', run: (seconds) => posts(openssl, signed, seconds) },
    { way: 'signed, HTTP', run: (seconds) => posts(ours, signed, seconds) },
    { way: 'cached, HTTP', run: (seconds) => posts(ours, cached, seconds) },
    { way: 'signed, within', run: (seconds) => within(true, seconds) },
    { way: 'cached, within', run: (seconds) => within(false, seconds) },
  ]
  const turns: Turn[][] = []
  for (let round = 0; round < rounds; round++) {
    progress(`OCSP, round ${round + 1} of ${rounds}`)
    const turn: Turn[] = []
    for (const { run } of ways) {
      await run(warmUpSeconds)
      turn.push(await run(seconds))
    }
    turns.push(turn)
  }
  await Promise.all([child.stop(), daemon.stop()])
  return ways.map(({ way }, at) => ({
    way,
    perSecond: figure(turns.map((turn) => turn[at]!.perSecond)),
    cpuMicroseconds: figure(turns.map((turn) => turn[at]!.cpuMicroseconds)),
    ratio: at === 0 ? undefined : figure(turns.map((turn) => turn[0]!.cpuMicroseconds / turn[at]!.cpuMicroseconds)),
  }))
}

/** With the same responder's certificate and key. It cannot be told to listen on loopback alone. */
async function startOpenssl(lab: PkiLab, serial: string): Promise<{ daemon: Daemon; openssl: Responder }> {
  const index = join(lab.folder, 'ocsp-index.txt')
  writeFileSync(index, `V\t360101000000Z\t\t${serial}\tunknown\t/CN=dc-1\n`)
  const { chainFile, keyFile } = lab.ocsp
  const signer = ['-rsigner', chainFile, '-rkey', keyFile, '-CA', lab.caFile]
  const command = ['openssl', 'ocsp', '-index', index, '-port', '0', '-nmin', '60', ...signer] as const
  const { daemon, said } = await Daemon.start([...command], lab.folder, /ACCEPT .*:(\d+)/)
  return { daemon, openssl: { pid: daemon.pid, port: Number(said[1]) } }
}

/** Each request on a connection of its own, as openssl's responder wants it. @throws Error for an answer that is none */
async function posts({ pid, port }: Responder, body: Uint8Array, seconds: number): Promise<Turn> {
  const head = `POST / HTTP/1.0\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${body.length}\r\n\r\n`
  const octets = Buffer.concat([Buffer.from(head), body])
  const [began, before] = [performance.now(), cpuSeconds(pid)]
  let answers = 0
  const worker = async (): Promise<void> => {
    for (; performance.now() - began < seconds * 1000; answers++) await post(port, octets)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const elapsed = (performance.now() - began) / 1000
  return { perSecond: answers / elapsed, cpuMicroseconds: ((cpuSeconds(pid) - before) * 1e6) / answers }
}

async function post(port: number, octets: Buffer): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.write(octets)
  const answer = await text(socket)
  if (!/^HTTP\/1\.[01] 200 /.test(answer) || answer.length < 500) throw new Error(`no answer: ${answer.slice(0, 80)}`)
}

export function ocspTable(all: readonly OcspFigures[]): string {
  const rows = all.map(({ way, perSecond, cpuMicroseconds, ratio }) => [
    way,
    grouped(perSecond.median),
    grouped(cpuMicroseconds.median),
    ratio === undefined ? '' : spread(ratio),
  ])
  return table([['OCSP answers', 'a second', 'CPU µs', 'ratio'], ...rows])
}
