import { ConfigError } from '#gateway/errors.ts'
import { contains, type Family, familyOf, type Network, overlap, parseNetwork } from './address.ts'

/**
 * The limits of each conduit and the bounds an operator may choose them in. Each is enforced by the listener;
 * those the firewall bounds too are listed in README.md.
 */
const limitBounds = {
  uplink: {
    sessionsMax: [1, 1_000_000],
    sessionsPerSourceMax: [1, 1_000_000],
    handshakesPerSecondMax: [1, 100_000],
    handshakesPerSourcePerMinuteMax: [1, 100_000],
    handshakeDeadlineSeconds: [1, 300],
    connectDeadlineSeconds: [1, 300],
    keepAliveSecondsMax: [10, 65_535],
    packetOctetsMax: [1_024, 16_777_216],
  },
  oneway: {
    symbolOctets: [128, 8_900],
    datagramOctetsMax: [188, 8_960],
    bitsPerSecondMax: [1_000, 10_000_000_000],
  },
  studies: {
    connectionsMax: [1, 100_000],
    connectionsPerSourceMax: [1, 100_000],
    requestsPerSecondMax: [1, 1_000_000],
  },
  operations: {
    connectionsMax: [1, 100_000],
    connectionsPerSourceMax: [1, 100_000],
    requestsPerSecondMax: [1, 1_000_000],
  },
} as const

/** The conduits of the design, and no other: who opens each to whom, over what. `oneway` has no reverse. */
const drawn = {
  uplink: { from: 'field', to: 'gateway', protocol: 'tcp' },
  oneway: { from: 'gateway', to: 'mdm', protocol: 'udp' },
  studies: { from: 'research', to: 'gateway', protocol: 'tcp' },
  operations: { from: 'operator', to: 'gateway', protocol: 'tcp' },
} as const

const zoneIds = ['field', 'dmz', 'it', 'research', 'operator'] as const
const hostZones = { gateway: 'dmz', mdm: 'it' } as const

export type ZoneId = (typeof zoneIds)[number]
export type HostId = keyof typeof hostZones
export type ConduitId = keyof typeof limitBounds

export interface Zone {
  /** `address/prefix`, at least one, IPv4 or IPv6; no two zones overlap */
  readonly networks: readonly string[]
}

export interface Host {
  readonly zone: ZoneId
  /** one or two, at most one of each family; the first is the one to listen on or send to */
  readonly addresses: readonly [string, ...string[]]
}

/** One permitted flow. */
export interface Conduit<Id extends ConduitId = ConduitId> {
  readonly id: Id
  /** a conduit not enabled is served by nobody and opened by no rule */
  readonly enabled: boolean
  readonly from: ZoneId | HostId
  readonly to: HostId
  readonly protocol: 'tcp' | 'udp'
  /** 1 to 65535; 0, chosen by the system, only by way of `loopback` */
  readonly port: number
  /** whole numbers; the unit ends each name */
  readonly limits: { readonly [Name in keyof (typeof limitBounds)[Id]]: number }
}

export interface Zones {
  readonly zones: { readonly [Id in ZoneId]: Zone }
  readonly hosts: { readonly [Id in HostId]: Host }
  readonly conduits: { readonly [Id in ConduitId]: Conduit<Id> }
}

/** The committed file. Reading it is the caller's. */
export const defaultZonesFile: URL = new URL('./zones.json', import.meta.url)

/**
 * Zones from the text of a zones file, strict and frozen.
 * @throws ConfigError with everything wrong, each fault led by its path in the file
 */
export function parseZones(text: string): Zones {
  const faults: string[] = []
  const root = fields(parseJson(text), '', ['zones', 'hosts', 'conduits'], faults)
  const zones = zonesOf(root.zones, faults)
  const hosts = hostsOf(root.hosts, zones, faults)
  const conduits = conduitsOf(root.conduits, faults)
  if (faults.length > 0) throw new ConfigError(faults)
  const checked = { zones, hosts, conduits } as unknown as Zones // each part was checked above
  for (const one of Object.values(checked.conduits)) {
    if (!reachable(checked, one)) faults.push(`conduits.${one.id}: ${one.from} and ${one.to} share no IP version`)
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return deepFreeze(checked)
}

/** The conduit of that name, with its own limits. */
export function conduit<Id extends ConduitId>(zones: Zones, id: Id): Conduit<Id> {
  return zones.conduits[id]
}

/** The address of a host: where its conduits listen, or where one is sent to. */
export function addressOf(zones: Zones, host: HostId): string {
  return zones.hosts[host].addresses[0]
}

/**
 * The same zones on one machine, for a demo or a test: every host is 127.0.0.1, every zone 127.0.0.0/8.
 * @param ports of conduits that shall differ; 0 lets the system choose
 */
export function loopback(zones: Zones, ports: { readonly [Id in ConduitId]?: number } = {}): Zones {
  const entries = <K extends string, V, W>(of: Readonly<Record<K, V>>, to: (value: V, key: K) => W): Record<K, W> =>
    Object.fromEntries(Object.entries(of).map(([key, value]) => [key, to(value as V, key as K)])) as Record<K, W>
  return deepFreeze({
    zones: entries(zones.zones, (): Zone => ({ networks: ['127.0.0.0/8'] })),
    hosts: entries(zones.hosts, (host: Host): Host => ({ ...host, addresses: ['127.0.0.1'] })),
    conduits: entries(zones.conduits, (one: Conduit, id: ConduitId) => ({ ...one, port: ports[id] ?? one.port })),
  } as unknown as Zones) // `entries` forgets that each conduit keeps its own limits
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ConfigError([`zones: not JSON: ${(cause as Error).message}`])
  }
}

type Fields = Record<string, unknown>

/** An object with exactly these keys; what is missing comes back undefined and is a fault already told. */
function fields(value: unknown, path: string, keys: readonly string[], faults: string[]): Fields {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (value !== undefined) faults.push(`${path || 'zones'}: an object`)
    return {}
  }
  for (const key of Object.keys(value)) if (!keys.includes(key)) faults.push(`${at(key)}: unknown`)
  for (const key of keys) if (!Object.hasOwn(value, key)) faults.push(`${at(key)}: missing`)
  return Object.fromEntries(keys.filter((key) => Object.hasOwn(value, key)).map((key) => [key, (value as Fields)[key]]))
}

function strings(value: unknown, path: string, faults: string[]): string[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string')) return value
  faults.push(`${path}: a list of one or more strings`)
  return []
}

function oneOf(value: unknown, path: string, expected: string | boolean | readonly boolean[], faults: string[]): void {
  const options: readonly unknown[] = Array.isArray(expected) ? expected : [expected]
  if (value !== undefined && !options.includes(value)) {
    faults.push(
      `${path}: ${options.map((option) => JSON.stringify(option)).join(' or ')}, not ${JSON.stringify(value)}`,
    )
  }
}

function whole(value: unknown, path: string, [min, max]: readonly [number, number], faults: string[]): void {
  if (value === undefined || (Number.isInteger(value) && Number(value) >= min && Number(value) <= max)) return
  faults.push(`${path}: a whole number, ${min} to ${max}, not ${JSON.stringify(value)}`)
}

function zonesOf(value: unknown, faults: string[]): Record<string, Zone> {
  const zones: Record<string, Zone> = {}
  const seen: { path: string; zone: string; network: Network }[] = []
  for (const [id, raw] of Object.entries(fields(value, 'zones', zoneIds, faults))) {
    const networks = strings(fields(raw, `zones.${id}`, ['networks'], faults).networks, `zones.${id}.networks`, faults)
    zones[id] = { networks }
    for (const [index, text] of networks.entries()) {
      const path = `zones.${id}.networks[${index}]`
      const network = parseNetwork(text)
      if (network === undefined) faults.push(`${path}: address/prefix with no bit beyond the prefix, not '${text}'`)
      else seen.push({ path, zone: id, network })
    }
  }
  for (const [index, a] of seen.entries()) {
    for (const b of seen.slice(0, index)) {
      if (overlap(a.network, b.network)) faults.push(`${a.path}: overlaps ${b.path}`)
    }
  }
  return zones
}

function hostsOf(value: unknown, zones: Record<string, Zone>, faults: string[]): Record<string, unknown> {
  const hosts = fields(value, 'hosts', Object.keys(hostZones), faults)
  for (const [id, raw] of Object.entries(hosts)) {
    const host = fields(raw, `hosts.${id}`, ['zone', 'addresses'], faults)
    const zone = hostZones[id as HostId]
    oneOf(host.zone, `hosts.${id}.zone`, zone, faults)
    const families = new Set<Family>()
    for (const [index, address] of strings(host.addresses, `hosts.${id}.addresses`, faults).entries()) {
      const path = `hosts.${id}.addresses[${index}]`
      const family = familyOf(address)
      if (family === undefined) faults.push(`${path}: an IPv4 or IPv6 address, not '${address}'`)
      else if (families.has(family)) faults.push(`${path}: a second IPv${family} address`)
      else if (!within(zones[zone], address)) faults.push(`${path}: ${address} lies in no network of zone ${zone}`)
      if (family !== undefined) families.add(family)
    }
  }
  return hosts
}

function within(zone: Zone | undefined, address: string): boolean {
  return (zone?.networks ?? []).some((text) => {
    const network = parseNetwork(text)
    return network !== undefined && contains(network, address)
  })
}

function reachable({ zones, hosts }: Zones, { from, to }: Conduit): boolean {
  const versions = (addresses: readonly string[]): unknown[] =>
    addresses.map((address) => familyOf(address) ?? parseNetwork(address)?.family)
  const sources = from in hosts ? hosts[from as HostId].addresses : zones[from as ZoneId].networks
  return versions(sources).some((version) => versions(hosts[to].addresses).includes(version))
}

const conduitKeys = ['enabled', 'from', 'to', 'protocol', 'port', 'limits']

function conduitsOf(value: unknown, faults: string[]): Record<string, unknown> {
  const conduits: Record<string, unknown> = {}
  const sockets = new Map<string, string>()
  for (const [id, raw] of Object.entries(fields(value, 'conduits', Object.keys(drawn), faults))) {
    const path = `conduits.${id}`
    const one = fields(raw, path, conduitKeys, faults)
    const { from, to, protocol } = drawn[id as ConduitId]
    oneOf(one.enabled, `${path}.enabled`, [true, false], faults)
    oneOf(one.from, `${path}.from`, from, faults)
    oneOf(one.to, `${path}.to`, to, faults)
    oneOf(one.protocol, `${path}.protocol`, protocol, faults)
    whole(one.port, `${path}.port`, [1, 65_535], faults)
    const socket = `${to} ${protocol} ${one.port}`
    if (sockets.has(socket)) faults.push(`${path}.port: taken by ${sockets.get(socket)}`)
    else sockets.set(socket, path)
    conduits[id] = { id, ...one, limits: limitsOf(id as ConduitId, one.limits, `${path}.limits`, faults) }
  }
  return conduits
}

function limitsOf(id: ConduitId, value: unknown, path: string, faults: string[]): Fields {
  const bounds: Readonly<Record<string, readonly [number, number]>> = limitBounds[id]
  const limits = fields(value, path, Object.keys(bounds), faults)
  for (const [name, limit] of Object.entries(limits)) whole(limit, `${path}.${name}`, bounds[name]!, faults)
  for (const [low, high] of orders) {
    if (Number(limits[low]) > Number(limits[high])) faults.push(`${path}.${low}: above ${high}`)
  }
  if (Number(limits.symbolOctets) + datagramHeaderOctets > Number(limits.datagramOctetsMax)) {
    faults.push(`${path}.symbolOctets: above datagramOctetsMax less ${datagramHeaderOctets} of headers`)
  }
  return limits
}

/** Octets of a datagram beside its symbol, the most. */
export const datagramHeaderOctets = 60

/** Pairs of limits of which the first may not exceed the second. */
const orders = [
  ['sessionsPerSourceMax', 'sessionsMax'],
  ['connectionsPerSourceMax', 'connectionsMax'],
] as const

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part)
  return Object.freeze(value)
}
