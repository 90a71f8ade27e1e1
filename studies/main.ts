import { readFileSync } from 'node:fs'
import { type AddressInfo, isIPv6 } from 'node:net'
import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'
import { addressOf, conduit, loopback, parseZones, type Zones } from '#dmz-config/zones.ts'
import { ConfigError } from '#gateway/errors.ts'
import { createApi } from './api.ts'
import { parseStudiesConfig, type StudiesConfig } from './config.ts'
import type { Credentials } from './listener.ts'
import { ReleasedStore } from './store.ts'

export interface Studies {
  /** base of every URL: `https://192.0.2.10:8443` */
  address: string
  /** Ends open connections too. */
  close(): Promise<void>
}

/**
 * Starts the service by its configuration file: opens the released cells when they appear and serves them until closed.
 * @throws ConfigError with everything wrong in it
 */
export async function startStudies(configFile: string, log: Logger): Promise<Studies> {
  const config = parseStudiesConfig(read('configuration', configFile), dirname(resolve(configFile)))
  const zones = zonesOf(config)
  const { enabled, port, limits } = conduit(zones, 'studies')
  if (!enabled) throw new ConfigError(['zonesFile: its conduit studies is not enabled'])
  const host = addressOf(zones, 'gateway')
  const credentials = config.tls && loadCredentials(config.tls)
  const store = new ReleasedStore(config.released)
  const now = (): number => performance.now() / 1000
  const names = config.names ?? (config.loopback === undefined ? [bracketed(host)] : [host, 'localhost'])
  const app = createApi({ store, credentials, names, log, now, ...limits })
  try {
    await app.listen({ host, port })
  } catch (cause) {
    await app.close()
    throw new ConfigError([`${config.loopback === undefined ? 'zonesFile' : 'loopback'}: ${(cause as Error).message}`])
  }
  const listening = app.server.address() as AddressInfo
  return {
    address: `${credentials ? 'https' : 'http'}://${bracketed(host)}:${listening.port}`,
    close: async () => {
      await app.close()
      store.close()
    },
  }
}

function zonesOf(config: StudiesConfig): Zones {
  const drawn = parseZones(read('zonesFile', config.zonesFile))
  return config.loopback === undefined ? drawn : loopback(drawn, config.loopback)
}

function loadCredentials({ keyFile, certificateFile }: NonNullable<StudiesConfig['tls']>): Credentials {
  try {
    const credentials = { key: readFileSync(keyFile), cert: readFileSync(certificateFile) }
    createSecureContext(credentials) // says now what else the first client would find
    return credentials
  } catch (cause) {
    throw new ConfigError([`tls: ${(cause as Error).message}`])
  }
}

/** An address as it stands in a URL. */
function bracketed(host: string): string {
  return isIPv6(host) ? `[${host.toLowerCase()}]` : host
}

function read(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`${key}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}
