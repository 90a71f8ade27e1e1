import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mainFile } from '#cli/demo/layout.ts'
import { defaultZonesFile, parseZones, type Zones } from '#dmz-config/zones.ts'
import { initPki, openPki } from '#pki/store.ts'
import { makeFleet } from '#simulator/fleet.ts'
import { type FleetFile, prepareFleet } from '#simulator/prepare.ts'
import { Unavailable } from './mosquitto.ts'
import type { Endpoint } from './session.ts'

/** What all runs share, in one folder on a real disk: a throwaway PKI, a fleet with its certificates, the zones. */
export interface Lab {
  folder: string
  keyFile: string
  certificateFile: string
  trustFile: string
  /** the Device CA and the root */
  deviceTrustFile: string
  crlFile: string
  fleet: FleetFile
  /** of the concentrators, one session each */
  ids: string[]
  zones: Zones
  endpoint(port: number): Endpoint
}

const zonesFile = fileURLToPath(defaultZonesFile)
const servername = 'gateway.ami.test'
/** @see statfs(2), TMPFS_MAGIC */
const tmpfs = 0x01021994
/** Meters of each concentrator. */
const metersEach = 20

/** @throws Unavailable when every temporary folder lies in memory: syncing there costs nothing and says nothing */
export async function openLab(sessions: number): Promise<Lab> {
  const place = [tmpdir(), '/var/tmp', process.cwd()].find((folder) => statfsSync(folder).type !== tmpfs)
  if (place === undefined) throw new Unavailable('no temporary folder on a disk')
  const folder = mkdtempSync(join(place, 'ami-bench-'))
  const fleet = {
    seed: 1,
    substations: Math.min(40, sessions),
    concentrators: sessions,
    meters: sessions * metersEach,
    smallSubstation: false,
  }
  const { crlFile, deviceTrustFile } = await enrol(folder, fleet)
  const trustFile = join(folder, 'pki', 'root.pem')
  return {
    folder,
    keyFile: join(folder, 'tls.key.pem'),
    certificateFile: join(folder, 'tls.chain.pem'),
    trustFile,
    deviceTrustFile,
    crlFile,
    fleet,
    ids: makeFleet(fleet).substations.flatMap(({ concentrators }) => concentrators.map(({ id }) => id)),
    zones: parseZones(readFileSync(defaultZonesFile, 'utf8')),
    endpoint: (port) => ({ port, servername, trustFile, credentials: join(folder, 'fleet', 'concentrators') }),
  }
}

async function enrol(folder: string, fleet: FleetFile): Promise<{ crlFile: string; deviceTrustFile: string }> {
  const passphraseFile = join(folder, 'passphrase')
  writeFileSync(passphraseFile, `${randomBytes(24).toString('base64')}\n`, { mode: 0o600 })
  for (const name of ['kek', 'link.key']) {
    writeFileSync(join(folder, name), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  }
  const dir = join(folder, 'pki')
  await initPki({ dir, passphraseFile })
  const pki = await openPki({ dir, passphraseFile })
  const tls = await pki.issue({ profile: 'gateway', id: 'gateway', names: { dns: [servername], ip: ['127.0.0.1'] } })
  const sealer = await pki.issue({ profile: 'sealer', id: 'gateway' })
  for (const [name, { privateKeyPem, chainPem }] of Object.entries({ tls, sealer })) {
    writeFileSync(join(folder, `${name}.key.pem`), privateKeyPem!, { mode: 0o600 })
    writeFileSync(join(folder, `${name}.chain.pem`), chainPem)
  }
  await prepareFleet(fleet, pki, join(folder, 'fleet'))
  await pki.close()
  return { crlFile: pki.crlFile, deviceTrustFile: pki.trustFile('device') }
}

/** An MDM of its own in `name`. @returns its configuration, on a port that the system chooses, and its data folder */
export function layOutMdm({ folder, trustFile }: Lab, name: string): { config: string; data: string } {
  mkdirSync(join(folder, name))
  const [config, data] = [join(folder, name, 'mdm.json'), join(folder, name, 'mdm')]
  const linkKeys = [{ id: 0, file: join(folder, 'link.key') }]
  writeFileSync(
    config,
    JSON.stringify({ zonesFile, loopback: { oneway: 0 }, data, trustFile, linkKeys, allowSmallBuffer: true }),
  )
  return { config, data }
}

/** No day closes while the clock runs: cells are another path's cost. */
const graceSeconds = 30 * 86_400

/** A gateway of its own in `name`, with nothing in it but the fleet's registry. @returns its configuration */
export function layOutGateway({ folder, deviceTrustFile, crlFile }: Lab, name: string, mdmPort: number): string {
  const config = join(folder, name, 'gateway.json')
  mkdirSync(join(folder, name, 'gateway'), { mode: 0o700 })
  const shared = (file: string): string => join(folder, file)
  const gateway = {
    zonesFile,
    loopback: { uplink: 0, oneway: mdmPort },
    data: 'gateway',
    tls: {
      keyFile: shared('tls.key.pem'),
      certificateFile: shared('tls.chain.pem'),
      trustFile: deviceTrustFile,
      crlFile,
    },
    sealer: { keyFile: shared('sealer.key.pem'), certificateFile: shared('sealer.chain.pem') },
    kekFile: shared('kek'),
    linkKey: { id: 0, file: shared('link.key') },
    seal: { intervalMs: 1_000 },
    forward: { passesAfterMs: [0, 2_000, 30_000] },
    release: { graceSeconds },
  }
  writeFileSync(config, JSON.stringify(gateway))
  const args = [mainFile, 'gateway', 'import', '--config', config, shared('fleet/registry.ndjson')]
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`gateway import ended with ${status}: ${stderr}`)
  return config
}
