import type { Position } from './position.ts'
import { union } from './ranges.ts'
import { type Range, SinkError } from './sink.ts'

/** One file of a day. */
export interface PartFile {
  /** its name in the day's folder */
  file: string
  rows: number
  /** batches that it holds readings of, by stream */
  batches: Streams
}

/** Closed ranges of sequences by epoch. */
export type Streams = Record<string, readonly Range[]>

/** Which files count, and which batches are in them: replaced whole, so that both change together. */
export interface Manifest {
  version: 1
  /** number of the next file: no name is used twice */
  next: number
  streams: Streams
  /** by day, `2026-01-12` */
  days: Record<string, readonly PartFile[]>
}

export const emptyManifest: Manifest = { version: 1, next: 1, streams: {}, days: {} }

/** @throws SinkError `SINK_SCHEMA` for one of another version, `SINK_FAILED` for none */
export function parseManifest(text: string): Manifest {
  let manifest: Partial<Manifest>
  try {
    manifest = JSON.parse(text) as Partial<Manifest>
  } catch (cause) {
    throw new SinkError('SINK_FAILED', 'the manifest is not JSON', { cause })
  }
  if (manifest.version !== 1) throw new SinkError('SINK_SCHEMA', 'a manifest of another version')
  return manifest as Manifest
}

export function streamsOf(position: Position): Streams {
  return Object.fromEntries(position.epochs().map((epoch) => [epoch, position.held(epoch)]))
}

export function unionOf(...all: readonly Streams[]): Streams {
  const epochs = new Set(all.flatMap((streams) => Object.keys(streams)))
  return Object.fromEntries([...epochs].map((epoch) => [epoch, union(...all.map((streams) => streams[epoch] ?? []))]))
}

/** A day as one file: once it is closed and came in parts, and again when many came late. */
export function isToCompact(files: readonly PartFile[]): boolean {
  const compacted = files.some(({ file }) => file.startsWith('day-'))
  return files.length > (compacted ? 1 + lateFilesMax : 1)
}

/** Files that stand beside a day's file, the most: a day is not written anew for each late reading. */
const lateFilesMax = 16
