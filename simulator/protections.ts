/** How a simulated meter protects its pushes. */
export interface Protection {
  suite: 0 | 1 | 2
  /** general-glo-ciphering, general-ded-ciphering, or general-ciphering under an identified, wrapped or agreed key */
  form: 'general-glo' | 'general-ded' | 'identified' | 'wrapped' | 'agreed'
  /** with general-signing around it */
  signed: boolean
}

export const protectionNames = [
  'suite0-general-glo',
  'suite1-general-glo',
  'suite2-general-glo',
  'suite0-general-ded',
  'suite0-identified',
  'suite0-wrapped',
  'suite2-wrapped',
  'suite1-signed',
  'suite1-agreed-signed',
  'suite2-agreed-signed',
] as const
export type ProtectionName = (typeof protectionNames)[number]

export const defaultProtection: ProtectionName = 'suite0-general-glo'

export const protectionsByName: Readonly<Record<ProtectionName, Protection>> = {
  'suite0-general-glo': { suite: 0, form: 'general-glo', signed: false },
  'suite1-general-glo': { suite: 1, form: 'general-glo', signed: false },
  'suite2-general-glo': { suite: 2, form: 'general-glo', signed: false },
  'suite0-general-ded': { suite: 0, form: 'general-ded', signed: false },
  'suite0-identified': { suite: 0, form: 'identified', signed: false },
  'suite0-wrapped': { suite: 0, form: 'wrapped', signed: false },
  'suite2-wrapped': { suite: 2, form: 'wrapped', signed: false },
  'suite1-signed': { suite: 1, form: 'general-glo', signed: true },
  'suite1-agreed-signed': { suite: 1, form: 'agreed', signed: true },
  'suite2-agreed-signed': { suite: 2, form: 'agreed', signed: true },
}

export function isProtectionName(name: string): name is ProtectionName {
  return (protectionNames as readonly string[]).includes(name)
}
