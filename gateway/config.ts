import { isIP } from 'node:net'
import { type CarrierConfig, carrierConfigs } from './carrier-config.ts'
import { type Fields, readConfig } from './fields.ts'
import type { AcceleratedClock } from './io/clock.ts'
import { keyIdMax } from './oneway/mac.ts'

/** The gateway's one configuration file. Addresses, ports and limits are the zones file's. */
export interface GatewayConfig {
  /** zones and conduits, `dmz-config/zones.json`'s form */
  zonesFile: string
  /** everything on 127.0.0.1, for a demo or a test; ports that shall differ from the zones file's */
  loopback: LoopbackPorts | undefined
  /** folder of the journal, the ledger and the released cells */
  data: string
  tls: {
    keyFile: string
    certificateFile: string
    trustFile: string
    crlFile: string
    /** where the PKI pushes what is revoked */
    feedSocket: string | undefined
    /** what concentrators sign with, and the gateway towards them: P-256, or ML-DSA and nothing else */
    profileSet: 'p256' | 'ml-dsa'
  }
  sealer: { keyFile: string; certificateFile: string }
  /** 32 octets that wrap the meters' keys at rest, as 64 hex digits, readable by the owner alone */
  kekFile: string
  /** of the one-way link's MACs: 32 octets as 64 hex digits, readable by the owner alone, and the id that the receiver knows it by */
  linkKey: { id: number; file: string }
  /** how long readings, and alarms and events, wait for their batch, the most */
  seal: { intervalMs: number; urgentMs: number }
  forward: {
    passesAfterMs: readonly number[]
    plannedLossPercent: number
    /** between two rounds of one batch on the carousel, the least; 0: nothing goes round */
    carouselRestSeconds: number
    manifestMs: number
    /** ways for the same batches beside the datagrams */
    carriers: readonly CarrierConfig[]
    /** whose eyes the batches are for: PEM of the MDM's certificate and its CA's */
    envelope: { certificate: string } | undefined
  }
  release: { graceSeconds: number }
  retention: { replayDays: number; readingDays: number }
  clock: AcceleratedClock | undefined
  /** where a Prometheus asks; absent: nowhere */
  metrics: { host: string; port: number } | undefined
}

/**
 * @param folder that relative paths start from: the file's own
 * @throws ConfigError with everything wrong
 */
export function parseGatewayConfig(text: string, folder: string): Readonly<GatewayConfig> {
  return readConfig(text, (fields) => checked(fields, gatewayConfig(fields, folder)))
}

function gatewayConfig(fields: Fields, folder: string): GatewayConfig {
  return {
    zonesFile: fields.path('zonesFile', folder),
    loopback: fields.optional('loopback', loopbackPorts),
    data: fields.path('data', folder),
    tls: fields.object('tls', (tls) => ({
      keyFile: tls.path('keyFile', folder),
      certificateFile: tls.path('certificateFile', folder),
      trustFile: tls.path('trustFile', folder),
      crlFile: tls.path('crlFile', folder),
      feedSocket: tls.optionalPath('feedSocket', folder),
      profileSet: tls.text('profileSet', 'p256', profileSetForm) === 'ml-dsa' ? 'ml-dsa' : 'p256',
    })),
    sealer: fields.object('sealer', (sealer) => ({
      keyFile: sealer.path('keyFile', folder),
      certificateFile: sealer.path('certificateFile', folder),
    })),
    kekFile: fields.path('kekFile', folder),
    linkKey: fields.object('linkKey', (key) => ({
      id: key.whole('id', [0, keyIdMax]),
      file: key.path('file', folder),
    })),
    seal:
      fields.optional('seal', (seal) => ({
        intervalMs: seal.whole('intervalMs', [10, 600_000], sealDefault.intervalMs),
        urgentMs: seal.whole('urgentMs', [10, 600_000], sealDefault.urgentMs),
      })) ?? sealDefault,
    forward:
      fields.optional('forward', (forward) => ({
        passesAfterMs: forward.wholes('passesAfterMs', [0, 86_400_000], forwardDefault.passesAfterMs),
        plannedLossPercent: forward.whole('plannedLossPercent', [0, 50], forwardDefault.plannedLossPercent),
        carouselRestSeconds: forward.whole('carouselRestSeconds', [0, 86_400], forwardDefault.carouselRestSeconds),
        manifestMs: forward.whole('manifestMs', [100, 600_000], forwardDefault.manifestMs),
        carriers: carrierConfigs(forward, folder),
        envelope: forward.optional('envelope', (envelope) => ({ certificate: envelope.path('certificate', folder) })),
      })) ?? forwardDefault,
    release: fields.optional('release', (release) => ({
      graceSeconds: release.whole('graceSeconds', [0, 30 * 86_400], graceDefault),
    })) ?? { graceSeconds: graceDefault },
    retention: fields.optional('retention', (retention) => ({
      replayDays: retention.whole('replayDays', [1, 366], 30),
      readingDays: retention.whole('readingDays', [2, 366], 45),
    })) ?? { replayDays: 30, readingDays: 45 },
    clock: fields.optional('clock', (clock) => ({
      wallStartMs: clock.whole('wallStartMs', [0, Number.MAX_SAFE_INTEGER]),
      startMs: clock.whole('startMs', [0, Number.MAX_SAFE_INTEGER]),
      rate: clock.whole('rate', [1, 100_000]),
    })),
    metrics: fields.optional('metrics', metricsAddress),
  }
}

const profileSetForm = { pattern: /^(p256|ml-dsa)$/, says: 'p256 or ml-dsa' }

/** Readings must outlive the closing of their day, or its cells would be sums of what is left. */
function checked(fields: Fields, config: GatewayConfig): GatewayConfig {
  const daysMin = Math.ceil(config.release.graceSeconds / 86_400) + 2
  if (config.retention.readingDays < daysMin) {
    fields.fault('retention.readingDays', `at least ${daysMin}, for days close after release.graceSeconds`)
  }
  return config
}

export interface LoopbackPorts {
  uplink: number
  oneway: number
}

function loopbackPorts(fields: Fields): LoopbackPorts {
  return { uplink: fields.whole('uplink', [0, 65_535]), oneway: fields.whole('oneway', [1, 65_535]) }
}

/** Port 0: any that is free, told as `metrics.listening`. */
function metricsAddress(fields: Fields): { host: string; port: number } {
  const host = fields.text('host', '127.0.0.1')
  if (isIP(host) === 0) fields.fault('host', 'an IP address')
  return { host, port: fields.whole('port', [0, 65_535]) }
}

/** Urgent readings are to have left within two seconds: one of them for the batch to fill, to be signed and sent the other. */
const sealDefault = { intervalMs: 30_000, urgentMs: 1_000 }
const forwardDefault = {
  passesAfterMs: [0, 60_000, 900_000],
  plannedLossPercent: 10,
  carouselRestSeconds: 600,
  manifestMs: 10_000,
  carriers: [],
  envelope: undefined,
}
const graceDefault = 6 * 3_600
