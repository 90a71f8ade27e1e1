import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { carrierName, type TcpConfig } from '../carrier-config.ts'
import { Pace } from '../oneway/schedule.ts'
import { type Carrier, CarrierHeld, type Framed, heldBy } from './carrier.ts'

export interface TcpCarrierOptions extends TcpConfig {
  bitsPerSecond: number
}

/** Milliseconds for the proxy to accept, the most; and for it to take more of a bundle. */
const acceptMsMax = 5_000
const stallMsMax = 30_000
/** Milliseconds after our end in which a reset is still noticed, the most: nothing else is waited for. */
const lingerMsMax = 1_000
/** Octets written at once. */
const chunkOctets = 65_536
const burstOctets = 131_072
const turnMs = 1

/**
 * Feeds a diode's proxy beside us over TCP: one connection a bundle, one at a time, at the link's pace. The proxy's accept is all
 * that it waits for. It sends, ends its half, and is through; whatever the proxy says is thrown away, and only a connection that
 * is reset, now or within a second, makes it send the bundle again.
 */
export class TcpCarrier implements Carrier {
  readonly name: string
  readonly #options: TcpCarrierOptions
  readonly #pace: Pace

  constructor(options: TcpCarrierOptions) {
    this.name = carrierName(options)
    this.#options = options
    this.#pace = new Pace({ bitsPerSecond: options.bitsPerSecond, burstOctets, nowMs: performance.now() })
  }

  async carry({ frame }: Framed, stop: AbortSignal): Promise<void> {
    const { host, port } = this.#options
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    const broken = Promise.withResolvers<never>()
    broken.promise.catch(() => undefined) // it may break when nobody asks any more
    socket.on('error', (error) => broken.reject(error))
    socket.on('timeout', () => broken.reject(new CarrierHeld('the proxy takes nothing')))
    socket.setTimeout(acceptMsMax)
    socket.resume()
    const abandon = (): void => broken.reject(new CarrierHeld('ended'))
    stop.addEventListener('abort', abandon)
    try {
      await Promise.race([this.#send(socket, frame), broken.promise])
    } catch (error) {
      throw heldBy(error)
    } finally {
      stop.removeEventListener('abort', abandon)
      socket.destroy()
    }
  }

  async #send(socket: Socket, frame: Buffer): Promise<void> {
    await happens(socket, 'connect')
    socket.setTimeout(stallMsMax)
    for (let at = 0; at < frame.length && !socket.destroyed; at += chunkOctets) {
      const chunk = frame.subarray(at, at + chunkOctets)
      while (!this.#pace.take(chunk.length, performance.now())) await delay(turnMs)
      if (!socket.write(chunk)) await happens(socket, 'drain')
    }
    const closed = happens(socket, 'close')
    const ended = happens(socket, 'end')
    await new Promise<void>((resolve) => socket.end(resolve))
    socket.setTimeout(0)
    await Promise.race([closed, ended, delay(lingerMsMax, undefined, { ref: false })])
  }
}

/** A connection that breaks leaves it open: `broken` tells. */
function happens(socket: Socket, event: 'connect' | 'drain' | 'end' | 'close'): Promise<void> {
  return new Promise((resolve) => socket.once(event, () => resolve()))
}
