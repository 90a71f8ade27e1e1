import { isIP } from 'node:net'
import type { Fields } from '#gateway/fields.ts'

/** A way in for sealed batches beside the datagrams. */
export type IntakeConfig = FilesIntakeConfig | TcpIntakeConfig

export interface FilesIntakeConfig {
  kind: 'files'
  /** that a mover fills; made by the operator */
  folder: string
  /** from the end of one look to the next */
  pollMs: number
  /** a file that has not changed for so long is read */
  stableMs: number
}

export interface TcpIntakeConfig {
  kind: 'tcp'
  /** our own address, at which the diode's proxy delivers */
  host: string
  port: number
}

/** Intakes, the most. */
export const intakesMax = 8

const pollDefaultMs = 1_000
const stableDefaultMs = 2_000

/** `intakes`; none when the key is absent. @param folder that relative paths start from */
export function intakeConfigs(fields: Fields, folder: string): IntakeConfig[] {
  const intakes = fields.objects('intakes', intakesMax, (intake): IntakeConfig => {
    const kind = intake.text('kind', undefined, { pattern: /^(files|tcp)$/, says: '"files" or "tcp"' })
    return kind === 'tcp' ? tcp(intake) : files(intake, folder)
  })
  const names = intakes.map((one) => (one.kind === 'files' ? one.folder : `${one.host} ${one.port}`))
  if (new Set(names).size < names.length) fields.fault('intakes', 'one twice')
  return intakes
}

function files(fields: Fields, folder: string): FilesIntakeConfig {
  return {
    kind: 'files',
    folder: fields.path('folder', folder),
    pollMs: fields.whole('pollMs', [10, 60_000], pollDefaultMs),
    stableMs: fields.whole('stableMs', [0, 600_000], stableDefaultMs),
  }
}

function tcp(fields: Fields): TcpIntakeConfig {
  const host = fields.text('host')
  if (isIP(host) === 0) fields.fault('host', 'an IP address')
  return { kind: 'tcp', host, port: fields.whole('port', [1, 65_535]) }
}
