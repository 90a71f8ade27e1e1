import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { metricsLimits, metricsText, openMetrics } from '#gateway/io/metrics.ts'
import { by, counter, type GatewayStatus, gatewayMetrics, gauge } from '#gateway/metrics.ts'
import { hasTool, toolNote } from '#test/pki/tools.ts'

const host = '127.0.0.1'

const status: GatewayStatus = {
  broker: {
    sessions: 3,
    acknowledged: 40,
    octets: 5_000,
    refused: { CERTIFICATE_REVOKED: 2, 'a "code"\nof two lines': 1 },
    handshakes: [
      { outcome: 'completed', protocol: 'TLSv1.3', group: 'X25519MLKEM768', count: 7 },
      { outcome: 'failed', protocol: 'none', group: 'none', count: 1 },
    ],
  },
  pipeline: {
    position: 900,
    opened: 80,
    fresh: 70,
    revised: 4,
    repeated: 6,
    repeatedUplinks: 1,
    heartbeats: 2,
    commands: { underWay: 1, asked: 5, read: 3, failed: 1 },
    quarantined: 11,
    quarantinedBy: { TAG_UNAUTHENTIC: 9 },
    dialects: {},
    sealed: 60,
    batchesSealed: 6,
    batchesForwarded: 5,
    batchesWaiting: 1,
    datagrams: 500,
    datagramFaults: 0,
    cells: { closed: 12, released: 8, withheld: 4 },
    carriers: [{ name: 'files', carried: 3, waiting: 2, held: 'no room' }],
    link: {
      heartbeats: 30,
      heartbeatsSkipped: 1,
      manifests: 3,
      manifestsFailed: 0,
      sentDatagrams: 530,
      sentOctets: 700_000,
      sendErrors: 2,
      queueObjects: 4,
      queueOctets: 4_000,
      oldestUnsentMs: 1_500,
      firstPassTo: 6,
      lastPassTo: 5,
      carouselObjects: 5,
      carouselRounds: 9,
    },
  },
  durable: 1_000,
}

interface Listening {
  port: number
  url: string
}

async function listening(limits = {}): Promise<Listening> {
  const { port, close } = await openMetrics({ host, port: 0, metrics: () => gatewayMetrics(status), limits })
  onTestFinished(close)
  return { port, url: `http://${host}:${port}/metrics` }
}

function dial(port: number): Socket {
  const socket = connect(port, host)
  onTestFinished(() => void socket.destroy())
  return socket
}

describe('the metrics of a gateway', () => {
  test('are scraped as text, one line a count, with what tells them apart', async () => {
    const answer = await fetch((await listening()).url)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const body = await answer.text()
    for (const line of [
      '# TYPE ami_gateway_sessions gauge',
      'ami_gateway_sessions 3',
      '# TYPE ami_gateway_tls_handshakes_total counter',
      'ami_gateway_tls_handshakes_total{outcome="completed",protocol="TLSv1.3",group="X25519MLKEM768"} 7',
      'ami_gateway_tls_handshakes_total{outcome="failed",protocol="none",group="none"} 1',
      'ami_gateway_peers_refused_total{code="CERTIFICATE_REVOKED"} 2',
      'ami_gateway_peers_refused_total{code="a \\"code\\"\\nof two lines"} 1',
      'ami_gateway_readings_taken_total{effect="revised"} 4',
      'ami_gateway_commands_ended_total{outcome="read"} 3',
      'ami_gateway_cells_decided_total{state="withheld"} 4',
    ]) {
      expect(body.split('\n')).toContain(line)
    }
  })

  test('are not said to be 0 while nobody knows them', async () => {
    const body = await metricsText(gatewayMetrics({ ...status, pipeline: undefined }))
    expect(body).toContain('ami_gateway_journal_durable_bytes 1000\n')
    expect(body).not.toContain('sealed')
  })

  test('carry no count of a label that was not seen', async () => {
    const body = await metricsText({ seen_total: counter('Seen.', by('code', {})), here: gauge('Here.', 0) })
    expect(body.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual(['here 0'])
  })

  test.runIf(hasTool('promtool'))(`promtool finds nothing to say${toolNote('promtool')}`, async () => {
    const input = await (await fetch((await listening()).url)).text()
    const { status: code, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, timeout: 20_000 })
    expect({ code, said: `${stdout}${stderr}` }).toEqual({ code: 0, said: '' })
  })

  test('are all in the README', () => {
    const readme = readFileSync(new URL('../../../gateway/README.md', import.meta.url), 'utf8')
    const missing = Object.keys(gatewayMetrics(status)).filter((name) => !readme.includes(`\`${name}\``))
    expect(missing).toEqual([])
  })
})

describe('the metrics listener', () => {
  test.for([
    ['GET', '/', 404],
    ['GET', '/metrics?all', 404],
    ['POST', '/metrics', 405],
    ['HEAD', '/metrics', 405],
  ] as const)('%s %s gets %i', async ([method, path, code]) => {
    const { port } = await listening()
    const answer = await fetch(`http://${host}:${port}${path}`, { method, body: method === 'POST' ? 'x' : null })
    expect([answer.status, await answer.text()]).toEqual([code, ''])
    if (code === 405) expect(answer.headers.get('allow')).toBe('GET')
  })

  test('octets that are no HTTP get 400, a head that is too long 431, and the connection ends', async () => {
    const { port } = await listening()
    const asked = async (octets: string): Promise<string> => {
      const socket = dial(port)
      socket.write(octets)
      return (await text(socket)).slice(0, 12)
    }
    expect(await asked('no HTTP\r\n\r\n')).toBe('HTTP/1.1 400')
    const header = `X: ${'x'.repeat(metricsLimits.headOctetsMax)}`
    expect(await asked(`GET /metrics HTTP/1.1\r\nHost: a\r\n${header}\r\n\r\n`)).toBe('HTTP/1.1 431')
  })

  test('closes the connection beyond the most at once', async () => {
    const { port } = await listening({ connectionsMax: 1 })
    const held = dial(port)
    held.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(String(await once(held, 'data'))).toMatch(/^HTTP\/1\.1 200 /)
    expect(await text(dial(port))).toBe('')
  })

  test.for([
    ['says nothing', ''],
    ['does not end its request', 'GET /metrics HTTP/1.1\r\nHost: a\r\n'],
  ])('closes a connection that %s', async ([, octets]) => {
    const socket = dial((await listening({ deadlineMs: 50 })).port)
    socket.write(octets!)
    expect(await text(socket)).not.toContain('200')
  })

  test('says which address it cannot have', async () => {
    const { port } = await listening()
    const second = openMetrics({ host, port, metrics: () => ({}) })
    await expect(second).rejects.toMatchObject({
      faults: [`metrics: cannot listen on ${host}, TCP port ${port} (EADDRINUSE)`],
    })
  })
})
