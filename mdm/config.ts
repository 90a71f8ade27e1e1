import { dirname, join, resolve } from 'node:path'
import { type Fields, readConfig } from '#gateway/fields.ts'
import { keyIdMax } from '#gateway/oneway/mac.ts'
import type { EnvelopeFiles } from './envelope.ts'
import { type IntakeConfig, intakeConfigs } from './intake-config.ts'
import { readText } from './secret-file.ts'
import { type SinkConfig, sinkConfigs } from './sinks/config.ts'

/** The receiver's one configuration file. Its address and port are the zones file's. */
export interface MdmConfig {
  zonesFile: string
  /** on 127.0.0.1, for a demo or a test, and which port */
  loopback: { oneway: number } | undefined
  /** folder of the batches and the quarantine, and of the readings unless their sink names another */
  data: string
  /** the ring between spooler and assembler: its folder, and octets of its files, the most */
  spool: { folder: string; octets: number }
  /** PEM of the root that the sealer's chain must lead to */
  trustFile: string
  /** keys of the link's MACs by their ids, each 32 octets as 64 hex digits; several while one follows another */
  linkKeys: readonly { id: number; file: string }[]
  /** octets of the kernel's receive buffer to ask for */
  receiveBufferOctets: number
  /** where verified batches go from `data`; NDJSON beside them unless told otherwise, and none when the list is empty */
  sinks: readonly SinkConfig[]
  /** what envelopes are opened with: several while one certificate follows another */
  envelopeKeys: readonly EnvelopeFiles[]
  /** ways in for the same batches beside the datagrams */
  intakes: readonly IntakeConfig[]
  /** start also when the kernel gives less than 4 MiB */
  allowSmallBuffer: boolean
  /** where Prometheus may ask, on a loopback address */
  metrics: { host: '127.0.0.1' | '::1'; port: number } | undefined
}

/** Keys of envelopes, the most. */
const envelopeKeysMax = 8

const loopbackForm = { pattern: /^(127\.0\.0\.1|::1)$/, says: '127.0.0.1 or ::1' }

/** @throws ConfigError with everything wrong */
export function parseMdmConfig(text: string, folder: string): Readonly<MdmConfig> {
  return readConfig(text, (fields) => {
    const data = fields.path('data', folder)
    return {
      zonesFile: fields.path('zonesFile', folder),
      loopback: fields.optional('loopback', (ports) => ({ oneway: ports.whole('oneway', [0, 65_535]) })),
      data,
      spool: spool(fields, folder, data),
      trustFile: fields.path('trustFile', folder),
      linkKeys: linkKeys(fields, folder),
      sinks: sinkConfigs(fields, { folder, data }),
      envelopeKeys: fields.objects('envelopeKeys', envelopeKeysMax, (key) => ({
        keyFile: key.path('keyFile', folder),
        certificateFile: key.path('certificateFile', folder),
        passphraseFile: key.optionalPath('passphraseFile', folder),
      })),
      intakes: intakeConfigs(fields, folder),
      receiveBufferOctets: fields.whole('receiveBufferOctets', [65_536, 1_073_741_824], 4_194_304),
      allowSmallBuffer: fields.flag('allowSmallBuffer', false),
      metrics: fields.optional('metrics', (metrics) => ({
        host: metrics.text('host', '127.0.0.1', loopbackForm) as '127.0.0.1' | '::1',
        port: metrics.whole('port', [0, 65_535]),
      })),
    }
  })
}

/** Octets of the ring: the least has room for the largest object, the default for three minutes at 50 Mbit/s. */
export const spoolOctets = { min: 16_777_216, default: 1_073_741_824, max: 1_099_511_627_776 } as const

function spool(fields: Fields, folder: string, data: string): MdmConfig['spool'] {
  const { min, max, default: usual } = spoolOctets
  const given = fields.optional('spool', (one) => ({
    folder: one.optionalPath('folder', folder),
    octets: one.whole('octets', [min, max], usual),
  }))
  return { folder: given?.folder ?? join(data, 'spool'), octets: given?.octets ?? usual }
}

function linkKeys(fields: Fields, folder: string): { id: number; file: string }[] {
  const keys = fields.objects('linkKeys', keyIdMax + 1, (key) => ({
    id: key.whole('id', [0, keyIdMax]),
    file: key.path('file', folder),
  }))
  if (keys.length === 0) fields.fault('linkKeys', 'at least one { "id", "file" }')
  if (new Set(keys.map(({ id }) => id)).size < keys.length) fields.fault('linkKeys', 'an id twice')
  return keys
}

/** @throws ConfigError with everything wrong in it */
export function readMdmConfig(configFile: string): Readonly<MdmConfig> {
  return parseMdmConfig(readText('configuration', configFile), dirname(resolve(configFile)))
}
