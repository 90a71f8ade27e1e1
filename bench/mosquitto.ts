import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Something that the bench measures against is not on this machine. Exit code 69 (EX_UNAVAILABLE). */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
}

/** Debian puts it where only root looks. */
const places = ['mosquitto', '/usr/sbin/mosquitto']
const startMsMax = 10_000

/** @returns the program and its version @throws Unavailable */
export function findMosquitto(): { program: string; version: string } {
  for (const program of places) {
    const { stdout, error } = spawnSync(program, ['-h'], { encoding: 'utf8' })
    const version = error === undefined ? /mosquitto version (\S+)/.exec(stdout)?.[1] : undefined
    if (version !== undefined) return { program, version }
  }
  throw new Unavailable('mosquitto is not installed: apt-get install mosquitto')
}

export interface Mosquitto {
  pid: number
  port: number
  stop(): Promise<void>
}

export interface MosquittoOptions {
  program: string
  folder: string
  keyFile: string
  certificateFile: string
  trustFile: string
}

/** On a loopback port, TLS 1.3 with client certificates, nothing persistent, nothing logged but errors. */
export async function startMosquitto(options: MosquittoOptions): Promise<Mosquitto> {
  const port = await freePort()
  const file = join(options.folder, 'mosquitto.conf')
  writeFileSync(file, configuration(options, port))
  const child = spawn(options.program, ['-c', file], { stdio: 'ignore' })
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  await listening(child, port)
  return {
    pid: child.pid!,
    port,
    stop: async () => {
      process.off('exit', end)
      const ended = new Promise((resolve) => child.once('exit', resolve))
      if (child.exitCode === null && child.kill('SIGTERM')) await ended
    },
  }
}

function configuration({ folder, keyFile, certificateFile, trustFile }: MosquittoOptions, port: number): string {
  return [
    ...(process.getuid?.() === 0 ? ['user root'] : []), // it would give up root and then not read the key
    `listener ${port} 127.0.0.1`,
    'persistence false',
    'allow_anonymous true',
    'require_certificate true',
    'tls_version tlsv1.3',
    `cafile ${trustFile}`,
    `certfile ${certificateFile}`,
    `keyfile ${keyFile}`,
    'set_tcp_nodelay true',
    'max_inflight_messages 0',
    `log_dest file ${join(folder, 'mosquitto.log')}`,
    'log_type error',
    '',
  ].join('\n')
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  const until = performance.now() + startMsMax
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > until) throw new Error('mosquitto did not start')
    await sleep(50)
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
