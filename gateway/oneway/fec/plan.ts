import { blockOctetsMax, type FecId, type ObjectShape, sourceSymbols, symbolLimits } from './block.ts'
import { MinimalStandard } from './staircase.ts'

/** Of one pass over a link that loses the planned share: an object is lost less often than this. */
export const failureMax = 1e-9
/** Of 10^5 receptions of k + 20 symbols LDPC-Staircase with N1 = 7 failed in none: measured, see README.md. */
export const ldpcMargin = 20
const ldpcN1 = 7
/**
 * Sets of repair symbols, the most: each makes what the receiver may hold of an object larger. With LDPC-Staircase a pass skips the
 * other sets' rows, which join those beside them and let ones cancel: with three sets 1 of 10^5 objects of 300 symbols was lost at
 * the planned loss, with two none.
 */
const setsMax: Record<FecId, number> = { 0: 1, 3: 2, 5: 4 }

/** How an object is sent: pass p brings all source symbols and repair set p modulo `sets`. */
export interface ObjectPlan {
  shape: ObjectShape
  /** repair symbols of a pass */
  repair: number
  /** disjoint sets of repair symbols; passes beyond begin again */
  sets: number
}

/**
 * The least m for which fewer than `source` + `margin` of `source` + m symbols arrive with a probability below `failureMax`.
 * @param lossShare of datagrams, each lost by itself, 0 to 0.9
 */
export function repairSymbols(source: number, lossShare: number, margin = 0): number {
  if (lossShare === 0) return margin
  let [low, high] = [margin, margin + 1]
  const enough = (repair: number): boolean =>
    logTail(source + repair, lossShare, repair - margin + 1) < Math.log(failureMax)
  while (!enough(high)) [low, high] = [high, high * 2]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (enough(middle)) high = middle
    else low = middle + 1
  }
  return low
}

/** ln P(X ≥ from), X binomial of `trials` at `share`: summed from its first term, which is the largest where it matters. */
export function logTail(trials: number, share: number, from: number): number {
  if (from > trials) return Number.NEGATIVE_INFINITY
  const odds = share / (1 - share)
  let [sum, term] = [1, 1]
  for (let x = from; x < trials && term > sum * 1e-17; x++) {
    term *= ((trials - x) / (x + 1)) * odds
    sum += term
  }
  const first = logChoose(trials, from) + from * Math.log(share) + (trials - from) * Math.log1p(-share)
  return Math.min(0, first + Math.log(sum))
}

function logChoose(n: number, k: number): number {
  let sum = 0
  for (let i = 1; i <= Math.min(k, n - k); i++) sum += Math.log((n - i + 1) / i)
  return sum
}

/**
 * Reed-Solomon while source and repair symbols of a pass fit its 255, LDPC-Staircase above; no code where no loss is planned for,
 * or where the object has too many symbols for either.
 * @param object of at most 65,536 symbols
 * @param passes with repair symbols of their own, as far as the code has so many
 */
export function planObject(
  object: { objectOctets: number; symbolOctets: number },
  { lossShare, passes }: { lossShare: number; passes: number },
): ObjectPlan {
  const source = sourceSymbols(object)
  if (lossShare > 0) {
    const small = planned(object, { fecId: 5, n1: 0, repair: repairSymbols(source, lossShare), passes })
    if (small !== undefined) return small
    const repair = source > symbolLimits[3].sourceMax ? 0 : repairSymbols(source, lossShare, ldpcMargin)
    const large = planned(object, { fecId: 3, n1: ldpcN1, repair, passes })
    if (large !== undefined) return large
  }
  return { shape: { ...object, fecId: 0, symbols: source, n1: 0 }, repair: 0, sets: 1 }
}

/** @returns undefined where a single pass does not fit the code's limits */
function planned(
  { objectOctets, symbolOctets }: { objectOctets: number; symbolOctets: number },
  { fecId, n1, repair, passes }: { fecId: FecId; n1: number; repair: number; passes: number },
): ObjectPlan | undefined {
  const source = sourceSymbols({ objectOctets, symbolOctets })
  const { sourceMax, symbolsMax } = symbolLimits[fecId]
  const symbolsHeldMax = Math.min(symbolsMax, Math.floor(blockOctetsMax / symbolOctets))
  const sets = Math.min(passes, setsMax[fecId], Math.floor((symbolsHeldMax - source) / repair))
  if (source > sourceMax || sets < 1) return undefined
  return { shape: { fecId, objectOctets, symbolOctets, symbols: source + sets * repair, n1 }, repair, sets }
}

/**
 * Repair symbols of a pass, rising: every `sets`-th. LDPC-Staircase needs them spread over all rows of its matrix; that the first
 * set ends with the last row leaves no row behind it out of account.
 */
export function repairOfPass({ shape, repair, sets }: ObjectPlan, pass: number): number[] {
  const first = sourceSymbols(shape) + sets - 1 - (pass % sets)
  return Array.from({ length: repair }, (_, i) => first + i * sets)
}

/**
 * All symbols of a pass in the order in which they are sent. Reed-Solomon does not mind which are lost; LDPC-Staircase minds runs
 * of repair symbols, so it is sent shuffled, and a burst of loss is to it what scattered loss is.
 */
export function symbolsOfPass(plan: ObjectPlan, pass: number): number[] {
  const symbols = Array.from({ length: sourceSymbols(plan.shape) }, (_, i) => i).concat(repairOfPass(plan, pass))
  if (plan.shape.fecId !== 3) return symbols
  const random = new MinimalStandard(1 + pass)
  for (let i = symbols.length - 1; i > 0; i--) {
    const other = random.below(i + 1)
    ;[symbols[i], symbols[other]] = [symbols[other]!, symbols[i]!]
  }
  return symbols
}
