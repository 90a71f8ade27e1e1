import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Data } from '#gateway/codec/axdr.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { SelectiveAccess } from '#gateway/codec/selective-access.ts'
import { frameWrapper, unframeWrapper } from '#gateway/codec/wrapper.ts'
import {
  type ClientConfig,
  type ClientEffect,
  type ClientEvent,
  type ClientState,
  stepClient,
} from '#gateway/session/association-client.ts'

const settled = new Set<ClientEffect['kind']>(['associated', 'answer', 'released', 'failed'])

/** The client's state machine behind a socket, one question at a time. */
export class MeterClient {
  readonly #config: ClientConfig
  readonly #socket: Socket
  #state: ClientState = { at: 'idle' }
  #octets: Buffer = Buffer.alloc(0)
  #settle: ((effect: ClientEffect) => void) | undefined
  /** APDUs that came */
  turns = 0

  readonly #source: number

  private constructor(socket: Socket, config: ClientConfig, source: number) {
    this.#source = source
    this.#socket = socket
    this.#config = config
    socket.on('data', (chunk: Buffer) => this.#hear(chunk))
    socket.on('close', () => this.#tell({ kind: 'disconnected' }))
  }

  /** @param source the client's service access point: 1 is the management client, 16 the public one */
  static async connect(port: number, config: ClientConfig, source = 1): Promise<MeterClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new MeterClient(socket, config, source)
  }

  /** Until the association opens, a request is answered, or there is a fault. */
  do(event: ClientEvent): Promise<ClientEffect> {
    return new Promise((resolve) => {
      this.#settle = resolve
      this.#tell(event)
    })
  }

  /** An attribute's value. @throws Error for any other answer */
  async get(classId: number, obis: string, attribute: number, selection?: SelectiveAccess): Promise<Data> {
    const asked = { classId, obis: parseObis(obis), attribute, selection }
    const effect = await this.do({ kind: 'ask', request: { kind: 'get', attribute: asked } })
    if (effect.kind !== 'answer' || effect.answer.kind !== 'get' || effect.answer.result.kind !== 'data') {
      throw new Error(`${obis} attribute ${attribute}: ${JSON.stringify(effect)}`)
    }
    return effect.answer.result.data
  }

  close(): void {
    this.#socket.destroy()
  }

  #tell(event: ClientEvent): void {
    const { state, effects } = stepClient(this.#config, this.#state, event)
    this.#state = state
    for (const effect of effects) {
      if (effect.kind === 'send')
        this.#socket.write(frameWrapper(effect.octets, { source: this.#source, destination: 1 }))
      if (settled.has(effect.kind)) this.#settle?.(effect)
    }
  }

  #hear(chunk: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, chunk])
    while (this.#octets.length >= 8 && this.#octets.length >= 8 + this.#octets.readUInt16BE(6)) {
      const frame = this.#octets.subarray(0, 8 + this.#octets.readUInt16BE(6))
      this.#octets = this.#octets.subarray(frame.length)
      for (const { octets } of unframeWrapper(frame).payloads) {
        this.turns += 1
        this.#tell({ kind: 'apdu', octets })
      }
    }
  }
}
