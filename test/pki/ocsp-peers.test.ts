import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { listenOcsp, type OcspListener } from '#pki/ocsp/listener.ts'
import { encodeCertId, encodeOcspRequest } from '#pki/ocsp/request.ts'
import { OcspResponder, ocspLifeSeconds } from '#pki/ocsp/responder.ts'
import { fetchOcsp, retrySeconds, Staple, type StapleOptions } from '#pki/ocsp/staple.ts'
import { verifyOcsp } from '#pki/ocsp/verify.ts'
import { cast } from './ocsp-cast.ts'
import { hasOpenssl, opensslNote } from './openssl.ts'
import { hasTool, toolNote } from './tools.ts'

const stage = cast()
const { ca, server, statuses, dir } = stage
const serial = server.certificate.serial
const trust = join(dir, 'trust.pem')
writeFileSync(trust, readFileSync(stage.root.certificateFile, 'utf8') + readFileSync(ca.certificateFile, 'utf8'))
const clock = (): number => Date.now() / 1_000
const faults: unknown[] = []
const responder = new OcspResponder({ issuers: [stage.issuer], now: clock, onFault: (cause) => faults.push(cause) })
let listener: OcspListener
let url: string
beforeAll(async () => {
  listener = await listenOcsp({ host: '127.0.0.1', port: 0, responder })
  url = `http://127.0.0.1:${listener.port}`
})
beforeEach(() => {
  statuses.clear()
  statuses.set(serial, { state: 'good' })
})
afterAll(async () => {
  await listener.close()
  stage.close()
})
const certId = (hash: 'sha1' | 'sha256' = 'sha1', of = serial): Uint8Array =>
  encodeCertId({ issuer: ca.certificate, serial: of, hash })

/** One command to its end, this process's servers running meanwhile. */
async function run(program: string, ...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
  const chunks: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output: Buffer.concat(chunks).toString() }
}

function send(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: Uint8Array } = {},
): Promise<{ status: number; headers: Record<string, unknown>; octets: Buffer }> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options
    const asking = httpRequest(`${url}${path}`, { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, octets: Buffer.concat(chunks) }),
      )
    })
    asking.on('error', reject)
    asking.end(body)
  })
}

describe('the listener', () => {
  const request = encodeOcspRequest([certId()])
  const post = { method: 'POST', headers: { 'content-type': 'application/ocsp-request' } }
  const judged = (octets: Uint8Array): unknown =>
    verifyOcsp({ response: octets, serial, issuer: ca.certificate, at: clock() })

  test('answers GET with base64, escaped or not, and says how long it may be kept', async () => {
    const text = Buffer.from(request).toString('base64')
    for (const path of [text, encodeURIComponent(text)]) {
      const { status, headers, octets } = await send(`/${path}`)
      expect([status, judged(octets)]).toMatchObject([200, { ok: true, status: { state: 'good' } }])
      expect(headers).toMatchObject({
        'content-type': 'application/ocsp-response',
        'cache-control': 'max-age=300, public, no-transform, must-revalidate',
        etag: expect.stringMatching(/^"[0-9a-f]{32}"$/),
      })
      expect((Date.parse(`${headers.expires}`) - Date.parse(`${headers['last-modified']}`)) / 1_000).toBe(
        ocspLifeSeconds,
      )
    }
  })

  test('answers POST, and lets nobody keep what has a nonce or is a refusal', async () => {
    for (const body of [encodeOcspRequest([certId()], randomBytes(16)), Buffer.from('hello')]) {
      expect((await send('/', { ...post, body })).headers).toMatchObject({ 'cache-control': 'no-store' })
    }
    expect(judged((await send('/', { ...post, body: request })).octets)).toMatchObject({ ok: true })
  })

  test.each([
    ['another method', '/', { method: 'PUT' }, 405],
    ['another content', '/', { method: 'POST', body: Buffer.from('x') }, 415],
    ['over 8 KiB', '/', { ...post, body: new Uint8Array(8_193) }, 413],
    ['no path', '/', {}, 404],
    ['another path', '/favicon.ico', {}, 404],
  ])('has an HTTP status for %s', async (_, path, options, status) => {
    expect((await send(path, options)).status).toBe(status)
  })

  test.each(['AAAA', '%2B%2B', 'MEI=MEI=', '%41%41', 'A'.repeat(12_000)])(
    'answers the path /%s as malformed',
    async (path) => {
      const { status, octets } = await send(`/${path}`)
      expect([status, octets.toString('hex')]).toEqual([200, '30030a0101'])
    },
  )

  test('lives on when a client goes in the middle', async () => {
    const socket = connect(listener.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.end('POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/ocsp-request\r\ncontent-length: 500\r\n\r\nabc')
    await once(socket.resume(), 'close')
    expect((await send('/', { ...post, body: request })).status).toBe(200)
  })
})

describe.runIf(hasOpenssl)(`openssl ocsp${opensslNote}`, () => {
  const ask = (...more: string[]): ReturnType<typeof run> =>
    run(
      'openssl',
      'ocsp',
      '-issuer',
      ca.certificateFile,
      '-cert',
      server.certificateFile,
      '-url',
      `${url}/`,
      '-CAfile',
      trust,
      '-no-CApath',
      ...more,
    )

  test.each([
    ['sha1', ['-no_nonce']],
    ['sha1', ['-nonce']],
    ['sha256', ['-sha256', '-nonce']],
  ])('verifies good, revoked and unknown by %s with %s', async (hash, options) => {
    const first = hash === 'sha256' ? ['-sha256'] : []
    const asked = (): ReturnType<typeof run> =>
      run(
        'openssl',
        'ocsp',
        ...first,
        '-issuer',
        ca.certificateFile,
        '-cert',
        server.certificateFile,
        '-url',
        `${url}/`,
        '-CAfile',
        trust,
        '-no-CApath',
        ...options.filter((one) => one !== '-sha256'),
      )
    expect((await asked()).output).toMatch(/Response verify OK\n.*server\.pem: good\n/)
    statuses.set(serial, { state: 'revoked', at: 1_780_272_000, reason: 'keyCompromise' })
    expect((await asked()).output).toMatch(
      /Response verify OK\n.*: revoked\n[\s\S]*Reason: keyCompromise\n[\s\S]*Revocation Time: Jun {2}1 00:00:00 2026 GMT/,
    )
    statuses.clear()
    const { output } = await asked()
    expect(output).toMatch(/Response verify OK\n.*: unknown\n/)
    expect(output).not.toMatch(/WARNING|no nonce in response/)
  })

  test('shows what is in a response', async () => {
    const { output } = await ask('-resp_text', '-nonce')
    for (const pattern of [
      /Responder Id: [0-9A-F]{40}\n/,
      /Cert Status: good/,
      /Next Update/,
      /OCSP Nonce/,
      /OCSP Signing/,
      /ecdsa-with-SHA256/,
    ]) {
      expect(output).toMatch(pattern)
    }
  })

  test('does not believe a responder that its issuer did not name', async () => {
    const { output } = await run(
      'openssl',
      'ocsp',
      '-issuer',
      ca.certificateFile,
      '-cert',
      server.certificateFile,
      '-url',
      `${url}/`,
      '-CAfile',
      server.certificateFile,
      '-no-CApath',
    )
    expect(output).toMatch(/Response Verify Failure/)
  })
})

describe.runIf(hasOpenssl && hasTool('curl'))(`curl${toolNote('curl')}`, () => {
  test('GETs a response that openssl verifies', async () => {
    const [requestFile, responseFile] = [join(dir, 'request.der'), join(dir, 'response.der')]
    await run(
      'openssl',
      'ocsp',
      '-issuer',
      ca.certificateFile,
      '-cert',
      server.certificateFile,
      '-no_nonce',
      '-reqout',
      requestFile,
    )
    const path = encodeURIComponent(readFileSync(requestFile).toString('base64'))
    expect((await run('curl', '-sSf', '-o', responseFile, `${url}/${path}`)).code).toBe(0)
    const { output } = await run(
      'openssl',
      'ocsp',
      '-issuer',
      ca.certificateFile,
      '-cert',
      server.certificateFile,
      '-respin',
      responseFile,
      '-CAfile',
      trust,
      '-no-CApath',
    )
    expect(output).toMatch(/Response verify OK\n.*: good\n/)
  })
})

describe.runIf(hasTool('ocsptool'))(`GnuTLS ocsptool${toolNote('ocsptool')}`, () => {
  test.each([['--nonce'], ['--no-nonce']])('verifies a response %s', async (nonce) => {
    const asked = ['--load-cert', server.certificateFile, '--load-issuer', ca.certificateFile, '--load-trust', trust]
    const ask = (): ReturnType<typeof run> =>
      run('ocsptool', `--ask=${url}/`, ...asked, ...(nonce === '--nonce' ? ['--nonce'] : []))
    const good = await ask()
    expect([good.code, good.output]).toEqual([
      0,
      expect.stringMatching(/Certificate Status: good[\s\S]*(Success|verified)/i),
    ])
    statuses.set(serial, { state: 'revoked', at: 1_780_272_000, reason: 'superseded' })
    expect((await ask()).output).toMatch(/Certificate Status: revoked/)
  })
})

describe('a staple', () => {
  const tlsServers: Server[] = []
  const staples: Staple[] = []
  afterEach(() => {
    vi.useRealTimers()
    for (const one of tlsServers.splice(0)) one.close()
    for (const one of staples.splice(0)) one.close()
  })
  function staple(more: Partial<StapleOptions> = {}): Staple {
    const made = new Staple({
      leaf: server.certificate.der,
      issuer: ca.certificate.der,
      fetch: (request) => fetchOcsp(`${url}/`, request),
      now: clock,
      onFault: (cause) => faults.push(cause),
      ...more,
    })
    staples.push(made)
    return made
  }
  async function serving(held: Staple, actor = server): Promise<number> {
    const tls = createServer(
      { key: readFileSync(actor.keyFile), cert: readFileSync(actor.certificateFile) },
      (socket) => socket.on('error', () => undefined).end(),
    )
    tls.on('tlsClientError', (_, socket) => socket.destroy())
    held.attach(tls)
    tlsServers.push(tls.listen(0, '127.0.0.1'))
    await once(tls, 'listening')
    return (tls.address() as AddressInfo).port
  }
  const client = (port: number, ...more: string[]): ReturnType<typeof run> =>
    run(
      'openssl',
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-servername',
      'localhost',
      '-CAfile',
      trust,
      '-status',
      ...more,
    )

  test.runIf(hasOpenssl).each(['-tls1_3', '-tls1_2'])(
    `is seen by openssl s_client %s${opensslNote}`,
    async (version) => {
      const held = staple()
      await held.start()
      const { output } = await client(await serving(held), version)
      expect(output).toMatch(
        /OCSP Response Status: successful[\s\S]*Cert Status: good[\s\S]*Verify return code: 0 \(ok\)/,
      )
    },
  )

  test.runIf(hasOpenssl)(
    `that is not there, or another certificate’s, holds up no handshake${opensslNote}`,
    async () => {
      const never = staple({ fetch: () => new Promise(() => undefined) })
      void never.start()
      const held = staple()
      await held.start()
      const other = stage.make('other', { issuer: ca, purposes: ['1.3.6.1.5.5.7.3.1'], host: 'localhost' })
      for (const port of [await serving(never), await serving(held, other)]) {
        expect((await client(port)).output).toMatch(
          /OCSP response: no response sent[\s\S]*Verify return code: 0 \(ok\)/,
        )
      }
    },
  )

  test('is renewed at half its life, tried again at growing intervals when that fails, and given no longer than it lives', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let now = Math.floor(clock())
    const begin = now
    const tries: number[] = []
    let broken = false
    const later = new OcspResponder({ issuers: [stage.issuer], now: () => now, onFault: (cause) => faults.push(cause) })
    const held = staple({
      now: () => now,
      fetch: async (request) => {
        tries.push(now - begin)
        if (broken) throw new Error('gone')
        return (await later.answer(request)).octets
      },
      onFault: (cause) => expect(cause).toMatchObject({ message: 'gone' }),
    })
    const pass = async (seconds: number): Promise<void> => {
      for (let at = 0; at < seconds; at += 1) {
        now += 1
        await vi.advanceTimersByTimeAsync(1_000)
      }
    }
    await held.start()
    expect(held.current).toBeDefined()
    await pass(1_800)
    expect(tries).toEqual([0, 1_800])
    broken = true
    const first = held.current
    await pass(1_800 + 3_600)
    expect(tries.slice(2, 9)).toEqual([3_600, 3_605, 3_615, 3_635, 3_675, 3_755, 3_915])
    expect(Math.max(...tries.slice(3).map((at, index) => at - tries[index + 2]!))).toBe(retrySeconds.last)
    expect(first).toBeDefined()
    expect(held.current).toBeUndefined()
    broken = false
    await pass(300)
    expect(held.current).toBeDefined()
  })

  test('takes no answer that it cannot believe, and tells of a revocation while it gives it along', async () => {
    const told: unknown[] = []
    const other = encodeOcspRequest([certId('sha1', `40${'0'.repeat(30)}`)])
    for (const fetch of [
      async () => new Uint8Array(3),
      () => fetchOcsp(`${url}/`, other),
      () => fetchOcsp('http://127.0.0.1:1/', other),
    ]) {
      const held = staple({ fetch, onFault: (cause) => told.push(cause) })
      await held.start()
      expect(held.current).toBeUndefined()
    }
    expect(told.map((cause) => (cause as { code: string }).code)).toEqual([
      'OCSP_RESPONDER',
      'OCSP_RESPONDER',
      'OCSP_UNREACHABLE',
    ])
    statuses.set(serial, { state: 'revoked', at: 1_780_272_000, reason: 'superseded' })
    const held = staple({ onFault: (cause) => told.push(cause) })
    await held.start()
    expect(held.current).toBeDefined()
    expect(told.at(-1)).toMatchObject({ message: 'the server’s certificate is revoked' })
  })
})
