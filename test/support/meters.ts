import { createHash } from 'node:crypto'
import { encodeUplink, type MeterFrame } from '#gateway/codec/uplink.ts'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import type { Arrival, Journaled } from '#gateway/io/journal-record.ts'
import { type ConcentratorId, concentratorId, type ExactInteger, type Obis, unitWh } from '#gateway/model.ts'
import { protect } from '#simulator/protect.ts'
import { profilePush } from '#simulator/push.ts'

/** 2026-01-12T00:00Z, a midnight; a quarter-hour after it. */
export const monday = 1_768_176_000
export const quarter = 900
/** Seconds by the gateway's clock, long after whatever the tests measure. */
export const later: number = monday + 30 * 86_400

export const activeImport: Obis = '1-0:1.29.0' as Obis
export const concentrator: ConcentratorId = concentratorId('dc-1')

/** The `n`th meter of a made-up fleet: its keys follow from its number. */
export function meter(n: number, substation = 'S-1'): Enlisted {
  const key = (what: string): string => createHash('sha256').update(`${what} ${n}`).digest('hex').slice(0, 32)
  const title = `414d4900${n.toString(16).padStart(8, '0')}`
  return parseEnlisted(JSON.stringify({ meter: title, substation, ek: key('ek'), ak: key('ak') }), [])
}

export interface Push {
  counter: number
  rows: readonly (readonly [end: number, value: ExactInteger])[]
  obis?: Obis
  scaler?: number
  unit?: number
  capturePeriod?: number
}

/** A profile push in the clear. */
export function plainPush({
  counter,
  rows,
  obis = activeImport,
  scaler = 0,
  unit = unitWh,
  ...rest
}: Push): Uint8Array {
  return profilePush({
    invokeId: counter,
    at: rows[0]?.[0] ?? monday,
    capturePeriod: rest.capturePeriod ?? quarter,
    channels: [{ obis, scaler, unit }],
    rows: rows.map(([end, value]) => ({ end, status: 0, values: [value] })),
  })
}

/** The same, as the meter seals it. */
export function sealedPush({ meter: systemTitle, ek, ak }: Enlisted, push: Push): Uint8Array {
  return protect(plainPush(push), { systemTitle, ek, ak, invocationCounter: push.counter })
}

export function frame({ meter: systemTitle }: Pick<Enlisted, 'meter'>, apdu: Uint8Array): MeterFrame {
  return { systemTitle, framing: 'apdu', apdu, receivedAtMs: later * 1000, link: { lqi: 90, hops: 2 } }
}

/** One publish with these frames. */
export function uplink(sequence: number, frames: MeterFrame[], from: ConcentratorId = concentrator): Arrival {
  const payload = encodeUplink({
    concentrator: from,
    sequence,
    sentAtMs: later * 1000,
    body: { kind: 'reading-batch', frames },
  })
  return { concentrator: from, receivedAtMs: later * 1000, payload }
}

/** As the journal gives them: each with the position behind it. */
export function journaled(arrivals: readonly Arrival[], from = 0): Journaled[] {
  let next = from
  return arrivals.map((arrival) => {
    next += arrival.payload.length + 20
    return { ...arrival, next }
  })
}
