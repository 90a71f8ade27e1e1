import { PkiError } from '../errors.ts'

/** Runs one piece of work after the other, and refuses more than it may keep waiting. */
export class SerialQueue {
  readonly #waitingMax: number
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax
  }

  /** @throws PkiError `KEYSTORE_BUSY`; whatever the work throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#waitingMax) {
      throw new PkiError('KEYSTORE_BUSY', `over ${this.#waitingMax} calls wait for the token`)
    }
    this.#waiting += 1
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined) // its caller is told
    try {
      return await turn
    } finally {
      this.#waiting -= 1
    }
  }
}
