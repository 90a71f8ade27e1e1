import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renderGateway } from '#dmz-config/render.ts'
import { defaultZonesFile, parseZones } from '#dmz-config/zones.ts'
import { Lab, whyNoLab } from './lab.ts'

const reason = whyNoLab()
const rules = renderGateway(parseZones(readFileSync(defaultZonesFile, 'utf8')))
const gateway = ['192.0.2.10', '2001:db8:d::10'] as const
const mdm = ['192.0.2.140', '2001:db8:1::140'] as const
const field = ['198.51.100.5', '2001:db8:f::5'] as const
const crowd = ['198.51.100.6', '2001:db8:f:6::6'] as const
const research = ['203.0.113.7', '2001:db8:2::7'] as const
const ports = [22, 8443, 8883, 9443, 9700] as const

if (reason !== undefined && process.env.CI !== undefined) {
  test('packets are tried in CI', () => expect(reason).toBeUndefined())
}

describe.skipIf(reason !== undefined)(
  `packets through the rendered rules${reason ? ` (skipped: ${reason})` : ''}`,
  () => {
    const lab = new Lab()

    beforeAll(async () => {
      lab.add('gw', ...gateway)
      for (const [name, addresses] of Object.entries({ field, crowd, research, mdm })) {
        lab.add(name, ...addresses)
        lab.join('gw', gateway, name, addresses)
      }
      lab.route('field', mdm[0], gateway[0], 'gw')
      lab.forwardIpv4('gw')
      lab.load('gw', rules)
      await lab.listenTcp('gw', ports)
    })

    afterAll(() => lab.close())

    test.for(gateway)('the field reaches the uplink of %s and no other port', async (address) => {
      const outcomes = await Promise.all(ports.map((port) => lab.connect('field', address, port)))
      expect(Object.fromEntries(ports.map((port, index) => [port, outcomes[index]![0]]))).toEqual({
        22: 'silence',
        8443: 'silence',
        8883: 'open',
        9443: 'silence',
        9700: 'silence',
      })
      expect(lab.counter('gw', 'refused_input')).toBeGreaterThanOrEqual(4)
      expect(lab.counter('gw', 'uplink_admitted')).toBeGreaterThanOrEqual(1)
    })

    test('the research zone reaches the studies and not the uplink', async () => {
      const outcomes = await Promise.all([8443, 8883].map((port) => lab.connect('research', gateway[0], port)))
      expect(outcomes).toEqual([['open'], ['silence']])
    })

    test('one source may hold four sessions, a fifth is dropped and counted', async () => {
      const outcomes = await lab.connect('crowd', gateway[0], 8883, 5)
      expect(outcomes.sort()).toEqual(['open', 'open', 'open', 'open', 'silence'])
      expect(lab.counter('gw', 'uplink_source_count')).toBeGreaterThanOrEqual(1)
    })

    test.for([0, 1] as const)(
      'a datagram to the MDM passes, and one from it is dropped and counted (IPv%i)',
      async (version) => {
        const received = await lab.listenUdp('mdm', mdm[version], 9700)
        const back = await lab.listenUdp('gw', gateway[version], 9701)
        expect(await lab.send('gw', mdm[version], 9700, 'sealed')).toBe('sent')
        await expect.poll(received).toEqual([`${gateway[version]} sealed`])
        const before = lab.counter('gw', 'from_it')
        await lab.send('mdm', gateway[version], 9701, 'hello')
        expect(lab.counter('gw', 'from_it')).toBe(before + 1)
        expect(back()).toEqual([])
      },
    )

    test('an ICMP error of the MDM about the one-way link is dropped and counted', async () => {
      const quiet = renderGateway(parseZones(readFileSync(defaultZonesFile, 'utf8').replace('9700', '9799')))
      lab.load('gw', quiet)
      expect(await lab.send('gw', mdm[0], 9799, 'to a closed port')).toBe('sent')
      await expect.poll(() => lab.counter('gw', 'from_it')).toBe(1)
      lab.load('gw', rules)
    })

    test('the MDM opens no connection to the gateway', async () => {
      const before = lab.counter('gw', 'from_it')
      expect(await lab.connect('mdm', gateway[0], 8883)).toEqual(['silence'])
      expect(lab.counter('gw', 'from_it')).toBeGreaterThan(before)
    })

    test('the gateway opens nothing but the one-way link', async () => {
      expect(await lab.connect('gw', field[0], 8883)).toEqual(['silence'])
      expect(await lab.send('gw', mdm[0], 53, 'query')).toBe('EPERM')
      expect(lab.counter('gw', 'refused_output')).toBeGreaterThanOrEqual(2)
    })

    test('nothing is routed between zones, even where the kernel would', async () => {
      expect(await lab.send('field', mdm[0], 9700, 'past the gateway')).toBe('sent')
      expect(lab.counter('gw', 'refused_forward')).toBe(1)
    })

    test('a source address of another zone is dropped as spoofed', async () => {
      lab.add('liar', research[0])
      lab.join('gw', gateway, 'liar', [])
      expect(await lab.connect('liar', gateway[0], 8443)).toEqual(['silence'])
      expect(lab.counter('gw', 'spoofed')).toBeGreaterThanOrEqual(1)
    })

    test('the same probes see a port that a lax default would open', async () => {
      lab.load('gw', rules.replaceAll('policy drop;', 'policy accept;'))
      expect(await lab.connect('field', gateway[0], 22)).toEqual(['open'])
      lab.load('gw', rules)
      expect(await lab.connect('field', gateway[0], 22)).toEqual(['silence'])
    })
  },
)
