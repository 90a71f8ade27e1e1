import type { Demand } from './query.ts'
import type { Span } from './span.ts'
import type { Cell } from './store.ts'

/**
 * One cell as the API shows it. `energyWh` is a decimal in a string: most readers turn a JSON number into a double and
 * lose digits without a word, and a sum may have more than a double holds.
 */
export interface CellAnswer {
  /** end of the interval, UTC */
  end: string
  state: Cell['state']
  energyWh: string | null
  meters: number | null
  reason: string | null
}

export interface DemandAnswer {
  substation: string
  quantity: string
  unit: 'Wh'
  /** the span asked for: intervals that end after `from` and not after `to`; null while no day has closed */
  from: string | null
  to: string | null
  cells: CellAnswer[]
}

const columns = ['end', 'state', 'energyWh', 'meters', 'reason'] as const

/** `sum` times ten to `scaler`, with every digit that the scaler says was measured: 1230, -2 is `12.30`. */
export function exactDecimal(sum: bigint, scaler: number): string {
  if (scaler >= 0) return String(sum * 10n ** BigInt(scaler))
  const [sign, digits] = sum < 0n ? ['-', String(-sum)] : ['', String(sum)]
  const padded = digits.padStart(1 - scaler, '0')
  return `${sign}${padded.slice(0, scaler)}.${padded.slice(scaler)}`
}

/** @param seconds since 1970-01-01T00:00Z @returns `2026-01-31T12:15:00Z` */
export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

function cellAnswer(cell: Cell): CellAnswer {
  const end = isoTime(cell.end)
  if (cell.state === 'withheld') return { end, state: cell.state, energyWh: null, meters: null, reason: cell.reason }
  const energyWh = exactDecimal(cell.sum, cell.scaler)
  return { end, state: cell.state, energyWh, meters: cell.meters, reason: null }
}

export function demandAnswer(
  { substation, quantity }: Demand,
  span: Span | undefined,
  cells: readonly Cell[],
): DemandAnswer {
  return {
    substation,
    quantity,
    unit: 'Wh',
    from: span === undefined ? null : isoTime(span.from),
    to: span === undefined ? null : isoTime(span.to),
    cells: cells.map(cellAnswer),
  }
}

/** A header row and a row per cell; what is null is empty. @see RFC 4180 */
export function csvOf({ cells }: DemandAnswer): string {
  const rows = cells.map((cell) => columns.map((column) => csvField(cell[column])))
  return [columns, ...rows].map((row) => `${row.join(',')}\r\n`).join('')
}

function csvField(value: string | number | null): string {
  const text = value === null ? '' : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Only characters that a file name and a header field take everywhere: an id has none but those. */
export function csvName({ substation, quantity, from }: DemandAnswer): string {
  return `${substation}_${quantity}_${from?.slice(0, 10) ?? 'empty'}.csv`
}
