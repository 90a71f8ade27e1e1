import { isProtectionName, type ProtectionName, protectionNames } from '#simulator/protections.ts'
import { UsageError } from './command.ts'

/** A list of an option, with commas. @throws UsageError */
export function readProtections(text: string | undefined): ProtectionName[] | undefined {
  const names = text?.split(',')
  if (names === undefined || names.every(isProtectionName)) return names
  throw new UsageError(`--protection: of ${protectionNames.join(', ')}, with commas between them`)
}
