import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Logger } from 'pino'

/**
 * What a process says of itself, as a file of JSON that is replaced each second. It is whole whenever it is read, and its
 * `at` (ms since 1970) tells how old it is: that of a process that was killed stays, and grows old.
 */
export class StatusFile {
  readonly #file: string
  readonly #log: Logger
  #failing = false

  constructor(file: string, log: Logger) {
    this.#file = file
    this.#log = log
  }

  /** A disk that is full keeps the file as it was: told once, and tried again with the next. */
  write(status: object): void {
    try {
      writeFileSync(`${this.#file}.partial`, `${JSON.stringify(status)}\n`, { mode: 0o640 })
      renameSync(`${this.#file}.partial`, this.#file)
      this.#failing = false
    } catch (error) {
      if (!this.#failing)
        this.#log.error({ event: 'status.failed', file: this.#file, detail: (error as Error).message })
      this.#failing = true
    }
  }
}

/** @returns undefined where there is none, or none that can be read */
export function readStatus(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
