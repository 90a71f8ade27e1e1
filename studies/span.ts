export const secondsPerDay = 86_400

/** Cells whose interval ends after `from` and not after `to`, seconds UTC: so a day is its own intervals. */
export interface Span {
  from: number
  to: number
}

/** From midnight to midnight, UTC. @param day `YYYY-MM-DD` */
export function spanOfDay(day: string): Span {
  const from = Date.parse(`${day}T00:00:00Z`) / 1000
  return { from, to: from + secondsPerDay }
}
