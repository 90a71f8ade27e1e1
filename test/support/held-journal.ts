import { type Journal, openJournal } from '#gateway/io/journal.ts'
import { JournalReader } from '#gateway/io/journal-reader.ts'
import type { Arrival, Journaled } from '#gateway/io/journal-record.ts'

/** The real journal behind a gate: what arrives can be held back, refused, or told to wait before it is even read. */
export class HeldJournal implements Journal {
  readonly folder: string
  readonly #inner: Journal
  #gate: PromiseWithResolvers<void> | undefined
  #full: PromiseWithResolvers<void> | undefined
  #arrived: (() => void)[] = []
  /** what every later append fails with */
  failure: Error | undefined
  /** what the broker handed in, durable or not */
  readonly arrivals: Arrival[] = []

  constructor(folder: string) {
    this.folder = folder
    this.#inner = openJournal(folder)
  }

  get durable(): number {
    return this.#inner.durable
  }

  get full(): boolean {
    return this.#full !== undefined || this.#inner.full
  }

  /** From now on nothing becomes durable, until `letGo`. */
  hold(): void {
    this.#gate ??= Promise.withResolvers()
  }

  letGo(): void {
    this.#gate?.resolve()
    this.#gate = undefined
  }

  /** From now on it is full, until `makeRoom`. */
  fill(): void {
    this.#full ??= Promise.withResolvers()
  }

  makeRoom(): void {
    const full = this.#full
    this.#full = undefined
    full?.resolve()
  }

  /** Resolves when so many were handed in. */
  async arrival(count: number): Promise<void> {
    while (this.arrivals.length < count) await new Promise<void>((resolve) => this.#arrived.push(resolve))
  }

  async append(record: Arrival): Promise<void> {
    this.arrivals.push(record)
    for (const resolve of this.#arrived.splice(0)) resolve()
    if (this.failure !== undefined) throw this.failure
    if (this.#gate !== undefined) await this.#gate.promise
    await this.#inner.append(record)
  }

  drained(): Promise<void> {
    return this.#full?.promise ?? this.#inner.drained()
  }

  release(position: number): void {
    this.#inner.release(position)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  /** All that is durable, in order. */
  records(): Journaled[] {
    return readJournal(this.folder, this.durable)
  }
}

/** Every record of a journal's folder up to a position. */
export function readJournal(folder: string, durable: number): Journaled[] {
  const reader = new JournalReader(folder, 0)
  const all: Journaled[] = []
  for (let some = reader.read(durable); some.length > 0; some = reader.read(durable)) all.push(...some)
  reader.close()
  return all
}
