import { resolve } from 'node:path'
import { type Fields, readConfig } from '#gateway/fields.ts'

/** The receiver's one configuration file. Its address and port are the zones file's. */
export interface MdmConfig {
  zonesFile: string
  /** on 127.0.0.1, for a demo or a test, and which port */
  loopback: { oneway: number } | undefined
  /** folder of the readings, the batches and the quarantine */
  data: string
  /** PEM of the root that the sealer's chain must lead to */
  trustFile: string
  /** octets of the kernel's receive buffer to ask for */
  receiveBufferOctets: number
}

/** @throws ConfigError with everything wrong */
export function parseMdmConfig(text: string, folder: string): Readonly<MdmConfig> {
  return readConfig(text, (fields) => ({
    zonesFile: path(fields, 'zonesFile', folder),
    loopback: fields.optional('loopback', (ports) => ({ oneway: ports.whole('oneway', [0, 65_535]) })),
    data: path(fields, 'data', folder),
    trustFile: path(fields, 'trustFile', folder),
    receiveBufferOctets: fields.whole('receiveBufferOctets', [65_536, 1_073_741_824], 4_194_304),
  }))
}

function path(fields: Fields, key: string, folder: string): string {
  return resolve(folder, fields.text(key, undefined, { pattern: /^[^\0]{1,4096}$/, says: 'a path' }))
}
