import { readConfig } from '#gateway/fields.ts'

/** One configuration file of a load run. */
export interface SimulatorConfig {
  gateway: { host: string; port: number; servername: string }
  /** PEM of the root that the gateway's chain must lead to */
  trustFile: string
  /** folder that `ami simulate prepare` made: fleet.json and the concentrators' credentials */
  fleet: string
  /** seconds since 1970-01-01T00:00Z: the first live interval begins; the intervals from `historyStart` to here go first */
  liveStart: number
  historyStart: number
  intervalSeconds: number
  /** wall-clock time of one interval */
  tickMs: number
  /** real curves in place of the household model */
  curvesFile: string | undefined
  /** one line for each acknowledged uplink with all its readings */
  recordFile: string | undefined
}

/** @throws ConfigError with everything wrong */
export function parseSimulatorConfig(text: string, folder: string): Readonly<SimulatorConfig> {
  return readConfig(text, (fields) => ({
    gateway: fields.object('gateway', (gateway) => ({
      host: gateway.text('host'),
      port: gateway.whole('port', [1, 65_535]),
      servername: gateway.text('servername'),
    })),
    trustFile: fields.path('trustFile', folder),
    fleet: fields.path('fleet', folder),
    liveStart: fields.whole('liveStart', [0, 8_000_000_000]),
    historyStart: fields.whole('historyStart', [0, 8_000_000_000]),
    intervalSeconds: fields.whole('intervalSeconds', [60, 86_400]),
    tickMs: fields.whole('tickMs', [10, 86_400_000]),
    curvesFile: fields.optionalPath('curvesFile', folder),
    recordFile: fields.optionalPath('recordFile', folder),
  }))
}
