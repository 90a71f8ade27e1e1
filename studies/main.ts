import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'
import { ConfigError } from '#gateway/errors.ts'
import { createApi } from './api.ts'
import { bracketed, type StudiesConfig } from './config.ts'
import type { Credentials } from './listener.ts'
import { ReleasedStore } from './store.ts'

export interface Studies {
  /** base of every URL: `http://127.0.0.1:8080` */
  address: string
  /** Ends open connections too. */
  close(): Promise<void>
}

/** Opens the released cells when they appear and serves them until closed. @throws ConfigError */
export async function startStudies({ config, log }: { config: StudiesConfig; log: Logger }): Promise<Studies> {
  const credentials = config.tls && loadCredentials(config.tls)
  const store = new ReleasedStore(config.released)
  const now = (): number => performance.now() / 1000
  const app = createApi({ store, credentials, names: config.names, log, now })
  try {
    await app.listen({ host: config.host, port: config.port })
  } catch (cause) {
    await app.close()
    throw new ConfigError([`host, port: ${(cause as Error).message}`])
  }
  const { port } = app.server.address() as AddressInfo
  return {
    address: `${credentials ? 'https' : 'http'}://${bracketed(config.host)}:${port}`,
    close: async () => {
      await app.close()
      store.close()
    },
  }
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
