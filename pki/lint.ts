import { PkiError } from './errors.ts'
import { profileSets } from './key-algorithm.ts'
import { extensionRules } from './lint/extensions.ts'
import { fieldRules } from './lint/fields.ts'
import { issuerRules } from './lint/issuer.ts'
import type { Linted, LintRule } from './lint/rule.ts'

export type { Linted, LintRule } from './lint/rule.ts'

/** Each says one thing: what another rule asks for is taken as given where it is missing. */
export const lintRules: readonly LintRule[] = [...fieldRules, ...extensionRules, ...issuerRules]

/** The rules a certificate breaks, in the order of the list; none: it may be signed. Never throws on what parsed. */
export function lint(linted: Omit<Linted, 'profileSet'> & Partial<Linted>): LintRule[] {
  const whole = { profileSet: profileSets.p256, ...linted }
  return lintRules.filter((rule) => !held(rule, whole))
}

/** What a rule cannot read, it does not find in order. */
function held(rule: LintRule, linted: Linted): boolean {
  try {
    return rule.holds(linted)
  } catch (cause) {
    if (cause instanceof PkiError) return false
    throw cause
  }
}
