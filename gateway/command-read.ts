import { strict as assert } from 'node:assert'
import { encodeData } from './codec/axdr.ts'
import type { SelectedAttribute } from './codec/descriptor.ts'
import type { CommandFault, Failure } from './command-request.ts'
import { type Got, nextToRead, type Wanted } from './readings/read-plan.ts'
import type { Counters } from './session/association.ts'
import { type ClientConfig, type ClientEffect, type ClientState, stepClient } from './session/association-client.ts'

/** One reading of a meter, from its association to its release. */
export interface ReadState {
  client: ClientState
  got: readonly Got[]
  /** what was asked for last */
  asked: SelectedAttribute | undefined
  /** octets of A-XDR data in `got` */
  octets: number
  /** what it comes to, known before the association is released */
  outcome: ReadOutcome | undefined
}

export type ReadOutcome = { kind: 'read'; got: readonly Got[] } | ({ kind: 'failed' } & Failure)

export type ReadEvent =
  | { kind: 'begin'; challenge: Uint8Array; counters: Counters }
  /** the meter's answer to what was sent last */
  | { kind: 'apdu'; octets: Uint8Array }
  /** there will be none */
  | ({ kind: 'lost' } & Failure)

/** In the order in which they are to be done; a `send` waits for one `apdu` or `lost`, behind `done` nothing follows. */
export type ReadEffect =
  | { kind: 'store'; counters: Counters }
  | { kind: 'send'; octets: Uint8Array }
  | { kind: 'done'; outcome: ReadOutcome }

export interface ReadConfig {
  client: ClientConfig
  wanted: Wanted
}

export interface ReadStep {
  state: ReadState
  effects: ReadEffect[]
}

/** Octets of A-XDR data in one answer, the most: in base64 they leave room for their names in a line of 64 KiB. */
export const dataOctetsMax = 40_000

export const readIdle: ReadState = { client: { at: 'idle' }, got: [], asked: undefined, octets: 0, outcome: undefined }

/**
 * Associate, read what is wanted and what is needed to make sense of it, release. A meter that does not release cleanly
 * has answered all the same.
 */
export function stepRead(config: ReadConfig, state: ReadState, event: ReadEvent): ReadStep {
  if (event.kind === 'lost') {
    const outcome = state.outcome ?? failed(event.code, event.detail)
    return { state: { ...state, client: { at: 'idle' }, outcome }, effects: [{ kind: 'done', outcome }] }
  }
  const { state: client, effects } =
    event.kind === 'begin'
      ? stepClient(config.client, state.client, { ...event, kind: 'open' })
      : stepClient(config.client, state.client, event)
  return follow(config, { ...state, client }, effects)
}

/** What a client's effects ask for, and what follows from them. */
function follow(config: ReadConfig, before: ReadState, effects: readonly ClientEffect[]): ReadStep {
  let state = before
  const done: ReadEffect[] = []
  for (const effect of effects) {
    const step = followOne(config, state, effect)
    state = step.state
    done.push(...step.effects)
  }
  return { state, effects: done }
}

function followOne(config: ReadConfig, state: ReadState, effect: ClientEffect): ReadStep {
  switch (effect.kind) {
    case 'store':
    case 'send':
      return { state, effects: [effect] }
    case 'associated':
      return proceed(config, state)
    case 'answer':
      assert(effect.answer.kind === 'get' && state.asked !== undefined)
      return proceed(config, withGot(state, { ...state.asked, result: effect.answer.result }))
    case 'released':
      assert(state.outcome !== undefined)
      return { state, effects: [{ kind: 'done', outcome: state.outcome }] }
    case 'failed':
      return stepRead(config, state, { kind: 'lost', code: effect.fault.code, detail: effect.fault.message })
    case 'close':
      return { state, effects: [] } // there is no connection: the concentrator has one for each APDU
    case 'not-now':
      throw new assert.AssertionError({ message: `${effect.event} while ${state.client.at}` })
  }
}

function withGot(state: ReadState, got: Got): ReadState {
  const octets = state.octets + (got.result.kind === 'data' ? encodeData(got.result.data).length : 0)
  return { ...state, got: [...state.got, got], octets }
}

function proceed(config: ReadConfig, state: ReadState): ReadStep {
  if (state.octets > dataOctetsMax) {
    return release(config, state, failed('ANSWER_LENGTH', `over ${dataOctetsMax} octets: ask for a shorter range`))
  }
  const attribute = nextToRead(config.wanted, state.got)
  if (attribute === undefined) return release(config, state, { kind: 'read', got: state.got })
  try {
    const { state: client, effects } = stepClient(config.client, state.client, {
      kind: 'ask',
      request: { kind: 'get', attribute },
    })
    return follow(config, { ...state, client, asked: attribute }, effects)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error // the meter takes less than the request is long
    return release(config, state, failed('COMMAND_UNSUPPORTED', error.message))
  }
}

function release(config: ReadConfig, state: ReadState, outcome: ReadOutcome): ReadStep {
  const { state: client, effects } = stepClient(config.client, state.client, { kind: 'release' })
  return follow(config, { ...state, client, outcome }, effects)
}

function failed(code: CommandFault, detail: string): ReadOutcome {
  return { kind: 'failed', code, detail }
}
