import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '#gateway/fields.ts'
import type { ConcentratorId } from '#gateway/model.ts'
import type { Pki } from '#pki/store.ts'
import { type FleetSize, makeFleet, type SimulatedMeter } from './fleet.ts'
import { isProtectionName, protectionNames } from './protections.ts'
import { registryFields } from './secrets.ts'

/** What `fleet.json` says: the fleet follows from it. */
export type FleetFile = Required<Omit<FleetSize, 'protection'>> & Pick<FleetSize, 'protection'>

/** Certificates asked of the PKI at one time. */
const issuedAtOnce = 500

/** @throws ConfigError */
export function parseFleetFile(text: string): Readonly<FleetFile> {
  return readConfig(text, (fields) => ({
    seed: fields.whole('seed', [0, 4_294_967_295]),
    substations: fields.whole('substations', [1, 999]),
    concentrators: fields.whole('concentrators', [1, 99_999]),
    meters: fields.whole('meters', [1, 10_000_000]),
    smallSubstation: fields.flag('smallSubstation', false),
    protection: fields.optionalTexts('protection', protectionForm)?.filter(isProtectionName),
  }))
}

const protectionForm = { pattern: new RegExp(`^(${protectionNames.join('|')})$`), says: protectionNames.join(', ') }

/**
 * Makes a fleet ready to speak: `fleet.json`, a certificate and key for each concentrator, and `registry.ndjson`, which the
 * gateway imports to know the meters and their keys.
 */
export async function prepareFleet(size: FleetFile, pki: Pki, folder: string): Promise<void> {
  const ids = writeFleet(size, folder)
  for (let from = 0; from < ids.length; from += issuedAtOnce)
    await enrol(ids.slice(from, from + issuedAtOnce), pki, folder)
}

/** All of that but the certificates. @returns the concentrators */
export function writeFleet(size: FleetFile, folder: string): ConcentratorId[] {
  const fleet = makeFleet(size)
  mkdirSync(join(folder, 'concentrators'), { recursive: true, mode: 0o700 })
  writeFileSync(join(folder, 'fleet.json'), `${JSON.stringify(size)}\n`, { mode: 0o600 })
  const lines = fleet.substations.flatMap(({ id: substation, concentrators }) =>
    concentrators.flatMap(({ meters }) => meters.map((meter) => JSON.stringify(registryLine(meter, substation)))),
  )
  writeFileSync(join(folder, 'registry.ndjson'), `${lines.join('\n')}\n`, { mode: 0o600 })
  return fleet.substations.flatMap(({ concentrators }) => concentrators.map(({ id }) => id))
}

/** Where a concentrator's key and its chain lie in a fleet's folder. */
export function credentialFiles(folder: string, id: string): { key: string; chain: string } {
  const path = join(folder, 'concentrators', id)
  return { key: `${path}.key.pem`, chain: `${path}.chain.pem` }
}

async function enrol(ids: readonly string[], pki: Pki, folder: string): Promise<void> {
  const issued = await pki.issueMany(ids.map((id) => ({ profile: 'concentrator', id })))
  for (const [i, { chainPem, privateKeyPem }] of issued.entries()) {
    const { key, chain } = credentialFiles(folder, ids[i]!)
    writeFileSync(key, privateKeyPem!, { mode: 0o600 })
    writeFileSync(chain, chainPem, { mode: 0o600 })
  }
}

/** What `ami gateway import` takes of a meter, as an object. */
export function registryLine(
  { systemTitle: meter, ek, ak, protection, secrets }: SimulatedMeter,
  substation: string,
): Record<string, unknown> {
  return { meter, substation, ek: hex(ek), ak: hex(ak), ...registryFields(protection, secrets) }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
