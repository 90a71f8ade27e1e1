import { constants } from 'node:fs'
import { lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { carrierName, type FilesConfig } from '../carrier-config.ts'
import { isBundleName, isPartialName, partialName } from '../oneway/carrier-name.ts'
import { type Carrier, CarrierHeld, type Framed, heldBy } from './carrier.ts'

export interface FileCarrierOptions extends FilesConfig {
  /** milliseconds that a bundle which nobody takes lies there */
  keepMs: number
}

/** Bundles in the folder, the most. */
export const bundlesMax = 10_000
/** What lies in the folder is counted anew after this time: a mover takes away, nobody else adds. */
const countedMs = 1_000
const writeFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW

/**
 * Drops each bundle into a folder as a file of its own that never changes: written beside, synced, renamed, the folder synced.
 * A mover takes it from there (SFTP, SMB, NFS, a diode's proxy), in any order, and once more if it likes. A folder that is full
 * or away holds this carrier up and nothing else. All of it off the event loop: a mount that hangs must not stop the datagrams.
 */
export class FileCarrier implements Carrier {
  readonly name: string
  readonly #options: FileCarrierOptions
  #usage = { octets: 0, files: 0, atMs: Number.NEGATIVE_INFINITY }

  constructor(options: FileCarrierOptions) {
    this.name = carrierName(options)
    this.#options = options
  }

  async carry({ frame, name }: Framed): Promise<void> {
    try {
      await this.#count()
      const { octets, files } = this.#usage
      if (octets + frame.length > this.#options.octetsMax || files >= bundlesMax) {
        throw new CarrierHeld(`the folder is full: ${files} bundles, ${octets} octets`)
      }
      await this.#write(name, frame)
    } catch (error) {
      throw heldBy(error)
    }
    this.#usage.octets += frame.length
    this.#usage.files++
  }

  async #write(name: string, frame: Buffer): Promise<void> {
    const { folder } = this.#options
    const beside = join(folder, partialName(name))
    const file = await open(beside, writeFlags, 0o640)
    try {
      await file.writeFile(frame)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, join(folder, name))
    await syncFolder(folder)
  }

  /** What is ours in the folder; what nobody has taken in time goes, and so does what a crash left half-written. */
  async #count(): Promise<void> {
    const nowMs = Date.now()
    if (Math.abs(nowMs - this.#usage.atMs) < countedMs) return
    const { folder, keepMs } = this.#options
    let [octets, files] = [0, 0]
    for (const name of await readdir(folder)) {
      const isPartial = isPartialName(name)
      if (!isPartial && !isBundleName(name)) continue
      const found = await lstat(join(folder, name)).catch(gone)
      if (found === undefined) continue
      if (isPartial || nowMs - found.mtimeMs > keepMs) await rm(join(folder, name), { force: true })
      else {
        octets += found.size
        files++
      }
    }
    this.#usage = { octets, files, atMs: nowMs }
  }
}

function gone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

async function syncFolder(folder: string): Promise<void> {
  const entry = await open(folder, 'r')
  try {
    await entry.sync()
  } finally {
    await entry.close()
  }
}
