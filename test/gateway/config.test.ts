import { describe, expect, test } from 'vitest'
import { parseGatewayConfig } from '#gateway/config.ts'
import { ConfigError } from '#gateway/errors.ts'

const good = {
  zonesFile: 'zones.json',
  data: 'data',
  tls: { keyFile: 'k', certificateFile: 'c', trustFile: 't', crlFile: 'r' },
  sealer: { keyFile: 'sk', certificateFile: 'sc' },
  kekFile: '/etc/kek',
  linkKey: { id: 3, file: 'link.key' },
}
const parse = (config: unknown) => parseGatewayConfig(JSON.stringify(config), '/srv/ami')
function faults(config: unknown): readonly string[] {
  try {
    parse(config)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults
  }
}

describe('the configuration of a gateway', () => {
  test('needs no more than its files: paths are relative to its own folder, the rest has defaults', () => {
    expect(parse(good)).toEqual({
      zonesFile: '/srv/ami/zones.json',
      data: '/srv/ami/data',
      tls: {
        keyFile: '/srv/ami/k',
        certificateFile: '/srv/ami/c',
        trustFile: '/srv/ami/t',
        crlFile: '/srv/ami/r',
        profileSet: 'p256',
      },
      sealer: { keyFile: '/srv/ami/sk', certificateFile: '/srv/ami/sc' },
      kekFile: '/etc/kek',
      linkKey: { id: 3, file: '/srv/ami/link.key' },
      loopback: undefined,
      clock: undefined,
      metrics: undefined,
      seal: { intervalMs: 30_000, urgentMs: 1_000 },
      forward: {
        passesAfterMs: [0, 60_000, 900_000],
        plannedLossPercent: 10,
        carouselRestSeconds: 600,
        manifestMs: 10_000,
        carriers: [],
        envelope: undefined,
      },
      release: { graceSeconds: 21_600 },
      retention: { replayDays: 30, readingDays: 45 },
    })
    expect(Object.isFrozen(parse(good))).toBe(true)
    expect(parse({ ...good, tls: { ...good.tls, profileSet: 'ml-dsa' } }).tls.profileSet).toBe('ml-dsa')
  })

  test('has its metrics asked on loopback unless told otherwise, and never under a name', () => {
    const at = (metrics: object) => parse({ ...good, metrics }).metrics
    expect(at({ port: 9701 })).toEqual({ host: '127.0.0.1', port: 9701 })
    expect(at({ host: '2001:db8:d::10', port: 0 })).toEqual({ host: '2001:db8:d::10', port: 0 })
    expect(faults({ ...good, metrics: { host: 'localhost', port: 65_536 } })).toEqual([
      'metrics.host: an IP address',
      'metrics.port: a whole number, 0 to 65535',
    ])
  })

  test('is told everything that is wrong with it at once', () => {
    const { kekFile: _, ...less } = good
    const bad = {
      ...less,
      linkKey: { id: 16, file: 'link.key' },
      secret: 'x',
      tls: { ...good.tls, key: 'y', profileSet: 'brainpool' },
      seal: { intervalMs: 9 },
      forward: { passesAfterMs: [], plannedLossPercent: 51 },
    }
    expect(faults(bad)).toEqual([
      expect.stringContaining('tls.profileSet: p256 or ml-dsa'),
      expect.stringContaining('tls.key:'),
      expect.stringContaining('kekFile:'),
      expect.stringContaining('linkKey.id:'),
      expect.stringContaining('seal.intervalMs:'),
      expect.stringContaining('forward.passesAfterMs:'),
      expect.stringContaining('forward.plannedLossPercent:'),
      expect.stringContaining('secret:'),
    ])
  })

  test('names the carriers beside the datagrams, each with its limits, and none twice', () => {
    const forwarded = (carriers: readonly object[]): unknown => ({ ...good, forward: { carriers } })
    const drop = { kind: 'files', folder: 'drop' }
    const proxy = { kind: 'tcp', host: '127.0.0.1', port: 5000 }
    expect(parse(forwarded([drop, proxy])).forward.carriers).toEqual([
      { kind: 'files', folder: '/srv/ami/drop', octetsMax: 1_073_741_824 },
      proxy,
    ])
    expect(faults(forwarded([drop, { ...drop, octetsMax: 16_777_216 }]))).toEqual(['forward.carriers: one twice'])
    expect(faults(forwarded([{ kind: 'fax' }, { ...proxy, host: 'localhost' }, { ...drop, port: 1 }]))).toEqual([
      expect.stringContaining('carriers[0].kind:'),
      expect.stringContaining('carriers[0].folder:'),
      expect.stringContaining('carriers[1].host: an IP address'),
      expect.stringContaining('carriers[2].port: no such key'),
    ])
  })

  test('keeps readings until their day has closed', () => {
    const of = (graceDays: number, readingDays: number): unknown => ({
      ...good,
      release: { graceSeconds: graceDays * 86_400 },
      retention: { readingDays },
    })
    expect(faults(of(30, 31))).toEqual([expect.stringContaining('retention.readingDays: at least 32')])
    expect(faults(of(30, 32))).toEqual([])
    expect(faults(of(0, 2))).toEqual([])
  })

  test.for(['', '{', '[]', 'null', '7', '{"__proto__":{"data":"x"}}'])('of %j is a fault, not an exception', (text) => {
    expect(() => parseGatewayConfig(text, '/srv')).toThrow(ConfigError)
  })
})
