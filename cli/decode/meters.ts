import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import type { MeterProfile } from '#gateway/readings/meter-profile.ts'
import { UsageError } from '../command.ts'

/**
 * The profile of a meter family that comes with the gateway.
 * @throws UsageError for a name that is none, with those that there are; ConfigError for a file that is no profile
 */
export function meterProfile(name: string): MeterProfile {
  const profiles = meterProfiles()
  const profile = profiles.get(name)
  if (profile === undefined) throw new UsageError(`--meter: one of ${[...profiles.keys()].join(', ')}, not '${name}'`)
  return profile
}
