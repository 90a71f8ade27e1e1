import { mkdir, open, readdir, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** What is being written beside a file that is not there yet. */
export const partial = '.partial'

/** Whole or not at all, and durable: beside it, synced, renamed, the folder synced. Nothing here holds up the process. */
export async function writeDurably(path: string, octets: Uint8Array): Promise<void> {
  await makeFolder(dirname(path))
  await writeSynced(`${path}${partial}`, octets)
  await rename(`${path}${partial}`, path)
  await syncFolder(dirname(path))
}

/** Its octets are durable, its entry in the folder is not. */
export async function writeSynced(path: string, octets: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o640)
  try {
    await file.writeFile(octets)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** And its entry in every folder that had to be made above it. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o750 })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Names in a folder, sorted; none where it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
