/** Seconds to add to UTC for the clock on the wall in Brussels: 3600, or 7200 in summer. @see Directive 2000/84/EC */
export function localOffsetSeconds(time: number): number {
  const year = 1970 + Math.floor(time / 31_556_952) // a day off at New Year, which is never summer time
  const summer = summerOf(year)
  return time >= summer.from && time < summer.to ? 7_200 : 3_600
}

interface Span {
  from: number
  to: number
}

const known = new Map<number, Span>()

function summerOf(year: number): Span {
  const span = known.get(year) ?? { from: lastSunday(year, 2), to: lastSunday(year, 9) }
  known.set(year, span)
  return span
}

/** 01:00 UTC on the last Sunday of a month of 31 days. */
function lastSunday(year: number, month: number): number {
  const day = Date.UTC(year, month, 31) / 86_400_000
  return (day - ((day + 4) % 7)) * 86_400 + 3_600 // 1970-01-01 was a Thursday
}
