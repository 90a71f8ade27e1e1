import { readConfig } from '#gateway/fields.ts'

/** The service's one configuration file. Its address, port and conduit's limits are the zones file's. */
export interface StudiesConfig {
  zonesFile: string
  /** plain HTTP on 127.0.0.1, for a demo or a test, and which port; 0 lets the system choose */
  loopback: { studies: number } | undefined
  /** path of the gateway's released cells */
  released: string
  /** what the Host header field may name, lower case, without port; undefined: the address it listens on */
  names: readonly string[] | undefined
  /** PEM files; present exactly when `loopback` is not */
  tls: { keyFile: string; certificateFile: string } | undefined
}

const hostName = {
  pattern: /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])$/i,
  says: 'a host name or an address, without port',
}

/**
 * @param folder that relative paths start from: the file's own
 * @throws ConfigError with everything wrong
 */
export function parseStudiesConfig(text: string, folder: string): Readonly<StudiesConfig> {
  return readConfig(text, (fields) => {
    const config = {
      zonesFile: fields.path('zonesFile', folder),
      loopback: fields.optional('loopback', (ports) => ({ studies: ports.whole('studies', [0, 65_535]) })),
      released: fields.path('released', folder),
      names: fields.optionalTexts('names', hostName)?.map((name) => name.toLowerCase()),
      tls: fields.optional('tls', (tls) => ({
        keyFile: tls.path('keyFile', folder),
        certificateFile: tls.path('certificateFile', folder),
      })),
    }
    if (config.loopback === undefined && config.tls === undefined) fields.fault('tls', 'required without loopback')
    if (config.loopback !== undefined && config.tls !== undefined) {
      fields.fault('tls', 'not with loopback, which is plain HTTP')
    }
    return config
  })
}
