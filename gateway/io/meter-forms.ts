import type { FormKind, KeySet, Policy, Way } from '../session/policy.ts'
import type { KeyName } from './enlisted-keys.ts'

/** How a meter may protect what it pushes, as a line of a registry file names it. */
export const formNames = [
  'general-glo',
  'general-ded',
  'glo',
  'ded',
  'general-ciphering-settled',
  'general-ciphering-identified',
  'general-ciphering-wrapped',
  'general-ciphering-agreed',
  /** around or inside one of the others */
  'general-signing',
  /** each of the others that can be under the unicast key also under the broadcast one, which every meter of a group has */
  'broadcast',
  /** empty system titles too: the concentrator's envelope and the key tell who sends */
  'untitled',
] as const
export type FormName = (typeof formNames)[number]

export const defaultForms: readonly FormName[] = ['general-glo']

interface Form {
  ways: readonly Way[]
  /** what its line must then have */
  needs: readonly (KeyName | 'ourTitle')[]
}

const formsByName: Readonly<Record<FormName, Form>> = {
  'general-glo': { ways: ['general-glo-ciphering unicast'], needs: [] },
  'general-ded': { ways: ['general-ded-ciphering dedicated'], needs: ['dedicatedEk'] },
  glo: { ways: ['service unicast'], needs: [] },
  ded: { ways: ['service dedicated'], needs: ['dedicatedEk'] },
  'general-ciphering-settled': { ways: ['general-ciphering settled'], needs: ['settledEk', 'ourTitle'] },
  'general-ciphering-identified': { ways: ['general-ciphering unicast'], needs: ['ourTitle'] },
  'general-ciphering-wrapped': { ways: ['general-ciphering wrapped'], needs: ['kek', 'ourTitle'] },
  'general-ciphering-agreed': { ways: ['general-ciphering agreed'], needs: ['ourAgreementKey', 'ourTitle'] },
  'general-signing': { ways: [], needs: ['signingKey', 'ourTitle'] },
  broadcast: { ways: [], needs: ['broadcastEk'] },
  untitled: { ways: [], needs: [] },
}

/** What a line with these forms must have. */
export function needsOf(form: FormName): Form['needs'] {
  return formsByName[form].needs
}

/** Whether a form stands for itself: the others go with one of these. */
export function isWhole(form: FormName): boolean {
  return formsByName[form].ways.length > 0
}

/** What is taken by these forms, beside the least protection and the suite. */
export function takenBy(forms: readonly FormName[]): Required<Pick<Policy, 'forms' | 'keySets' | 'ways' | 'untitled'>> {
  const named = forms.flatMap((form): readonly Way[] => formsByName[form].ways)
  const ways = forms.includes('broadcast') ? [...named, ...named.flatMap(broadcastToo)] : named
  const parts = ways.map((way) => way.split(' ') as [FormKind, KeySet])
  return {
    forms: [...new Set(parts.map(([form]) => form))],
    keySets: [...new Set(parts.map(([, keySet]) => keySet))],
    ways: new Set(ways),
    untitled: forms.includes('untitled'),
  }
}

function broadcastToo(way: Way): Way[] {
  return way.endsWith(' unicast') ? [way.replace(' unicast', ' broadcast') as Way] : []
}
