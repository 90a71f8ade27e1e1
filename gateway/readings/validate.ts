import { type ExactInteger, quality, type Series } from '../model.ts'

/** Of what one interval or register can hold: 10^15 of its unit's smallest step is beyond any meter. */
const plausibleMax = 1_000_000_000_000_000
/** A concentrator's clock may lead ours by this much. */
const clockLeadSecondsMax = 300

/**
 * Flags, and never drops or alters: the MDM decides.
 * @param nowSeconds the gateway's own clock
 * @returns the same readings with their quality bits completed
 */
export function validate(series: Series, nowSeconds: number): Series {
  const qualities = series.qualities.map(
    (word, i) => word | futureBit(series.ends[i]!, nowSeconds) | plausibleBit(series.values[i]!),
  )
  return { ...series, qualities }
}

function futureBit(end: number, nowSeconds: number): number {
  return end > nowSeconds + clockLeadSecondsMax ? quality.future : 0
}

function plausibleBit(value: ExactInteger): number {
  return value < 0 || value > plausibleMax ? quality.implausible : 0
}
