import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import type { SimulatedUplink } from './concentrator.ts'

/** One concentrator's session over real sockets: what it holds is sent again and again until the gateway acknowledges it. */
export interface SessionOptions {
  id: string
  host: string
  port: number
  /** the name that the gateway's certificate must bear */
  servername: string
  trust: Buffer
  key: Buffer
  certificate: Buffer
  onAcknowledged: (uplink: SimulatedUplink) => void
  /** what the gateway publishes on its command topic; without it the session takes no commands */
  onCommand?: (octets: Uint8Array) => void
}

/** Publishes that may wait for their acknowledgement at one time. */
const windowMax = 8
/** Uplinks that a concentrator holds, the most: a day and more of quarter-hours. */
export const heldMax = 256
const reconnectMs = 250

export class Session {
  readonly #options: SessionOptions
  readonly #client: MqttClient
  readonly #held: SimulatedUplink[] = []
  #inFlight = 0
  /** what was in flight when the line broke has been sent again and acknowledged: new uplinks may follow */
  #open = false
  #idle: (() => void) | undefined

  constructor(options: SessionOptions) {
    this.#options = options
    const connection: IClientOptions = {
      protocol: 'mqtts',
      host: options.host,
      port: options.port,
      servername: options.servername,
      ca: options.trust,
      key: options.key,
      cert: options.certificate,
      clientId: options.id,
      protocolVersion: 4,
      clean: true,
      keepalive: 60,
      reconnectPeriod: reconnectMs,
      connectTimeout: 10_000,
      queueQoSZero: false,
      resubscribe: false, // each session subscribes anew, below
    }
    this.#client = connect(connection)
    // A line that breaks is what reconnecting is for; what is held is kept.
    this.#client.on('error', () => {})
    this.#client.on('close', () => {
      this.#open = false
    })
    // The client first sends again what it had in flight, one by one and in order, and says `connect` when that is done. A
    // new uplink in between would overtake: the gateway would take the invocation counters behind it for replays.
    this.#client.on('connect', () => {
      this.#open = true
      // A line that breaks in between brings another session, which subscribes itself.
      if (options.onCommand !== undefined) this.#client.subscribe(`ami/v1/${options.id}/down`, { qos: 1 }, () => {})
      this.#send()
    })
    this.#client.on('message', (_topic, octets) => options.onCommand?.(octets))
  }

  get connected(): boolean {
    return this.#client.connected
  }

  /** not yet acknowledged */
  get waiting(): number {
    return this.#held.length + this.#inFlight
  }

  /** Takes more than `heldMax` when it holds nothing: a long history. @returns false when it holds all it can: the caller waits */
  offer(uplinks: readonly SimulatedUplink[]): boolean {
    if (this.waiting > 0 && this.waiting + uplinks.length > heldMax) return false
    this.#held.push(...uplinks)
    this.#send()
    return true
  }

  /** Resolves when everything is acknowledged. */
  drained(): Promise<void> {
    return this.waiting === 0 ? Promise.resolve() : new Promise((resolve) => (this.#idle = resolve))
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true)
  }

  #send(): void {
    while (this.#open && this.#inFlight < windowMax && this.#held.length > 0) {
      this.#inFlight++
      this.#publish(this.#held.shift()!)
    }
  }

  #publish(uplink: SimulatedUplink): void {
    this.#client.publish(`ami/v1/${this.#options.id}/up`, Buffer.from(uplink.octets), { qos: 1 }, (error) => {
      if (error) return // the client is closing: it stays unacknowledged
      this.#inFlight--
      this.#options.onAcknowledged(uplink)
      this.#send()
      if (this.waiting === 0) this.#idle?.()
    })
  }
}
