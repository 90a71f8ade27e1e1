import { type Failure, refusal } from './command-request.ts'
import { PeerError } from './errors.ts'
import type { Outbox } from './io/outbox.ts'
import { decodeReplayCode, type Lacking } from './oneway/replay-code.ts'
import type { Waiting } from './oneway/schedule.ts'

/** What became of a code that an operator typed. */
export type ReplayAnswer =
  | (Lacking & {
      ok: true
      /** batches that go once more */
      batches: number
      /** of those asked for, sealed and no longer here: their replay window is over */
      erased: number
    })
  | { ok: false; fault: Failure }

/**
 * What the MDM lacks, by the line `{"verb":"replay","code":"…"}` of the control socket.
 * @throws TypeError that says what is wrong, PeerError `REPLAY_CODE`
 */
export function parseReplay(request: { code?: unknown }): Lacking {
  if (typeof request.code !== 'string') throw new TypeError('code: a text')
  return decodeReplayCode(request.code)
}

/** Has the batches that are still here sent once more, behind the readings that wait for their first pass, by every carrier. */
export function replay(
  lacking: Lacking,
  outbox: Outbox,
  ...ways: readonly { replay(batches: readonly Waiting[]): void }[]
): ReplayAnswer {
  const { epoch, from, to } = lacking
  if (epoch !== outbox.epoch)
    return refusal('REPLAY_EPOCH', `a code of stream ${epoch}, and this one is ${outbox.epoch}`)
  const { sequence: last } = outbox.head()
  if (to > last) return refusal('REPLAY_UNKNOWN', `batch ${to} is asked for, and ${last} is the last`)
  const held = outbox.held(from, to)
  for (const way of ways) way.replay(held)
  return { ok: true, epoch, from, to, batches: held.length, erased: to - from + 1 - held.length }
}

/** The answer to a line that is no code. @throws what is not the operator's fault */
export function replayRefusal(error: unknown): { ok: false; fault: Failure } {
  if (error instanceof PeerError) return refusal(error.code, error.message)
  if (error instanceof TypeError) return refusal('REQUEST_MALFORMED', error.message)
  throw error
}
