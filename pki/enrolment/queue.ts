import { createHash } from 'node:crypto'

/** What the listener passes on: it has proven nothing of it but that TLS took the client's certificate. */
export interface Question {
  /** DER of the client's certificate, then of those that it sent besides */
  chain: readonly Uint8Array[]
  /** DER of the PKCS#10 request */
  request: Uint8Array
}

export type Answer =
  /** DER of the new certificate, then of its CA's */
  { kind: 'certificates'; certificates: readonly Uint8Array[] } | { kind: 'refused'; code: string; detail: string }

export interface Waiting extends Question {
  /** digest of the question: the same question asked twice is one */
  id: string
}

interface Entry {
  question: Waiting
  answer: Promise<Answer | undefined>
  settle: (answer: Answer | undefined) => void
  /** milliseconds, when it was asked first */
  at: number
  taken: boolean
}

export interface QueueLimits {
  /** questions that wait for the CA, the most */
  waitingMax: number
  /** milliseconds that a question waits, the most: then its asker is told to come again */
  waitMsMax: number
}

/**
 * Questions between the listener, which has no CA key, and the CA, which has no listener. In memory: a question that is lost
 * is asked again by the device that needs its answer, and the CA gives the answer that it gave. Time is an argument.
 */
export class RequestQueue {
  readonly #limits: QueueLimits
  readonly #entries = new Map<string, Entry>()

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * @returns the answer to come, `undefined` in it when the question waited too long; or `undefined` when the queue is full
   */
  ask(question: Question, nowMs: number): Promise<Answer | undefined> | undefined {
    const id = digestOf(question)
    const known = this.#entries.get(id)
    if (known !== undefined) return known.answer
    if (this.#entries.size >= this.#limits.waitingMax) return undefined
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>()
    const entry = { question: { ...question, id }, answer: promise, settle: resolve, at: nowMs, taken: false }
    this.#entries.set(id, entry)
    return promise
  }

  /** The oldest that nobody took, at most `count`. */
  take(count: number): Waiting[] {
    const taken: Waiting[] = []
    for (const entry of this.#entries.values()) {
      if (taken.length >= count) break
      if (entry.taken) continue
      entry.taken = true
      taken.push(entry.question)
    }
    return taken
  }

  /** @returns false for a question that nobody asks any more */
  answer(id: string, answer: Answer): boolean {
    const entry = this.#entries.get(id)
    if (entry === undefined) return false
    this.#entries.delete(id)
    entry.settle(answer)
    return true
  }

  /** The CA that took them is gone: they wait again. */
  putBack(): void {
    for (const entry of this.#entries.values()) entry.taken = false
  }

  /** Ends those that wait too long. */
  expire(nowMs: number): void {
    for (const [id, entry] of this.#entries) {
      if (nowMs - entry.at < this.#limits.waitMsMax) continue
      this.#entries.delete(id)
      entry.settle(undefined)
    }
  }
}

function digestOf({ chain, request }: Question): string {
  const hash = createHash('sha256')
  for (const part of [request, ...chain]) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex')
}
