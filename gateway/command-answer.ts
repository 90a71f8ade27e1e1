import { encodeData } from './codec/axdr.ts'
import { commandStatus } from './codec/command-result.ts'
import { codeName } from './codec/results.ts'
import { unframeWrapper } from './codec/wrapper.ts'
import type { ReadEvent, ReadOutcome } from './command-read.ts'
import { type CommandFault, type ReadAnswer, type ReadObject, refusal } from './command-request.ts'
import { PeerError } from './errors.ts'
import type { RegisteredMeter } from './io/registry.ts'
import type { ConcentratorId } from './model.ts'
import type { Got } from './readings/read-plan.ts'

/** Whom a command went to, and through whom. */
export interface Asked {
  meter: Pick<RegisteredMeter, 'title' | 'profile'>
  concentrator: ConcentratorId
}

const faultOfStatus: Readonly<Record<Exclude<keyof typeof commandStatus, 'done'>, CommandFault>> = {
  expired: 'COMMAND_EXPIRED',
  foreign: 'METER_FOREIGN',
  silent: 'METER_SILENT',
  busy: 'CONCENTRATOR_BUSY',
  unsupported: 'COMMAND_UNSUPPORTED',
  failed: 'COMMAND_FAILED',
}

/** A result as what it tells: the meter's APDU, or why there is none. */
export function eventOf(status: number, framed: Uint8Array): ReadEvent {
  const name = codeName(commandStatus, status) ?? 'failed'
  if (name !== 'done') return { kind: 'lost', code: faultOfStatus[name], detail: `the concentrator says: ${name}` }
  const { payloads, faults } = unframeWrapper(framed)
  const [payload, ...more] = payloads
  if (faults[0] === undefined && payload !== undefined && more.length === 0) return { kind: 'apdu', ...payload }
  const broken = faults[0] ?? new PeerError('FRAME_FORMAT', `${payloads.length} APDUs in one answer`)
  return { kind: 'lost', code: broken.code, detail: broken.message }
}

export function answerOf({ meter, concentrator }: Asked, outcome: ReadOutcome): ReadAnswer {
  if (outcome.kind === 'failed') return refusal(outcome.code, outcome.detail)
  const profile = meter.profile?.name ?? null
  return {
    ok: true,
    meter: meter.title,
    concentrator,
    profile,
    readAtMs: Date.now(),
    objects: outcome.got.map(toObject),
  }
}

function toObject({ classId, obis, attribute, result }: Got): ReadObject {
  const named = { classId, obis, attribute }
  if (result.kind === 'error') return { ...named, result: result.result }
  return { ...named, data: Buffer.from(encodeData(result.data)).toString('base64') }
}
