import { type Fields, readConfig } from '#gateway/fields.ts'
import { keyIdMax } from '#gateway/oneway/mac.ts'
import type { EnvelopeFiles } from './envelope.ts'
import { type IntakeConfig, intakeConfigs } from './intake-config.ts'

/** The receiver's one configuration file. Its address and port are the zones file's. */
export interface MdmConfig {
  zonesFile: string
  /** on 127.0.0.1, for a demo or a test, and which port */
  loopback: { oneway: number } | undefined
  /** folder of the readings, the batches and the quarantine */
  data: string
  /** PEM of the root that the sealer's chain must lead to */
  trustFile: string
  /** keys of the link's MACs by their ids, each 32 octets as 64 hex digits; several while one follows another */
  linkKeys: readonly { id: number; file: string }[]
  /** octets of the kernel's receive buffer to ask for */
  receiveBufferOctets: number
  /** what envelopes are opened with: several while one certificate follows another */
  envelopeKeys: readonly EnvelopeFiles[]
  /** ways in for the same batches beside the datagrams */
  intakes: readonly IntakeConfig[]
}

/** Keys of envelopes, the most. */
const envelopeKeysMax = 8

/** @throws ConfigError with everything wrong */
export function parseMdmConfig(text: string, folder: string): Readonly<MdmConfig> {
  return readConfig(text, (fields) => ({
    zonesFile: fields.path('zonesFile', folder),
    loopback: fields.optional('loopback', (ports) => ({ oneway: ports.whole('oneway', [0, 65_535]) })),
    data: fields.path('data', folder),
    trustFile: fields.path('trustFile', folder),
    linkKeys: linkKeys(fields, folder),
    receiveBufferOctets: fields.whole('receiveBufferOctets', [65_536, 1_073_741_824], 4_194_304),
    envelopeKeys: fields.objects('envelopeKeys', envelopeKeysMax, (key) => ({
      keyFile: key.path('keyFile', folder),
      certificateFile: key.path('certificateFile', folder),
      passphraseFile: key.optionalPath('passphraseFile', folder),
    })),
    intakes: intakeConfigs(fields, folder),
  }))
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
