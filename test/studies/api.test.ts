import { readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { defaultZonesFile, parseZones } from '#dmz-config/zones.ts'
import { releaseRule } from '#gateway/model.ts'
import { createApi } from '#studies/api.ts'
import { limits } from '#studies/limits.ts'
import { statusOf } from '#studies/refusal.ts'
import { ReleasedStore } from '#studies/store.ts'
import { Released, seconds } from './released.ts'

const log = pino({ level: 'silent' })
const drawn = parseZones(readFileSync(defaultZonesFile, 'utf8')).conduits.studies.limits
const open: { api: FastifyInstance; store: ReleasedStore; released: Released }[] = []

/** A service over `released`, on a clock that stands unless it is turned. */
function serve(
  released: Released,
  conduit: { connectionsMax: number; requestsPerSecondMax: number } = drawn,
): {
  get: (url: string, more?: InjectOptions) => Promise<LightMyRequestResponse>
  clock: { now: number }
} {
  const store = new ReleasedStore(released.path)
  const clock = { now: 0 }
  const api = createApi({ store, credentials: undefined, names: ['localhost'], log, now: () => clock.now, ...conduit })
  open.push({ api, store, released })
  return { get: (url, more = {}) => api.inject({ method: 'GET', url, ...more }), clock }
}

afterEach(async () => {
  for (const { api, store, released } of open.splice(0)) {
    await api.close()
    store.close()
    released[Symbol.dispose]()
  }
})

const day = '2026-01-12'
const noon = seconds(day) + 43_200

function twoCells(): Released {
  return new Released().create().close('north-1', day, [
    { substation: 'north-1', quantity: 'import', end: noon, sum: 9_223_372_036_854_775_807n, scaler: -3, meters: 12 },
    { substation: 'north-1', quantity: 'import', end: noon + 900, reason: 'DOMINANT_METER' },
    { substation: 'north-1', quantity: 'export', end: noon, reason: 'FEW_METERS' },
  ])
}

describe('substations', () => {
  test('a list with closed days, first and last end, and how much is released', async () => {
    const { get } = serve(twoCells())
    const answer = await get('/v1/substations')
    expect(answer.statusCode).toBe(200)
    const north = { id: 'north-1', days: 1, released: 1, withheld: 2 }
    expect(answer.json()).toEqual({
      rule: releaseRule,
      substations: [{ ...north, firstEnd: '2026-01-12T12:00:00Z', lastEnd: '2026-01-12T12:15:00Z' }],
    })
  })

  test('before the file exists every list is empty, and it is picked up when it appears', async () => {
    const released = new Released()
    const { get } = serve(released)
    expect((await get('/v1/substations')).json()).toEqual({ rule: releaseRule, substations: [] })
    expect((await get('/v1/health')).json()).toEqual({ status: 'ok', released: 'absent' })
    expect((await get('/v1/demand?substation=north-1')).statusCode).toBe(404)
    const tableless = new DatabaseSync(released.path)
    tableless.exec('CREATE TABLE other (n)')
    tableless.close()
    expect((await get('/v1/health')).json()).toEqual({ status: 'ok', released: 'absent' })
    released.create()
    expect((await get('/v1/health')).json()).toEqual({ status: 'ok', released: 'open' })
    released.close('north-1', day, [])
    expect((await get('/v1/substations')).json().substations).toHaveLength(1)
  })

  test('a day that closes meanwhile is in the next answer, under a new entity tag', async () => {
    const released = twoCells()
    const { get } = serve(released)
    const first = await get('/v1/substations')
    released.close('north-1', '2026-01-13', [])
    const second = await get('/v1/substations', { headers: { 'if-none-match': String(first.headers.etag) } })
    expect(second.statusCode).toBe(200)
    expect(second.json().substations[0]).toMatchObject({ days: 2, released: 1, withheld: 2 })
    const third = await get('/v1/substations', { headers: { 'if-none-match': String(second.headers.etag) } })
    expect([third.statusCode, third.body]).toEqual([304, ''])
  })

  test('days that close out of order add up, and a substation whose days have no cell has no end', async () => {
    const released = twoCells().close('empty', day, [])
    const { get } = serve(released)
    const of = async (): Promise<unknown> => (await get('/v1/substations')).json().substations
    const north = { id: 'north-1', firstEnd: '2026-01-12T12:00:00Z', lastEnd: '2026-01-12T12:15:00Z' }
    const empty = { id: 'empty', days: 1, released: 0, withheld: 0, firstEnd: null, lastEnd: null }
    expect(await of()).toEqual([empty, { ...north, days: 1, released: 1, withheld: 2 }])
    const earlier = {
      substation: 'north-1',
      quantity: 'export',
      end: seconds(day),
      sum: 1n,
      scaler: 0,
      meters: 10,
    } as const
    released.close('north-1', '2026-01-11', [earlier])
    const more = { ...north, days: 2, released: 2, withheld: 2, firstEnd: '2026-01-12T00:00:00Z' }
    expect(await of()).toEqual([empty, more])
  })

  test('closed days of one substation, newest first', async () => {
    const { get } = serve(twoCells().close('north-1', '2026-01-13', []))
    const { days } = (await get('/v1/days?substation=north-1')).json()
    expect(days).toEqual([
      { day: '2026-01-13', closedAt: '2026-01-14T00:05:00Z' },
      { day: '2026-01-12', closedAt: '2026-01-13T00:05:00Z' },
    ])
  })
})

describe('demand', () => {
  test('a sum beyond 2^53 keeps every digit, and a withheld cell has neither sum nor count', async () => {
    const { get } = serve(twoCells())
    const { cells, ...head } = (await get('/v1/demand?substation=north-1')).json()
    expect(head).toEqual({
      substation: 'north-1',
      quantity: 'import',
      unit: 'Wh',
      from: '2026-01-12T00:00:00Z',
      to: '2026-01-13T00:00:00Z',
    })
    expect(cells).toEqual([
      { end: '2026-01-12T12:00:00Z', state: 'released', energyWh: '9223372036854775.807', meters: 12, reason: null },
      { end: '2026-01-12T12:15:00Z', state: 'withheld', energyWh: null, meters: null, reason: 'DOMINANT_METER' },
    ])
  })

  test('even a writer that breaks the contract leaks nothing of a withheld cell', async () => {
    const broken = { reason: 'FEW_METERS', state: 'withheld', sum: 424_242n, scaler: 0, meters: 77 } as const
    const rows = [{ substation: 'north-1', quantity: 'import', end: noon, ...broken }] as const
    const { get } = serve(new Released().create().close('north-1', day, rows))
    for (const format of ['json', 'csv']) {
      const { body } = await get(`/v1/demand?substation=north-1&format=${format}`)
      expect(body).toContain('FEW_METERS')
      expect(body).not.toMatch(/424242|77/)
    }
  })

  test('CSV has the columns of the JSON, CRLF, a header row and a file name', async () => {
    const { get } = serve(twoCells())
    const answer = await get('/v1/demand?substation=north-1&format=csv')
    expect(answer.headers['content-type']).toBe('text/csv; charset=utf-8; header=present')
    expect(answer.headers['content-disposition']).toBe('attachment; filename="north-1_import_2026-01-12.csv"')
    expect(answer.body).toBe(
      'end,state,energyWh,meters,reason\r\n' +
        '2026-01-12T12:00:00Z,released,9223372036854775.807,12,\r\n' +
        '2026-01-12T12:15:00Z,withheld,,,DOMINANT_METER\r\n',
    )
  })

  test.each([
    ['text/csv', 'text/csv'],
    ['text/csv;q=0.9, application/json;q=0.2', 'text/csv'],
    ['application/json, text/csv;q=0.5', 'application/json'],
    ['*/*', 'application/json'],
  ])('Accept: %s gives %s', async (accept, type) => {
    const { get } = serve(twoCells())
    const answer = await get('/v1/demand?substation=north-1', { headers: { accept } })
    expect(answer.headers['content-type']).toContain(type)
    expect(answer.headers.vary).toBe('accept')
    const asked = await get('/v1/demand?substation=north-1&format=json', { headers: { accept } })
    expect(asked.headers['content-type']).toContain('application/json')
  })

  test('the default is the latest closed day; an interval that ends at midnight belongs to the day it closes', async () => {
    const midnight = seconds('2026-01-13')
    const released = new Released().create()
    for (const [name, ends] of [
      ['2026-01-11', [midnight - 86_400]],
      [day, [midnight - 85_500, midnight]],
    ] as const) {
      const one = { substation: 'n', quantity: 'import', sum: 5n, scaler: 2, meters: 10 } as const
      released.close(
        'n',
        name,
        ends.map((end) => ({ ...one, end })),
      )
    }
    const { get } = serve(released)
    const ends = async (url: string): Promise<string[]> =>
      (await get(url)).json().cells.map(({ end, energyWh }: { end: string; energyWh: string }) => `${end} ${energyWh}`)
    const second = ['2026-01-12T00:15:00Z 500', '2026-01-13T00:00:00Z 500']
    expect(await ends('/v1/demand?substation=n')).toEqual(second)
    expect(await ends('/v1/demand?substation=n&from=2026-01-12&to=2026-01-13')).toEqual(second)
    expect(await ends('/v1/demand?substation=n&from=2026-01-12T00:14Z&to=2026-01-12T00:15:00Z')).toEqual(
      second.slice(0, 1),
    )
    expect(await ends('/v1/demand?substation=n&quantity=export')).toEqual([])
  })

  test('a span with more cells than an answer holds is refused, not cut', async () => {
    const released = new Released().create().close('n', day, [])
    released.database.exec(`WITH RECURSIVE second(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM second WHERE n <= ${limits.cellsMax})
      INSERT INTO cell SELECT 'n', 'import', ${seconds(day)} + n, 'withheld', 'FEW_METERS', NULL, NULL, NULL FROM second`)
    const { get } = serve(released)
    const answer = await get('/v1/demand?substation=n')
    expect([answer.statusCode, answer.json().error.code]).toEqual([400, 'SPAN_TOO_LONG'])
    expect((await get('/v1/demand?substation=n&from=2026-01-12&to=2026-01-12T13:00Z')).json().cells).toHaveLength(
      46_800,
    )
  })
})

describe('refusals', () => {
  const base = '/v1/demand?substation=north-1'
  test.each([
    ['/v1/demand', 'QUERY_INVALID'],
    ['/v1/demand?substation=', 'QUERY_INVALID'],
    ['/v1/demand?substation=a%2Fb', 'QUERY_INVALID'],
    [`/v1/demand?substation=${'x'.repeat(65)}`, 'QUERY_INVALID'],
    [`${base}&substation=north-1`, 'QUERY_INVALID'],
    [`${base}&limit=5`, 'QUERY_INVALID'],
    [`${base}&__proto__=5`, 'QUERY_INVALID'],
    [`${base}&quantity=Import`, 'QUERY_INVALID'],
    [`${base}&format=xml`, 'QUERY_INVALID'],
    [`${base}&from=2026-02-30&to=2026-03-01`, 'QUERY_INVALID'],
    [`${base}&from=2026-01-01T24:00Z&to=2026-03-01`, 'QUERY_INVALID'],
    [`${base}&from=2026-01-01T00:00&to=2026-01-02`, 'QUERY_INVALID'],
    [`${base}&from=1767225600&to=1767312000`, 'QUERY_INVALID'],
    [`${base}&from=2026-01-01`, 'SPAN_INVALID'],
    [`${base}&to=2026-01-01`, 'SPAN_INVALID'],
    [`${base}&from=2026-01-02&to=2026-01-02`, 'SPAN_INVALID'],
    [`${base}&from=2026-01-01&to=2026-02-01T00:00:01Z`, 'SPAN_TOO_LONG'],
    ['/v1/demand?substation=north-2', 'SUBSTATION_UNKNOWN'],
    ['/v1/days?substation=north-2', 'SUBSTATION_UNKNOWN'],
    ['/v1/days', 'QUERY_INVALID'],
    ['/v1/substations?all=1', 'QUERY_INVALID'],
    ['/v1/health?x', 'QUERY_INVALID'],
    ['/?x=1', 'QUERY_INVALID'],
    ['/v1/demand/', 'ROUTE_UNKNOWN'],
    ['/page/../main.ts', 'ROUTE_UNKNOWN'],
    ['/%2e%2e/main.ts', 'ROUTE_UNKNOWN'],
    ['/%zz', 'REQUEST_INVALID'],
  ] as const)('%s is %s', async (url, code) => {
    const { get } = serve(twoCells())
    const answer = await get(url)
    expect(answer.json()).toEqual({ error: { code, message: expect.any(String) } })
    expect(answer.statusCode).toBe(statusOf[code])
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'")
  })

  test('31 days to the second are within the span', async () => {
    const { get } = serve(twoCells())
    expect((await get(`${base}&from=2026-01-01&to=2026-02-01`)).statusCode).toBe(200)
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const)(
    '%s is refused: studies are read-only',
    async (method) => {
      const { get } = serve(twoCells())
      const answer = await get('/v1/demand', { method })
      expect([answer.statusCode, answer.json().error.code, answer.headers.allow]).toEqual([
        405,
        'METHOD_NOT_ALLOWED',
        'GET, HEAD',
      ])
    },
  )

  test('HEAD answers as GET does, without the body', async () => {
    const { get } = serve(twoCells())
    const answer = await get(base, { method: 'HEAD' })
    expect([answer.statusCode, answer.body, answer.headers.etag]).toEqual([200, '', (await get(base)).headers.etag])
  })

  test.each(['evil.example', 'localhost.evil.example', 'localhost:80:80', '127.0.0.1', '-'])(
    'a request for host "%s" is refused',
    async (host) => {
      const { get } = serve(twoCells())
      const answer = await get('/v1/health', { headers: { host } })
      expect([answer.statusCode, answer.json().error.code]).toEqual([421, 'HOST_UNKNOWN'])
    },
  )

  test('the host name is taken in any case and with any port', async () => {
    const { get } = serve(twoCells())
    expect((await get('/v1/health', { headers: { host: 'LocalHost:8080' } })).statusCode).toBe(200)
  })

  test('an address that asks too often waits as long as it is told, and others do not', async () => {
    const { get, clock } = serve(twoCells())
    for (let i = 0; i < limits.burst; i++) expect((await get('/v1/health')).statusCode).toBe(200)
    const refused = await get('/v1/health')
    expect([refused.statusCode, refused.json().error.code]).toEqual([429, 'RATE_LIMITED'])
    expect((await get('/v1/health', { remoteAddress: '127.0.0.2' })).statusCode).toBe(200)
    clock.now += Number(refused.headers['retry-after'])
    expect((await get('/v1/health')).statusCode).toBe(200)
  })

  test('all clients together pass no more than the conduit allows in any one second, bad URLs and all', async () => {
    const { get, clock } = serve(twoCells(), { connectionsMax: 5, requestsPerSecondMax: 3 })
    const from = async (host: number, url = '/v1/health'): Promise<number> =>
      (await get(url, { remoteAddress: `127.0.0.${host}` })).statusCode
    expect([await from(1), await from(2, '/%zz')]).toEqual([200, 400])
    clock.now = 0.9
    expect([await from(3), await from(4), await from(5, '/%zz')]).toEqual([200, 429, 429])
    clock.now = 1
    expect([await from(4), await from(5), await from(6)]).toEqual([200, 200, 429])
    clock.now = 1.5
    expect((await get('/v1/health')).headers['retry-after']).toBe('1')
    clock.now = 1.9
    expect([await from(4), await from(5)]).toEqual([200, 429])
  })

  test('one address alone cannot use up what the committed zones file allows to all', () => {
    expect(limits.burst).toBeLessThan(drawn.requestsPerSecondMax)
    expect(limits.ratePerSecond).toBeLessThan(limits.burst)
  })

  test('a file that is no database is 503 and says nothing of itself', async () => {
    const released = new Released()
    const { get } = serve(released)
    writeFileSync(released.path, 'no database'.repeat(1000))
    for (const url of ['/v1/substations', '/v1/health', '/v1/demand?substation=n']) {
      const answer = await get(url)
      expect([answer.statusCode, answer.json().error.code]).toEqual([503, 'STORE_UNAVAILABLE'])
      expect(answer.body).not.toMatch(/sqlite|\.ts|studies-/i)
    }
  })

  test('whatever the query, the answer is ours and never a failure of the service', async () => {
    const { get, clock } = serve(twoCells())
    const key = fc.oneof(fc.constantFrom('substation', 'from', 'to', 'quantity', 'format'), fc.string())
    const value = fc.oneof(fc.constantFrom('north-1', '2026-01-12', '2026-01-13T00:00Z', 'import', 'csv'), fc.string())
    const query = fc.array(fc.tuple(key, value), { maxLength: 6 })
    const encoded = query.map((pairs) => pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&'))
    const raw = fc.string().map((text) => text.replaceAll(/[^!-~]|#/g, '%'))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('/v1/demand', '/v1/days', '/v1/substations', '/'),
        fc.oneof(encoded, raw),
        async (path, text) => {
          clock.now += 1
          const { statusCode, json } = await get(`${path}?${text}`)
          if (statusCode !== 200) expect(json().error.code).toMatch(/^(QUERY|SPAN|SUBSTATION)_/)
          expect(statusCode).toBeLessThan(500)
        },
      ),
      { numRuns: 400 },
    )
  })
})

test('every answer carries the headers that keep a browser strict', async () => {
  const { get } = serve(twoCells())
  for (const url of ['/', '/page.js', '/v1/substations', '/nowhere']) {
    const { headers } = await get(url)
    expect(headers['content-security-policy']).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; /,
    )
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(headers['referrer-policy']).toBe('no-referrer')
    expect(headers['cache-control']).toMatch(/^no-(cache|store)$/)
  }
})
