import type { PeerFault } from '#gateway/errors.ts'
import type { Bundle } from '#gateway/oneway/frame.ts'

/** What became of a bundle: stored durably, there already, or refused and kept in the receiver's quarantine. */
export type Outcome = 'stored' | 'repeated' | PeerFault

/** Takes a whole sealed batch into the same verification as those of the datagrams. @throws what the disk says */
export type TakeBundle = (bundle: Bundle) => Promise<Outcome>

/** A way in for sealed batches beside the datagrams. */
export interface Intake {
  status(): IntakeStatus
  /** finishes the bundle that it has in hand */
  close(): Promise<void>
}

export interface IntakeStatus {
  /** as the log calls it */
  name: string
  /** bundles that were stored, and those that were there already */
  stored: number
  repeated: number
  /** what was no bundle, or no batch to be stored, by code */
  refused: Partial<Record<PeerFault, number>>
  /** what keeps it from taking anything, while it does */
  held: string | undefined
}

/** Counts of one intake. */
export class Tally {
  readonly status: IntakeStatus

  constructor(name: string) {
    this.status = { name, stored: 0, repeated: 0, refused: {}, held: undefined }
  }

  note(outcome: Outcome): void {
    if (outcome === 'stored' || outcome === 'repeated') this.status[outcome]++
    else this.status.refused[outcome] = (this.status.refused[outcome] ?? 0) + 1
  }
}
