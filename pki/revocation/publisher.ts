import { type FSWatcher, watch } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { parseCertificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import { authorityNames } from '../profiles.ts'
import { files } from '../store/authority.ts'
import { type Entry, Journal } from '../store/journal.ts'
import { encodeIssuers, encodeRevoked, encodeState, feedBeatMs } from './feed.ts'
import { RevokedSet, serialOctets } from './revoked-set.ts'

/** Listeners that one publisher pushes to, the most. */
export const feedListenersMax = 64
/** Octets that wait for a listener that does not read, the most: beyond, its line is cut and begun anew. */
export const feedPendingOctetsMax: number = 64 * 1_024 * 1_024

/** The journal is looked at when the system says that it changed, and this often besides. */
const lookEveryMs = 250
const reconnectMs = 1_000

export type PublisherEvent =
  | { kind: 'connected'; listener: string; revoked: number }
  | { kind: 'disconnected'; listener: string; detail: string | undefined }
  /** the journal could not be read: no listener is told that its knowledge is whole until it can */
  | { kind: 'fault'; detail: string }

export interface PublisherOptions {
  /** of the PKI; no key of it is opened */
  dir: string
  /** paths of the listeners' Unix sockets */
  listeners: readonly string[]
  onEvent: (event: PublisherEvent) => void
}

/**
 * Pushes what the journal says of revocations to every listener: all of it when a line begins, then each one as soon as it is
 * written, and each second that all is told. Listeners send nothing back; whoever does is cut off.
 * @throws PkiError `STORE_MISSING`, `JOURNAL_CORRUPT`, `FEED_LISTENERS`
 */
export async function publishRevocations(options: PublisherOptions): Promise<{ close(): Promise<void> }> {
  const { listeners } = options
  if (listeners.length === 0 || listeners.length > feedListenersMax) {
    throw new PkiError('FEED_LISTENERS', `${listeners.length} listeners, 1 to ${feedListenersMax}`)
  }
  const journal = await Journal.openToRead(join(options.dir, files.journal))
  const publisher = new Publisher(options, journal)
  try {
    await publisher.begin()
  } catch (cause) {
    await journal.close()
    throw cause
  }
  return publisher
}

class Publisher {
  readonly #options: PublisherOptions
  readonly #journal: Journal
  readonly #known = new RevokedSet()
  readonly #issuers = new Set<string>()
  /** connected, and told of everything */
  readonly #lines = new Set<Socket>()
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #serials = Buffer.alloc(1_024 * serialOctets)
  #watcher: FSWatcher | undefined
  #looking: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: PublisherOptions, journal: Journal) {
    this.#options = options
    this.#journal = journal
  }

  async begin(): Promise<void> {
    await this.#look()
    this.#watcher = watch(join(this.#options.dir, files.journal), () => void this.#lookAgain())
    this.#every(lookEveryMs, () => this.#lookAgain())
    this.#every(feedBeatMs, () => this.#beat())
    for (const path of this.#options.listeners) this.#open(path)
  }

  #every(milliseconds: number, act: () => Promise<unknown>): void {
    this.#timers.add(setInterval(() => void act(), milliseconds))
  }

  /** @returns whether all that stands in the journal is told */
  async #lookAgain(): Promise<boolean> {
    try {
      await this.#look()
      return true
    } catch (cause) {
      if (!this.#closed) this.#options.onEvent({ kind: 'fault', detail: (cause as Error).message })
      return false
    }
  }

  #look(): Promise<void> {
    const turn = this.#looking.then(() => this.#read())
    this.#looking = turn.catch(() => undefined) // its caller is told
    return turn
  }

  async #read(): Promise<void> {
    const before = { issuers: this.#issuers.size, serials: this.#known.size }
    for (const entry of await this.#journal.read()) this.#take(entry)
    if (this.#issuers.size > before.issuers) this.#push(encodeIssuers([...this.#issuers]))
    if (this.#known.size > before.serials) this.#push(encodeRevoked(this.#told(before.serials)))
  }

  #take(entry: Entry): void {
    if (entry.event === 'revoked') {
      this.#remember(Buffer.from(entry.serial, 'hex'))
      return
    }
    if (!authorityNames.some((name) => name === entry.profile)) return
    const { subjectKeyId } = parseCertificate(Buffer.from(entry.certificate, 'base64'))
    if (subjectKeyId !== undefined) this.#issuers.add(subjectKeyId)
  }

  #remember(serial: Buffer): void {
    if (serial.length !== serialOctets) throw new PkiError('JOURNAL_CORRUPT', 'a serial that this PKI does not give')
    const at = this.#known.size * serialOctets
    if (!this.#known.add(serial)) return
    if (at === this.#serials.length) this.#serials = Buffer.concat([this.#serials], 2 * at)
    this.#serials.set(serial, at)
  }

  /** From the n-th on. */
  #told(from: number): Uint8Array {
    return this.#serials.subarray(from * serialOctets, this.#known.size * serialOctets)
  }

  #push(octets: Uint8Array): void {
    for (const line of this.#lines) this.#write(line, octets)
  }

  #write(line: Socket, octets: Uint8Array): void {
    line.write(octets)
    if (line.writableLength > feedPendingOctetsMax) line.destroy(new Error('it does not read'))
  }

  async #beat(): Promise<void> {
    if (await this.#lookAgain()) this.#push(encodeState(this.#known.size))
  }

  #open(path: string): void {
    if (this.#closed) return
    let why: string | undefined
    const line = connect(path)
    this.#sockets.add(line)
    line.on('error', (cause) => {
      why = cause.message
    })
    line.on('data', () => line.destroy(new Error('a listener has nothing to say')))
    line.once('connect', () => {
      this.#lines.add(line)
      this.#write(line, encodeIssuers([...this.#issuers]))
      this.#write(line, encodeRevoked(this.#told(0)))
      this.#write(line, encodeState(this.#known.size))
      this.#options.onEvent({ kind: 'connected', listener: path, revoked: this.#known.size })
    })
    line.once('close', () => {
      this.#sockets.delete(line)
      if (this.#lines.delete(line)) this.#options.onEvent({ kind: 'disconnected', listener: path, detail: why })
      if (this.#closed) return
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        this.#open(path)
      }, reconnectMs)
      this.#timers.add(timer)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#watcher?.close()
    for (const timer of this.#timers) clearInterval(timer)
    for (const line of this.#sockets) line.destroy()
    await this.#looking
    await this.#journal.close()
  }
}
