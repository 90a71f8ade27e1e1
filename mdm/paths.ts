import { join } from 'node:path'

/** What a file a batch holds: lines of readings, or the batch as it was sealed. */
export type FileKind = 'readings' | 'batches'

const endings: Record<FileKind, string> = { readings: 'ndjson', batches: 'batch' }

/** `0000000007/readings/000000000/000000000001.ndjson`: a thousand sequences a folder. */
export function batchPath(kind: FileKind, epoch: number, sequence: number): string {
  const name = String(sequence).padStart(12, '0')
  return join(epochFolder(epoch), kind, name.slice(0, 9), `${name}.${endings[kind]}`)
}

/** A stream's own folder. */
export function epochFolder(epoch: number): string {
  return String(epoch).padStart(10, '0')
}

/** @returns undefined for the name of anything else */
export function epochOf(folderName: string): number | undefined {
  return /^\d{10}$/.test(folderName) ? Number(folderName) : undefined
}

/** @returns undefined for the name of anything else, a file that is half written among them */
export function sequenceOf(kind: FileKind, fileName: string): number | undefined {
  const [digits = '', ending] = fileName.split(/\.(.*)/, 2)
  return /^\d{12,16}$/.test(digits) && ending === endings[kind] ? Number(digits) : undefined
}
