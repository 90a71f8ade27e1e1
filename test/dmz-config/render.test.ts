import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { renderGateway } from '#dmz-config/render.ts'
import { defaultZonesFile, loopback, parseZones } from '#dmz-config/zones.ts'
import { nftRefusal, whyNoLab } from './lab.ts'

const text = readFileSync(defaultZonesFile, 'utf8')
const zones = parseZones(text)
const rules = renderGateway(zones)

/** The zones file with some conduits enabled or not, and addresses of one IP version only where asked. */
function variant(change: { enabled?: Record<string, boolean>; version?: 4 | 6 }): string {
  const root = JSON.parse(text)
  for (const [id, enabled] of Object.entries(change.enabled ?? {})) root.conduits[id].enabled = enabled
  const kept = (all: string[]): string[] => all.filter((one) => one.includes(':') === (change.version === 6))
  if (change.version !== undefined) {
    for (const zone of Object.values<{ networks: string[] }>(root.zones)) zone.networks = kept(zone.networks)
    for (const host of Object.values<{ addresses: string[] }>(root.hosts)) host.addresses = kept(host.addresses)
  }
  return renderGateway(parseZones(JSON.stringify(root)))
}

describe('the rules of the gateway host', () => {
  test('the committed ones are those of zones.json: else run `ami dmz render --out dmz-config/rules/gateway.nft`', () => {
    expect(readFileSync(new URL('../../dmz-config/rules/gateway.nft', import.meta.url), 'utf8')).toBe(rules)
  })

  test('drop by default on every filter hook', () => {
    const policies = [...rules.matchAll(/type filter hook (\w+) priority filter; policy (\w+);/g)]
    expect(policies.map(([, hook, policy]) => [hook, policy])).toEqual([
      ['input', 'drop'],
      ['forward', 'drop'],
      ['output', 'drop'],
    ])
  })

  test('carry the limits of the zones file', () => {
    for (const bound of [
      'over 200/second',
      'over 30/minute',
      'count over 4 ',
      'count over 20000 ',
      'count over 256 ',
    ]) {
      expect(rules).toContain(bound)
    }
  })

  test('replace their own table only', () => {
    expect(rules).not.toContain('flush ruleset')
    expect(rules.split('\n').slice(1, 3)).toEqual(['table inet ami', 'delete table inet ami'])
  })

  test('name nothing of a conduit that is not enabled', () => {
    expect(rules).not.toContain('9443')
    const closed = variant({ enabled: { uplink: false, oneway: false, studies: false } })
    expect(closed).not.toMatch(/8883|8443|9700/)
    expect(closed).toContain('goto from_it')
  })

  test('are not made of loopback zones with a port left open', () => {
    expect(() => renderGateway(loopback(zones, { uplink: 0 }))).toThrow()
  })
})

const reason = whyNoLab()
if (reason !== undefined && process.env.CI !== undefined) {
  test('nft reads the rules in CI', () => expect(reason).toBeUndefined())
}

describe.skipIf(reason !== undefined)(`nft accepts${reason ? ` (skipped: ${reason})` : ''}`, () => {
  test.for<[name: string, rules: string]>([
    ['the committed zones', rules],
    ['every conduit enabled', variant({ enabled: { operations: true } })],
    ['none enabled', variant({ enabled: { uplink: false, oneway: false, studies: false } })],
    ['IPv4 only', variant({ version: 4 })],
    ['IPv6 only', variant({ version: 6 })],
  ])('%s', ([, text]) => {
    expect(nftRefusal(text)).toBe('')
  })

  test('nothing that is broken', () => {
    expect(nftRefusal(rules.replace('goto from_it', 'goto nowhere'))).not.toBe('')
  })
})
