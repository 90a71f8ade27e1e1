import { setTimeout as moment } from 'node:timers/promises'
import type { Logger } from 'pino'
import { PeerError } from '#gateway/errors.ts'

/** A store that fails is tried again, at first and at last after so long. */
const retryMs = { first: 500, last: 10_000 } as const

/** A disk that is full, or gone, is told once and tried again until it takes what there is: nobody has to restart us. */
export class Patience {
  readonly #log: Logger
  readonly #ending = new AbortController()
  /** what the disk said last, while it says so */
  failure: string | undefined

  constructor(log: Logger) {
    this.#log = log
  }

  /**
   * @param act to be done once, and again from its beginning when the disk did not let it
   * @returns what it gave; `left` when `end` was called before it could be done
   * @throws what is no word of the system's or the database's: that is ours
   */
  async with<T>(act: () => T): Promise<T | 'left'> {
    for (let wait: number = retryMs.first; ; wait = Math.min(wait * 2, retryMs.last)) {
      try {
        const done = act()
        if (this.failure !== undefined) this.#log.info({ event: 'store.resumed' })
        this.failure = undefined
        return done
      } catch (error) {
        this.#tell(diskFailure(error))
      }
      const { signal } = this.#ending
      await moment(wait, undefined, { signal }).catch(() => {})
      if (signal.aborted) return 'left'
    }
  }

  /** No more than one try each from now on. */
  end(): void {
    this.#ending.abort()
  }

  #tell({ code, message }: { code: string; message: string }): void {
    if (this.failure !== code) this.#log.error({ event: 'store.failed', code, detail: message })
    this.failure = code
  }
}

function diskFailure(error: unknown): { code: string; message: string } {
  const { code, message } = error as NodeJS.ErrnoException
  if (typeof code !== 'string' || error instanceof PeerError) throw error
  return { code, message }
}
