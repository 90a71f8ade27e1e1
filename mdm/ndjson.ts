import type { SealedSeries } from '#gateway/codec/batch.ts'

/** Symbols of the units a distribution operator meets. @see Blue Book, table of units */
const symbols: Record<number, string> = {
  27: 'W',
  28: 'VA',
  29: 'var',
  30: 'Wh',
  31: 'VAh',
  32: 'varh',
  33: 'A',
  35: 'V',
  44: 'Hz',
  13: 'm3',
}

/**
 * One line of JSON a reading, in the batch's order:
 * `{"batch":7,"meter":"414d49…","obis":"1-0:1.29.0","end":"2026-01-01T00:15:00Z","value":123,"scaler":0,"unit":"Wh","quality":0,"revision":0}`.
 * `value` is an integer of any length, times ten to `scaler`, in `unit` (a symbol, or the DLMS number where it has none here).
 */
export function toNdjson(batch: number, all: readonly SealedSeries[]): string {
  const lines: string[] = []
  const times = new Map<number, string>() // a batch has few different ends, and each is worth remembering
  for (const { meter, obis, scaler, unit, ends, values, qualities, revisions } of all) {
    const head = `{"batch":${batch},"meter":"${meter}","obis":"${obis}","end":"`
    const tail = `,"scaler":${scaler},"unit":${JSON.stringify(unitName(unit))},"quality":`
    for (let i = 0; i < ends.length; i++) {
      const end = times.get(ends[i]!) ?? isoTime(ends[i]!)
      times.set(ends[i]!, end)
      lines.push(`${head}${end}","value":${values[i]}${tail}${qualities[i]},"revision":${revisions[i]}}\n`)
    }
  }
  return lines.join('')
}

/** A unit's symbol, or its DLMS number where it has none here. */
export function unitName(unit: number): string | number {
  return symbols[unit] ?? unit
}

/** UTC to the second, `2026-01-01T00:15:00Z`. */
export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
