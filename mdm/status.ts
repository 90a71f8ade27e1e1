import { replayCodes } from '#gateway/oneway/replay-code.ts'
import type { RingAssemblerStatus } from './assemble.ts'
import type { IntakeStatus } from './intake.ts'
import type { LinkStatus, NamedGap, StreamLink } from './link.ts'
import type { ReceiverStatus } from './receive.ts'
import type { SinkStatus } from './sinks/follower.ts'
import type { SpoolerStatus } from './spool.ts'

/** What the assembler says of itself each second, in its log and in its status file. */
export interface AssemblerStatus extends ReceiverStatus {
  /** ms since 1970 */
  at: number
  pid: number
  ring: RingAssemblerStatus
  sinks: SinkStatus[]
  /** ways in beside the datagrams */
  intakes: IntakeStatus[]
}

/** Why an operator should look. Stable codes: add, never rename. */
export const mdmAlarms = [
  'SPOOLER_DOWN',
  'ASSEMBLER_DOWN',
  'RING_FULL',
  'RING_FAILED',
  'STORE_FAILED',
  'SINK_FAILED',
  'LINK_SILENT',
  'EPOCH_ANNOUNCED',
  'GAPS',
  'QUARANTINE',
  'UNHANDLED',
] as const
export type MdmAlarm = (typeof mdmAlarms)[number]

export interface MdmStatus {
  /** ms since 1970 */
  at: number
  alarms: MdmAlarm[]
  /** undefined where it has never run */
  spooler: SpoolerStatus | undefined
  assembler: AssemblerStatus | undefined
}

/** A status that is older is that of a process that is gone or stands still. */
const staleMs = 5_000
/** Gaps that one glance shows, the most. */
const gapsShownMax = 5

export function mdmStatus({ spooler, assembler }: Pick<MdmStatus, 'spooler' | 'assembler'>, nowMs: number): MdmStatus {
  const isUp = (one: { at: number } | undefined): boolean => one !== undefined && nowMs - one.at <= staleMs
  const stands: Record<MdmAlarm, boolean | undefined> = {
    SPOOLER_DOWN: !isUp(spooler),
    ASSEMBLER_DOWN: !isUp(assembler),
    RING_FULL: spooler?.ring.full,
    RING_FAILED: spooler !== undefined && spooler.ring.failure !== undefined,
    STORE_FAILED: assembler !== undefined && assembler.storeFailure !== undefined,
    SINK_FAILED: assembler?.sinks.some(({ fault }) => fault !== undefined),
    LINK_SILENT: currentLink(assembler)?.silent,
    EPOCH_ANNOUNCED: assembler?.link?.epochs.some(({ accepted }) => !accepted),
    GAPS: assembler?.streams.some(({ missing }) => missing > 0),
    QUARANTINE: assembler !== undefined && assembler.quarantine.length > 0,
    UNHANDLED: assembler !== undefined && (assembler.refused.UNHANDLED ?? 0) > 0,
  }
  return { at: nowMs, alarms: mdmAlarms.filter((code) => stands[code]), spooler, assembler }
}

/** Of the stream that was accepted last: another one's silence is no wonder. */
function currentLink(assembler: AssemblerStatus | undefined): StreamLink | undefined {
  const current = assembler?.link?.epochs.findLast(({ accepted }) => accepted)?.epoch
  return assembler?.link?.streams.find(({ epoch }) => epoch === current)
}

/** As lines for a person, the alarms first. */
export function atAGlance({ at, alarms, spooler, assembler }: MdmStatus): string {
  const lines = [
    alarms.length === 0 ? 'all well' : `ALARM ${alarms.join(', ')}`,
    ...spoolerLines(spooler, at),
    ...assemblerLines(assembler, at),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function spoolerLines(spooler: SpoolerStatus | undefined, nowMs: number): string[] {
  if (spooler === undefined) return ['spooler     has never run']
  const { at, pid, port, datagrams, octets, misfits, ring, receiveBufferOctets, kernel } = spooler
  const { full, failed } = ring.dropped
  const share = ((ring.octets / ring.octetsMax) * 100).toFixed(1)
  const failure = ring.failure === undefined ? '' : `   the disk says ${ring.failure}`
  return [
    `spooler     pid ${pid}, UDP port ${port}, told ${ago(at, nowMs)}`,
    `received    ${datagrams} datagrams, ${octets} octets   misfits ${misfits}`,
    `dropped     kernel ${kernel.socket} (buffer ${receiveBufferOctets} octets), ring full ${full}, disk ${failed}`,
    `ring        ${share} % of ${ring.octetsMax} octets${failure}`,
  ]
}

function assemblerLines(assembler: AssemblerStatus | undefined, nowMs: number): string[] {
  if (assembler === undefined) return ['assembler   has never run']
  const { at, pid, open, evicted, ring, storeFailure, lagMs, lastMs } = assembler
  const silence = lastMs === undefined ? 'no datagram yet' : `last datagram ${ago(lastMs, nowMs)}`
  return [
    `assembler   pid ${pid}, told ${ago(at, nowMs)}   ${silence}   lag ${lagMs ?? '-'} ms`,
    `objects     open ${open.objects} (${open.octets} octets), evicted ${evicted}   ring held back ${ring.position - ring.released} octets`,
    `batches     ${assembler.batches} stored, ${assembler.readings} readings, ${assembler.repeated} repeated`,
    `store       ${storeFailure === undefined ? 'takes what comes' : `fails: ${storeFailure}; everything waits in the ring`}`,
    `refused     ${counts(assembler.refused)}`,
    ...assembler.intakes.map(intakeLine),
    ...assembler.sinks.map(sinkLine),
    ...linkLines(assembler.link),
    ...assembler.streams.flatMap(streamLines),
    ...assembler.quarantine.map(
      ({ epoch, sequence, code, replay }) => `quarantine  epoch ${epoch} batch ${sequence} ${code}   replay ${replay}`,
    ),
  ]
}

function intakeLine({ name, stored, repeated, refused, held }: IntakeStatus): string {
  const state = held === undefined ? '' : `   held up: ${held}`
  return `intake      ${name}   stored ${stored}, repeated ${repeated}, refused ${counts(refused)}${state}`
}

function sinkLine({ name, behind, skipped, fault }: SinkStatus): string {
  const state = fault === undefined ? '' : `   ${fault.code} since ${fault.since}`
  return `sink        ${name}   behind ${behind}, passed over ${skipped}${state}`
}

function linkLines(link: LinkStatus | undefined): string[] {
  const waiting = (link?.epochs ?? []).filter(({ accepted }) => !accepted)
  return [
    ...waiting.map(({ epoch }) => `epoch       ${epoch} waits for 'ami mdm accept-epoch'`),
    ...(link?.streams ?? []).flatMap((stream) => [
      linkLine(stream),
      ...stream.gaps.slice(0, gapsShownMax).map(gapLine),
    ]),
  ]
}

function linkLine({ epoch, silent, quietMs, lossShare, driftPpm, sender, manifest, highest }: StreamLink): string {
  const beat = sender === undefined ? 'no heartbeat yet' : `${silent ? 'SILENT' : 'beats'}, last ${quietMs} ms ago`
  const loss = lossShare === undefined ? '-' : `${(lossShare * 100).toFixed(2)} %`
  const drift = driftPpm === undefined ? '-' : `${driftPpm.toFixed(1)} ppm`
  const queue = sender === undefined ? '-' : `${sender.queueObjects} objects, oldest ${sender.oldestUnsentMs} ms`
  return `link        epoch ${epoch}   ${beat}   loss ${loss}   drift ${drift}   sender's queue ${queue}   manifest ${manifest} to ${highest}`
}

function gapLine({ from, to, state, after, until, readings, exact }: NamedGap): string {
  const count = readings === undefined ? '' : `   ${exact ? '' : 'at most '}${readings} readings`
  return `  ${state.padEnd(10)}${from} to ${to}   sealed ${after ?? '-'} to ${until ?? '-'}${count}`
}

function streamLines({ epoch, highest, missing, gaps }: ReceiverStatus['streams'][number]): string[] {
  const shown = gaps.slice(0, gapsShownMax).map((gap) => {
    const [code, ...rest] = replayCodes(epoch, [gap], 2)
    return `  gap       ${gap[0]} to ${gap[1]}   replay ${code}${rest.length > 0 ? ', then ask again' : ''}`
  })
  const more = gaps.length > gapsShownMax ? [`  gap       and ${gaps.length - gapsShownMax} more: --json`] : []
  return [`stream      epoch ${epoch}   highest ${highest}   missing ${missing}`, ...shown, ...more]
}

function counts(refused: ReceiverStatus['refused']): string {
  const all = Object.entries(refused).map(([code, count]) => `${code} ${count}`)
  return all.length === 0 ? 'nothing' : all.join(', ')
}

function ago(atMs: number, nowMs: number): string {
  return `${((nowMs - atMs) / 1000).toFixed(1)} s ago`
}
