import { constants } from 'node:fs'
import { type FileHandle, lstat, open, opendir, unlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { PeerError, type PeerFault } from '#gateway/errors.ts'
import { bundleName } from '#gateway/oneway/carrier-name.ts'
import { type Bundle, type FrameReader, frameHeaderOctets } from '#gateway/oneway/frame.ts'
import { FileQuarantine, plain } from './file-quarantine.ts'
import { type FileTimes, type Found, judgeFile, type Watched, watched } from './file-rules.ts'
import { type Intake, type IntakeStatus, type TakeBundle, Tally } from './intake.ts'

export interface FileIntakeOptions extends FileTimes {
  /** where a mover puts files; made by the operator */
  folder: string
  /** from the end of one look to the next */
  pollMs: number
  reader: FrameReader
  take: TakeBundle
  log: Logger
  /** the receiver cannot store */
  onFailure: (error: Error) => void
}

/** Entries looked at in one go, the most: the rest has its turn when these are gone. */
export const entriesMax = 10_000
/** Neither a link is followed, nor does a pipe that nobody writes to hold us up. */
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Takes bundles from a folder that a mover fills, whatever the mover does there. It looks, again and again: nobody tells of
 * what another machine writes to a share. A file whose batch is stored, is there already or lies in the receiver's quarantine is
 * removed; what is no bundle goes to `quarantine/` in the same folder.
 */
export class FileIntake implements Intake {
  readonly #options: FileIntakeOptions
  readonly #tally: Tally
  readonly #quarantine: FileQuarantine
  readonly #stop = new AbortController()
  #watched = new Map<string, Watched>()
  #running: Promise<void> = Promise.resolve()

  constructor(options: FileIntakeOptions) {
    this.#options = options
    this.#tally = new Tally(`files ${options.folder}`)
    this.#quarantine = new FileQuarantine(options.folder)
  }

  /** Looks until it is closed. */
  start(): this {
    this.#running = this.#run().catch(this.#options.onFailure)
    return this
  }

  status(): IntakeStatus {
    return this.#tally.status
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.look(performance.now())
      await delay(this.#options.pollMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** One look at the folder. @param nowMs of a clock that is never set @throws what the receiver's disk says */
  async look(nowMs: number): Promise<void> {
    const list = await this.#list()
    let held = typeof list === 'string' ? list : undefined
    const now = new Map<string, Watched>()
    for (const found of typeof list === 'string' ? [] : list) {
      if (this.#stop.signal.aborted) return
      const state = watched(found, this.#watched.get(found.name), nowMs)
      now.set(found.name, state)
      held = (await this.#settle(found, state, nowMs)) ?? held
    }
    this.#watched = now
    this.#note(held)
  }

  #note(held: string | undefined): void {
    const { status } = this.#tally
    const { log } = this.#options
    if (held !== undefined && status.held === undefined)
      log.error({ event: 'intake.held', intake: status.name, detail: held })
    if (held === undefined && status.held !== undefined) log.info({ event: 'intake.resumed', intake: status.name })
    status.held = held
  }

  /** @returns what lies there, or what the folder says */
  async #list(): Promise<Found[] | string> {
    const all: Found[] = []
    try {
      for await (const { name } of await opendir(this.#options.folder, { encoding: 'latin1' })) {
        const found = await lookAt(this.#path(name), name)
        if (found !== undefined) all.push(found)
        if (all.length === entriesMax) break
      }
      return all
    } catch (error) {
      return saidBy(error)
    }
  }

  /** @returns what keeps it from being settled */
  async #settle(found: Found, state: Watched, nowMs: number): Promise<string | undefined> {
    const { reader, stableMs, staleMs } = this.#options
    const verdict = judgeFile(found, state, { nowMs, octetsMax: reader.frameOctetsMax, stableMs, staleMs })
    if (verdict.act === 'wait') return undefined
    if (verdict.act === 'quarantine') return this.#refuse(found, verdict.code)
    state.reads++
    const bundle = await this.#read(found.name)
    if (typeof bundle === 'string') return verdict.last ? this.#refuse(found, bundle) : undefined
    if (bundle !== undefined) {
      this.#tally.note(await this.#options.take(bundle))
      return this.#acting(() => unlink(this.#path(found.name)))
    }
    return undefined
  }

  /** @returns why it is no bundle; undefined when somebody has taken it away */
  async #read(name: string): Promise<Bundle | PeerFault | undefined> {
    try {
      const octets = await readWhole(this.#path(name), this.#options.reader.frameOctetsMax)
      const header = this.#options.reader.header(octets)
      if (bundleName(header) !== name) throw new PeerError('FILE_NAME', 'the name of another bundle')
      return this.#options.reader.bundle(header, octets.subarray(frameHeaderOctets))
    } catch (error) {
      if (error instanceof PeerError) return error.code
      const said = saidBy(error)
      return said.endsWith('ENOENT') ? undefined : 'FILE_UNREADABLE'
    }
  }

  async #refuse({ name, octets }: Found, code: PeerFault): Promise<string | undefined> {
    const held = await this.#acting(() => this.#quarantine.keep(this.#path(name), name, code))
    if (held !== undefined) return held
    this.#tally.note(code)
    this.#options.log.warn({ event: 'file.refused', intake: this.#tally.status.name, code, name: plain(name), octets })
    return undefined
  }

  /** @returns what the folder says */
  async #acting(act: () => Promise<void>): Promise<string | undefined> {
    try {
      await act()
      return undefined
    } catch (error) {
      const said = saidBy(error)
      return said.endsWith('ENOENT') ? undefined : said // somebody has taken it away
    }
  }

  #path(name: string): Buffer {
    return Buffer.concat([Buffer.from(`${this.#options.folder}/`), Buffer.from(name, 'latin1')])
  }
}

/** @throws what is no answer of a disk or a mount */
function saidBy(error: unknown): string {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (code === undefined || syscall === undefined) throw error
  return `${syscall}: ${code}`
}

async function lookAt(path: Buffer, name: string): Promise<Found | undefined> {
  try {
    const is = await lstat(path, { bigint: true })
    const kind = is.isFile() ? 'file' : is.isDirectory() ? 'folder' : 'other'
    const version = `${is.ino} ${is.size} ${is.mtimeNs} ${is.ctimeNs} ${is.nlink}`
    return { name, kind, octets: Number(is.size), links: Number(is.nlink), version }
  } catch (error) {
    if (saidBy(error).endsWith('ENOENT')) return undefined
    throw error
  }
}

/** A whole file, and no more than `octetsMax` and one of it. @throws PeerError `FILE_KIND`, `FILE_SIZE`; what the disk says */
async function readWhole(path: Buffer, octetsMax: number): Promise<Buffer> {
  const file = await open(path, readFlags)
  try {
    const is = await file.stat()
    if (!is.isFile() || is.nlink !== 1) throw new PeerError('FILE_KIND', 'no file of its own') // it was one a moment ago
    if (is.size > octetsMax) throw new PeerError('FILE_SIZE', `${is.size} octets, limit ${octetsMax}`)
    return await readUpTo(file, is.size + 1)
  } finally {
    await file.close()
  }
}

async function readUpTo(file: FileHandle, octets: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(octets)
  let length = 0
  while (length < octets) {
    const { bytesRead } = await file.read(buffer, length, octets - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}
