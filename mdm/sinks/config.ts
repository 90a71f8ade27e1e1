import type { Fields } from '#gateway/fields.ts'
import { FileSink } from './files.ts'
import type { Sink } from './sink.ts'

/** One of the configuration's `sinks`; what it needs beside its kind and name is its kind's. */
export type SinkConfig =
  | { kind: 'ndjson'; name: string; folder: string }
  | { kind: 'batches'; name: string; folder: string }

type Kind = SinkConfig['kind']

const kinds: Record<Kind, (fields: Fields, name: string, folders: Folders) => SinkConfig> = {
  ndjson: (fields, name, { folder, data }) => ({
    kind: 'ndjson',
    name,
    folder: fields.optionalPath('folder', folder) ?? data,
  }),
  batches: (fields, name, { folder }) => ({ kind: 'batches', name, folder: fields.path('folder', folder) }),
}

export interface Folders {
  /** the configuration file's own */
  folder: string
  /** the receiver's */
  data: string
}

/** Sinks of one receiver, the most. */
const sinksMax = 8

/** The list `sinks`: NDJSON in `data` when it is absent. */
export function sinkConfigs(fields: Fields, folders: Folders): SinkConfig[] {
  if (!fields.has('sinks')) return [{ kind: 'ndjson', name: 'ndjson', folder: folders.data }]
  const sinks = fields.objects('sinks', sinksMax, (one) => sinkConfig(one, folders)).filter((one) => one !== undefined)
  if (new Set(sinks.map(({ name }) => name)).size < sinks.length) fields.fault('sinks', 'a name twice')
  for (const one of sinks) {
    if (one.kind === 'batches' && one.folder === folders.data)
      fields.fault('sinks', 'batches: they lie in data already')
  }
  return sinks
}

function sinkConfig(fields: Fields, folders: Folders): SinkConfig | undefined {
  const kind = fields.text('kind', undefined, { pattern: /^(ndjson|batches)$/, says: 'ndjson or batches' })
  const name = fields.text('name', kind, { pattern: /^[A-Za-z0-9._-]{1,64}$/, says: '1 to 64 of A-Z a-z 0-9 . _ -' })
  return isKind(kind) ? kinds[kind](fields, name, folders) : undefined
}

function isKind(text: string): text is Kind {
  return Object.hasOwn(kinds, text)
}

export function sinkOf(config: SinkConfig): Sink {
  const { kind, name, folder } = config
  return new FileSink(name, kind === 'ndjson' ? 'readings' : 'batches', folder)
}
