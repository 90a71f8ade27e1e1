import { dirname, resolve } from 'node:path'
import type { Logger } from 'pino'
import { addressOf, conduit, loopback, parseZones } from '#dmz-config/zones.ts'
import { ConfigError } from '#gateway/errors.ts'
import { type LinkKey, parseLinkKey } from '#gateway/oneway/mac.ts'
import { certificatesFromPem, PkiError } from '#pki/verify.ts'
import { parseMdmConfig } from './config.ts'
import { readEnvelopeKey } from './envelope.ts'
import { openIntakes } from './intakes.ts'
import { openReceiver } from './receive.ts'
import { readSecret, readText } from './secret-file.ts'

export interface Mdm {
  readonly port: number
  /** finishes what has come whole and reports once more */
  stop(): Promise<void>
  /** settles when it cannot store any more, with what the disk said; a later pass of the sender's brings what came meanwhile */
  readonly failed: Promise<Error>
}

const statusIntervalMs = 1_000

/**
 * Starts the receiver by its configuration file.
 * @throws ConfigError with everything wrong in it
 */
export async function startMdm(configFile: string, log: Logger): Promise<Mdm> {
  const config = parseMdmConfig(readText('configuration', configFile), dirname(resolve(configFile)))
  const drawn = parseZones(readText('zonesFile', config.zonesFile))
  const zones = config.loopback === undefined ? drawn : loopback(drawn, config.loopback)
  const roots = trusted(config.trustFile)
  const keys = config.linkKeys.map(readLinkKey)
  const fail = Promise.withResolvers<Error>()
  const onFailure = (error: Error): void => {
    log.error({ event: 'store.failed', folder: config.data, detail: error.message })
    fail.resolve(error)
  }
  const receiver = await openReceiver({
    host: addressOf(zones, 'mdm'),
    port: conduit(zones, 'oneway').port,
    data: config.data,
    roots,
    keys,
    envelopeKeys: config.envelopeKeys.map(readEnvelopeKey),
    receiveBufferOctets: config.receiveBufferOctets,
    log,
    onFailure,
  })
  const intakes = await openIntakes(config.intakes, { keys, take: receiver.take, log, onFailure }).catch(
    async (error) => {
      await receiver.close()
      throw error
    },
  )
  const report = (): void => log.info({ event: 'mdm.status', ...receiver.status(), intakes: intakes.status })
  const timer = setInterval(report, statusIntervalMs)
  log.info({ event: 'mdm.listening', port: receiver.port })
  return {
    port: receiver.port,
    failed: fail.promise,
    stop: async () => {
      clearInterval(timer)
      await intakes.close()
      await receiver.close()
      report()
      log.info({ event: 'mdm.ended' })
    },
  }
}

function trusted(file: string): Uint8Array[] {
  try {
    const roots = certificatesFromPem(readText('trustFile', file))
    if (roots.length === 0) throw new ConfigError([`trustFile: ${file}: no certificate in it`])
    return roots
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    throw new ConfigError([`trustFile: ${file}: ${error.message}`])
  }
}

/** @throws ConfigError; the message holds nothing of the key */
function readLinkKey({ id, file }: { id: number; file: string }): LinkKey {
  return { id, key: parseLinkKey(`linkKeys: ${file}`, readSecret('linkKeys', file)) }
}
