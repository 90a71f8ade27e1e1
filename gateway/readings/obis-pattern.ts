import { encodeObis } from '../codec/obis.ts'
import type { Obis } from '../model.ts'

/** The lowest and highest of groups A to F. */
export type ObisPattern = readonly (readonly [number, number])[]

/** What a pattern's text looks like: `1-x:1-4.8.x`, and `*1` behind it for group F. */
export const obisPatternForm: RegExp =
  /^(x|\d{1,3})-(x|\d{1,3}):((x|\d{1,3}(-\d{1,3})?)\.){2}(x|\d{1,3}(-\d{1,3})?)(\*\d{1,3})?$/

/**
 * Groups from a pattern's text: a number, a range `1-4`, or `x` for any; F is any where it is left out. A and B are
 * numbers or `x`.
 * @param text in `obisPatternForm`
 */
export function obisPattern(text: string): ObisPattern {
  const [, a, b, rest, f] = /^([^-]+)-([^:]+):([^*]+)(?:\*(\d+))?$/.exec(text)!
  return [a!, b!, ...rest!.split('.'), f ?? 'x'].map((group): readonly [number, number] => {
    if (group === 'x') return [0, 255]
    const [low, high] = group.split('-')
    return [Number(low), Number(high ?? low)]
  })
}

export function fitsPattern(pattern: ObisPattern, code: Obis): boolean {
  const groups = encodeObis(code)
  return pattern.every(([low, high], i) => groups[i]! >= low && groups[i]! <= high)
}
