import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:https'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { limits } from '#studies/limits.ts'
import { type Studies, startStudies } from '#studies/main.ts'
import { Released } from './released.ts'

const root = join(import.meta.dirname, '..', '..')
const log = pino({ level: 'silent' })
const started: { studies: Studies; released: Released }[] = []

async function start(settings: object = {}, released = new Released()): Promise<URL> {
  const studies = await startStudies(released.configure(settings), log)
  started.push({ studies, released })
  return new URL(studies.address)
}

afterEach(async () => {
  for (const { studies, released } of started.splice(0)) {
    await studies.close()
    released[Symbol.dispose]()
  }
})

/** The same with other limits of the conduit in the zones file. */
function startWithin(limits: Record<string, number>): Promise<URL> {
  const released = new Released()
  return start(
    { zonesFile: released.zones(({ conduits }) => Object.assign(conduits.studies.limits, limits)) },
    released,
  )
}

/** A port of this address that was free a moment ago. */
async function freePort(host: string): Promise<number> {
  const server = createServer().listen({ host, port: 0 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await promisify(server.close.bind(server))()
  return port
}

/** Sends octets as they are and reads until the other side ends. */
async function raw(url: URL, octets: string): Promise<string> {
  const socket = connect(Number(url.port), url.hostname)
  socket.write(octets)
  return text(socket)
}

describe('listening', () => {
  test('octets that are no HTTP get 400 in our form and the connection ends', async () => {
    const answer = await raw(await start(), '\x16\x03\x01 no HTTP\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(answer).toContain('{"error":{"code":"REQUEST_INVALID"')
  })

  test('more header octets than the limit get 431', async () => {
    const header = `X: ${'x'.repeat(limits.headerOctetsMax)}`
    expect(await raw(await start(), `GET / HTTP/1.1\r\nHost: localhost\r\n${header}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    )
  })

  test('a request without Host is refused', async () => {
    expect(await raw(await start(), 'GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.[01] 421 /)
  })

  test.each([1, 3])('of connectionsMax %i in the zones file the next connection is closed at once', async (max) => {
    const url = await startWithin({ connectionsMax: max, connectionsPerSourceMax: 1 })
    const request = 'GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const sockets = Array.from({ length: max }, () => connect(Number(url.port), url.hostname))
    for (const socket of sockets) {
      socket.write(request)
      expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1\.1 200 /)
    }
    const next = connect(Number(url.port), url.hostname)
    expect(await text(next)).toBe('')
    for (const socket of sockets) socket.destroy()
  })

  test('requests beyond the requestsPerSecondMax of the zones file get 429', async () => {
    const url = await startWithin({ requestsPerSecondMax: 2 })
    const request = 'GET /v1/health HTTP/1.1\r\nHost: localhost\r\n'
    const answers = await raw(url, `${request}\r\n${request}\r\n${request}Connection: close\r\n\r\n`)
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 429'])
    expect(answers).toContain('"RATE_LIMITED"')
  })

  test('an idle connection does not hold up the end', async () => {
    const url = await start()
    const socket = connect(Number(url.port), url.hostname)
    await once(socket, 'connect')
    const closed = once(socket, 'close')
    await started[0]!.studies.close()
    await closed
  })

  test('without loopback: where the zones file says, TLS 1.3 only, and browsers are told to stay with it', async () => {
    const released = new Released()
    const port = await freePort('127.0.0.2')
    const zonesFile = released.zones(({ zones, hosts, conduits }) => {
      zones.dmz.networks = ['127.0.0.0/8']
      hosts.gateway.addresses = ['127.0.0.2']
      conduits.studies.port = port
    })
    const [keyFile, certificateFile] = ['key.pem', 'cert.pem'].map((name) => join(released.folder, name))
    const request = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=localhost',
    ]
    execFileSync('openssl', [...request, '-keyout', keyFile!, '-out', certificateFile!], { stdio: 'ignore' })
    const url = await start({ zonesFile, loopback: undefined, tls: { keyFile, certificateFile } }, released)
    expect(url.href).toBe(`https://127.0.0.2:${port}/`)
    const [answer] = await once(get(new URL('/v1/health', url), { rejectUnauthorized: false }), 'response')
    expect(await text(answer)).toBe('{"status":"ok","released":"absent"}')
    expect(answer.headers['strict-transport-security']).toBe('max-age=31536000')
    const old = connectTls({
      host: url.hostname,
      port: Number(url.port),
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    })
    await expect(once(old, 'secureConnect')).rejects.toThrow(/protocol version/)
  })
})

describe('ami studies', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('says where it listens and ends with 0 on %s', async (signal) => {
    using released = new Released()
    const config = released.configure()
    const child = spawn(process.execPath, ['cli/main.ts', 'studies', '--config', config], { cwd: root })
    const ended = once(child, 'close')
    const [line] = await once(child.stdout, 'data')
    const { event, address } = JSON.parse(String(line))
    expect(event).toBe('studies.listening')
    expect((await fetch(`${address}/v1/health`)).status).toBe(200)
    child.kill(signal)
    expect(await ended).toEqual([0, null])
  })

  test('a faulty file is exit 78, a missing option 64', async () => {
    using released = new Released()
    const config = released.configure({ loopback: undefined })
    for (const [args, code, words] of [
      [['--config', config], 78, /ami: tls: required without loopback/],
      [[], 64, /--config FILE is required/],
    ] as const) {
      const child = spawn(process.execPath, ['cli/main.ts', 'studies', ...args], { cwd: root })
      const ended = once(child, 'close')
      expect(await text(child.stderr)).toMatch(words)
      expect(await ended).toEqual([code, null])
    }
  })
})
