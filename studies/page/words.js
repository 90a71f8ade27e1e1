/** Numbers, times and sentences of the page. Pure: values in, text out. */

const secondsPerDay = 86_400

const reasonClauses = {
  FEW_METERS: ({ metersMin }) => `fewer than ${plural(metersMin, 'meter')} contributed`,
  DOMINANT_METER: ({ sharePercentMax }) => `one meter held more than ${number(sharePercentMax)} % of the sum`,
  BEYOND_RANGE: () => 'the sum is beyond the range that is kept',
}

/** Why a cell is withheld, as a clause after "because". @param rule as the API tells it */
export function reasonClause(reason, rule) {
  return reasonClauses[reason]?.(rule) ?? 'the gateway gave a reason that this page does not know'
}

/** What a cell needs to be released, as a clause after "those that". */
export function ruleClause({ metersMin, sharePercentMax }) {
  return `at least ${plural(metersMin, 'meter')} contribute to with none holding more than ${number(sharePercentMax)}\u00a0% of the sum`
}

const reasonLabels = { FEW_METERS: 'few meters', DOMINANT_METER: 'a meter dominates', BEYOND_RANGE: 'beyond range' }

/** The same in as few words as a table or a drawing holds. */
export function reasonLabel(reason) {
  return reasonLabels[reason] ?? reason
}

/** `18:15`; the end of the day is `24:00`. @param from start of the day, seconds */
export function clock(end, from) {
  const minutes = Math.floor((end - from) / 60)
  if (minutes < 0 || end - from > secondsPerDay) return new Date(end * 1000).toISOString().slice(11, 16)
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
}

export function longDay(day) {
  const format = { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' }
  return new Intl.DateTimeFormat('en-GB', format).format(new Date(`${day}T00:00:00Z`))
}

export function shortDay(day) {
  const format = { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }
  return new Intl.DateTimeFormat('en-GB', format).format(new Date(`${day}T00:00:00Z`))
}

/** The unit that suits a day's largest interval: the data are exact in Wh, the drawing is not. */
export function unitFor(maxWh) {
  if (maxWh >= 10_000_000) return { name: 'MWh', wh: 1_000_000 }
  return maxWh >= 1_000 ? { name: 'kWh', wh: 1_000 } : { name: 'Wh', wh: 1 }
}

/** Three or four digits that matter. */
export function energy(wh, unit) {
  const value = wh / unit.wh
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return `${number(value, digits)} ${unit.name}`
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value)
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`
}

/** `18 to 24`, or `24` where it never changes. */
export function range(values) {
  const [min, max] = [Math.min(...values), Math.max(...values)]
  return min === max ? number(min) : `${number(min)} to ${number(max)}`
}

/** What a screen reader and the line under the curve say of one cell. @param view its day */
export function cellWords(cell, { from, rule }, unit) {
  const time = `Interval ending ${clock(cell.end, from)}`
  if (cell.state === 'withheld') return `${time}: withheld, ${reasonClause(cell.reason, rule)}`
  return `${time}: ${energy(cell.wh, unit)} from ${plural(cell.meters, 'meter')}`
}

/** Ends of neighbouring cells in stretches: `00:15 to 02:00, 23:45`. */
export function stretches(runs, from) {
  const words = runs.map(({ first, last }) =>
    first.end === last.end ? clock(first.end, from) : `${clock(first.end, from)} to ${clock(last.end, from)}`,
  )
  const shown = words.slice(0, 8)
  return words.length > shown.length ? `${shown.join(', ')} and ${words.length - shown.length} more` : shown.join(', ')
}
