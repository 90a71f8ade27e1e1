import { certificateNegatives, crlNegatives, type Negative } from './base.ts'
import { extensionMutations } from './extensions.ts'
import { fieldMutations } from './fields.ts'
import { crlMutations } from './lists.ts'
import { pathNegatives } from './paths.ts'
import { valueMutations } from './values.ts'

/** Every chain that must be refused, each wrong in one way. */
export const negatives: readonly Negative[] = [
  ...certificateNegatives(fieldMutations),
  ...certificateNegatives(extensionMutations),
  ...certificateNegatives(valueMutations),
  ...crlNegatives(crlMutations),
  ...pathNegatives,
]
