import { join } from 'node:path'
import type { Logger } from 'pino'
import { ConfigError } from '#gateway/errors.ts'
import { type LinkKey, parseLinkKey } from '#gateway/oneway/mac.ts'
import { certificatesFromPem, PkiError } from '#pki/verify.ts'
import { RingAssembler } from './assemble.ts'
import { type MdmConfig, readMdmConfig } from './config.ts'
import { readEnvelopeKey } from './envelope.ts'
import { openIntakes } from './intakes.ts'
import { LinkMonitor } from './link.ts'
import { LinkStore } from './link-store.ts'
import type { MetricsServer } from './metrics.ts'
import { Receiver } from './receive.ts'
import { readSecret, readText } from './secret-file.ts'
import { sinkOf } from './sinks/config.ts'
import { Dispatcher } from './sinks/dispatch.ts'
import { type SpoolerStatus, spoolerStatusFile } from './spool.ts'
import { type AssemblerStatus, type MdmStatus, mdmStatus } from './status.ts'
import { readStatus, StatusFile } from './status-file.ts'
import { BatchStore } from './store.ts'

const statusIntervalMs = 1_000

function assemblerStatusFile(data: string): string {
  return join(data, 'assembler.json')
}

/** What both processes said last of themselves. */
export function readMdmStatus({ data, spool }: Pick<MdmConfig, 'data' | 'spool'>): MdmStatus {
  const spooler = readStatus(spoolerStatusFile(spool.folder)) as SpoolerStatus | undefined
  const assembler = readStatus(assemblerStatusFile(data)) as AssemblerStatus | undefined
  return mdmStatus({ spooler, assembler }, Date.now())
}

export interface RunningAssembler {
  /** @returns whether all that had come whole could be stored */
  stop(): Promise<boolean>
  /** settles on an exception of ours: nothing that it has not finished is passed over at the next start */
  readonly failed: Promise<Error>
}

/**
 * Starts the process that reads the ring, verifies and stores.
 * @throws ConfigError with everything wrong in the configuration
 */
export async function startAssembler(configFile: string, log: Logger): Promise<RunningAssembler> {
  const config = readMdmConfig(configFile)
  const [roots, keys] = [trusted(config.trustFile), config.linkKeys.map(readLinkKey)]
  const sinks = config.sinks.map(sinkOf)
  const store = new BatchStore(config.data)
  const failure = Promise.withResolvers<Error>()
  const onFailure = (error: Error): void => failure.resolve(error)
  const envelopeKeys = config.envelopeKeys.map(readEnvelopeKey)
  const link = new LinkMonitor({ link: new LinkStore(config.data), store, roots, log })
  const receiver = new Receiver({ store, roots, keys, envelopeKeys, link, log, onFailure })
  const intakes = await openIntakes(config.intakes, { keys, take: (bundle) => receiver.take(bundle), log, onFailure })
  const { folder, octets } = config.spool
  const assembler = new RingAssembler({ folder, octetsMax: octets, receiver, log })
  const dispatcher = new Dispatcher({ store, sinks, log })
  const file = new StatusFile(assemblerStatusFile(config.data), log)
  const status = (): AssemblerStatus => ({
    at: Date.now(),
    pid: process.pid,
    ...receiver.status(),
    ring: assembler.status(),
    sinks: dispatcher.status(),
    intakes: intakes.status,
  })
  const report = (): void => {
    const now = status()
    file.write(now)
    log.info({ event: 'mdm.status', ...now })
  }
  const metrics = config.metrics && (await openMetrics(config.metrics, config))
  if (metrics !== undefined) log.info({ event: 'mdm.metrics', port: metrics.port })
  file.write(status())
  const running = assembler.run().catch(onFailure)
  const timer = setInterval(report, statusIntervalMs)
  log.info({ event: 'mdm.assembling', pid: process.pid, position: assembler.status().position })
  return {
    failed: failure.promise,
    stop: async () => {
      clearInterval(timer)
      metrics?.close()
      assembler.stop()
      await Promise.all([intakes.close(), receiver.close()])
      await running
      assembler.close()
      await dispatcher.close()
      report()
      link.close()
      store.close()
      log.info({ event: 'mdm.ended' })
      return receiver.status().storeFailure === undefined
    },
  }
}

/** Loaded only where it is asked for: it takes more memory than all that waits to be verified. */
async function openMetrics(at: { host: string; port: number }, config: MdmConfig): Promise<MetricsServer> {
  const { serveMetrics } = await import('./metrics.ts')
  return serveMetrics(at, () => readMdmStatus(config))
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
