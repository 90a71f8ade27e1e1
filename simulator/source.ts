import { type ExactInteger, type Obis, unitWh } from '#gateway/model.ts'
import type { Curves } from './curves.ts'
import type { SimulatedMeter } from './fleet.ts'
import { intervalEnergy } from './household.ts'

/** Where a fleet's readings come from: the household model, or real curves from a file. */
export interface Source {
  intervalSeconds: number
  /** seconds since 1970-01-01T00:00Z: the first interval begins */
  start: number
  /** the last interval has ended; infinite for the model */
  end: number
  channels: readonly { obis: Obis; scaler: number; unit: number }[]
  /** one value a channel for the interval that begins at `from`; undefined where the meter has none */
  read(meter: SimulatedMeter, ordinal: number, from: number): readonly ExactInteger[] | undefined
}

/** Energy within the recording interval. @see IEC 62056-61, 5.3.1 (D = 29, time integral 5) */
const activeImport = '1-0:1.29.0' as Obis
const activeExport = '1-0:2.29.0' as Obis

export function modelSource({ start, intervalSeconds }: { start: number; intervalSeconds: number }): Source {
  return {
    intervalSeconds,
    start,
    end: Number.POSITIVE_INFINITY,
    channels: [
      { obis: activeImport, scaler: 0, unit: unitWh },
      { obis: activeExport, scaler: 0, unit: unitWh },
    ],
    read: (meter, _ordinal, from) => {
      const { importWh, exportWh } = intervalEnergy(meter, from, intervalSeconds)
      return [importWh, exportWh]
    },
  }
}

/** The fleet's nth meter reads the file's nth series. */
export function curveSource({ series, intervalSeconds, scaler }: Curves): Source {
  const curves = [...series.values()]
  const start = Math.min(...curves.map((curve) => curve.start))
  const end = Math.max(...curves.map((curve) => curve.start + curve.values.length * intervalSeconds))
  return {
    intervalSeconds,
    start,
    end,
    channels: [{ obis: activeImport, scaler, unit: unitWh }],
    read: (_meter, ordinal, from) => {
      const curve = curves[ordinal]
      const value = curve?.values[(from - (curve?.start ?? 0)) / intervalSeconds]
      return value === undefined ? undefined : [value]
    },
  }
}
