import type { Logger } from 'pino'
import { addressOf, conduit, loopback, parseZones } from '#dmz-config/zones.ts'
import { readMdmConfig } from './config.ts'
import { readText } from './secret-file.ts'
import { Spooler } from './spool.ts'

/**
 * Starts the process that receives. It loads nothing that verifies, and no key.
 * @param allowSmallBuffer as if the configuration said so
 * @throws ConfigError with everything wrong in the configuration; `RECEIVE_BUFFER`
 */
export async function startSpooler(configFile: string, log: Logger, allowSmallBuffer: boolean): Promise<Spooler> {
  const config = readMdmConfig(configFile)
  const drawn = parseZones(readText('zonesFile', config.zonesFile))
  const zones = config.loopback === undefined ? drawn : loopback(drawn, config.loopback)
  const spooler = await Spooler.open({
    host: addressOf(zones, 'mdm'),
    port: conduit(zones, 'oneway').port,
    folder: config.spool.folder,
    octetsMax: config.spool.octets,
    receiveBufferOctets: config.receiveBufferOctets,
    allowSmallBuffer: config.allowSmallBuffer || allowSmallBuffer,
    log,
  })
  log.info({ event: 'mdm.listening', port: spooler.port })
  return spooler
}
