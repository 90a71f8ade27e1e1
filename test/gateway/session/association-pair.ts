import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { PeerError } from '#gateway/errors.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import type { Authentication, Counters, GmacKeys } from '#gateway/session/association.ts'
import type { Ciphering } from '#gateway/session/association-channel.ts'
import {
  type ClientConfig,
  type ClientEffect,
  type ClientEvent,
  type ClientState,
  stepClient,
} from '#gateway/session/association-client.ts'
import { type Attempts, noAttempts } from '#gateway/session/association-lockout.ts'
import {
  type ServerConfig,
  type ServerEffect,
  type ServerState,
  type ServerStep,
  stepServer,
} from '#gateway/session/association-server.ts'
import type { CosemObjects } from '#gateway/session/serving.ts'

export const fresh: Counters = { sent: -1, received: -1 }
export const clientChallenge: Uint8Array = new Uint8Array(32).fill(0xc1)
export const serverChallenge: Uint8Array = new Uint8Array(32).fill(0x5e)
export const password: Uint8Array = Buffer.from('12345678')

const client = parseSystemTitle('4d4d4d0000000001')
const server = parseSystemTitle('4d4d4d0000bc614e')
const keys = { ek: createSecretKey(new Uint8Array(16).fill(1)), ak: new Uint8Array(16).fill(2) }
export const clientKeys: GmacKeys = { own: client, peer: server, ...keys }
export const serverKeys: GmacKeys = { own: server, peer: undefined, ...keys }

const signing = {
  1: { client: keyPair('prime256v1'), server: keyPair('prime256v1') },
  2: { client: keyPair('secp384r1'), server: keyPair('secp384r1') },
}

function keyPair(namedCurve: string): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve })
}

export interface Mechanism {
  name: string
  client: Authentication
  server: Authentication
}

export const secret: Uint8Array = Buffer.from('a secret of both')

function alike(authentication: Authentication): Mechanism {
  return { name: authentication.mechanism, client: authentication, server: authentication }
}

function ecdsa(suite: 1 | 2): Mechanism {
  const { client: ours, server: theirs } = signing[suite]
  const mechanism = 'high-ecdsa'
  return {
    name: `high-ecdsa, suite ${suite}`,
    client: { mechanism, suite, own: client, peer: server, privateKey: ours.privateKey, peerKey: theirs.publicKey },
    server: { mechanism, suite, own: server, peer: undefined, privateKey: theirs.privateKey, peerKey: ours.publicKey },
  }
}

/** Each mechanism with both ends' part of it. */
export const mechanisms: readonly Mechanism[] = [
  alike({ mechanism: 'lowest' }),
  alike({ mechanism: 'low', password }),
  {
    name: 'high-gmac',
    client: { mechanism: 'high-gmac', ...clientKeys },
    server: { mechanism: 'high-gmac', ...serverKeys },
  },
  alike({ mechanism: 'high-md5', secret }),
  alike({ mechanism: 'high-sha1', secret }),
  {
    name: 'high-sha256',
    client: { mechanism: 'high-sha256', secret, own: client, peer: server },
    server: { mechanism: 'high-sha256', secret, own: server, peer: undefined },
  },
  ecdsa(1),
  ecdsa(2),
]

/** The ciphering of both ends. */
export function ciphered(suite: number, more: Partial<Ciphering> = {}): { client: Ciphering; server: Ciphering } {
  const octets = suite === 2 ? 32 : 16
  const ek = createSecretKey(new Uint8Array(octets).fill(7))
  const both = {
    suite,
    ek,
    ak: new Uint8Array(octets).fill(8),
    protection: 'authenticated-encrypted',
    ...more,
  } as const
  return { client: { ...both, own: client, peer: server }, server: { ...both, own: server, peer: undefined } }
}

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
  attempts: Attempts = noAttempts
  now = 0
  readonly clientEffects: ClientEffect[] = []
  readonly serverEffects: ServerEffect[] = []
  /** octets of each APDU, both ways */
  readonly lengths: number[] = []
  readonly wire: { from: 'client' | 'server'; octets: Uint8Array }[] = []
  readonly #clientConfig: ClientConfig
  readonly #serverConfig: ServerConfig

  constructor(clientConfig: ClientConfig, serverConfig: ServerConfig) {
    this.#clientConfig = clientConfig
    this.#serverConfig = serverConfig
  }

  open(dedicatedKey?: Uint8Array): this {
    return this.tell({
      kind: 'open',
      challenge: clientChallenge,
      counters: fresh,
      ...(dedicatedKey && { dedicatedKey }),
    })
  }

  /** One event of the server's alone. */
  told(octets: Uint8Array, challenge: Uint8Array = serverChallenge): ServerStep {
    const { counters, attempts, now } = this
    const event = { kind: 'apdu', octets, challenge, counters, attempts, now } as const
    const step = stepServer(this.#serverConfig, this.server, event)
    for (const effect of step.effects) {
      if (effect.kind === 'store') this.counters = effect.counters
      if (effect.kind === 'count') this.attempts = effect.attempts
    }
    this.server = step.state
    return step
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
    this.wire.push({ from: 'client', octets })
    const { effects } = this.told(octets)
    this.serverEffects.push(...effects)
    for (const effect of effects) {
      if (effect.kind !== 'send') continue
      this.lengths.push(effect.octets.length)
      this.wire.push({ from: 'server', octets: effect.octets })
      this.tell({ kind: 'apdu', octets: effect.octets })
    }
  }
}

/** The codes of the faults among effects. */
export function faultsOf(effects: readonly { kind: string }[]): string[] {
  return effects.flatMap((effect) =>
    'fault' in effect && effect.fault instanceof PeerError ? [effect.fault.code] : [],
  )
}
