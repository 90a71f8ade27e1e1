import assert from 'node:assert/strict'
import { type Family, familyOf, parseNetwork } from './address.ts'
import { addressOf, type Conduit, type HostId, type ZoneId, type Zones } from './zones.ts'

/** Sources remembered by each per-source limit. When full, the limit over all sources still holds. */
const sourcesMax = 65_536
const icmpErrorsPerSecondMax = 50
const logLinesPerMinuteMax = 6

/** A reason to refuse: a counter, a chain of the same name, and the words above it. */
type Reason = readonly [name: string, why: string]

const always: readonly Reason[] = [
  ['from_it', 'the it zone sent something: the one-way link has no way back'],
  ['spoofed', 'the source address does not route back to the interface it came in by'],
  ['invalid', 'belongs to no connection, or quotes a packet that does not, as an error about the one-way link would'],
]

/** Chains whose policy is to drop; what comes to their end is counted and told first. */
const hooks = ['input', 'forward', 'output'] as const

/**
 * The nftables ruleset of the gateway host, for `nft -f`: replaces table `inet ami` in one transaction and touches
 * no other. All that no conduit permits is dropped, counted by reason and logged at a bounded rate.
 * The same zones give the same octets.
 */
export function renderGateway(zones: Zones): string {
  assert(Object.values(zones.conduits).every(({ port }) => port > 0)) // not those of `loopback`
  const services: Conduit[] = Object.values(zones.conduits).filter((one) => one.enabled && one.protocol === 'tcp')
  const reasons = [...always, ...services.flatMap(admissionReasons)]
  const admitted = services.map((one) => `${one.id}_admitted`)
  const sent = zones.conduits.oneway.enabled ? ['oneway_sent'] : []
  return `${[
    '# Rendered from dmz-config/zones.json by `ami dmz render`: edit that, then render again.',
    'table inet ami',
    'delete table inet ami',
    '',
    'table inet ami {',
    ...[...reasons.map(([name]) => name), ...hooks.map((hook) => `refused_${hook}`), ...admitted, ...sent].map(
      (name) => `  counter ${name} { }`,
    ),
    ...services.flatMap((one) => sourceSets(one)),
    ...reasons.flatMap(refusal),
    ...services.flatMap((one) => serviceChains(zones, one)),
    ...prerouting(zones),
    ...input(zones, services),
    ...filter('forward', ['# the gateway host routes nothing']),
    ...notrack(zones),
    ...output(zones, services),
    '}',
  ].join('\n')}\n`
}

function chain(name: string, hook: string, rules: readonly string[]): string[] {
  const lines = hook === '' ? rules : [hook, ...rules]
  return ['', `  chain ${name} {`, ...lines.map((line) => `    ${line}`), '  }']
}

/** Default drop. */
function filter(hook: (typeof hooks)[number], rules: readonly string[]): string[] {
  const policy = `type filter hook ${hook} priority filter; policy drop;`
  return chain(hook, policy, [...rules, '# what no conduit permits', ...tell(`refused_${hook}`)])
}

function tell(name: string): string[] {
  const bound = `limit rate ${logLinesPerMinuteMax}/minute burst ${logLinesPerMinuteMax} packets`
  return [`counter name ${name}`, `${bound} log prefix "ami ${name}: " level warn`]
}

function refusal([name, why]: Reason): string[] {
  return chain(name, '', [`# ${why}`, ...tell(name), 'drop'])
}

function networksOf(zones: Zones, zone: ZoneId, family: Family): string {
  return zones.zones[zone].networks.filter((text) => parseNetwork(text)!.family === family).join(', ')
}

function hostAddress(zones: Zones, host: HostId, family: Family): string | undefined {
  return zones.hosts[host].addresses.find((address) => familyOf(address) === family)
}

const families = [4, 6] as const
const ip = { 4: 'ip', 6: 'ip6' } as const

/** One line for each IP version that both ends of a TCP conduit have. */
function ends(
  zones: Zones,
  one: Conduit,
  line: (match: { peer: string; host: string; ip: string }) => string,
): string[] {
  return families.flatMap((family) => {
    const host = hostAddress(zones, one.to, family)
    const peer = networksOf(zones, one.from as ZoneId, family)
    return host === undefined || peer === '' ? [] : [line({ ip: ip[family], host, peer: `{ ${peer} }` })]
  })
}

/** The firewall's share of a service's limits: connections in all and of one source, and how fast they may come. */
interface Admission {
  countMax: number
  countPerSourceMax: number
  perSecondMax?: number
  perSourcePerMinuteMax?: number
}

function admissionOf(one: Conduit): Admission {
  const limits: Readonly<Record<string, number>> = one.limits
  if (one.id !== 'uplink') {
    return { countMax: limits.connectionsMax!, countPerSourceMax: limits.connectionsPerSourceMax! }
  }
  return {
    countMax: limits.sessionsMax!,
    countPerSourceMax: limits.sessionsPerSourceMax!,
    perSecondMax: limits.handshakesPerSecondMax!,
    perSourcePerMinuteMax: limits.handshakesPerSourcePerMinuteMax!,
  }
}

function admissionReasons(one: Conduit): Reason[] {
  const { perSecondMax } = admissionOf(one)
  const rates: Reason[] = [
    [`${one.id}_source_rate`, `conduit ${one.id}: too many new connections of one source`],
    [`${one.id}_rate`, `conduit ${one.id}: too many new connections of all sources`],
  ]
  return [
    ...(perSecondMax === undefined ? [] : rates),
    [`${one.id}_source_count`, `conduit ${one.id}: too many connections of one source`],
    [`${one.id}_count`, `conduit ${one.id}: too many connections of all sources`],
  ]
}

function sourceSets(one: Conduit): string[] {
  const set = (name: string, family: Family, flags: string): string[] => [
    '',
    `  set ${name}${family} {`,
    `    type ipv${family}_addr`,
    `    size ${sourcesMax}`,
    `    ${flags}`,
    '  }',
  ]
  const rated = admissionOf(one).perSecondMax !== undefined
  return families.flatMap((family) => [
    ...(rated ? set(`${one.id}_source_rate`, family, 'flags dynamic,timeout; timeout 2m;') : []),
    ...set(`${one.id}_source_count`, family, 'flags dynamic'),
  ])
}

/** A source is an IPv4 address or an IPv6 /64, which is what one subscriber line holds. @see RFC 6177 */
const source = { 4: 'ip saddr', 6: 'ip6 saddr & ffff:ffff:ffff:ffff::' } as const

/** The count over all sources comes last: it is the one whose cost grows with the connections open. */
function serviceChains(zones: Zones, one: Conduit): string[] {
  const { countMax, countPerSourceMax, perSecondMax, perSourcePerMinuteMax } = admissionOf(one)
  const perSource = (kind: string, verb: string, bound: string): string[] =>
    families.map((f) => `${verb} @${one.id}_${kind}${f} { ${source[f]} ${bound} } goto ${one.id}_${kind}`)
  const burst = `burst ${perSourcePerMinuteMax} packets`
  const rate = [
    ...perSource('source_rate', 'update', `limit rate over ${perSourcePerMinuteMax}/minute ${burst}`),
    `limit rate over ${perSecondMax}/second burst ${perSecondMax} packets goto ${one.id}_rate`,
  ]
  return [
    ...chain(`${one.id}_new`, '', [
      `# conduit ${one.id}: whether one more connection is within the limits`,
      ...(perSecondMax === undefined ? [] : rate),
      ...perSource('source_count', 'add', `ct count over ${countPerSourceMax}`),
      `ct count over ${countMax} goto ${one.id}_count`,
      `counter name ${one.id}_admitted accept`,
    ]),
    ...chain(one.id, '', [
      `# conduit ${one.id}: ${one.from} opens, ${one.to} at ${addressOf(zones, one.to)} answers`,
      'ct state established ct direction original accept',
      `ct state new tcp flags & (fin | syn | rst | ack) == syn goto ${one.id}_new`,
    ]),
  ]
}

/** Before connection tracking, so that nothing of the it zone can pass as part of a connection. */
function prerouting(zones: Zones): string[] {
  const fromIt = families.flatMap((family) => {
    const networks = networksOf(zones, 'it', family)
    return networks === '' ? [] : [`${ip[family]} saddr { ${networks} } goto from_it`]
  })
  return chain('prerouting', 'type filter hook prerouting priority raw; policy accept;', [
    'iif lo accept',
    '# zone it: conduit oneway has no reverse, not even an ICMP error',
    ...fromIt,
    ...(speaksIpv6(zones) ? ['ip6 saddr :: icmpv6 type nd-neighbor-solicit accept'] : []),
    'fib saddr . iif oif missing goto spoofed',
  ])
}

function speaksIpv6(zones: Zones): boolean {
  return hostAddress(zones, 'gateway', 6) !== undefined
}

function input(zones: Zones, services: readonly Conduit[]): string[] {
  const bound = `limit rate ${icmpErrorsPerSecondMax}/second burst ${icmpErrorsPerSecondMax} packets accept`
  const errors = 'destination-unreachable, time-exceeded, parameter-problem'
  const related = 'ct state related ct original protocol tcp'
  return filter('input', [
    'iif lo accept',
    'ct state invalid goto invalid',
    ...services.flatMap((one) =>
      ends(
        zones,
        one,
        ({ ip, peer, host }) => `${ip} saddr ${peer} ${ip} daddr ${host} tcp dport ${one.port} jump ${one.id}`,
      ),
    ),
    '# path MTU and unreachable peers, for TCP connections only',
    `${related} icmp type { ${errors} } ${bound}`,
    ...(speaksIpv6(zones) ? [`${related} icmpv6 type { packet-too-big, ${errors} } ${bound}`, discovery] : []),
  ])
}

/** Neighbour discovery is what ARP is to IPv4: link-local, unroutable at this hop limit. @see RFC 4861, 7.1 */
const discovery = 'ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept'

function onewayMatches(zones: Zones): string[] {
  const { enabled, port } = zones.conduits.oneway
  return families.flatMap((family) => {
    const from = hostAddress(zones, 'gateway', family)
    const to = hostAddress(zones, 'mdm', family)
    if (!enabled || from === undefined || to === undefined) return []
    return [`${ip[family]} saddr ${from} ${ip[family]} daddr ${to} udp dport ${port}`]
  })
}

/** Untracked, so that no connection exists to which an answer or an error could belong. */
function notrack(zones: Zones): string[] {
  return chain('untracked', 'type filter hook output priority raw; policy accept;', [
    '# conduit oneway: no connection, so nothing can be related to one',
    ...onewayMatches(zones).map((match) => `${match} notrack`),
  ])
}

function output(zones: Zones, services: readonly Conduit[]): string[] {
  return filter('output', [
    'oif lo accept',
    '# conduit oneway: gateway opens, nothing returns',
    ...onewayMatches(zones).map((match) => `${match} counter name oneway_sent accept`),
    '# answers to connections that a peer opened',
    ...services.flatMap((one) =>
      ends(
        zones,
        one,
        ({ ip, peer, host }) =>
          `${ip} saddr ${host} ${ip} daddr ${peer} tcp sport ${one.port} ct state established ct direction reply accept`,
      ),
    ),
    ...(speaksIpv6(zones) ? [discovery, 'ip6 hoplimit 1 icmpv6 type mld2-listener-report accept'] : []),
  ])
}
