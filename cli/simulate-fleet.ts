import { createSecretKey } from 'node:crypto'
import type { OpenMeter } from '#simulator/commands.ts'
import { protectionsByName } from '#simulator/protections.ts'
import { openSession } from './simulate-meter.ts'

/** Octets of an APDU that a fleet's meters take and send: a day of its load profile needs several. */
const pduOctets = 512

/**
 * A fleet's meter as a server: for the management client HLS 5 under its own keys, with ciphering; for the public one
 * neither.
 */
export const openFleetMeter: OpenMeter = (meter, { client, objects, counters }) => {
  if (client === 'public') return openSession({ authentication: { mechanism: 'lowest' }, pduOctets, objects }, counters)
  const { systemTitle: own, ek, ak, protection } = meter
  const { suite } = protectionsByName[protection]
  const keys = { own, peer: undefined, suite, ek: createSecretKey(ek), ak }
  const authentication = { mechanism: 'high-gmac', ...keys } as const
  const ciphering = { ...keys, protection: 'authenticated-encrypted' } as const
  return openSession({ authentication, ciphering, pduOctets, objects }, counters)
}
