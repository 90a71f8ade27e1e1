import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { PkiError } from '../errors.ts'
import { entryOctetsMax } from './entry.ts'
import { type Digest, digestOctets, type NodeReader, nodePosition } from './merkle.ts'

/** What lies in a log's directory, mode 0600: `hashes` follows from `entries` and is made anew where it is not in order. */
export const auditFiles = {
  entries: 'entries.ndjson',
  hashes: 'hashes.bin',
  checkpoints: 'checkpoints.txt',
  lock: 'lock',
} as const

/** Octets read at once. */
const chunkOctets = 1 << 20

/** A file's octets from an offset to another, or to its end, in pieces that are good until the next one is asked for. */
export function* readChunks(descriptor: number, from = 0, to: number = Number.MAX_SAFE_INTEGER): Generator<Uint8Array> {
  const buffer = Buffer.alloc(chunkOctets)
  for (let at = from; ; ) {
    const count = readSync(descriptor, buffer, 0, Math.min(chunkOctets, to - at), at)
    if (count === 0) return
    at += count
    yield buffer.subarray(0, count)
  }
}

/**
 * Whole lines, without their line feed; what stands behind the last one is left out.
 * @throws PkiError `AUDIT_CORRUPT` for a line over `entryOctetsMax`
 */
export function* readLines(descriptor: number, from = 0): Generator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0)
  for (const chunk of readChunks(descriptor, from)) {
    const octets = Buffer.concat([rest, chunk])
    let start = 0
    for (let end = octets.indexOf(0x0a); end >= 0; end = octets.indexOf(0x0a, start)) {
      yield within(octets.subarray(start, end))
      start = end + 1
    }
    rest = within(octets.subarray(start))
  }
}

/** What `read` makes of the last line that it makes anything of, sought backwards from the end of a line. */
export function lastLine<T>(descriptor: number, end: number, read: (line: Uint8Array) => T | undefined): T | undefined {
  for (let behind = end; behind > 0; ) {
    const from = Math.max(0, behind - 1 - entryOctetsMax)
    const octets = Buffer.alloc(behind - 1 - from)
    readSync(descriptor, octets, 0, octets.length, from)
    const start = octets.lastIndexOf(0x0a) + 1
    if (start === 0 && from > 0) throw new PkiError('AUDIT_CORRUPT', `a line of over ${entryOctetsMax} octets`)
    const found = read(octets.subarray(start))
    if (found !== undefined) return found
    behind = from + start
  }
  return undefined
}

function within(line: Uint8Array): Uint8Array {
  if (line.length > entryOctetsMax) throw new PkiError('AUDIT_CORRUPT', `a line of over ${entryOctetsMax} octets`)
  return line
}

/** A file of hashes, as much of it as there is when this is called, in pieces of one; the last may be shorter. */
export function readHashes(descriptor: number): Iterable<Uint8Array> {
  return pieces(readChunks(descriptor, 0, fstatSync(descriptor).size))
}

function* pieces(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += digestOctets) yield chunk.subarray(at, at + digestOctets)
  }
}

/** Subtree hashes out of a hash file. @throws PkiError `AUDIT_CORRUPT` from the reader, where the file is too short */
export function nodeReader(descriptor: number): NodeReader {
  return (level, index) => {
    const digest: Digest = Buffer.alloc(digestOctets)
    const count = readSync(descriptor, digest, 0, digestOctets, nodePosition(level, index) * digestOctets)
    if (count < digestOctets) throw new PkiError('AUDIT_CORRUPT', 'the file of hashes ends early')
    return digest
  }
}

/** For reading only; closed when `use` is done. @throws PkiError `STORE_MISSING` when there is no log in the directory */
export function reading<T>(dir: string, name: keyof typeof auditFiles, use: (descriptor: number) => T): T {
  const path = join(dir, auditFiles[name])
  if (!existsSync(path)) throw new PkiError('STORE_MISSING', `${path}: no such file`)
  const descriptor = openSync(path, 'r')
  try {
    return use(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
