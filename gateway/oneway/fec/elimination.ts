/**
 * What to add to what, so that each unknown stands alone: found with bits, before a single octet of a symbol is touched.
 * Only the equations that are needed are then computed at all.
 */
export interface Solution {
  /** unknowns found by substitution, in this order: each from one equation, all else in which is known by then */
  peeled: { unknown: number; equation: number }[]
  /** unknowns found by elimination: equation `equation` holds `unknown` once the `additions` are done */
  pivots: { unknown: number; equation: number }[]
  /** pairs (to, from): indices into `pivots`, add the one to the other, in order */
  additions: readonly number[]
}

/** Sparse equations over GF(2): for each unknown the equations that it stands in. */
export interface System {
  unknowns: number
  equations: number
  /** of unknown u: `equationsOf[start[u] … start[u+1]-1]`, each once */
  start: Uint32Array
  equationsOf: Uint32Array
}

/** Unknowns left to elimination, the most: its time is cubic in them, and this many take about a second. */
export const eliminationMax = 4_096

/**
 * Substitution as far as it goes, then Gaussian elimination on what remains.
 * @returns where some unknown is not determined, how many more equations it needs at least
 * @see RFC 6816, 5.4: the hybrid of iterative decoding and elimination
 */
export function solve(system: System): Solution | number {
  if (system.equations < system.unknowns) return system.unknowns - system.equations
  const { peeled, found, used } = peel(system)
  const rest: number[] = []
  for (let u = 0; u < system.unknowns; u++) if (found[u] === 0) rest.push(u)
  if (rest.length === 0) return { peeled, pivots: [], additions: [] }
  if (rest.length > eliminationMax) return rest.length - eliminationMax
  const eliminated = eliminate(system, rest, used)
  return typeof eliminated === 'number' ? eliminated : { peeled, ...eliminated }
}

/** An equation keeps how many unknowns it has and the exclusive or of their numbers: with one left, that is its number. */
function peel(system: System): { peeled: Solution['peeled']; found: Uint8Array; used: Uint8Array } {
  const { start, equationsOf } = system
  const [degree, mixed] = [new Uint32Array(system.equations), new Uint32Array(system.equations)]
  const [found, used] = [new Uint8Array(system.unknowns), new Uint8Array(system.equations)]
  for (let u = 0; u < system.unknowns; u++) {
    for (let i = start[u]!; i < start[u + 1]!; i++) {
      degree[equationsOf[i]!]!++
      mixed[equationsOf[i]!]! ^= u
    }
  }
  const peeled: Solution['peeled'] = []
  const ready: number[] = []
  for (let q = 0; q < system.equations; q++) if (degree[q] === 1) ready.push(q)
  for (let equation = ready.pop(); equation !== undefined; equation = ready.pop()) {
    if (degree[equation] !== 1) continue
    const unknown = mixed[equation]!
    peeled.push({ unknown, equation })
    found[unknown] = used[equation] = 1
    for (let i = start[unknown]!; i < start[unknown + 1]!; i++) {
      const other = equationsOf[i]!
      mixed[other]! ^= unknown
      if (--degree[other]! === 1) ready.push(other)
    }
  }
  return { peeled, found, used }
}

/** Rows of bits, one an equation; a row is reduced by the pivots found before it, and becomes one unless nothing is left. */
function eliminate(
  system: System,
  rest: readonly number[],
  used: Uint8Array,
): Pick<Solution, 'pivots' | 'additions'> | number {
  const words = (rest.length + 31) >>> 5
  const bits = bitRows(system, rest, words)
  /** by the place of its leading unknown in `rest`: index into `pivots` */
  const leading = new Int32Array(rest.length).fill(-1)
  const [pivots, additions]: [Solution['pivots'], number[]] = [[], []]
  for (let q = 0; q < system.equations && pivots.length < rest.length; q++) {
    if (used[q] === 1) continue
    const [mine, before] = [q * words, additions.length]
    let place = lead(bits, mine, words, 0)
    while (place >= 0 && leading[place]! >= 0) {
      const pivot = leading[place]!
      addRow(bits, mine, pivots[pivot]!.equation * words, words)
      additions.push(pivots.length, pivot)
      place = lead(bits, mine, words, place >>> 5)
    }
    if (place < 0)
      additions.length = before // it says nothing new
    else {
      leading[place] = pivots.length
      pivots.push({ unknown: rest[place]!, equation: q })
    }
  }
  if (pivots.length < rest.length) return rest.length - pivots.length
  substituteBack(bits, { words, leading, pivots, additions })
  return { pivots, additions }
}

/** From the last unknown to the first: above each pivot its column is cleared. */
function substituteBack(
  bits: Uint32Array,
  {
    words,
    leading,
    pivots,
    additions,
  }: { words: number; leading: Int32Array; pivots: Solution['pivots']; additions: number[] },
): void {
  for (let place = leading.length - 1; place >= 0; place--) {
    const pivot = leading[place]!
    for (let above = 0; above < place; above++) {
      const row = pivots[leading[above]!]!.equation * words
      if ((bits[row + (place >>> 5)]! >>> (place & 31)) & 1) additions.push(leading[above]!, pivot)
    }
  }
}

function bitRows({ equations, start, equationsOf }: System, rest: readonly number[], words: number): Uint32Array {
  const bits = new Uint32Array(equations * words)
  rest.forEach((unknown, place) => {
    for (let i = start[unknown]!; i < start[unknown + 1]!; i++) {
      bits[equationsOf[i]! * words + (place >>> 5)]! |= 1 << (place & 31)
    }
  })
  return bits
}

/** Place of a row's first one, at or after word `from`; -1 where there is none. */
function lead(bits: Uint32Array, row: number, words: number, from: number): number {
  for (let word = from; word < words; word++) {
    const value = bits[row + word]!
    if (value !== 0) return (word << 5) + 31 - Math.clz32(value & -value)
  }
  return -1
}

function addRow(bits: Uint32Array, to: number, from: number, words: number): void {
  for (let word = 0; word < words; word++) bits[to + word]! ^= bits[from + word]!
}
