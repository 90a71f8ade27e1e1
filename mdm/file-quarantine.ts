import { lstat, mkdir, opendir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Files kept, the most, and their octets; the oldest make room. */
export const keptMax = 100
export const keptOctetsMax = 1_073_741_824

/** What lay in a folder and was no bundle: under `quarantine/` in the same folder, so that nothing of it is copied or followed. */
export class FileQuarantine {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = join(folder, 'quarantine')
  }

  /** Moves it there, under the time, the code and its name. @throws what the folder says */
  async keep(path: Buffer, name: string, code: string): Promise<void> {
    await mkdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    await this.#isFolder()
    await rename(path, join(this.#folder, `${Date.now()}-${code}-${plain(name)}`))
    await this.#makeRoom()
  }

  /** A link of that name would lead what is refused to somewhere else. */
  async #isFolder(): Promise<void> {
    if ((await lstat(this.#folder)).isDirectory()) return
    throw Object.assign(new Error('quarantine is no folder'), { code: 'ENOTDIR', syscall: 'lstat' })
  }

  async #makeRoom(): Promise<void> {
    const names: string[] = []
    for await (const { name } of await opendir(this.#folder)) names.push(name)
    let octets = 0
    for (const [place, name] of names.sort().toReversed().entries()) {
      const path = join(this.#folder, name)
      octets += (await lstat(path)).size
      if (place >= keptMax || octets > keptOctetsMax) await rm(path, { force: true })
    }
  }
}

/** A foreign name as a log and a folder can bear it: 1 to 100 of letters, digits, dot, underscore and hyphen. */
export function plain(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 100)
}
