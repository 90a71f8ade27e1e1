import { join } from 'node:path'
import { decodeSeries, type SealedSeries } from '#gateway/codec/batch.ts'
import { type Intake, intake } from '#gateway/intake.ts'
import type { Enlisted } from '#gateway/io/enlisted.ts'
import type { Arrival } from '#gateway/io/journal-record.ts'
import { type Applied, openLedger, type SqliteLedger } from '#gateway/io/ledger.ts'
import { journaled, later } from './meters.ts'

export const kek: Buffer = Buffer.alloc(32, 0x5a)

/** A ledger in this folder, which knows these meters. */
export function ledgerIn(folder: string, meters: readonly Enlisted[] = []): SqliteLedger {
  const ledger = openLedger(join(folder, 'ledger.sqlite'), kek)
  if (meters.length > 0) ledger.registry.enlist(meters)
  return ledger
}

/** What the pipeline does with a stretch of the journal: take it in, and commit. */
export function take(ledger: SqliteLedger, arrivals: readonly Arrival[]): Intake & { applied: Applied } {
  const taken = intake(journaled(arrivals, ledger.position), ledger, later)
  return { ...taken, applied: ledger.commit(taken.effects) }
}

/** All that waits to be sealed. */
export function waitingSeries(ledger: SqliteLedger): SealedSeries[] {
  return (ledger.outbox.sealable()?.leaves ?? []).map(decodeSeries)
}
