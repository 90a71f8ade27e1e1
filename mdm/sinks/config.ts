import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { ConfigError } from '#gateway/errors.ts'
import type { Fields } from '#gateway/fields.ts'
import { FileSink } from './files.ts'
import { ParquetSink } from './parquet.ts'
import { type PostgresOptions, PostgresSink } from './postgres.ts'
import type { Sink } from './sink.ts'

/** A file a batch. */
interface FilesConfig {
  kind: 'ndjson' | 'batches'
  name: string
  folder: string
}

interface PostgresConfig {
  kind: 'postgres'
  name: string
  /** a name, an address, or the folder of a Unix socket */
  host: string
  port: number
  database: string
  user: string
  /** mode 600; none where the server asks for none, as on a Unix socket */
  passwordFile: string | undefined
  /** PEM; required unless the server is on this machine */
  tls: { caFile: string; certificateFile: string | undefined; keyFile: string | undefined } | undefined
  statementTimeoutSeconds: number
}

interface ParquetConfig {
  kind: 'parquet'
  name: string
  folder: string
  /** the receiver's */
  data: string
  /** between two parts, the least */
  everySeconds: number
  /** after a day's end, until it becomes one file */
  closeAfterHours: number
}

/** One of the configuration's `sinks`. */
export type SinkConfig = FilesConfig | ParquetConfig | PostgresConfig

export interface Folders {
  /** the configuration file's own */
  folder: string
  /** the receiver's */
  data: string
}

type Build = (fields: Fields, name: string, folders: Folders) => SinkConfig

const builds: Record<SinkConfig['kind'], Build> = {
  ndjson: (fields, name, { folder, data }) => ({
    kind: 'ndjson',
    name,
    folder: fields.optionalPath('folder', folder) ?? data,
  }),
  batches: (fields, name, { folder }) => ({ kind: 'batches', name, folder: fields.path('folder', folder) }),
  parquet: (fields, name, { folder, data }) => ({
    kind: 'parquet',
    name,
    folder: fields.optionalPath('folder', folder) ?? join(data, 'parquet'),
    data,
    everySeconds: fields.whole('everySeconds', [0, 86_400], 300),
    closeAfterHours: fields.whole('closeAfterHours', [0, 720], 6),
  }),
  postgres: (fields, name, { folder }) => postgresConfig(fields, name, folder),
}

/** Sinks of one receiver, the most. */
const sinksMax = 8

/** The list `sinks`: NDJSON in `data` when it is absent. */
export function sinkConfigs(fields: Fields, folders: Folders): SinkConfig[] {
  if (!fields.has('sinks')) return [{ kind: 'ndjson', name: 'ndjson', folder: folders.data }]
  const sinks = fields.objects('sinks', sinksMax, (one) => sinkConfig(one, folders)).filter((one) => one !== undefined)
  if (repeats(sinks.map(({ name }) => name))) fields.fault('sinks', 'a name twice')
  const targets = sinks.flatMap((one) => ('folder' in one ? [`${one.kind} ${one.folder}`] : []))
  if (repeats(targets)) fields.fault('sinks', 'a kind twice in one folder')
  if (targets.includes(`batches ${folders.data}`)) fields.fault('sinks', 'batches: they lie in data already')
  return sinks
}

function repeats(list: readonly string[]): boolean {
  return new Set(list).size < list.length
}

function sinkConfig(fields: Fields, folders: Folders): SinkConfig | undefined {
  const known = Object.keys(builds)
  const kind = fields.text('kind', undefined, { pattern: new RegExp(`^(${known.join('|')})$`), says: known.join(', ') })
  const name = fields.text('name', kind, { pattern: /^[A-Za-z0-9._-]{1,64}$/, says: '1 to 64 of A-Z a-z 0-9 . _ -' })
  return isKind(kind) ? builds[kind](fields, name, folders) : undefined
}

function isKind(text: string): text is SinkConfig['kind'] {
  return Object.hasOwn(builds, text)
}

function postgresConfig(fields: Fields, name: string, folder: string): PostgresConfig {
  const host = fields.text('host', undefined, {
    pattern: /^[\x21-\x7e]{1,255}$/,
    says: 'a name, an address or a folder',
  })
  const text = { pattern: /^[^\0]{1,63}$/, says: '1 to 63 characters' }
  const config: PostgresConfig = {
    kind: 'postgres',
    name,
    host,
    port: fields.whole('port', [1, 65_535], 5_432),
    database: fields.text('database', undefined, text),
    user: fields.text('user', undefined, text),
    passwordFile: fields.optionalPath('passwordFile', folder),
    tls: fields.optional('tls', (tls) => ({
      caFile: tls.path('caFile', folder),
      certificateFile: tls.optionalPath('certificateFile', folder),
      keyFile: tls.optionalPath('keyFile', folder),
    })),
    statementTimeoutSeconds: fields.whole('statementTimeoutSeconds', [1, 3_600], 60),
  }
  if (config.tls === undefined && !onThisMachine(host)) fields.fault('tls', 'required for a server elsewhere')
  if ((config.tls?.certificateFile === undefined) !== (config.tls?.keyFile === undefined)) {
    fields.fault('tls', 'certificateFile and keyFile, both or neither')
  }
  return config
}

function onThisMachine(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** @throws ConfigError when a file that it names cannot be read, or a secret is open to others */
export function sinkOf(config: SinkConfig): Sink {
  if (config.kind === 'parquet') {
    const { name, folder, data, everySeconds, closeAfterHours } = config
    return new ParquetSink(name, {
      folder,
      data,
      everyMs: everySeconds * 1000,
      closeAfterMs: closeAfterHours * 3_600_000,
    })
  }
  if (config.kind === 'postgres') return new PostgresSink(config.name, postgresOptions(config))
  return new FileSink(config.name, config.kind === 'ndjson' ? 'readings' : 'batches', config.folder)
}

function postgresOptions({ passwordFile, tls, statementTimeoutSeconds, ...rest }: PostgresConfig): PostgresOptions {
  const secret = (key: string, file: string | undefined): string | undefined => file && readSecret(key, file)
  return {
    ...rest,
    password: secret('passwordFile', passwordFile)?.replace(/\r?\n$/, ''),
    tls: tls && {
      ca: read('tls.caFile', tls.caFile),
      certificate: tls.certificateFile && read('tls.certificateFile', tls.certificateFile),
      key: secret('tls.keyFile', tls.keyFile),
    },
    statementTimeoutMs: statementTimeoutSeconds * 1000,
  }
}

/** The message holds nothing of the secret. */
function readSecret(key: string, file: string): string {
  const text = read(key, file)
  const mode = statSync(file).mode & 0o777
  if ((mode & 0o077) === 0) return text
  throw new ConfigError([`sinks: ${key}: ${file} is open to others (${mode.toString(8)}): chmod 600`])
}

function read(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`sinks: ${key}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}
