import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contains, overlap, parseNetwork } from '#dmz-config/address.ts'
import { addressOf, conduit, defaultZonesFile, loopback, parseZones } from '#dmz-config/zones.ts'
import { ConfigError } from '#gateway/errors.ts'

const committed = readFileSync(defaultZonesFile, 'utf8')

/** The committed file with one value set, or removed where undefined, at a dotted path. */
function changed(path: string, value: unknown): string {
  const root = JSON.parse(committed) as Record<string, unknown>
  const keys = path.split('.')
  const last = keys.pop()!
  const parent = keys.reduce((at, key) => at[key] as Record<string, unknown>, root)
  parent[last] = value
  return JSON.stringify(root)
}

function faultsOf(text: string): readonly string[] {
  try {
    parseZones(text)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

describe('the zones file', () => {
  test('opens the conduits of the design, and operations not yet', () => {
    const zones = parseZones(committed)
    const open = Object.values(zones.conduits).filter(({ enabled }) => enabled)
    expect(open.map(({ id, from, to, protocol, port }) => [id, from, to, protocol, port])).toEqual([
      ['uplink', 'field', 'gateway', 'tcp', 8883],
      ['oneway', 'gateway', 'mdm', 'udp', 9700],
      ['studies', 'research', 'gateway', 'tcp', 8443],
    ])
    expect(conduit(zones, 'uplink').limits.packetOctetsMax).toBe(262_144)
    expect(addressOf(zones, 'mdm')).toBe('192.0.2.140')
  })

  test('is frozen through and through', () => {
    const { limits } = conduit(parseZones(committed), 'uplink')
    expect(() => Object.assign(limits, { sessionsMax: 1 })).toThrow(TypeError)
  })

  test.for<[path: string, value: unknown, fault: string]>([
    ['rules', {}, 'rules: unknown'],
    ['zones', [], 'zones: an object'],
    ['zones.moon', { networks: ['10.0.0.0/8'] }, 'zones.moon: unknown'],
    ['zones.it', undefined, 'zones.it: missing'],
    ['zones.field.networks', [], 'zones.field.networks: a list of one or more strings'],
    [
      'zones.field.networks',
      ['198.51.100.1/24'],
      'zones.field.networks[0]: address/prefix with no bit beyond the prefix',
    ],
    ['zones.field.networks', ['198.51.100.0/33'], 'zones.field.networks[0]: address/prefix'],
    ['zones.field.networks', ['2001:db8::1/64'], 'zones.field.networks[0]: address/prefix'],
    ['zones.field.networks', ['192.0.2.0/24'], 'zones.dmz.networks[0]: overlaps zones.field.networks[0]'],
    ['zones.field.networks', ['0.0.0.0/0'], 'zones.it.networks[0]: overlaps zones.field.networks[0]'],
    ['hosts.mdm.zone', 'dmz', 'hosts.mdm.zone: "it", not "dmz"'],
    [
      'hosts.gateway.addresses',
      ['192.0.2.256'],
      "hosts.gateway.addresses[0]: an IPv4 or IPv6 address, not '192.0.2.256'",
    ],
    ['hosts.gateway.addresses', ['fe80::1%eth0'], 'hosts.gateway.addresses[0]: an IPv4 or IPv6 address'],
    [
      'hosts.gateway.addresses',
      ['203.0.113.1'],
      'hosts.gateway.addresses[0]: 203.0.113.1 lies in no network of zone dmz',
    ],
    ['hosts.gateway.addresses', ['192.0.2.1', '192.0.2.2'], 'hosts.gateway.addresses[1]: a second IPv4 address'],
    ['conduits.telnet', {}, 'conduits.telnet: unknown'],
    ['conduits.uplink.enabled', 'yes', 'conduits.uplink.enabled: true or false, not "yes"'],
    ['conduits.uplink.from', 'it', 'conduits.uplink.from: "field", not "it"'],
    ['conduits.uplink.from', 'moon', 'conduits.uplink.from: "field", not "moon"'],
    ['conduits.oneway.to', 'gateway', 'conduits.oneway.to: "mdm", not "gateway"'],
    ['conduits.oneway.protocol', 'tcp', 'conduits.oneway.protocol: "udp", not "tcp"'],
    ['conduits.back', { from: 'mdm', to: 'gateway' }, 'conduits.back: unknown'],
    ['conduits.uplink.port', 0, 'conduits.uplink.port: a whole number, 1 to 65535, not 0'],
    ['conduits.uplink.port', '8883', 'conduits.uplink.port: a whole number, 1 to 65535, not "8883"'],
    ['conduits.uplink.port', 8443, 'conduits.studies.port: taken by conduits.uplink'],
    ['conduits.uplink.limits.sessionsMax', 1.5, 'conduits.uplink.limits.sessionsMax: a whole number, 1 to 1000000'],
    ['conduits.uplink.limits.sessionsMax', undefined, 'conduits.uplink.limits.sessionsMax: missing'],
    ['conduits.uplink.limits.sessionMax', 5, 'conduits.uplink.limits.sessionMax: unknown'],
    ['conduits.uplink.limits.sessionsPerSourceMax', 20_001, 'sessionsPerSourceMax: above sessionsMax'],
    ['conduits.oneway.limits.symbolOctets', 1_500, 'conduits.oneway.limits.symbolOctets: above datagramOctetsMax'],
  ])('%s = %j is refused', ([path, value, fault]) => {
    expect(faultsOf(changed(path, value)).some((each) => each.includes(fault))).toBe(true)
  })

  test('a conduit between hosts without a common IP version is refused', () => {
    expect(faultsOf(changed('hosts.mdm.addresses', ['2001:db8:1::140']))).toEqual([])
    const text = JSON.parse(changed('hosts.mdm.addresses', ['2001:db8:1::140']))
    text.hosts.gateway.addresses = ['192.0.2.10']
    expect(faultsOf(JSON.stringify(text))).toEqual(['conduits.oneway: gateway and mdm share no IP version'])
  })

  test('everything wrong is told at once', () => {
    const text = JSON.parse(changed('conduits.uplink.port', -1))
    text.hosts.mdm.addresses = ['nowhere']
    delete text.zones.research
    expect(faultsOf(JSON.stringify(text))).toHaveLength(3)
  })

  test('what is not JSON is refused with its place', () => {
    expect(faultsOf('{')[0]).toMatch(/^zones: not JSON: /)
    expect(faultsOf('null')).toEqual(['zones: an object'])
  })

  test('any value at any place gives zones or a ConfigError', () => {
    const paths = [
      'zones',
      'zones.it',
      'zones.it.networks',
      'hosts.mdm',
      'hosts.mdm.addresses',
      'conduits',
      'conduits.oneway',
      'conduits.oneway.limits',
      'conduits.oneway.port',
    ]
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
        faultsOf(changed(path, value)) // throws whatever is no ConfigError
      }),
      { numRuns: 300 },
    )
  })
})

describe('loopback', () => {
  test('keeps limits and ports, moves every host to 127.0.0.1', () => {
    const zones = parseZones(committed)
    const local = loopback(zones, { uplink: 0, studies: 18_443 })
    expect(addressOf(local, 'gateway')).toBe('127.0.0.1')
    expect(addressOf(local, 'mdm')).toBe('127.0.0.1')
    expect(Object.values(local.zones).every(({ networks }) => networks.join() === '127.0.0.0/8')).toBe(true)
    expect(Object.values(local.conduits).map(({ port }) => port)).toEqual([0, 9_700, 18_443, 9_443])
    expect(conduit(local, 'oneway').limits).toEqual(conduit(zones, 'oneway').limits)
  })
})

describe('networks', () => {
  test.for([
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['::ffff:192.0.2.0/120', '::ffff:192.0.2.9', true],
    ['0.0.0.0/0', '::1', false],
  ] as const)('%s holds %s: %s', ([network, address, holds]) => {
    expect(contains(parseNetwork(network)!, address)).toBe(holds)
  })

  test.for([
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0/8',
    '2001:db8::/129',
    '2001:db8::1/127',
    '::ffff:192.0.2.1/120',
  ])('%s is no network', (text) => {
    expect(parseNetwork(text)).toBeUndefined()
  })

  test('overlap is symmetric and sees either nesting', () => {
    const [wide, narrow, other] = ['10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/8'].map((text) => parseNetwork(text)!)
    expect([overlap(wide!, narrow!), overlap(narrow!, wide!), overlap(wide!, other!)]).toEqual([true, true, false])
  })
})
