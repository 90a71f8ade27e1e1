import { createSecretKey } from 'node:crypto'
import { parseSystemTitle } from '#gateway/model.ts'
import type { Authentication, Counters, GmacKeys } from '#gateway/session/association.ts'
import {
  type ClientConfig,
  type ClientEffect,
  type ClientEvent,
  type ClientState,
  stepClient,
} from '#gateway/session/association-client.ts'
import {
  type ServerConfig,
  type ServerEffect,
  type ServerState,
  stepServer,
} from '#gateway/session/association-server.ts'
import type { CosemObjects } from '#gateway/session/serving.ts'

export const fresh: Counters = { sent: -1, received: -1 }
export const clientChallenge: Uint8Array = new Uint8Array(16).fill(0xc1)
export const serverChallenge: Uint8Array = new Uint8Array(16).fill(0x5e)
export const password: Uint8Array = Buffer.from('12345678')

const client = parseSystemTitle('4d4d4d0000000001')
const server = parseSystemTitle('4d4d4d0000bc614e')
const keys = { ek: createSecretKey(new Uint8Array(16).fill(1)), ak: new Uint8Array(16).fill(2) }
export const clientKeys: GmacKeys = { own: client, peer: server, ...keys }
export const serverKeys: GmacKeys = { own: server, peer: undefined, ...keys }

/** Each mechanism with both ends' part of it. */
export const mechanisms: readonly { name: string; client: Authentication; server: Authentication }[] = [
  { name: 'lowest', client: { mechanism: 'lowest' }, server: { mechanism: 'lowest' } },
  { name: 'low', client: { mechanism: 'low', password }, server: { mechanism: 'low', password } },
  {
    name: 'high-gmac',
    client: { mechanism: 'high-gmac', ...clientKeys },
    server: { mechanism: 'high-gmac', ...serverKeys },
  },
]

export const noObjects: CosemObjects = {
  get: () => ({ kind: 'error', result: 4 }),
  set: () => 3,
  act: () => ({ result: 3, returned: undefined }),
}

/** A client and a server whose octets reach each other. */
export class Pair {
  client: ClientState = { at: 'idle' }
  server: ServerState = { at: 'idle' }
  counters: Counters = fresh
  readonly clientEffects: ClientEffect[] = []
  readonly serverEffects: ServerEffect[] = []
  /** octets of each APDU, both ways */
  readonly lengths: number[] = []
  readonly #clientConfig: ClientConfig
  readonly #serverConfig: ServerConfig

  constructor(clientConfig: ClientConfig, serverConfig: ServerConfig) {
    this.#clientConfig = clientConfig
    this.#serverConfig = serverConfig
  }

  open(): this {
    return this.tell({ kind: 'open', challenge: clientChallenge, counters: fresh })
  }

  /** One event of the client's, and all that follows from it. */
  tell(event: ClientEvent): this {
    const { state, effects } = stepClient(this.#clientConfig, this.client, event)
    this.client = state
    this.clientEffects.push(...effects)
    for (const effect of effects) if (effect.kind === 'send') this.#hear(effect.octets)
    return this
  }

  #hear(octets: Uint8Array): void {
    this.lengths.push(octets.length)
    const event = { kind: 'apdu', octets, challenge: serverChallenge, counters: this.counters } as const
    const { state, effects } = stepServer(this.#serverConfig, this.server, event)
    this.server = state
    this.serverEffects.push(...effects)
    for (const effect of effects) {
      if (effect.kind === 'store') this.counters = effect.counters
      if (effect.kind !== 'send') continue
      this.lengths.push(effect.octets.length)
      this.tell({ kind: 'apdu', octets: effect.octets })
    }
  }
}
