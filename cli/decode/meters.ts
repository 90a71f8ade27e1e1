import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseMeterProfile } from '#gateway/meters/parse.ts'
import type { MeterProfile } from '#gateway/readings/meter-profile.ts'
import { UsageError } from '../command.ts'

const folder = join(import.meta.dirname, '../../gateway/meters')
const ending = '.json'

/**
 * The profile of a meter family that comes with the gateway.
 * @throws UsageError for a name that is none, with those that there are; ConfigError for a file that is no profile
 */
export function meterProfile(name: string): MeterProfile {
  const names = readdirSync(folder).filter((file) => file.endsWith(ending))
  if (!names.includes(name + ending)) {
    throw new UsageError(
      `--meter: one of ${names.map((file) => file.slice(0, -ending.length)).join(', ')}, not '${name}'`,
    )
  }
  return parseMeterProfile(readFileSync(join(folder, name + ending), 'utf8'))
}
