/** Second implementations, from the RFCs' words and as plain as can be: what the fast ones are judged by. */

/** In GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1, bit by bit. @see RFC 5510, 8.1 */
export function slowProduct(a: number, b: number): number {
  let sum = 0
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) sum ^= a << bit
  for (let bit = 14; bit >= 8; bit--) if ((sum >> bit) & 1) sum ^= 0x11d << (bit - 8)
  return sum
}

type Matrix = number[][]

/** The generator matrix V(k,k)^-1 · V(k,n), V(i,j) = α^(i·j): rows are source symbols. @see RFC 5510, 8.2 */
export function generator(k: number, n: number): Matrix {
  const alphas = [1]
  while (alphas.length < 255) alphas.push(slowProduct(alphas.at(-1)!, 2))
  const vandermonde = (columns: number): Matrix =>
    Array.from({ length: k }, (_, i) => Array.from({ length: columns }, (_, j) => alphas[(i * j) % 255]!))
  return times(inverse(vandermonde(k)), vandermonde(n))
}

function times(a: Matrix, b: Matrix): Matrix {
  return a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, i) => sum ^ slowProduct(value, b[i]![j]!), 0)))
}

function inverse(matrix: Matrix): Matrix {
  const size = matrix.length
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: size }, (_, j) => (i === j ? 1 : 0))])
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, i) => i >= column && row[column] !== 0)
    ;[rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!]
    const scale = reciprocal(rows[column]![column]!)
    rows[column] = rows[column]!.map((value) => slowProduct(value, scale))
    for (let i = 0; i < size; i++) {
      const factor = rows[i]![column]!
      if (i !== column) rows[i] = rows[i]!.map((value, j) => value ^ slowProduct(factor, rows[column]![j]!))
    }
  }
  return rows.map((row) => row.slice(size))
}

function reciprocal(value: number): number {
  for (let other = 1; other < 256; other++) if (slowProduct(value, other) === 1) return other
  throw new Error('0 has no reciprocal')
}

/** The generator of numbers by Schrage's method, in 32 bits as the RFC's C has it. @see RFC 5170, 5.7 */
export function rand31(seed: { value: number }, below: number): number {
  let low = 16_807 * (seed.value & 0xffff)
  const high = 16_807 * (seed.value >>> 16)
  low += (high & 0x7fff) * 65_536
  low += high >>> 15
  if (low > 0x7fff_ffff) low -= 0x7fff_ffff
  seed.value = low
  return Math.floor((seed.value * below) / 0x7fff_ffff)
}

/** Row by row the n columns of the parity check matrix, step by step as the RFC's pseudo-code goes. @see RFC 5170, 6.2 */
export function parityCheckMatrix(k: number, n: number, n1: number, seedValue = 1): Uint8Array[] {
  const seed = { value: seedValue }
  const matrix = Array.from({ length: n - k }, () => new Uint8Array(n))
  const u: number[] = []
  for (let h = n1 * k - 1; h >= 0; h--) u[h] = h % (n - k)
  let t = 0
  for (let j = 0; j < k; j++) {
    for (let h = 0; h < n1; h++) {
      let i = t
      while (i < n1 * k && matrix[u[i]!]![j] === 1) i++
      if (i < n1 * k) {
        do i = t + rand31(seed, n1 * k - t)
        while (matrix[u[i]!]![j] === 1)
        matrix[u[i]!]![j] = 1
        u[i] = u[t]!
        t++
      } else {
        do i = rand31(seed, n - k)
        while (matrix[i]![j] === 1)
        matrix[i]![j] = 1
      }
    }
  }
  const degree = (row: number): number => matrix[row]!.reduce((sum, bit) => sum + bit, 0)
  for (let i = 0; i < n - k; i++) {
    if (degree(i) === 0) matrix[i]![rand31(seed, k)] = 1
    if (degree(i) === 1) {
      let j: number
      do j = rand31(seed, k)
      while (matrix[i]![j] === 1)
      matrix[i]![j] = 1
    }
  }
  for (let i = 0; i < n - k; i++) {
    matrix[i]![k + i] = 1
    if (i > 0) matrix[i]![k + i - 1] = 1
  }
  return matrix
}

/** Whether what is missing of the first k symbols follows from the others: Gauss and Jordan, repair symbols first. */
export function determines(matrix: readonly Uint8Array[], have: ArrayLike<number>, k: number): boolean {
  const n = matrix[0]!.length
  const missing = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, i) => from + i).filter((i) => have[i] !== 1)
  const sources = missing(0, k)
  const order = [...missing(k, n), ...sources]
  const rows = matrix.map((row) => order.map((column) => row[column]!))
  let [at, sourcePivots] = [0, 0]
  order.forEach((symbol, column) => {
    const pivot = rows.findIndex((row, i) => i >= at && row[column] === 1)
    if (pivot < 0) return
    ;[rows[at], rows[pivot]] = [rows[pivot]!, rows[at]!]
    for (let i = at + 1; i < rows.length; i++) {
      if (rows[i]![column] === 1) rows[i] = rows[i]!.map((bit, j) => bit ^ rows[at]![j]!)
    }
    at++
    if (symbol < k) sourcePivots++
  })
  return sourcePivots === sources.length
}
