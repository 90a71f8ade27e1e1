import { isIP } from 'node:net'
import type { Fields } from './fields.ts'

/** A way for sealed batches beside the datagrams. */
export type CarrierConfig = FilesConfig | TcpConfig

export interface FilesConfig {
  kind: 'files'
  /** that a mover empties; made by the operator, so that nothing is written where a mount is missing */
  folder: string
  /** octets that may lie in it */
  octetsMax: number
}

export interface TcpConfig {
  kind: 'tcp'
  /** the diode's proxy: an IP address, for nothing is looked up */
  host: string
  port: number
}

/** Carriers beside the datagrams, the most. */
export const carriersMax = 4

const folderOctetsDefault = 1_073_741_824

/** `forward.carriers`; none when the key is absent. @param folder that relative paths start from */
export function carrierConfigs(fields: Fields, folder: string): CarrierConfig[] {
  const carriers = fields.objects('carriers', carriersMax, (carrier): CarrierConfig => {
    const kind = carrier.text('kind', undefined, { pattern: /^(files|tcp)$/, says: '"files" or "tcp"' })
    return kind === 'tcp' ? tcp(carrier) : files(carrier, folder)
  })
  if (new Set(carriers.map(carrierName)).size < carriers.length) fields.fault('carriers', 'one twice')
  return carriers
}

function files(fields: Fields, folder: string): FilesConfig {
  const octets = [16_777_216, Number.MAX_SAFE_INTEGER] as const
  return {
    kind: 'files',
    folder: fields.path('folder', folder),
    octetsMax: fields.whole('octetsMax', octets, folderOctetsDefault),
  }
}

function tcp(fields: Fields): TcpConfig {
  const host = fields.text('host')
  if (isIP(host) === 0) fields.fault('host', 'an IP address')
  return { kind: 'tcp', host, port: fields.whole('port', [1, 65_535]) }
}

/** What the log, the status and the ledger call it. */
export function carrierName(carrier: CarrierConfig): string {
  return carrier.kind === 'files' ? `files ${carrier.folder}` : `tcp ${carrier.host} ${carrier.port}`
}
