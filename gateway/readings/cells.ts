import { type Obis, releaseRule, unitWh } from '../model.ts'
import { dayOf, type Entry, rescaled, secondsPerDay } from './meter-day.ts'

/**
 * Demand per substation, interval end and quantity, and the rule that lets it out. Nobody's life may be read from it:
 * a cell is released when enough meters contribute and none of them dominates; otherwise nothing of it but the reason.
 */
export interface ReleaseRules {
  /** meters with a value other than zero, the least */
  metersMin: number
  /** of the sum that one meter holds, the most, in percent */
  sharePercentMax: number
}

export const releaseRules: ReleaseRules = releaseRule

/** What 64 bits hold. One meter with an absurd scaler reaches beyond, and must not stop the others' cells. */
const sumMax = 2n ** 63n - 1n

export type Quantity = 'import' | 'export'

/** Energy within the recording interval: time integral 5, D = 29. @see IEC 62056-61, 5.3.1 */
export const quantityOf: ReadonlyMap<Obis, Quantity> = new Map([
  ['1-0:1.29.0' as Obis, 'import'],
  ['1-0:2.29.0' as Obis, 'export'],
])

export interface Cell {
  quantity: Quantity
  /** seconds since 1970-01-01T00:00Z */
  end: number
  outcome:
    | { state: 'released'; sum: bigint; scaler: number; meters: number }
    | { state: 'withheld'; reason: 'FEW_METERS' | 'DOMINANT_METER' | 'BEYOND_RANGE' }
}

interface Sum {
  /** in Wh times ten to `scaler` */
  sum: bigint
  largest: bigint
  scaler: number
  meters: number
}

/** Sums of one substation's day. A reading that is not Wh, or negative, is no demand and is left out. */
export class DayCells {
  readonly #dayStart: number
  readonly #sums = new Map<Quantity, Map<number, Sum>>()

  /** @param day as `dayOf` counts */
  constructor(day: number) {
    this.#dayStart = day * secondsPerDay
  }

  /** All of one meter's readings of one channel: so that its share is known. */
  add(quantity: Quantity, entries: readonly Entry[]): void {
    const sums = this.#sums.get(quantity) ?? new Map<number, Sum>()
    this.#sums.set(quantity, sums)
    for (const entry of entries) {
      if (entry.unit !== unitWh || entry.value < 0) continue
      const end = this.#dayStart + entry.offset
      sums.set(end, plus(sums.get(end), entry))
    }
  }

  /** In order of quantity and end. */
  close(rules: ReleaseRules): Cell[] {
    return [...this.#sums].flatMap(([quantity, sums]) =>
      [...sums].sort(([a], [b]) => a - b).map(([end, sum]) => ({ quantity, end, outcome: outcome(sum, rules) })),
    )
  }
}

/** A meter that reads zero does not contribute: it hides nobody, and "all are zero" would tell of each. */
function plus(sum: Sum | undefined, entry: Entry): Sum {
  const before = sum ?? { sum: 0n, largest: 0n, scaler: entry.scaler, meters: 0 }
  const scaler = Math.min(before.scaler, entry.scaler)
  const factor = 10n ** BigInt(before.scaler - scaler)
  const value = rescaled(entry, scaler)
  const largest = before.largest * factor
  return {
    sum: before.sum * factor + value,
    largest: value > largest ? value : largest,
    scaler,
    meters: before.meters + (value > 0n ? 1 : 0),
  }
}

function outcome({ sum, largest, scaler, meters }: Sum, rules: ReleaseRules): Cell['outcome'] {
  if (meters < rules.metersMin) return { state: 'withheld', reason: 'FEW_METERS' }
  if (largest * 100n > sum * BigInt(rules.sharePercentMax)) return { state: 'withheld', reason: 'DOMINANT_METER' }
  if (sum > sumMax) return { state: 'withheld', reason: 'BEYOND_RANGE' }
  return { state: 'released', sum, scaler, meters }
}

/** A day may be closed when `graceSeconds` have passed since its end. */
export function lastClosedDay(nowSeconds: number, graceSeconds: number): number {
  return dayOf(nowSeconds - graceSeconds + 1) - 1
}
