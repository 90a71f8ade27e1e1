/** Of an even number the mean of the middle two. @param values at least one */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Four significant digits: more would claim more than a run can tell. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4))
}

/** The median and what it is the median of, in the order of the rounds. */
export interface Figure {
  median: number
  rounds: number[]
}

export function figure(rounds: readonly number[]): Figure {
  return { median: rounded(median(rounds)), rounds: rounds.map(rounded) }
}

/** The median, with the least and the greatest of the rounds. */
export function spread({ median: middle, rounds }: Figure): string {
  return `${middle.toFixed(2)} (${Math.min(...rounds).toFixed(2)} to ${Math.max(...rounds).toFixed(2)})`
}

/** Columns as wide as they need; the first to the left, numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
  return rows.map((row) => `${row.map(pad).join('  ').trimEnd()}\n`).join('')
}

export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-GB')
}
