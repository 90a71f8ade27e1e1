import type { PeerError } from '../errors.ts'
import type { Authentication, Counters } from './association.ts'
import type { Channel, Ciphering } from './association-channel.ts'
import type { Handshake } from './association-hls.ts'
import type { Attempts, LockoutRule } from './association-lockout.ts'
import type { CosemObjects, Serving } from './serving.ts'

export interface ServerConfig {
  authentication: Authentication
  /** in clear where it is not said */
  ciphering?: Ciphering
  /** the most that we take and send in one APDU, `pduOctetsMin` to `pduOctetsMax` octets */
  pduOctets: number
  objects: CosemObjects
  /** `defaultLockout` where it is not said */
  lockout?: LockoutRule
}

export type ServerState =
  | { at: 'idle' }
  /** HLS passes 1 and 2 are done */
  | { at: 'challenged'; handshake: Handshake; serving: Serving; channel: Channel | undefined }
  | { at: 'associated'; serving: Serving; channel: Channel | undefined }

export type ServerEvent =
  | {
      kind: 'apdu'
      octets: Uint8Array
      /** random octets, 8 to 64 (with ECDSA 32 at the least), other ones with each event */
      challenge: Uint8Array
      /** those that were stored last, by whatever session */
      counters: Counters
      /** those that were counted last, by whatever session */
      attempts: Attempts
      /** seconds, of a clock that does not go back */
      now: number
    }
  /** the client was silent for too long */
  | { kind: 'timeout' }
  /** the connection ended */
  | { kind: 'disconnected' }

/** In the order in which they are to be done. */
export type ServerEffect =
  | { kind: 'store'; counters: Counters }
  /** to be kept beside the counters, for all sessions */
  | { kind: 'count'; attempts: Attempts }
  | { kind: 'send'; octets: Uint8Array }
  | { kind: 'associated' }
  | { kind: 'released' }
  /** what the client did wrong; it has been told by a `send` */
  | { kind: 'fault'; fault: PeerError }
  | { kind: 'close' }

export interface ServerStep {
  state: ServerState
  effects: ServerEffect[]
}
