import { PkiError } from '../errors.ts'

/** Files in one backup, the most. */
export const filesMax = 100_000
/** A path below the store: plain names, five levels at most. */
const pathPattern = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\/){0,4}[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/
/** Octets of one file's line, the most. */
const lineOctetsMax = 1_024

/** One file of a store, as it was at one moment. */
export interface Filed {
  /** below the store's directory */
  path: string
  octets: number
  /** `octets` of them in all */
  content: AsyncIterable<Uint8Array>
}

/** May it stand in a backup? */
export function isArchivable(path: string): boolean {
  return pathPattern.test(path)
}

/**
 * Files as one stream: for each a line of JSON and then its octets; a last line says how many there were.
 * @throws PkiError `BACKUP_LIMIT`
 */
export async function* pack(files: AsyncIterable<Filed>): AsyncGenerator<Uint8Array> {
  let count = 0
  for await (const { path, octets, content } of files) {
    count += 1
    if (count > filesMax || !isArchivable(path))
      throw new PkiError('BACKUP_LIMIT', `${path}: over ${filesMax} files, or its name`)
    yield Buffer.from(`${JSON.stringify({ path, octets })}\n`)
    let given = 0
    for await (const piece of content) {
      given += piece.length
      yield piece
    }
    if (given !== octets) throw new PkiError('BACKUP_FORM', `${path}: ${given} octets, not ${octets}`)
  }
  yield Buffer.from(`${JSON.stringify({ files: count })}\n`)
}

/** What to do with the files of a stream, in their order. */
export interface Unpacking {
  begin(path: string): Promise<void>
  write(octets: Uint8Array): Promise<void>
  end(): Promise<void>
}

/**
 * Reads what `pack` gives, and nothing else; the octets were authenticated before.
 * @throws PkiError `BACKUP_FORM`
 */
export async function unpack(plain: AsyncIterable<Uint8Array>, files: Unpacking): Promise<void> {
  let line: Buffer = Buffer.alloc(0)
  let left = 0
  let count = 0
  let done = false
  for await (const piece of plain) {
    let rest = Buffer.from(piece)
    while (rest.length > 0) {
      if (done) throw new PkiError('BACKUP_FORM', 'something follows the last file')
      if (left > 0) {
        const part = rest.subarray(0, left)
        await files.write(part)
        rest = rest.subarray(part.length)
        left -= part.length
        if (left === 0) await files.end()
        continue
      }
      const end = rest.indexOf(0x0a)
      line = Buffer.concat([line, end < 0 ? rest : rest.subarray(0, end)])
      if (line.length > lineOctetsMax) throw new PkiError('BACKUP_FORM', 'a line that is too long')
      if (end < 0) break
      rest = rest.subarray(end + 1)
      const next = parseLine(line)
      line = Buffer.alloc(0)
      done = 'files' in next
      if ('files' in next && next.files !== count) throw new PkiError('BACKUP_FORM', `${count} files of ${next.files}`)
      if ('files' in next) continue
      count += 1
      left = next.octets
      await files.begin(next.path)
      if (left === 0) await files.end()
    }
  }
  if (!done) throw new PkiError('BACKUP_FORM', 'the last file is missing')
}

function parseLine(line: Buffer): { path: string; octets: number } | { files: number } {
  const { path, octets, files } = parseJson(line)
  if (files !== undefined) return { files }
  if (!isArchivable(String(path)) || !Number.isSafeInteger(octets) || octets! < 0) {
    throw new PkiError('BACKUP_FORM', 'a file of no name or size that may be')
  }
  return { path: path!, octets: octets! }
}

function parseJson(line: Buffer): { path?: string; octets?: number; files?: number } {
  try {
    return { ...JSON.parse(line.toString('utf8')) }
  } catch (cause) {
    throw new PkiError('BACKUP_FORM', 'a line that is not JSON', { cause })
  }
}
