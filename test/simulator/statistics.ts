/** Coarse statistics of load curves, for households real and made. */

/** The value below which a share of the list lies. */
export function quantile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)]!
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** How much each value says about the next: -1 to 1. */
export function lagOne(values: readonly number[]): number {
  const middle = mean(values)
  const off = values.map((value) => value - middle)
  const square = off.reduce((sum, value) => sum + value * value, 0)
  return off.slice(1).reduce((sum, value, index) => sum + value * off[index]!, 0) / square
}

/** Standard deviation over mean. */
export function variation(values: readonly number[]): number {
  const middle = mean(values)
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2))) / middle
}

export interface LocalCurve {
  /** seconds since 1970 as the clock on the wall shows them, of the first interval */
  localStart: number
  stepSeconds: number
  values: readonly number[]
}

/** Mean load by hour of the day over that of all hours, on working days or on weekends. */
export function dayShape(curves: readonly LocalCurve[], weekend: boolean): number[] {
  const hours = Array.from({ length: 24 }, () => 0)
  for (const { localStart, stepSeconds, values } of curves) {
    for (const [index, value] of values.entries()) {
      const time = localStart + index * stepSeconds
      const weekday = (Math.floor(time / 86_400) + 4) % 7
      if ((weekday === 0 || weekday === 6) === weekend) hours[Math.floor((time % 86_400) / 3_600)]! += value
    }
  }
  const all = mean(hours)
  return hours.map((hour) => hour / all)
}

/** The mean of some hours of a day's shape, `from` to before `to`. */
export function hoursOf(shape: readonly number[], from: number, to: number): number {
  return mean(shape.slice(from, to))
}
