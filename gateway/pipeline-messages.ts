import type { CarrierConfig } from './carrier-config.ts'
import type { ReadAnswer, ReadRequest } from './command-request.ts'
import type { Commands, Outgoing } from './commands.ts'
import type { DialectName, NewDialect } from './dialects.ts'
import type { PeerFault } from './errors.ts'
import type { AnnouncerStatus } from './io/announcer.ts'
import type { CarrierStatus } from './io/carriers.ts'
import type { AcceleratedClock } from './io/clock.ts'
import type { EnvelopeFiles } from './io/enveloper.ts'
import type { ReleaseCounts } from './io/release.ts'
import type { ConcentratorId } from './model.ts'
import type { Lacking } from './oneway/replay-code.ts'
import type { ReplayAnswer } from './replay.ts'

/** What the second thread is started with. */
export interface PipelineOptions {
  data: string
  kekFile: string
  linkKey: { id: number; file: string }
  sealer: { keyFile: string; certificateFile: string; crlFile: string }
  /** milliseconds that readings, and alarms and events, wait for their batch, the most */
  seal: { intervalMs: number; urgentMs: number }
  forward: {
    host: string
    port: number
    /** our own address */
    from: string
    symbolOctets: number
    bitsPerSecond: number
    passesAfterMs: readonly number[]
    lossShare: number
    carouselRestMs: number | undefined
    manifestMs: number
  }
  carriers: readonly CarrierConfig[]
  envelope: EnvelopeFiles | undefined
  graceSeconds: number
  retention: { replayDays: number; readingDays: number }
  clock: AcceleratedClock | undefined
  durable: number
}

/**
 * `durable`: the journal is readable up to here. `drain`: and nothing will follow it. `ask`: an operator's command, answered
 * by one `answer` unless it is cancelled. `replay`: answered by one `replayed`. `undeliverable`: of a `publish`, by its command id.
 */
export type ToPipeline =
  | { kind: 'durable' | 'drain'; position: number }
  | { kind: 'ask'; id: number; request: ReadRequest }
  | { kind: 'replay'; id: number; lacking: Lacking }
  | { kind: 'cancel'; id: number }
  | { kind: 'undeliverable'; commandId: string }

export type FromPipeline =
  | { kind: 'status'; status: PipelineStatus }
  | { kind: 'unhandled'; stack: string }
  | ({ kind: 'dialect' } & NewDialect)
  | ({ kind: 'publish' } & Outgoing)
  | { kind: 'answer'; id: number; answer: ReadAnswer }
  | { kind: 'replayed'; id: number; answer: ReplayAnswer }
  | { kind: 'result-refused'; concentrator: ConcentratorId; detail: string }
  | { kind: 'sealing'; fault: string | undefined }
  | { kind: 'carrier'; carrier: string; fault: string | undefined }
  | { kind: 'drained'; status: PipelineStatus }

/** Counts since the start, but of all time where it says so. */
export interface PipelineStatus {
  /** journal consumed up to here */
  position: number
  /** readings that came through TLS and tag and decoding */
  opened: number
  fresh: number
  revised: number
  repeated: number
  repeatedUplinks: number
  heartbeats: number
  commands: Commands['status']
  /** frames, of all time */
  quarantined: number
  quarantinedBy: Partial<Record<PeerFault, number>>
  /** pushes that departed from the standard and were read through */
  dialects: Partial<Record<DialectName, number>>
  /** readings, of all time */
  sealed: number
  /** of all time */
  batchesSealed: number
  batchesForwarded: number
  batchesWaiting: number
  datagrams: number
  datagramFaults: number
  /** ways beside the datagrams, as they are configured */
  carriers: CarrierStatus[]
  link: LinkStatus
  /** of all time */
  cells: ReleaseCounts
}

/** The sending end of the one-way link; counts since the start. */
export interface LinkStatus extends AnnouncerStatus {
  /** handed to the kernel, heartbeats too */
  sentDatagrams: number
  sentOctets: number
  sendErrors: number
  /** batches whose first pass is not complete */
  queueObjects: number
  queueOctets: number
  /** age of the oldest reading that is not sealed or waits for its first pass; 0 when there is none */
  oldestUnsentMs: number
  /** batches up to here have all had their first pass, and their last */
  firstPassTo: number
  lastPassTo: number
  /** batches that go round when nothing else is due, and passes that did */
  carouselObjects: number
  carouselRounds: number
}
