import type { BrokerStatus } from './io/broker.ts'
import type { PipelineStatus } from './pipeline-messages.ts'

/** A count and what tells it from the others of its name. */
export interface Sample {
  labels: Readonly<Record<string, string>>
  value: number
}

export interface Metric {
  /** a counter only grows, but for a new start of the process */
  kind: 'counter' | 'gauge'
  help: string
  /** one number, or one for each of the labels' values; undefined while nobody knows it: then there is no line */
  samples: number | readonly Sample[] | undefined
}

/** By name, as Prometheus spells them: `ami_gateway_…`, base units, `_total` behind counters. */
export type Metrics = Readonly<Record<string, Metric>>

export interface GatewayStatus {
  broker: BrokerStatus
  /** undefined until the second thread has first told */
  pipeline: PipelineStatus | undefined
  /** octets of the journal that are durable */
  durable: number
}

/** All that `gateway.status` tells, as metrics. */
export function gatewayMetrics({ broker, pipeline, durable }: GatewayStatus): Metrics {
  return { ...frontMetrics(broker, durable), ...readingMetrics(pipeline), ...outMetrics(pipeline) }
}

function frontMetrics({ sessions, acknowledged, octets, refused, handshakes }: BrokerStatus, durable: number): Metrics {
  return {
    ami_gateway_sessions: gauge('Concentrators connected.', sessions),
    ami_gateway_tls_handshakes_total: counter(
      'TLS handshakes, by how they ended, protocol and key exchange group.',
      handshakes.map(({ count, ...labels }) => ({ labels, value: count })),
    ),
    ami_gateway_peers_refused_total: counter('Peers refused, by fault code.', by('code', refused)),
    ami_gateway_uplinks_acknowledged_total: counter('Publishes made durable and acknowledged.', acknowledged),
    ami_gateway_uplink_bytes_total: counter('Payload octets of those.', octets),
    ami_gateway_journal_durable_bytes: gauge('Where the durable part of the journal ends.', durable),
  }
}

function readingMetrics(status: PipelineStatus | undefined): Metrics {
  return {
    ami_gateway_journal_consumed_bytes: gauge(
      'Where the part of the journal ends that was consumed.',
      status?.position,
    ),
    ami_gateway_readings_opened_total: counter('Readings deciphered and decoded.', status?.opened),
    ami_gateway_readings_taken_total: counter(
      'Readings by what they did to the ledger.',
      status && by('effect', { fresh: status.fresh, revised: status.revised, repeated: status.repeated }),
    ),
    ami_gateway_uplinks_repeated_total: counter('Uplinks that had been taken before.', status?.repeatedUplinks),
    ami_gateway_heartbeats_total: counter('Heartbeats of concentrators.', status?.heartbeats),
    ami_gateway_frames_quarantined_total: counter(
      'Frames put in quarantine, by fault code.',
      status && by('code', status.quarantinedBy),
    ),
    ami_gateway_quarantine_frames_total: counter(
      'Frames put in quarantine since the ledger was made.',
      status?.quarantined,
    ),
    ami_gateway_dialect_pushes_total: counter(
      'Pushes that departed from the standard and were read, by dialect.',
      status && by('dialect', status.dialects),
    ),
    ami_gateway_commands_under_way: gauge('Commands to meters that wait for an answer.', status?.commands.underWay),
    ami_gateway_commands_asked_total: counter('Commands that operators asked for.', status?.commands.asked),
    ami_gateway_commands_ended_total: counter(
      'Commands by how they ended.',
      status && by('outcome', { read: status.commands.read, failed: status.commands.failed }),
    ),
  }
}

function outMetrics(status: PipelineStatus | undefined): Metrics {
  return {
    ami_gateway_readings_sealed_total: counter('Readings sealed since the ledger was made.', status?.sealed),
    ami_gateway_batches_sealed_total: counter('Batches sealed since the ledger was made.', status?.batchesSealed),
    ami_gateway_batches_forwarded_total: counter('Batches whose passes are all sent.', status?.batchesForwarded),
    ami_gateway_batches_waiting: gauge('Batches with passes yet to be sent.', status?.batchesWaiting),
    ami_gateway_datagrams_sent_total: counter('Datagrams sent over the one-way link.', status?.datagrams),
    ami_gateway_datagram_faults_total: counter('Datagrams that the kernel refused.', status?.datagramFaults),
    ami_gateway_link_announced_total: counter(
      'Heartbeats and manifests sent.',
      status && by('kind', { heartbeat: status.link.heartbeats, manifest: status.link.manifests }),
    ),
    ami_gateway_link_queue_batches: gauge('Batches whose first pass is not complete.', status?.link.queueObjects),
    ami_gateway_link_queue_bytes: gauge('Their octets.', status?.link.queueOctets),
    ami_gateway_link_oldest_unsent_seconds: gauge(
      'Age of the oldest reading that waits to be sealed or for its first pass.',
      status && status.link.oldestUnsentMs / 1_000,
    ),
    ami_gateway_link_carousel_rounds_total: counter('Passes of the carousel.', status?.link.carouselRounds),
    ami_gateway_carrier_bundles_total: counter(
      'Batches handed to a carrier beside the datagrams.',
      status?.carriers.map(({ name, carried }) => ({ labels: { carrier: name }, value: carried })),
    ),
    ami_gateway_carrier_batches_waiting: gauge(
      'Batches still to hand to it.',
      status?.carriers.map(({ name, waiting }) => ({ labels: { carrier: name }, value: waiting })),
    ),
    ami_gateway_carrier_held: gauge(
      '1 while a carrier cannot go on.',
      status?.carriers.map(({ name, held }) => ({ labels: { carrier: name }, value: held === undefined ? 0 : 1 })),
    ),
    ami_gateway_cells_closed_total: counter('Cells of closed days since the ledger was made.', status?.cells.closed),
    ami_gateway_cells_decided_total: counter(
      'Those cells by whether studies see them.',
      status && by('state', { released: status.cells.released, withheld: status.cells.withheld }),
    ),
  }
}

export function counter(help: string, samples: Metric['samples']): Metric {
  return { kind: 'counter', help, samples }
}

export function gauge(help: string, samples: Metric['samples']): Metric {
  return { kind: 'gauge', help, samples }
}

/** A count for each value of one label. */
export function by(label: string, counts: Readonly<Partial<Record<string, number>>>): Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value: value ?? 0 }))
}
