/**
 * The parity check matrix of LDPC-Staircase: row r says that source symbols `columns[rowStart[r] … rowStart[r+1]-1]`,
 * repair symbol r and repair symbol r-1 add up to nothing. The left side is random, but the same at both ends.
 * @see RFC 5170, 5.7 and 6.2
 */
export interface Staircase {
  /** source symbols k */
  sources: number
  /** repair symbols n - k: as many rows */
  rows: number
  /** ones row by row: source symbols */
  rowStart: Uint32Array
  columns: Uint32Array
  /** and column by column: rows */
  columnStart: Uint32Array
  entries: Uint32Array
}

const modulus = 0x7fff_ffff

/** Park and Miller's "minimal standard" generator. @see RFC 5170, 5.7 */
export class MinimalStandard {
  #seed: number

  /** @param seed 1 to 2^31 - 2 */
  constructor(seed: number) {
    this.#seed = seed
  }

  /** @returns the next state, 1 to 2^31 - 2 */
  next(): number {
    this.#seed = (this.#seed * 16_807) % modulus // below 2^46: exact
    return this.#seed
  }

  /** @returns 0 to `below` - 1 */
  below(below: number): number {
    return Math.floor((this.next() * below) / modulus)
  }
}

/**
 * @param n1 ones in each column, at most `rows`
 * @param seed of the generator; 1 where the FEC object transmission information names none
 */
export function staircase({
  sources,
  rows,
  n1,
  seed = 1,
}: {
  sources: number
  rows: number
  n1: number
  seed?: number
}): Staircase {
  const ones = new LeftSide(sources, rows, n1, new MinimalStandard(seed))
  ones.fillColumns()
  ones.fillRows()
  return ones.matrix()
}

/** The left side while it is made: a list of rows for each column. */
class LeftSide {
  readonly #sources: number
  readonly #rows: number
  readonly #n1: number
  readonly #random: MinimalStandard
  readonly #columns: number[][]
  readonly #degrees: Uint32Array
  /** rows yet to choose from, each as often as makes the ones even; those before `#taken` are used */
  readonly #choices: Uint32Array
  #taken = 0

  constructor(sources: number, rows: number, n1: number, random: MinimalStandard) {
    this.#sources = sources
    this.#rows = rows
    this.#n1 = n1
    this.#random = random
    this.#columns = Array.from({ length: sources }, () => [])
    this.#degrees = new Uint32Array(rows)
    this.#choices = Uint32Array.from({ length: n1 * sources }, (_, h) => h % rows)
  }

  fillColumns(): void {
    for (const column of this.#columns) {
      for (let h = 0; h < this.#n1; h++) this.#insert(column, this.#choose(column))
    }
  }

  /** Rows of fewer than two ones get more: there are such where repair symbols are many. */
  fillRows(): void {
    for (let row = 0; row < this.#rows; row++) {
      if (this.#degrees[row] === 0) this.#insert(this.#columns[this.#random.below(this.#sources)]!, row)
      if (this.#degrees[row] === 1 && this.#sources > 1) this.#insert(this.#without(row), row)
    }
  }

  #choose(column: readonly number[]): number {
    const left = this.#choices.length
    let valid = this.#taken
    while (valid < left && column.includes(this.#choices[valid]!)) valid++
    if (valid === left) return this.#anyRow(column)
    let at: number
    do at = this.#taken + this.#random.below(left - this.#taken)
    while (column.includes(this.#choices[at]!))
    const row = this.#choices[at]!
    this.#choices[at] = this.#choices[this.#taken++]!
    return row
  }

  #anyRow(column: readonly number[]): number {
    let row: number
    do row = this.#random.below(this.#rows)
    while (column.includes(row))
    return row
  }

  #without(row: number): number[] {
    let column: number[]
    do column = this.#columns[this.#random.below(this.#sources)]!
    while (column.includes(row))
    return column
  }

  #insert(column: number[], row: number): void {
    column.push(row)
    this.#degrees[row]!++
  }

  matrix(): Staircase {
    const columnStart = starts(this.#columns.map((column) => column.length))
    const rowStart = starts(this.#degrees)
    const columns = new Uint32Array(columnStart.at(-1)!)
    const next = rowStart.slice()
    this.#columns.forEach((column, source) => {
      for (const row of column) columns[next[row]!++] = source
    })
    const entries = Uint32Array.from(this.#columns.flat())
    return { sources: this.#sources, rows: this.#rows, rowStart, columns, columnStart, entries }
  }
}

/** Where each run begins, and the end of the last. */
function starts(lengths: ArrayLike<number>): Uint32Array {
  const start = new Uint32Array(lengths.length + 1)
  for (let i = 0; i < lengths.length; i++) start[i + 1] = start[i]! + lengths[i]!
  return start
}
