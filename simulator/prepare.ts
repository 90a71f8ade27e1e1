import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '#gateway/fields.ts'
import type { Pki } from '#pki/store.ts'
import { type FleetSize, makeFleet } from './fleet.ts'

/** What `fleet.json` says: the fleet follows from it. */
export type FleetFile = Required<FleetSize>

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
  }))
}

/**
 * Makes a fleet ready to speak: `fleet.json`, a certificate and key for each concentrator, and `registry.ndjson`, which the
 * gateway imports to know the meters and their keys.
 */
export async function prepareFleet(size: FleetFile, pki: Pki, folder: string): Promise<void> {
  const fleet = makeFleet(size)
  mkdirSync(join(folder, 'concentrators'), { recursive: true, mode: 0o700 })
  writeFileSync(join(folder, 'fleet.json'), `${JSON.stringify(size)}\n`, { mode: 0o600 })
  const lines = fleet.substations.flatMap(({ id: substation, concentrators }) =>
    concentrators.flatMap(({ meters }) =>
      meters.map(({ systemTitle: meter, ek, ak }) => JSON.stringify({ meter, substation, ek: hex(ek), ak: hex(ak) })),
    ),
  )
  writeFileSync(join(folder, 'registry.ndjson'), `${lines.join('\n')}\n`, { mode: 0o600 })
  const ids = fleet.substations.flatMap(({ concentrators }) => concentrators.map(({ id }) => id))
  for (let from = 0; from < ids.length; from += issuedAtOnce)
    await enrol(ids.slice(from, from + issuedAtOnce), pki, folder)
}

async function enrol(ids: readonly string[], pki: Pki, folder: string): Promise<void> {
  const issued = await pki.issueMany(ids.map((id) => ({ profile: 'concentrator', id })))
  for (const [i, { chainPem, privateKeyPem }] of issued.entries()) {
    const path = join(folder, 'concentrators', ids[i]!)
    writeFileSync(`${path}.key.pem`, privateKeyPem!, { mode: 0o600 })
    writeFileSync(`${path}.chain.pem`, chainPem, { mode: 0o600 })
  }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
