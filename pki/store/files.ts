import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PkiError } from '../errors.ts'

/** Replaces a file so that a crash leaves the old one or the new one, whole: temporary file, fsync, rename, fsync. */
export function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  return writeOctetsDurably(path, Buffer.from(text), mode)
}

/** As `writeDurably`. */
export async function writeOctetsDurably(path: string, octets: Uint8Array, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  const file = await open(temporary, 'wx', mode)
  try {
    await file.writeFile(octets)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** Makes what was created or renamed in a directory survive a crash. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** A directory that only its owner may enter. */
export async function makePrivate(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
}

/** @throws PkiError `STORE_MISSING` naming the file */
export function readText(path: string): Promise<string> {
  return present(path, readFile(path, 'utf8'))
}

/** The permission bits, 0 to 0o777. @throws PkiError `STORE_MISSING` naming the file */
export async function readMode(path: string): Promise<number> {
  return (await present(path, stat(path))).mode & 0o777
}

async function present<T>(path: string, read: Promise<T>): Promise<T> {
  try {
    return await read
  } catch (cause) {
    throw new PkiError('STORE_MISSING', `${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause })
  }
}
