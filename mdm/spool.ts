import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { ConfigError } from '#gateway/errors.ts'
import { judgeReceiveBuffer, type KernelDrops, kernelDrops } from './receive-buffer.ts'
import { isSpoolable } from './spool-record.ts'
import { type RingState, SpoolRing } from './spool-ring.ts'
import { StatusFile } from './status-file.ts'

export interface SpoolerOptions {
  host: string
  port: number
  /** of the ring */
  folder: string
  /** of the ring, the most */
  octetsMax: number
  receiveBufferOctets: number
  allowSmallBuffer: boolean
  log: Logger
}

export interface SpoolerStatus {
  /** ms since 1970 */
  at: number
  pid: number
  port: number
  /** datagrams that came, and their octets */
  datagrams: number
  octets: number
  /** of a length that none of ours has: dropped */
  misfits: number
  ring: RingState
  receiveBufferOctets: number
  kernel: KernelDrops
}

/** How often it looks whether the assembler has made room. */
const surveyEveryMs = 100
const statusEveryMs = 1_000

export function spoolerStatusFile(folder: string): string {
  return join(folder, 'spooler.json')
}

/**
 * Receives, and appends to the ring: nothing else. It believes nothing, looks at nothing but lengths, and cannot answer. What
 * came within one turn of the event loop (some dozens of datagrams) is one write. SIGKILL loses those and what the kernel's
 * buffer holds or drops until somebody listens again.
 */
export class Spooler {
  readonly #options: SpoolerOptions
  readonly #socket: Socket
  readonly #ring: SpoolRing
  readonly #statusFile: StatusFile
  readonly #counts = { datagrams: 0, octets: 0, misfits: 0 }
  readonly #timers: NodeJS.Timeout[] = []
  #flushDue = false
  #told: Pick<RingState, 'failure' | 'full'> = { failure: undefined, full: false }
  #bufferOctets = 0

  private constructor(options: SpoolerOptions) {
    this.#options = options
    this.#socket = createSocket({ type: isIPv6(options.host) ? 'udp6' : 'udp4' })
    this.#ring = new SpoolRing(options.folder, options.octetsMax)
    this.#statusFile = new StatusFile(spoolerStatusFile(options.folder), options.log)
  }

  /** @throws ConfigError a port that is taken; `RECEIVE_BUFFER` */
  static async open(options: SpoolerOptions): Promise<Spooler> {
    const spooler = new Spooler(options)
    try {
      await spooler.#listen()
    } catch (error) {
      spooler.#socket.close()
      throw error
    }
    return spooler
  }

  get port(): number {
    return this.#socket.address().port
  }

  status(): SpoolerStatus {
    return {
      at: Date.now(),
      pid: process.pid,
      port: this.port,
      ...this.#counts,
      ring: this.#ring.state(),
      receiveBufferOctets: this.#bufferOctets,
      kernel: kernelDrops(this.port),
    }
  }

  /** What came is written. */
  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#statusFile.write(this.status())
    this.#socket.close()
    this.#ring.close()
  }

  async #listen(): Promise<void> {
    const { host, port, receiveBufferOctets: wanted, allowSmallBuffer: allowSmall, log } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#socket.once('error', reject)
    this.#socket.bind({ address: host, port, exclusive: true }, resolve)
    await promise.catch(({ code }: NodeJS.ErrnoException) => {
      throw new ConfigError([`zonesFile: cannot listen on ${host}, UDP port ${port} (${code})`])
    })
    this.#socket.off('error', reject)
    this.#socket.on('error', (error) => log.error({ event: 'mdm.socket', detail: error.message }))
    this.#socket.setRecvBufferSize(wanted)
    const buffer = judgeReceiveBuffer(this.#socket.getRecvBufferSize() / 2, { wanted, allowSmall })
    if (buffer.mend !== undefined) log.warn({ event: 'mdm.buffer', code: 'RECEIVE_BUFFER', ...buffer })
    this.#bufferOctets = buffer.octets
    this.#socket.on('message', (datagram) => this.#take(datagram))
    this.#ring.survey()
    this.#timers.push(setInterval(() => this.#survey(), surveyEveryMs))
    this.#timers.push(setInterval(() => this.#statusFile.write(this.status()), statusEveryMs))
  }

  #take(datagram: Buffer): void {
    this.#counts.datagrams++
    this.#counts.octets += datagram.length
    if (!isSpoolable(datagram.length)) {
      this.#counts.misfits++
      return
    }
    this.#ring.append(datagram, Date.now())
    if (this.#flushDue) return
    this.#flushDue = true
    setImmediate(() => {
      this.#flushDue = false
      this.#ring.flush()
    })
  }

  /** Alarms on what has changed: an operator must act on a ring that is full or a disk that says no, or see that it is over. */
  #survey(): void {
    this.#ring.survey()
    const { full, failure, dropped, octets } = this.#ring.state()
    const { log } = this.#options
    if (failure !== this.#told.failure) {
      if (failure !== undefined) log.error({ event: 'spool.failed', code: failure, dropped: dropped.failed })
      else log.info({ event: 'spool.resumed', dropped: dropped.failed })
    }
    if (full !== this.#told.full) {
      if (full) log.error({ event: 'spool.full', octets, dropped: dropped.full })
      else log.info({ event: 'spool.freed', octets, dropped: dropped.full })
    }
    this.#told = { full, failure }
  }
}
