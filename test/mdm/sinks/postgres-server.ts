import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { PostgresOptions } from '#mdm/sinks/postgres.ts'
import { postgresPrograms } from '#test/support/judge.ts'

export const password = 'a secret of tests'
const user = 'ami'

/** Root may not run a server: then Debian's own user does. */
const identity = process.getuid!() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {}

function idOf(what: string): number {
  return Number(spawnSync('id', [what, 'postgres'], { encoding: 'utf8' }).stdout)
}

/** A PostgreSQL of the test's own in a temporary folder: a Unix socket and a port on loopback, SCRAM on both. */
export class PostgresServer {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'ami-pg-'))
  readonly port: number
  #process: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()
  #databases = 0

  private constructor(port: number) {
    this.port = port
  }

  /** @param tls PEM of its certificate and key */
  static async start(tls?: { certificate: string; key: string }): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort())
    server.#initialise(tls)
    await server.start()
    return server
  }

  /** Resolves when it takes connections: after a crash it waits for what is left of the one before. */
  async start(): Promise<void> {
    while (!(await this.#launch())) await this.#ended
  }

  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL')
    await this.#ended
  }

  async remove(): Promise<void> {
    this.#process?.kill('SIGQUIT') // an immediate shutdown
    await this.#ended
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** A database that is empty, and how to get there by the socket. */
  database(): PostgresOptions {
    const database = `test_${++this.#databases}`
    this.psql('postgres', `CREATE DATABASE ${database}`)
    return {
      host: this.folder,
      port: this.port,
      database,
      user,
      password,
      tls: undefined,
      statementTimeoutMs: 30_000,
    }
  }

  /** The judge: rows as lines, columns apart by `|`. */
  psql(database: string, statement: string): string[] {
    const args = ['-X', '-At', '-v', 'ON_ERROR_STOP=1', '-h', this.folder, '-p', String(this.port), '-U', user]
    const environment = { PATH: process.env.PATH!, PGPASSWORD: password, PGTZ: 'UTC' }
    const done = spawnSync(join(postgresPrograms!, 'psql'), [...args, '-d', database, '-c', statement], {
      encoding: 'utf8',
      env: environment,
      maxBuffer: 64 * 1024 * 1024,
    })
    if (done.status !== 0) throw new Error(done.stderr)
    return done.stdout.trimEnd().split('\n')
  }

  #initialise(tls: { certificate: string; key: string } | undefined): void {
    const data = join(this.folder, 'data')
    const passwordFile = join(this.folder, 'password')
    writeFileSync(passwordFile, `${password}\n`)
    mkdirSync(data)
    chmodSync(this.folder, 0o755)
    if (identity.uid !== undefined) for (const one of [this.folder, data]) chownSync(one, identity.uid, identity.gid)
    const args = ['-D', data, '-U', user, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8', '--locale=C']
    const done = spawnSync(join(postgresPrograms!, 'initdb'), args, { ...identity, encoding: 'utf8', cwd: this.folder })
    if (done.status !== 0) throw new Error(done.stderr)
    const settings = [`unix_socket_directories = '${this.folder}'`, `listen_addresses = '127.0.0.1'`]
    if (tls !== undefined) {
      this.#own(join(data, 'server.crt'), tls.certificate)
      this.#own(join(data, 'server.key'), tls.key)
      settings.push('ssl = on')
    }
    writeFileSync(join(data, 'postgresql.auto.conf'), settings.map((line) => `${line}\n`).join(''))
  }

  #own(file: string, text: string): void {
    writeFileSync(file, text, { mode: 0o600 })
    if (identity.uid !== undefined) chownSync(file, identity.uid, identity.gid)
  }

  /** @returns whether it came up */
  #launch(): Promise<boolean> {
    const args = ['-D', join(this.folder, 'data'), '-p', String(this.port)]
    const child = spawn(join(postgresPrograms!, 'postgres'), args, {
      ...identity,
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#process = child
    this.#ended = new Promise((resolve) => child.once('exit', resolve))
    return new Promise((resolve) => {
      child.once('exit', () => resolve(false))
      createInterface({ input: child.stderr! }).on('line', (line) => {
        if (line.includes('ready to accept connections')) resolve(true)
      })
    })
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
